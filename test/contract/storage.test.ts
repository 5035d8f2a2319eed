// The storage contract (src/storage/ports.ts): one suite, every driver.
import { beforeAll, describe, expect, test } from 'vitest';
import type { Clock } from '../../src/base/clock.ts';
import { StorageMismatch, StorageUnavailable, UnstorableValue } from '../../src/storage/errors.ts';
import type { EphemeralStore, KvStore, MapStore } from '../../src/storage/ports.ts';
import { ephemeral, kv, log, map, type Opened, type Spec } from '../../src/storage/specs.ts';
import { storageForAll, storageWorlds } from '../kit/storage-worlds.ts';

interface Note {
  readonly text: string;
  readonly nested?: { readonly list: readonly unknown[] };
}
const specs = {
  profile: kv<Note>(),
  cachedProfile: kv<Note>({ cache: true }),
  items: map<Note>(),
  archive: log<Note, { with: string; thread: string }>({ index: ['with', 'thread'] }),
  fleeting: ephemeral<Note>(),
};
type Stores = Opened<typeof specs>;

const clock: Clock & { time: number } = {
  time: Date.UTC(2026, 0, 1),
  now() {
    return this.time;
  },
  after: () => () => {},
};

describe.each(Object.entries(storageWorlds(clock)))('%s', (_name, build) => {
  const storage = storageForAll(build);
  let stores: Stores;
  let module = 0;

  beforeAll(async () => {
    stores = await open('first.test', 'notes');
  });

  async function open(host: string, name: string, declared: Record<string, Spec<unknown>> = specs as never) {
    return (await storage.driver.open(host, name, declared)) as unknown as Stores;
  }
  const append = async (owner: string, text: string, index: Partial<{ with: string; thread: string }> = {}) => {
    const { id, durable } = stores.archive.append(owner, { text }, { with: '', thread: '', ...index });
    await durable;
    return id;
  };
  const texts = (page: { entries: readonly { value: Note }[] }): string[] =>
    page.entries.map((entry) => entry.value.text);

  describe('a kv store', () => {
    test('gives back what was set, until it is removed', async () => {
      expect(await stores.profile.get('alice')).toBeUndefined();
      await stores.profile.set('alice', { text: 'one', nested: { list: [1, null, 'ü', { a: true }] } });
      expect(await stores.profile.get('alice')).toEqual({ text: 'one', nested: { list: [1, null, 'ü', { a: true }] } });
      await stores.profile.set('alice', { text: 'two' });
      expect(await stores.profile.get('alice')).toEqual({ text: 'two' });
      await stores.profile.set('alice', undefined);
      expect(await stores.profile.get('alice')).toBeUndefined();
    });

    test('keeps its own copy of a value', async () => {
      const value = { text: 'mine', nested: { list: [1] } };
      await stores.profile.set('copy', value);
      value.nested.list.push(2);
      expect((await stores.profile.get('copy'))?.nested?.list).toEqual([1]);
    });

    test('keeps hosts apart', async () => {
      const other = await open('second.test', 'notes');
      await stores.profile.set('bob', { text: 'first' });
      expect(await other.profile.get('bob')).toBeUndefined();
      await other.profile.set('bob', { text: 'second' });
      expect(await stores.profile.get('bob')).toEqual({ text: 'first' });
    });

    test('changes a value with nobody in between', async () => {
      const counter = stores.profile as unknown as KvStore<number>;
      await Promise.all(Array.from({ length: 50 }, () => counter.update('counter', (old) => (old ?? 0) + 1)));
      expect(await counter.get('counter')).toBe(50);
      expect(await counter.update('counter', () => undefined)).toBeUndefined();
      expect(await counter.get('counter')).toBeUndefined();
      expect(await counter.update('counter', (old) => old)).toBeUndefined();
    });

    test('leaves a value alone when the change throws, and goes on afterwards', async () => {
      await stores.profile.set('careful', { text: 'kept' });
      const failing = stores.profile.update('careful', () => {
        throw new Error('no');
      });
      await expect(failing).rejects.toThrow('no');
      expect(await stores.profile.update('careful', (old) => ({ text: `${old?.text}!` }))).toEqual({ text: 'kept!' });
    });

    test('lists its owners in order, page by page', async () => {
      const { profile } = await open('owners.test', 'notes');
      for (const owner of ['d', 'a', 'c', 'b', 'e']) await profile.set(owner, { text: owner });
      expect(await profile.owners()).toEqual(['a', 'b', 'c', 'd', 'e']);
      expect(await profile.owners(undefined, 2)).toEqual(['a', 'b']);
      expect(await profile.owners('b', 2)).toEqual(['c', 'd']);
      expect(await profile.owners('e')).toEqual([]);
    });
  });

  describe('a map store', () => {
    test('writes several values of an owner in one step, or none', async () => {
      const { items } = await open('together.test', 'notes');
      await items.set('o', 'a', { text: '1' });
      await items.set('o', 'b', { text: '2' });
      await items.set('other', 'a', { text: '3' });
      await items.setAll(
        'o',
        new Map([
          ['a', { text: '4' }],
          ['b', undefined],
          ['c', { text: '5' }],
          ['d', undefined],
        ]),
      );
      const all = [
        ['a', { text: '4' }],
        ['c', { text: '5' }],
      ];
      expect([...(await items.all('o'))].toSorted()).toEqual(all);
      expect(await items.get('other', 'a')).toEqual({ text: '3' });
      const bad = new Map([
        ['a', { text: '6' }],
        ['\0', { text: '7' }],
      ]);
      await expect(items.setAll('o', bad)).rejects.toThrow(UnstorableValue);
      await items.setAll('o', new Map());
      expect([...(await items.all('o'))].toSorted()).toEqual(all);
    });

    test('gives back values by key, and all of an owner', async () => {
      await stores.items.set('alice', 'b', { text: 'B' });
      await stores.items.set('alice', 'a', { text: 'A' });
      await stores.items.set('bob', 'a', { text: 'of Bob' });
      expect(await stores.items.get('alice', 'a')).toEqual({ text: 'A' });
      expect(new Map(await stores.items.all('alice'))).toEqual(
        new Map([
          ['a', { text: 'A' }],
          ['b', { text: 'B' }],
        ]),
      );
      await stores.items.set('alice', 'a', undefined);
      expect([...(await stores.items.all('alice')).keys()]).toEqual(['b']);
      expect((await stores.items.all('nobody')).size).toBe(0);
    });

    test('changes values with nobody in between', async () => {
      const counters = stores.items as unknown as MapStore<number>;
      const change = (key: string) => counters.update('counting', key, (old) => (old ?? 0) + 1);
      await Promise.all(Array.from({ length: 40 }, (_, i) => change(i % 2 ? 'odd' : 'even')));
      expect(new Map(await counters.all('counting'))).toEqual(new Map(Object.entries({ odd: 20, even: 20 })));
    });

    test('tells of many owners who are asked for at the same moment each what is its own', async () => {
      await stores.items.set('many1', 'a', { text: '1a' });
      await stores.items.set('many1', '{"b,c}', { text: '1b' });
      await stores.items.set('{"many2",}', 'a', { text: '2a' });
      const owners = ['{"many2",}', 'nobody', 'many1', 'many1', ...Array.from({ length: 1500 }, (_, i) => `other${i}`)];
      const asked = owners.map(async (owner) => stores.items.all(owner));
      const broken = (async () => stores.items.all('\ud800'))();
      await expect(broken).rejects.toThrow(UnstorableValue);
      const found = (await Promise.all(asked)).map((values) => [...values].map(([key, { text }]) => key + text).sort());
      expect(found.slice(0, 4)).toEqual([['a2a'], [], ['a1a', '{"b,c}1b'], ['a1a', '{"b,c}1b']]);
      expect(found.slice(4).flat()).toEqual([]);
    });

    test('takes any key, also the names of what objects have', async () => {
      for (const key of ['__proto__', 'constructor', "quo'te", 'back\\slash', '"', '%', ' ', 'ñ 𝒳', '']) {
        await stores.items.set('odd', key, { text: key });
        expect(await stores.items.get('odd', key)).toEqual({ text: key });
      }
      expect((await stores.items.all('odd')).size).toBe(9);
    });
  });

  describe('a log store', () => {
    test('finds entries in the order of time, whichever way it is asked', async () => {
      for (let i = 0; i < 7; i++) await append('order', `${i}`);
      const forward = await stores.archive.find('order', { limit: 3 });
      expect(texts(forward)).toEqual(['0', '1', '2']);
      expect(forward.complete).toBe(false);
      const next = await stores.archive.find('order', { limit: 10, after: forward.entries[2]!.id });
      expect(texts(next)).toEqual(['3', '4', '5', '6']);
      expect(next.complete).toBe(true);
      const last = await stores.archive.find('order', { limit: 2, backwards: true });
      expect(texts(last)).toEqual(['5', '6']);
      expect(last.complete).toBe(false);
      const before = await stores.archive.find('order', { limit: 10, backwards: true, before: last.entries[0]!.id });
      expect(texts(before)).toEqual(['0', '1', '2', '3', '4']);
      expect(before.complete).toBe(true);
    });

    test('answers a page of nothing with whether there is anything', async () => {
      await append('none', 'x');
      expect(await stores.archive.find('none', { limit: 0 })).toEqual({ entries: [], complete: false });
      expect(await stores.archive.find('nobody', { limit: 0 })).toEqual({ entries: [], complete: true });
    });

    test('sees its own appends without waiting for them to be durable', async () => {
      for (let i = 0; i < 30; i++) stores.archive.append('hasty', { text: `${i}` }, { with: 'x', thread: '' });
      expect(await stores.archive.count('hasty', {})).toBe(30);
    });

    test('finds by index, alone and together', async () => {
      await append('index', 'a1', { with: 'a', thread: '1' });
      await append('index', 'b1', { with: 'b', thread: '1' });
      await append('index', 'a2', { with: 'a', thread: '2' });
      const find = async (where: Partial<{ with: string; thread: string }>) =>
        texts(await stores.archive.find('index', { where, limit: 10 }));
      expect(await find({ with: 'a' })).toEqual(['a1', 'a2']);
      expect(await find({ thread: '1' })).toEqual(['a1', 'b1']);
      expect(await find({ with: 'a', thread: '2' })).toEqual(['a2']);
      expect(await find({ with: 'c' })).toEqual([]);
      const [entry] = (await stores.archive.find('index', { limit: 1 })).entries;
      expect(entry?.index).toEqual({ with: 'a', thread: '1' });
    });

    test('tells long index values apart after their first 200 characters', async () => {
      const long = (end: string): string => `${'ünd-'.repeat(500)}${end}`;
      await append('long', 'one', { with: long('1') });
      await append('long', 'two', { with: long('2') });
      expect(texts(await stores.archive.find('long', { where: { with: long('2') }, limit: 5 }))).toEqual(['two']);
    });

    test('finds by time, ends included', async () => {
      const start = clock.time + 10_000;
      for (let i = 0; i < 5; i++) {
        clock.time = start + i * 1000;
        await append('time', `${i}`);
      }
      const find = async (range: { start?: number; end?: number }) =>
        texts(await stores.archive.find('time', { ...range, limit: 10 }));
      expect(await find({ start: start + 1000, end: start + 3000 })).toEqual(['1', '2', '3']);
      expect(await find({ start: start + 1001 })).toEqual(['2', '3', '4']);
      expect(await find({ end: start + 999 })).toEqual(['0']);
      expect(await find({ start: Number.NEGATIVE_INFINITY, end: Number.POSITIVE_INFINITY })).toHaveLength(5);
      const [entry] = (await stores.archive.find('time', { limit: 1 })).entries;
      expect(entry?.at).toBe(start);
    });

    test('keeps the order of appending when the clock steps back', async () => {
      const ids = [await append('clock', '0')];
      clock.time -= 3_600_000;
      ids.push(await append('clock', '1'), await append('clock', '2'));
      clock.time += 3_600_000;
      ids.push(await append('clock', '3'));
      expect([...ids].sort()).toEqual(ids);
      expect(texts(await stores.archive.find('clock', { limit: 10 }))).toEqual(['0', '1', '2', '3']);
    });

    test('finds and removes by id, and takes any text for an id', async () => {
      const ids = [await append('ids', 'a'), await append('ids', 'b'), await append('ids', 'c')];
      const asked = [ids[2]!, ids[0]!, 'no such id', "'"];
      expect(texts(await stores.archive.find('ids', { ids: asked, limit: 10 }))).toEqual(['a', 'c']);
      expect(texts(await stores.archive.find('ids', { ids: [], limit: 10 }))).toEqual([]);
      expect(texts(await stores.archive.find('ids', { after: '{', limit: 10 }))).toEqual([]);
      expect(await stores.archive.remove('ids', { ids: [ids[1]!, 'no such id'] })).toBe(1);
      expect(await stores.archive.count('ids', {})).toBe(2);
      expect(await stores.archive.remove('ids', {})).toBe(2);
      expect(await stores.archive.remove('ids', {})).toBe(0);
    });

    test('gives every entry to exactly one of those who take', async () => {
      for (let i = 0; i < 40; i++) stores.archive.append('taken', { text: `${i}` }, { with: '', thread: '' });
      const taken = await Promise.all(Array.from({ length: 8 }, () => stores.archive.take('taken', 10)));
      for (const entries of taken) {
        const ids = entries.map((entry) => entry.id);
        expect([...ids].sort()).toEqual(ids);
      }
      const rest = await stores.archive.take('taken', 100);
      const all = [...taken.flat(), ...rest].map((entry) => entry.value.text);
      expect(all.map(Number).sort((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => i));
      expect(await stores.archive.take('taken', 10)).toEqual([]);
    });
  });

  describe('an ephemeral store', () => {
    const pass = async (ms: number): Promise<void> => {
      clock.time += ms;
      await storage.world.pass?.(ms);
    };

    test('forgets in time', async () => {
      const store: EphemeralStore<Note> = stores.fleeting;
      await store.set('alice', 'short', { text: 'gone soon' }, 500);
      await store.set('alice', 'long', { text: 'stays' }, 60_000);
      expect((await store.all('alice')).size).toBe(2);
      await pass(500);
      expect(await store.get('alice', 'short')).toBeUndefined();
      expect([...(await store.all('alice')).keys()]).toEqual(['long']);
      await store.set('alice', 'long', undefined, 0);
      expect(await store.get('alice', 'long')).toBeUndefined();
      expect((await store.all('alice')).size).toBe(0);
    });

    test('counts anew from when a value was set again', async () => {
      const store: EphemeralStore<Note> = stores.fleeting;
      await store.set('again', 'a', { text: 'old' }, 60_000);
      await store.set('again', 'a', { text: 'new' }, 300);
      expect(await store.get('again', 'a')).toEqual({ text: 'new' });
      await pass(300);
      expect(await store.get('again', 'a')).toBeUndefined();
      await store.set('again', 'a', { text: 'once more' }, 60_000);
      expect(await store.get('again', 'a')).toEqual({ text: 'once more' });
      await store.set('again', 'a', { text: 'never' }, 0);
      expect(await store.get('again', 'a')).toBeUndefined();
    });

    test('takes any owner and any key', async () => {
      const store: EphemeralStore<Note> = stores.fleeting;
      const odd = ['__proto__', 'a}b{c', 'a%7Db{c', ' ', 'ñ 𝒳', ''];
      for (const owner of odd) for (const key of odd) await store.set(owner, key, { text: owner + key }, 60_000);
      for (const owner of odd) {
        const all = await store.all(owner);
        expect([...all.keys()].sort()).toEqual([...odd].sort());
        for (const key of odd) expect(await store.get(owner, key)).toEqual({ text: owner + key });
      }
      const refused = async () => store.set('a', '\ud800', { text: '' }, 1000);
      await expect(refused()).rejects.toThrow(UnstorableValue);
    });
  });

  describe('what cannot be stored', () => {
    const bad = { NUL: 'a\0b', 'a high surrogate alone': 'a\ud800', 'a low surrogate alone': '\udc00b' };
    test.each(Object.entries(bad))(
      '%s is refused in values, keys and owners, and does no harm',
      async (_what, text) => {
        await expect(stores.profile.set('bad', { text })).rejects.toThrow(UnstorableValue);
        await expect(stores.profile.set(text, { text: '' })).rejects.toThrow(UnstorableValue);
        await expect(stores.items.set('bad', text, { text: '' })).rejects.toThrow(UnstorableValue);
        await expect(stores.items.update('bad', 'key', () => ({ text }))).rejects.toThrow(UnstorableValue);
        await expect((async () => stores.profile.get(text))()).rejects.toThrow(UnstorableValue);
        expect(() => stores.archive.append('bad', { text }, { with: '', thread: '' })).toThrow(UnstorableValue);
        expect(() => stores.archive.append('bad', { text: '' }, { with: text, thread: '' })).toThrow(UnstorableValue);
        await expect((async () => stores.archive.find('bad', { limit: 1, after: text }))()).rejects.toThrow(
          UnstorableValue,
        );
        expect(await stores.archive.count('bad', {})).toBe(0);
      },
    );

    test('text that only looks like it is kept', async () => {
      const text = 'C:\\u0000 \\\\ud800 \u0001 😀 \u2028';
      await stores.profile.set('looks', { text });
      expect(await stores.profile.get('looks')).toEqual({ text });
    });
  });

  describe('versions', () => {
    const version1 = kv<{ name: string }>();
    const version3 = kv<{ names: string[] }>({
      version: 3,
      migrate: {
        2: (old) => ({ first: (old as { name: string }).name }),
        3: (old) =>
          (old as { first: string }).first === 'drop' ? undefined : { names: [(old as { first: string }).first] },
      },
    });
    test('values are brought to the declared version, step by step', async () => {
      const name = `versions${module++}`;
      const old = (await storage.driver.open('v.test', name, { s: version1 })) as Opened<{ s: typeof version1 }>;
      await Promise.all(Array.from({ length: 1203 }, (_, i) => old.s.set(`u${i}`, { name: `n${i}` })));
      await old.s.set('drop', { name: 'drop' });
      const now = (await storage.driver.open('v.test', name, { s: version3 })) as Opened<{ s: typeof version3 }>;
      expect(await now.s.get('u0')).toEqual({ names: ['n0'] });
      expect(await now.s.get('u1202')).toEqual({ names: ['n1202'] });
      expect(await now.s.get('drop')).toBeUndefined();
      expect(await now.s.owners(undefined, 5000)).toHaveLength(1203);
    });

    test('a store with a newer version than the program knows is refused', async () => {
      const name = `versions${module++}`;
      await storage.driver.open('v.test', name, { s: version3 });
      await expect(storage.driver.open('v.test', name, { s: version1 })).rejects.toThrow(
        /version 3.*version 1|version 3.*knows/,
      );
      await expect(storage.driver.open('v.test', name, { s: version1 })).rejects.toBeInstanceOf(StorageMismatch);
    });

    test('a store of another kind is refused', async () => {
      const name = `versions${module++}`;
      await storage.driver.open('v.test', name, { s: version1 });
      await expect(storage.driver.open('v.test', name, { s: map() })).rejects.toBeInstanceOf(StorageMismatch);
    });

    test('a version without the migration to it is refused', async () => {
      await expect(storage.driver.open('v.test', 'gap', { s: kv({ version: 2 }) })).rejects.toBeInstanceOf(
        StorageMismatch,
      );
    });
  });

  test('purging removes all of an owner on one host, and nothing else', async () => {
    const here = await open('purge.test', 'notes');
    const there = await open('purge2.test', 'notes');
    for (const set of [here, there]) {
      for (const owner of ['gone', 'stays']) {
        await set.profile.set(owner, { text: owner });
        await set.items.set(owner, 'k', { text: owner });
        await set.archive.append(owner, { text: owner }, { with: '', thread: '' }).durable;
        await set.fleeting.set(owner, 'k', { text: owner }, 60_000);
      }
    }
    here.archive.append('gone', { text: 'still on its way' }, { with: '', thread: '' });
    await storage.driver.purge('purge.test', 'gone');
    const left = async (set: Stores, owner: string): Promise<number> =>
      Number((await set.profile.get(owner)) !== undefined) +
      (await set.items.all(owner)).size +
      (await set.archive.count(owner, {})) +
      (await set.fleeting.all(owner)).size;
    expect(await left(here, 'gone')).toBe(0);
    expect(await left(here, 'stays')).toBe(4);
    expect(await left(there, 'gone')).toBe(4);
  });

  test('a closed driver says so', async () => {
    const another = await storage.world.driver();
    const own = (await another.open('closed.test', 'closing', specs as never)) as unknown as Stores;
    const last = own.archive.append('a', { text: 'on the way' }, { with: '', thread: '' });
    await another.ping();
    await another.close();
    await last.durable;
    await expect(another.ping()).rejects.toBeInstanceOf(StorageUnavailable);
    await expect((async () => own.profile.get('a'))()).rejects.toBeInstanceOf(StorageUnavailable);
    await another.close();
  });
});
