// What strangers write where a page is to begin is a value, never a piece of a statement: XEP-0059 in archives, nodes and lists, on every database.
import { beforeAll, describe, expect, test } from 'vitest';
import type { Clock } from '../../src/base/clock.ts';
import type { ArchiveStore, ItemsStore, LogStore } from '../../src/storage/ports.ts';
import { archive, items, log, type Spec } from '../../src/storage/specs.ts';
import { storageForAll, storageWorlds } from '../kit/storage-worlds.ts';

const clock: Clock = { now: () => Date.UTC(2026, 0, 1), after: () => () => {} };
const specs = {
  items: items(),
  messages: archive(),
  log: log<string, Record<string, never>>({ index: [] }),
} as unknown as Record<string, Spec<unknown>>;

/** What XML can carry; U+0000 and halves of surrogate pairs never come so far. */
const hostile = [
  "' OR '1'='1",
  "'; DROP TABLE items; --",
  "') UNION SELECT 1, 2, 3 --",
  '" OR ""="',
  '$1',
  '\\',
  "\\' OR 1=1 --",
  '%',
  '_',
  '{}',
  'NULL',
  '-1',
  '99999999999999999999999999',
  '1e309',
  'x'.repeat(100_000),
];

describe.each(Object.entries(storageWorlds(clock)))('%s', (_, build) => {
  const storage = storageForAll(build);
  let opened: Readonly<Record<string, unknown>>;
  beforeAll(async () => {
    opened = await storage.driver.open('paging.test', 'paging', specs);
  });

  test('in a node', async () => {
    const store = opened.items as ItemsStore;
    for (const [owner, id] of [
      ['romeo', 'his'],
      ['juliet', 'hers'],
    ] as const)
      await store.put(owner, 'node', [{ id, xml: '<n/>', publisher: `${owner}@verona.test`, at: clock.now() }], 10);
    for (const text of hostile) {
      for (const by of ['published', 'created'] as const) {
        expect(await store.page('romeo', 'node', { limit: 10, by, after: text })).toBeUndefined();
        expect(await store.page('romeo', 'node', { limit: 10, by, before: text })).toBeUndefined();
      }
      expect(await store.get('romeo', 'node', [text])).toEqual([]);
    }
    expect((await store.page('romeo', 'node', { limit: 10 }))?.items.map(({ id }) => id)).toEqual(['his']);
    expect((await store.page('juliet', 'node', { limit: 10 }))?.items.map(({ id }) => id)).toEqual(['hers']);
  });

  test('in an archive', async () => {
    const store = opened.messages as ArchiveStore;
    for (const owner of ['romeo', 'juliet'])
      await store.append(owner, { with: 'nurse@verona.test', resource: '', xml: `<message from='${owner}'/>` }).durable;
    for (const text of hostile) {
      expect(await store.find('romeo', { limit: 10, after: text })).toBeUndefined();
      expect(await store.find('romeo', { limit: 10, before: text, backwards: true })).toBeUndefined();
      expect(await store.find('romeo', { limit: 10, afterId: text })).toBeUndefined();
      expect(await store.find('romeo', { limit: 10, ids: [text] })).toBeUndefined();
      expect((await store.find('romeo', { limit: 10, with: text, resource: text }))?.entries).toEqual([]);
    }
    expect((await store.find('romeo', { limit: 10 }))?.entries).toHaveLength(1);
    expect((await store.find('juliet', { limit: 10 }))?.entries).toHaveLength(1);
  });

  test('in a list of what was kept', async () => {
    const store = opened.log as LogStore<string, Record<string, never>>;
    await store.append('romeo', 'kept', {}).durable;
    for (const text of hostile) {
      expect((await store.find('romeo', { limit: 10, ids: [text] })).entries).toEqual([]);
      await store.find('romeo', { limit: 10, after: text }).catch(() => {});
    }
    expect((await store.find('romeo', { limit: 10 })).entries.map(({ value }) => value)).toEqual(['kept']);
  });
});
