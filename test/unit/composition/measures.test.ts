// The figures of a node that is joined with others by Redis.
import { expect, test } from 'vitest';
import { createSolo } from '../../../src/cluster/solo.ts';
import { isOnRedis, observeRedis } from '../../../src/composition/measures.ts';
import { Metrics } from '../../../src/core/metrics.ts';

test('tell of Redis and of how the memory of the directory serves', async () => {
  const metrics = new Metrics();
  const figures = { hits: 5, misses: 2, stale: 1, size: 7, unsaved: 3, latency: 1.5 };
  const cluster = { isUp: true, backlog: 100, directoryFigures: figures };
  observeRedis(metrics, cluster);
  const text = await metrics.text();
  for (const line of [
    'parley_redis_up 1',
    'parley_redis_latency_seconds 0.0015',
    'parley_cluster_backlog_characters 100',
    'parley_directory_lookups{answer="memory"} 5',
    'parley_directory_lookups{answer="redis"} 2',
    'parley_directory_lookups{answer="stale"} 1',
    'parley_directory_accounts 7',
    'parley_directory_unsaved 3',
  ]) {
    expect(text).toContain(`${line}\n`);
  }
  cluster.isUp = false;
  expect(await metrics.text()).toContain('parley_redis_up 0\n');
});

test('are not there on a node alone', () => {
  expect(isOnRedis(createSolo())).toBe(false);
});
