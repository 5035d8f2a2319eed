// Every adapter of the cluster port, for suites that all of them have to pass.
import { afterAll, afterEach, beforeAll } from 'vitest';
import type { Cluster, NodeId } from '../../src/cluster/cluster.ts';
import { createSolo } from '../../src/cluster/solo.ts';
import { createNodes } from './cluster-pair.ts';
import { startRedisCluster, type TestRedis, type TestRedisCluster } from './redis.ts';
import { redisForAll } from './redis-for-all.ts';
import { startRedisNodes } from './redis-nodes.ts';

export interface Made {
  readonly clusters: readonly Cluster[];
  /** Resolves when everything that was sent has arrived. */
  idle(): Promise<void>;
  kill?(node: NodeId): void;
}
export interface Adapter {
  readonly name: string;
  readonly nodes: number;
  make(): Promise<Made>;
}

/** Called at the top of a file. */
export function clusterAdapters(): { readonly redis: TestRedis; readonly adapters: readonly Adapter[] } {
  const redis = redisForAll();
  let redisCluster: TestRedisCluster;
  beforeAll(async () => {
    redisCluster = await startRedisCluster();
  });
  afterAll(() => redisCluster.remove());
  const adapters = [
    { name: 'solo', nodes: 1, make: async () => ({ clusters: [createSolo()], idle: async () => {} }) },
    { name: 'nodes in one process', nodes: 2, make: async () => createNodes(['one', 'two'], 200) },
    {
      name: 'nodes in one process that hear of changes late',
      nodes: 2,
      make: async () => createNodes(undefined, 200, true),
    },
    { name: 'redis', nodes: 2, make: () => startRedisNodes(redis.url) },
    { name: 'a Redis Cluster', nodes: 2, make: () => startRedisNodes(redisCluster.target) },
  ];
  return { redis, adapters };
}

/** Called in a `describe`: what it returns makes nodes, which are closed after each test. */
export function closing(adapter: Adapter): () => Promise<Made> {
  let made: Made | undefined;
  afterEach(async () => {
    for (const cluster of made?.clusters ?? []) await cluster.close();
    made = undefined;
  });
  return async () => {
    made = await adapter.make();
    return made;
  };
}
