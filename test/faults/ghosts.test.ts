// Redis comes back empty, and a node is not there any more: what Redis has forgotten of that node the others have not. Its people are
// seen to go as they are when a node dies at any other time: by everybody who saw them, once.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { StreamClient } from '../kit/client.ts';
import { befriend, gone, hears, here, type Joined, joinServers, unread } from '../kit/joined-servers.ts';
import { redisForAll } from '../kit/redis-for-all.ts';

const redis = redisForAll();
/** Who is busy for a moment must not count as dead, in milliseconds. */
const BEAT = 200;
const orchard = 'romeo@verona.test/orchard';

let joined: Joined;
beforeEach(async () => {
  joined = await joinServers(redis.url, ['one', 'two', 'three'], {}, {}, { beat: BEAT });
  await befriend(joined, 'romeo', 'juliet');
});
afterEach(async () => {
  if (redis.pid === 0) await redis.start();
  await joined.stop();
});

/** A client that is there for its contacts. */
async function appear(at: number, user: string, resource: string): Promise<StreamClient> {
  const client = await joined.enter(at, user, resource);
  client.write('<presence/>');
  await hears(client, here(`${user}@verona.test/${resource}`));
  return client;
}

/** While Redis is away the node of a server dies, and Redis has forgotten everything when it is back. */
async function loseWith(at: number): Promise<void> {
  await redis.stop('empty');
  joined.kill(at);
  await redis.start();
}

/** All of them see it go, once, and nothing else of it. */
async function expectGone(who: string, ...readers: readonly StreamClient[]): Promise<void> {
  for (const reader of readers) await hears(reader, gone(who));
  await sleep(300);
  for (const reader of readers) expect(unread(reader).filter((text) => text.includes(who))).toEqual([]);
}

test('contacts and own devices on all nodes see that sessions went with their node, and who is there stays', async () => {
  const phone = await appear(0, 'romeo', 'phone');
  const readers = [phone, await appear(0, 'juliet', 'balcony'), await appear(2, 'juliet', 'chamber')];
  await appear(1, 'romeo', 'orchard');
  for (const reader of readers) await hears(reader, here(orchard));
  await loseWith(1);
  await expectGone(orchard, ...readers);
  phone.write("<message to='romeo@verona.test/orchard' id='m'><body>?</body></message>");
  for (const reader of readers.slice(1)) expect(unread(reader).join()).not.toContain('unavailable');
  await phone.fence();
});

test('whoever is in a room with them sees it, too, wherever the room is', async () => {
  const reader = await appear(0, 'juliet', 'balcony');
  const dying = await appear(1, 'romeo', 'orchard');
  const rooms = [0, 1, 2, 3, 4, 5].map((n) => `room${n}@groups.verona.test`);
  const enter = (room: string, nick: string): string =>
    `<presence to='${room}/${nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>`;
  for (const room of rooms) {
    reader.write(enter(room, 'Juliet'));
    await hears(reader, /code="201"/, /<subject/);
    reader.write(
      `<iq type='set' id='open' to='${room}'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>`,
    );
    await hears(reader, /id="open"/);
    dying.write(enter(room, 'Romeo'));
    await hears(reader, here(`${room}/Romeo`));
  }
  // (what a room's own node had not told Redis again went with both)
  const leases = await redis.ask(`HGETALL ${joined.prefix}{nodes}:leases`);
  const { self } = joined.clusters[1]!;
  const isTheirs = (room: string): boolean => new RegExp(`${room.split('@')[0]!}\\s+\\S+\\s+\\d+ ${self}`).test(leases);
  const left = rooms.filter((room) => !isTheirs(room));
  expect(left.length).toBeGreaterThan(0);
  await loseWith(1);
  const wanted = new Set(left);
  while (wanted.size > 0) {
    const text = (await hears(reader, /type="unavailable"/)).at(-1)!;
    for (const room of wanted) if (gone(`${room}/Romeo`).test(text)) wanted.delete(room);
  }
});

test('a node that came after the logins knows of them, too', async () => {
  await appear(1, 'romeo', 'orchard');
  await joined.join('four');
  const reader = await appear(3, 'juliet', 'balcony');
  await hears(reader, here(orchard));
  await redis.stop('empty');
  for (const at of [0, 1, 2]) joined.kill(at);
  await redis.start();
  await expectGone(orchard, reader);
});

test('Redis is emptied under the nodes while one is dead', async () => {
  const reader = await appear(0, 'juliet', 'balcony');
  await appear(1, 'romeo', 'orchard');
  await hears(reader, here(orchard));
  joined.kill(1);
  await redis.ask('FLUSHALL');
  await expectGone(orchard, reader);
});

test('Redis is emptied while the sessions of a dead node are dealt with', async () => {
  const reader = await appear(0, 'juliet', 'balcony');
  await appear(1, 'romeo', 'orchard');
  await hears(reader, here(orchard));
  joined.kill(1);
  await expect.poll(() => joined.clusters[0]!.nodes.size, { interval: 1 }).toBe(2);
  await redis.ask('FLUSHALL');
  // (if that was done by half, once more)
  await hears(reader, gone(orchard));
});

test('who left before is not told of again, and who came back under the same address is seen', async () => {
  const reader = await appear(0, 'juliet', 'balcony');
  const left = await appear(1, 'romeo', 'garden');
  await appear(1, 'romeo', 'orchard');
  await hears(reader, here('romeo@verona.test/garden'), here(orchard));
  left.write("<presence type='unavailable'/></stream:stream>");
  await hears(reader, gone('romeo@verona.test/garden'));
  await loseWith(1);
  await expect.poll(() => joined.enter(2, 'romeo', 'orchard').catch(() => undefined), { timeout: 5_000 }).toBeDefined();
  const back = await appear(2, 'romeo', 'orchard');
  await sleep(1_500);
  const heard = unread(reader);
  expect(heard.filter((text) => text.includes('garden'))).toEqual([]);
  expect(heard.filter((text) => text.includes(orchard)).at(-1)).toMatch(here(orchard));
  await back.fence();
});
