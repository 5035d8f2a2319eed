// What is kept of a message, and who may see what of it.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { RoomMessage } from '../../../../src/modules/muc/hooks.ts';
import { isToRead, kept, shownTo, speakerOf } from '../../../../src/modules/room-archive/said.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import { jid, TestRoom } from '../../../kit/muc-room.ts';

const romeo = jid("romeo@verona.test/<he're>");
const USER = 'http://jabber.org/protocol/muc#user';

function event(whois: 'anyone' | 'moderators', xml: string, isRoom = false): RoomMessage {
  const coven = new TestRoom({ whois });
  const { room } = coven;
  coven.join(romeo.full, 'Romeo');
  const occupant = isRoom ? undefined : room.occupantOf(romeo);
  return { room, occupant, sender: romeo, element: parseElement(xml), isSubject: false };
}
const said =
  "<message from='coven@rooms.test/Romeo' id='1'><body>&lt;x xmlns=</body><x xmlns='jabber:x:oob'><url>u</url></x></message>";
const item = (xml: string): string | undefined => parseElement(xml).getChild('x', USER)?.getChild('item')?.attrs.jid;

test.each([
  ['anyone', 'all', romeo.full],
  ['anyone', 'open', romeo.full],
  ['anyone', 'none', undefined],
  ['moderators', 'all', romeo.full],
  ['moderators', 'open', undefined],
  ['moderators', 'none', undefined],
] as const)('where %s knows, who may see %s is told %s', (whois, sight, expected) => {
  const xml = kept(event(whois, said));
  const shown = shownTo(sight, xml);
  expect(item(shown)).toBe(expected);
  expect(shown).not.toContain('urn:parley');
  if (expected === undefined) expect(parseElement(shown).toXml()).toBe(parseElement(said).toXml());
  else expect(parseElement(shown).elements().at(-1)?.ns).toBe(USER);
  expect(speakerOf(parseElement(xml))).toBe(romeo.bare);
});

test('what the room says is nobody’s, for everybody', () => {
  const xml = kept(event('anyone', said, true));
  for (const sight of ['all', 'open', 'none'] as const) expect(shownTo(sight, xml)).toBe(parseElement(said).toXml());
  expect(speakerOf(parseElement(xml))).toBeUndefined();
});

test('whatever is said, those who may not see who it was read just that', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.constantFrom('anyone', 'moderators'), (text, attr, whois) => {
      const clean = (value: string): string =>
        value.replace(/[^\x20-\x7e]/g, '').replace(/[&<>'"]/g, (c) => `&#${c.charCodeAt(0)};`);
      const xml = `<message id='${clean(attr)}'><body>${clean(text)}</body><x xmlns='${USER}'/></message>`;
      expect(shownTo('none', kept(event(whois, xml)))).toBe(parseElement(xml).toXml());
    }),
    { numRuns: 200 },
  );
});

test.each([
  ['<body>x</body>', true],
  ['<subject>x</subject>', false],
  ["<displayed xmlns='urn:xmpp:chat-markers:0' id='x'/>", false],
  ["<body>x</body><replace xmlns='urn:xmpp:message-correct:0' id='x'/>", false],
  ["<body>x</body><retract xmlns='urn:xmpp:message-retract:1' id='x'/>", false],
  [
    "<body>x</body><apply-to xmlns='urn:xmpp:fasten:0' id='x'><retract xmlns='urn:xmpp:message-retract:0'/></apply-to>",
    false,
  ],
])('%s is for people to read: %s', (children, expected) => {
  expect(isToRead(parseElement(`<message>${children}</message>`))).toBe(expected);
});
