// The contract of leases (src/cluster/cluster.ts), over every adapter there is; and what becomes of them when Redis forgets.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import type { Cluster, Lease, NodeId } from '../../src/cluster/cluster.ts';
import type { RedisCluster } from '../../src/cluster/redis/redis.ts';
import { closing, clusterAdapters, type Made } from '../kit/cluster-adapters.ts';
import { type RedisNodes, startRedisNodes } from '../kit/redis-nodes.ts';

const { redis, adapters } = clusterAdapters();

async function claim({ leases }: Cluster, key: string): Promise<Lease> {
  const got = await leases.claim(key);
  if ('holder' in got) throw new Error(`${got.holder} has ${key}`);
  return got;
}

for (const adapter of adapters) {
  describe(adapter.name, () => {
    const make = closing(adapter);
    let made: Made;
    const start = async (): Promise<readonly Cluster[]> => {
      made = await make();
      return made.clusters;
    };

    test('whoever claims a key first has it, until it is given up', async () => {
      const [one] = (await start()) as [Cluster];
      const lease = await claim(one, 'room');
      expect([lease.key, lease.isValid, lease.isAfterDeath]).toEqual(['room', true, false]);
      expect(await lease.confirm()).toBe(true);
      await lease.release();
      expect(lease.isValid).toBe(false);
      expect(await lease.confirm()).toBe(false);
    });

    test('claiming once more what one has gives a higher token, and ends the lease before', async () => {
      const [one] = (await start()) as [Cluster];
      const first = await claim(one, 'room');
      const second = await claim(one, 'room');
      expect(second.token).toBeGreaterThan(first.token);
      expect([first.isValid, second.isValid]).toEqual([false, true]);
      await first.release();
      expect(second.isValid).toBe(true);
    });

    test('nobody is the owner of a key after itself without a claim', async () => {
      const [one] = (await start()) as [Cluster];
      expect(await one.leases.take('room', one.self, 1)).toBeUndefined();
      expect(await one.leases.orphans()).toEqual([]);
    });

    describe.skipIf(adapter.nodes < 2)('between nodes', () => {
      test('another node is told who has the key, and has it with a higher token when it was given up', async () => {
        const [one, two] = (await start()) as [Cluster, Cluster];
        const first = await claim(one, 'room');
        expect(await two.leases.claim('room')).toEqual({ holder: one.self });
        await first.release();
        const second = await claim(two, 'room');
        expect(second.token).toBeGreaterThan(first.token);
        expect(second.isAfterDeath).toBe(false);
        expect(await one.leases.claim('room')).toEqual({ holder: two.self });
      });

      test('of several that claim a key at once one has it', async () => {
        const [one, two] = (await start()) as [Cluster, Cluster];
        const got = await Promise.all([one, two].map(({ leases }) => leases.claim('room')));
        expect(got.filter((claimed) => 'token' in claimed)).toHaveLength(1);
      });

      test('a key is handed over under the token that its owner has, and under no other', async () => {
        const [one, two] = (await start()) as [Cluster, Cluster];
        const first = await claim(one, 'room');
        const again = await claim(one, 'room');
        expect(await two.leases.take('room', one.self, first.token)).toBeUndefined();
        expect(again.isValid).toBe(true);
        const lease = await two.leases.take('room', one.self, again.token);
        expect(lease?.token).toBeGreaterThan(again.token);
        expect([lease?.isValid, lease?.isAfterDeath]).toEqual([true, false]);
        expect(await one.leases.claim('room')).toEqual({ holder: two.self });
      });

      test('what is given up unfinished is its next owner’s as after a death', async () => {
        const [one, two] = (await start()) as [Cluster, Cluster];
        const first = await claim(one, 'room');
        await first.release(true);
        expect(await two.leases.orphans()).toEqual(['room']);
        const second = await claim(two, 'room');
        expect([second.isAfterDeath, second.token > first.token]).toEqual([true, true]);
        expect(first.isValid).toBe(false);
        expect(await two.leases.orphans()).toEqual([]);
        await second.release();
        expect((await claim(one, 'room')).isAfterDeath).toBe(false);
      });

      test('what a dead node had is claimed when it cannot write any more', async () => {
        const [one, two] = (await start()) as [Cluster, Cluster];
        const old = await claim(one, 'room');
        await claim(one, 'other');
        let fence: () => void = () => {};
        const fenced: NodeId[] = [];
        two.leases.onFence((life) => {
          fenced.push(life);
          return new Promise((resolve) => {
            fence = resolve;
          });
        });
        made.kill!(one.self);
        await expect.poll(() => [...two.nodes], { timeout: 5000 }).toEqual([two.self]);
        expect((await two.leases.orphans()).toSorted()).toEqual(['other', 'room']);
        let isOurs = false;
        const claimed = claim(two, 'room').then((lease) => {
          isOurs = true;
          return lease;
        });
        await expect.poll(() => fenced).toContain(one.self);
        await sleep(50);
        expect(isOurs).toBe(false);
        fence();
        const lease = await claimed;
        expect(lease.isAfterDeath).toBe(true);
        expect(lease.token).toBeGreaterThan(old.token);
        expect([old.isValid, await old.confirm()]).toEqual([false, false]);
        expect(await two.leases.orphans()).toEqual(['other']);
      });
    });
  });
}

describe('when Redis is away, or forgets', () => {
  let nodes: RedisNodes;
  afterEach(async () => {
    if (redis.pid === 0) await redis.start();
    redis.freeze(false);
    await nodes.close();
  });

  test('nobody can be sure of a lease for long without Redis, and is when it is back', async () => {
    nodes = await startRedisNodes(redis.url);
    const [one] = nodes.clusters as unknown as [Cluster];
    const lease = await claim(one, 'room');
    redis.freeze(true);
    await expect.poll(() => lease.isValid, { timeout: 5000 }).toBe(false);
    const confirmed = lease.confirm();
    redis.freeze(false);
    expect(await confirmed).toBe(true);
    expect(lease.isValid).toBe(true);
  });

  test('what has an owner still has it after Redis has lost its memory, whoever else claims it then', async () => {
    nodes = await startRedisNodes(redis.url);
    const [one, two] = nodes.clusters as unknown as [Cluster, Cluster];
    const leases = await Promise.all([...Array(20).keys()].map((n) => claim(one, `room ${n}`)));
    await redis.stop('empty');
    await redis.start();
    // somebody new, who has never heard of the others
    const three = await nodes.add('three');
    await expect.poll(() => nodes.clusters.every(({ isUp }) => isUp)).toBe(true);
    const claims = leases.map(({ key }, n) => [two, three][n % 2]!.leases.claim(key));
    expect(await Promise.all(leases.map((lease) => lease.confirm()))).toEqual(leases.map(() => true));
    expect(await Promise.all(claims)).toEqual(leases.map(() => ({ holder: one.self })));
    expect(leases.every(({ isValid }) => isValid)).toBe(true);
    const later = await claim(two, 'new room');
    expect(later.token).toBeGreaterThan(Math.max(...leases.map(({ token }) => token)));
  }, 15_000);

  test('an owner that does not come back after Redis has lost its memory is fenced before another one owns the key', async () => {
    nodes = await startRedisNodes(redis.url);
    const [one, two] = nodes.clusters as unknown as [Cluster, Cluster];
    const old = await claim(one, 'room');
    const fenced: NodeId[] = [];
    two.leases.onFence((life) => {
      fenced.push(life);
    });
    await redis.stop('empty');
    nodes.kill(one.self);
    await redis.start();
    await expect.poll(() => two.members(), { timeout: 5000 }).toHaveLength(1);
    await expect.poll(() => (two as RedisCluster).isUp).toBe(true);
    const lease = await claim(two, 'room');
    expect(fenced).toContain(one.self);
    expect(lease.token).toBeGreaterThan(old.token);
    expect(old.isValid).toBe(false);
  }, 15_000);

  test('a node that others have given up has lost what it owned, and may claim it anew in its next life', async () => {
    nodes = await startRedisNodes(redis.url);
    const [one, two] = nodes.clusters as unknown as [Cluster, Cluster];
    const first = one.self;
    const lease = await claim(one, 'room');
    for (const [key, time] of [
      ['beats', 1],
      ['dead', Date.now()],
    ]) {
      await redis.ask(`ZADD ${nodes.prefix}{nodes}:${key} ${time} ${first}`);
    }
    await expect.poll(() => one.self !== first && !two.nodes.has(first), { timeout: 8000 }).toBe(true);
    expect([lease.isValid, await lease.confirm()]).toEqual([false, false]);
    const again = await claim(one, 'room');
    expect(again.isAfterDeath).toBe(true);
    expect(again.isValid).toBe(true);
  }, 15_000);
});
