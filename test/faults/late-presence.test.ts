// A node is cut off from Redis, and its people go on telling their contacts how they are: what arrives when their contacts were told that
// they are gone must not be what these see in the end.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ChaosPipe, openChaosPipe } from '../kit/chaos.ts';
import type { StreamClient } from '../kit/client.ts';
import { befriend, gone, hears, here, type Joined, joinServers, unread } from '../kit/joined-servers.ts';
import { redisForAll } from '../kit/redis-for-all.ts';

const redis = redisForAll();
/** Who is busy for a moment must not count as dead, in milliseconds. */
const BEAT = 200;
const orchard = 'romeo@verona.test/orchard';

let joined: Joined;
let wire: ChaosPipe;
let reader: StreamClient;
let romeo: StreamClient;
beforeEach(async () => {
  wire = await openChaosPipe({ address: '127.0.0.1', port: redis.port });
  joined = await joinServers(redis.url, ['one'], {}, {}, { beat: BEAT });
  await joined.join('two', { target: `redis://127.0.0.1:${wire.address.port}` });
  await befriend(joined, 'romeo', 'juliet');
  reader = await joined.enter(0, 'juliet', 'balcony');
  reader.write('<presence/>');
  await hears(reader, here('juliet@verona.test/balcony'));
  romeo = await appear(1, 'orchard');
  await hears(reader, here(orchard));
});
afterEach(async () => {
  await joined.stop();
  await wire.close();
});

async function appear(at: number, resource: string, presence = '<presence/>'): Promise<StreamClient> {
  const client = await joined.enter(at, 'romeo', resource);
  client.write(presence);
  await hears(client, here(`romeo@verona.test/${resource}`));
  return client;
}

function cut(): void {
  wire.isShut = true;
  wire.reset();
}

/** The node can reach Redis again, and finds that the others have gone on without it; what it has to say of that is said. */
async function heal(): Promise<void> {
  const { self } = joined.clusters[1]!;
  wire.isShut = false;
  await expect.poll(() => joined.clusters[1]!.self, { timeout: 10_000 }).not.toBe(self);
  // who was owed word of somebody is told within a second of the server's own time
  for (let i = 0; i < 20; i++) {
    await joined.clock.advance(1_000);
    await sleep(50);
  }
}

/** What the reader was told of him last. */
const lastOf = (who: string): string | undefined =>
  unread(reader)
    .filter((text) => text.includes(who))
    .at(-1);

test('what somebody had changed before his node was given up does not bring him back', async () => {
  cut();
  romeo.write('<presence><show>away</show></presence>');
  await romeo.fence();
  await hears(reader, gone(orchard));
  await heal();
  expect(lastOf(orchard) ?? '<presence type="unavailable"').toContain('type="unavailable"');
});

test('nor does what he changed after that, nor an answer to those who ask', async () => {
  cut();
  await hears(reader, gone(orchard));
  romeo.write('<presence><show>away</show></presence>');
  await romeo.fence();
  await heal();
  expect(lastOf(orchard) ?? '<presence type="unavailable"').toContain('type="unavailable"');
});

test('nor does what he told somebody who is no contact of his', async () => {
  const nurse = await joined.enter(0, 'nurse', 'hall');
  nurse.write('<presence/>');
  await hears(nurse, here('nurse@verona.test/hall'));
  romeo.write("<presence to='nurse@verona.test/hall'/>");
  await hears(nurse, here(orchard));
  cut();
  await hears(nurse, gone(orchard));
  romeo.write("<presence to='nurse@verona.test/hall'><show>away</show></presence>");
  await romeo.fence();
  await heal();
  const heard = unread(nurse).filter((text) => text.includes(orchard));
  expect(heard.at(-1) ?? '<presence type="unavailable"').toContain('type="unavailable"');
});

test('whoever has come back elsewhere under the same address is seen in the end, whatever is said late', async () => {
  cut();
  romeo.write('<presence><show>away</show></presence>');
  await romeo.fence();
  await hears(reader, gone(orchard));
  await appear(0, 'orchard', '<presence><status>back</status></presence>');
  await hears(reader, /back/);
  romeo.write('<presence><show>xa</show></presence>');
  await romeo.fence();
  await heal();
  const last = lastOf(orchard);
  if (last !== undefined) expect(last).toContain('back');
});

test('also where the connection ended while the node was cut off', async () => {
  cut();
  await hears(reader, gone(orchard));
  await appear(0, 'orchard', '<presence><status>back</status></presence>');
  await hears(reader, /back/);
  romeo.write("<presence type='unavailable'/></stream:stream>");
  await hears(romeo, /end|close/);
  await heal();
  const last = lastOf(orchard);
  if (last !== undefined) expect(last).toContain('back');
});

test('who said nothing at that time is not told of a second time', async () => {
  // (what was said shortly before may be on its way still)
  await joined.clock.advance(60_000);
  cut();
  await hears(reader, gone(orchard));
  await heal();
  expect(lastOf(orchard)).toBeUndefined();
});
