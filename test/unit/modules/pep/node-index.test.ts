import { beforeEach, expect, test } from 'vitest';
import type { Cluster } from '../../../../src/cluster/cluster.ts';
import { NodeIndex } from '../../../../src/modules/pep/node-index.ts';
import type { NodeRow } from '../../../../src/modules/pubsub/rows.ts';
import type { MapStore } from '../../../../src/storage/ports.ts';
import { turn } from '../../../kit/clock.ts';

const row = (name: string): [string, NodeRow] => [name, { config: {}, creator: 'romeo', at: 0 }];
let stored: string[];
let reads: (() => void)[];
let published: unknown[];
let tell: (user: unknown) => void;
let gap: () => void;
let index: NodeIndex;

beforeEach(() => {
  stored = ['tune'];
  reads = [];
  published = [];
  const store = {
    all: () => {
      // as it is when it is read
      const rows = new Map(stored.map(row));
      return new Promise((resolve) => reads.push(() => resolve(rows)));
    },
  } as unknown as MapStore<NodeRow>;
  const cluster = {
    publish: (_: string, user: unknown) => void published.push(user),
    subscribe: (_: string, fn: typeof tell) => {
      tell = fn;
      return () => {};
    },
    onGap: (fn: typeof gap) => {
      gap = fn;
      return () => {};
    },
  } as unknown as Cluster;
  index = new NodeIndex(store, cluster, 'verona.test');
  index.listen();
});

const names = async (): Promise<string[]> => {
  const all = index.of('romeo');
  for (const release of reads.splice(0)) release();
  return [...(await all).keys()];
};

test('is read once, and by those who come together once', async () => {
  const both = Promise.all([index.of('romeo'), index.of('romeo')]);
  expect(reads).toHaveLength(1);
  reads.pop()!();
  await both;
  expect([...(await index.of('romeo')).keys()]).toEqual(['tune']);
  expect(reads).toHaveLength(0);
});

test.each([
  ['another node says so', () => tell('romeo')],
  ['this one does', () => index.changed('romeo')],
  ['word may have been lost', () => gap()],
])('is read again when %s', async (_, change) => {
  expect(await names()).toEqual(['tune']);
  stored.push('mood');
  change();
  expect(await names()).toEqual(['tune', 'mood']);
});

test('the other nodes are told', () => {
  index.changed('romeo');
  expect(published).toEqual(['romeo']);
});

test('what was read before a change is not kept', async () => {
  const before = index.of('romeo');
  stored.push('mood');
  tell('romeo');
  for (const release of reads.splice(0)) release();
  await before;
  await turn();
  expect(await names()).toEqual(['tune', 'mood']);
});
