import { describe, expect, test } from 'vitest';
import { senderInAccount } from '../../../../src/modules/mam/references.ts';
import { searchable } from '../../../../src/modules/mam/search.ts';

const read = (children: string, attrs = '') =>
  searchable(senderInAccount)(
    `<message from='romeo@example.net/orchard' to='juliet@example.net' id='1'${attrs}>${children}</message>`,
  );

test('subjects and bodies of all languages are what a message is found by', () => {
  const found = read(
    "<subject>Verona</subject><body>Wherefore</body><body xml:lang='cs'>Proč</body><thread>t</thread>",
  );
  expect(found).toEqual({ text: 'Verona\nWherefore\nProč', language: undefined, replaces: undefined });
});

test('the language is that of the body, or of the message', () => {
  expect(read('<body>a</body>')?.language).toBeUndefined();
  expect(read('<body>a</body>', " xml:lang='de-AT'")?.language).toBe('de-AT');
  expect(read("<body xml:lang='fr'>a</body>", " xml:lang='de'")?.language).toBe('fr');
});

test.each([
  ['no text', "<received xmlns='urn:xmpp:receipts' id='1'/>"],
  ['white space', '<body> \n</body>'],
  ['OMEMO', "<body>sorry</body><encrypted xmlns='urn:xmpp:omemo:2'/>"],
  ['OMEMO as it was', "<body>sorry</body><encrypted xmlns='eu.siacs.conversations.axolotl'/>"],
  ['OpenPGP', "<body>sorry</body><openpgp xmlns='urn:xmpp:openpgp:0'/>"],
  ['OpenPGP as it was', "<body>sorry</body><x xmlns='jabber:x:encrypted'/>"],
  ['something encrypted', "<body>sorry</body><encryption xmlns='urn:xmpp:eme:0'/>"],
  ['a retraction', "<body>sorry</body><retract xmlns='urn:xmpp:message-retract:1' id='0'/>"],
  [
    'a retraction as it was',
    "<body>sorry</body><apply-to xmlns='urn:xmpp:fasten:0' id='0'><retract xmlns='urn:xmpp:message-retract:0'/></apply-to>",
  ],
  ['a tombstone', "<retracted xmlns='urn:xmpp:message-retract:1' id='0'/>"],
  [
    'a body that stands in for a reaction',
    "<body>+1</body><fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reactions:0'><body/></fallback>",
  ],
  [
    'a message that stands in for something',
    "<subject>s</subject><body>b</body><fallback xmlns='urn:xmpp:fallback:0' for='urn:example'/>",
  ],
])('%s is found by nothing', (_what, xml) => expect(read(xml)).toBeUndefined());

describe('a quotation in front of a reply', () => {
  const reply = (start: string, end: string): string =>
    `<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='${start}' end='${end}'/></fallback>`;

  test('does not count, and is counted in code points', () => {
    expect(read(`<body>&gt; 😀 Hi\nGreat</body>${reply('0', '7')}`)?.text).toBe('Great');
  });

  test('leaves the words around it apart', () => {
    expect(read(`<body>onetwothree</body>${reply('3', '6')}`)?.text).toMatch(/^one +three$/);
  });

  test.each([
    ['-1', '3'],
    ['5', '2'],
    ['x', 'y'],
    ['100', '200'],
  ])('from %s to %s is none', (start, end) =>
    expect(read(`<body>Great</body>${reply(start, end)}`)?.text).toBe('Great'),
  );
});

describe('a correction', () => {
  const replace = "<replace xmlns='urn:xmpp:message-correct:0' id='0'/>";

  test('names what it corrects by the account of its sender', () => {
    expect(read(`<body>a</body>${replace}`)?.replaces).toEqual({ sender: 'romeo@example.net', id: '0' });
  });

  test('in a room names it by the occupant', () => {
    const { replaces } = read(`<body>a</body>${replace}<x xmlns='http://jabber.org/protocol/muc#user'/>`) ?? {};
    expect(replaces).toEqual({ sender: 'romeo@example.net/orchard', id: '0' });
  });

  test('hides what it corrects also where it cannot be read', () => {
    const found = read(`<body>sorry</body>${replace}<encrypted xmlns='urn:xmpp:omemo:2'/>`);
    expect(found).toEqual({ text: '', language: undefined, replaces: { sender: 'romeo@example.net', id: '0' } });
  });
});
