// What somebody who enters is told of the past, while others go on talking.
import { beforeEach, expect, test } from 'vitest';
import { historyOf, sayLater } from '../../../../src/modules/room-archive/history.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import type { ArchiveStore } from '../../../../src/storage/ports.ts';
import { archive } from '../../../../src/storage/specs.ts';
import { FakeClock, turn } from '../../../kit/clock.ts';
import { TestRoom } from '../../../kit/muc-room.ts';

const everything = { maxChars: undefined, maxStanzas: undefined, since: undefined };
let store: ArchiveStore;
let coven: TestRoom;

beforeEach(async () => {
  const opened = await createMemoryDriver(new FakeClock()).open('rooms.test', 'room-archive', { messages: archive() });
  const memory = opened.messages as ArchiveStore;
  // a database answers later, with all that was written by then
  store = {
    ...memory,
    async find(owner, query) {
      await turn();
      return memory.find(owner, query);
    },
  };
  coven = new TestRoom({ maxHistory: 30, defaultHistory: 3 });
});

function say(body: string, child = `<body>${body}</body>`): string {
  const from = `<message from='coven@rooms.test/Romeo' type='groupchat' id='${body}'>`;
  const x =
    "<x xmlns='urn:parley:muc-user:hidden'><item affiliation='none' role='participant' jid='romeo@verona.test/here'/></x>";
  return store.append('coven', { with: 'romeo@verona.test', resource: 'Romeo', xml: `${from}${child}${x}</message>` })
    .id;
}
const told = async (request = {}): Promise<(string | undefined)[]> =>
  (await historyOf(store, coven.room, { ...everything, ...request })).map((message) => message.attrs.id);

test('what is said while it is read is left out: it comes by itself, once', async () => {
  for (const body of ['a', 'b', 'c', 'd']) say(body);
  const reading = told();
  const other = told();
  sayLater(coven.room, say('e'));
  for (const ids of [await reading, await other]) expect(ids).toEqual(['b', 'c', 'd']);
  expect(await told()).toEqual(['c', 'd', 'e']);
});

test('among many markers the last words are found', async () => {
  for (const body of ['a', 'b', 'c']) say(body);
  for (let i = 0; i < 60; i++) say(`m${i}`, "<displayed xmlns='urn:xmpp:chat-markers:0' id='x'/>");
  expect(await told()).toEqual(['a', 'b', 'c']);
  for (let i = 0; i < 200; i++) say(`m${i}`, "<displayed xmlns='urn:xmpp:chat-markers:0' id='x'/>");
  expect(await told()).toEqual([]);
});

test('a nested body is no body, and nobody learns who it was', async () => {
  say(
    'a',
    "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>x</body></html>",
  );
  say('b');
  const [only, ...others] = await historyOf(store, coven.room, everything);
  expect(others).toEqual([]);
  expect(only?.toXml()).toMatch(
    /^<message from='coven@rooms.test\/Romeo' type='groupchat' id='b'><body>b<\/body><stanza-id xmlns='urn:xmpp:sid:0' by='coven@rooms.test' id='\w{20}'\/><delay xmlns='urn:xmpp:delay' /,
  );
  expect(only?.toXml()).not.toContain('romeo@verona.test');
});
