// Nodes of different releases: who understands whom, and what is said where they do not.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../../../src/base/clock.ts';
import { silent } from '../../../../src/base/log.ts';
import { isUnderstood, type Protocol } from '../../../../src/cluster/redis/protocol.ts';
import { createRedisCluster, type RedisCluster } from '../../../../src/cluster/redis/redis.ts';
import { startRedis, type TestRedis } from '../../../kit/redis.ts';

let redis: TestRedis;
const nodes: RedisCluster[] = [];
beforeEach(async () => {
  redis = await startRedis();
});
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.close()));
  await redis.remove();
});

async function join(name: string, protocol: Protocol): Promise<RedisCluster> {
  const node = await createRedisCluster({
    target: redis.url,
    log: silent,
    clock: systemClock,
    name,
    protocol,
    beat: 100,
  });
  nodes.push(node);
  return node;
}

test('two releases understand one another as long as they have one version in common', () => {
  expect(isUnderstood([1, 2], [2, 3])).toBe(true);
  expect(isUnderstood([2, 3], [1, 2])).toBe(true);
  expect(isUnderstood([1, 1], [2, 3])).toBe(false);
  expect(isUnderstood([2, 3], [1, 1])).toBe(false);
});

test('a node of the next release joins, and one of the release after that is told why it cannot', async () => {
  await join('old', [1, 1]);
  await join('new', [1, 2]);
  await expect(join('newest', [2, 3])).rejects.toThrow(
    /^node old runs version .*, which is too far from this one \(it speaks protocol 1, this one protocols 2 to 3\): update a cluster one release at a time/,
  );
});

test('a node that died without a word keeps nobody out', async () => {
  const old = await join('old', [1, 1]);
  nodes.splice(0);
  old.abandon();
  await new Promise((done) => setTimeout(done, 600));
  const after = await join('new', [2, 2]);
  expect([...after.nodes]).toContain(after.self);
});
