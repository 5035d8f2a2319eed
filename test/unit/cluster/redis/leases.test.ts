// What is known of leases beside what Redis says.
import { expect, test } from 'vitest';
import type { Lease } from '../../../../src/cluster/cluster.ts';
import { RedisLeases, type RedisLeasesOptions } from '../../../../src/cluster/redis/leases.ts';

test('what was given up unfinished while Redis was away is after a death for who claims it again', async () => {
  const replies: (readonly string[] | Error)[] = [];
  const options = {
    redis: {
      isUp: true,
      onReconnected: () => () => {},
      key: (...parts: string[]) => parts.join(':'),
      channel: (name: string) => name,
      run: async () => {
        const reply = replies.shift()!;
        if (reply instanceof Error) throw reply;
        return reply;
      },
    },
    membership: { self: 'one:life', nodes: new Set(['one:life']), refresh: async () => {}, isSure: true },
    log: { debug() {} },
    beat: 10,
    grace: 0,
    fence: async () => {},
  };
  const leases = new RedisLeases(options as unknown as RedisLeasesOptions);
  replies.push(['had', '1', '1'], new Error('Redis is away'), ['had', '2', '0'], [], ['had', '3', '0']);
  const first = (await leases.claim('room')) as Lease;
  expect(first.isAfterDeath).toBe(true);
  await expect(Promise.resolve(first.release(true))).rejects.toThrow('away');
  const second = (await leases.claim('room')) as Lease;
  expect(second.isAfterDeath).toBe(true);
  // taken up, and given up in good order
  await second.release();
  expect(((await leases.claim('room')) as Lease).isAfterDeath).toBe(false);
  leases.close();
});
