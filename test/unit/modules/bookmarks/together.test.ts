// Clients of both ages that change bookmarks at the same time, on two nodes: in the end all of them see the same.
import { expect, test } from 'vitest';
import { type Bookmark, isSameList, listOf } from '../../../../src/modules/bookmarks/convert.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import type { Element } from '../../../../src/xml/element.ts';
import { NS } from '../../../../src/xmpp/ns.ts';
import type { StreamClient } from '../../../kit/client.ts';
import { pairForEach } from '../../../kit/pair-for-each.ts';

const pair = pairForEach();
const { enter, settle } = pair;

const bookmark = (room: string): string =>
  `<iq type='set' id='${room}'><pubsub xmlns='${NS.pubsub}'><publish node='${NS.bookmarks}'><item id='${room}@chat.test'><conference xmlns='${NS.bookmarks}' name='${room}'/></item></publish></pubsub></iq>`;
const list = (id: string, ...rooms: readonly string[]): string =>
  `<iq type='set' id='${id}'><query xmlns='${NS.private}'><storage xmlns='${NS.bookmarksLegacy}'>${rooms.map((room) => `<conference jid='${room}@chat.test' name='${id}'/>`).join('')}</storage></query></iq>`;

async function ask(client: StreamClient, xml: string): Promise<Element> {
  client.inbox.splice(0);
  client.write(xml);
  await settle();
  const answer = client.inbox.find((item) => item.kind === 'element' && item.element.name === 'iq');
  if (answer?.kind !== 'element') throw new Error('there is no answer');
  return parseElement(answer.element.toString());
}

async function bookmarksOf(client: StreamClient, node: string): Promise<Bookmark[]> {
  const answer = await ask(
    client,
    `<iq type='get' id='i'><pubsub xmlns='${NS.pubsub}'><items node='${node}'/></pubsub></iq>`,
  );
  const items = answer.getChild('pubsub', NS.pubsub)?.getChild('items')?.getChildren('item') ?? [];
  return items.map((item) => ({ id: item.attrs.id ?? '', conference: item.elements()[0]! }));
}

/** The bookmarks by name, when both lists of before have been found to say the same. */
async function seen(client: StreamClient): Promise<Record<string, string | undefined>> {
  const bookmarks = await bookmarksOf(client, NS.bookmarks);
  const expected = listOf(bookmarks, []);
  const [atNode] = await bookmarksOf(client, NS.bookmarksLegacy);
  const request = `<iq type='get' id='l'><query xmlns='${NS.private}'><storage xmlns='${NS.bookmarksLegacy}'/></query></iq>`;
  const inStorage = (await ask(client, request)).getChild('query', NS.private)?.elements()[0];
  for (const shown of [atNode?.conference, inStorage]) {
    if (shown === undefined || !isSameList(shown, expected)) throw new Error(`${shown} is not ${expected.toXml()}`);
  }
  return Object.fromEntries(bookmarks.map(({ id, conference }) => [id, conference.attrs.name]));
}

test('many bookmarks at once are all in the list, whoever writes them', async () => {
  const [orchard, garden] = [await enter(0, 'romeo', 'orchard'), await enter(1, 'romeo', 'garden')];
  const rooms = Array.from({ length: 20 }, (_, i) => `room${i}`);
  for (const room of rooms) (room.length % 2 === 0 ? orchard : garden).write(bookmark(room));
  await settle();
  expect(await seen(garden)).toEqual(Object.fromEntries(rooms.map((room) => [`${room}@chat.test`, room])));
});

test('lists and bookmarks that cross come to rest', async () => {
  const [orchard, garden] = [await enter(0, 'romeo', 'orchard'), await enter(1, 'romeo', 'garden')];
  orchard.write(bookmark('a'));
  await settle();
  for (let i = 0; i < 5; i++) {
    orchard.write(bookmark(`b${i}`));
    garden.write(list(`old${i}`, 'a', `c${i}`));
  }
  await settle();
  await settle();
  const all = await seen(orchard);
  // what the last list has said holds
  expect(all['a@chat.test']).toBe('old4');
  expect(all['c4@chat.test']).toBe('old4');
  expect(all).not.toHaveProperty('c3@chat.test');
  expect(await seen(garden)).toEqual(all);
});

test('two lists that cross are taken one after the other', async () => {
  const [orchard, garden] = [await enter(0, 'romeo', 'orchard'), await enter(1, 'romeo', 'garden')];
  orchard.write(list('one', 'a', 'b', 'c'));
  garden.write(list('two', 'b', 'c', 'd'));
  await settle();
  const all = await seen(orchard);
  const [last, rooms] = all['a@chat.test'] === undefined ? ['two', 'bcd'] : ['one', 'abc'];
  expect(all).toEqual(Object.fromEntries([...rooms].map((room) => [`${room}@chat.test`, last])));
});
