// A password is changed, or an account disabled, while Redis is away: what the account has on other nodes ends when Redis is back, without
// anybody's saying so again.
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { StreamClient } from '../kit/client.ts';
import { type Joined, joinServers, unread } from '../kit/joined-servers.ts';
import { redisForAll } from '../kit/redis-for-all.ts';

const redis = redisForAll();
/** After so long other nodes are told again, in milliseconds. */
const AGAIN = 5_000;

let joined: Joined;
beforeEach(async () => {
  joined = await joinServers(redis.url, ['one', 'two'], {}, {}, { beat: 200 });
});
afterEach(async () => {
  if (redis.pid === 0) await redis.start();
  await joined.stop();
});

const change = (at: number): Promise<void> =>
  joined.servers[at]!.server.accounts.setPassword('romeo@verona.test', 'another');

async function expectEnd(client: StreamClient): Promise<void> {
  await redis.start();
  await expect
    .poll(
      async () => {
        await joined.clock.advance(AGAIN);
        return unread(client).join();
      },
      { timeout: 10_000, interval: 100 },
    )
    .toMatch(/reset.*the password was changed/);
}

test.each(['keep', 'empty'] as const)(
  'a session that this node never heard of (Redis comes back: %s)',
  async (what) => {
    const client = await joined.enter(1, 'romeo', 'orchard');
    await redis.stop(what);
    await expect(change(0)).rejects.toThrow('its sessions cannot be found just now, and are ended when they can be');
    expect(unread(client)).toEqual([]);
    await expectEnd(client);
  },
);

test('a session that this node knows of', async () => {
  const here = await joined.enter(0, 'romeo', 'garden');
  const there = await joined.enter(1, 'romeo', 'orchard');
  await redis.stop('keep');
  const done = change(0);
  // (two seconds are given to the other node)
  await expect.poll(() => unread(here).join()).toMatch(/reset/);
  await joined.clock.advance(AGAIN);
  await done;
  expect(unread(there)).toEqual([]);
  await expectEnd(there);
});
