// The contract of items (ItemsStore in src/storage/ports.ts): one suite, every driver.
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Clock } from '../../src/base/clock.ts';
import { StorageUnavailable, UnstorableValue } from '../../src/storage/errors.ts';
import type { Item, ItemsQuery, ItemsStore, NewItem } from '../../src/storage/ports.ts';
import { items as itemsSpec, kv, type Spec } from '../../src/storage/specs.ts';
import { storageForAll, storageWorlds } from '../kit/storage-worlds.ts';

const clock: Clock & { time: number } = {
  time: Date.UTC(2026, 0, 1),
  now() {
    return this.time;
  },
  after: () => () => {},
};
const specs = { items: itemsSpec() as Spec<unknown> };
const node = 'urn:xmpp:microblog:0';
const unlimited = 1_000_000;

describe.each(Object.entries(storageWorlds(clock)))('%s', (name, build) => {
  const storage = storageForAll(build);
  let store: ItemsStore;
  let owner = '';
  let owners = 0;

  beforeAll(async () => {
    store = await open('first.test');
  });
  beforeEach(() => {
    owner = `owner${owners++}`;
  });

  const open = async (host: string, of = storage.driver): Promise<ItemsStore> =>
    (await of.open(host, 'pubsub', specs)).items as ItemsStore;
  const item = (id: string, more: Partial<NewItem> = {}): NewItem => ({
    id,
    xml: `<n>${id}</n>`,
    publisher: 'romeo@montague.test',
    at: clock.time,
    ...more,
  });
  const put = (ids: string, most = unlimited, more: Partial<NewItem> = {}, into = node) =>
    store.put(
      owner,
      into,
      [...ids].map((id) => item(id, more)),
      most,
    );
  const ids = (found: readonly (Item | undefined)[]): string => found.map((one) => one?.id ?? '-').join('');
  const page = async (query: Partial<ItemsQuery> = {}, of = node): Promise<string | undefined> => {
    const found = await store.page(owner, of, { limit: 100, ...query });
    return found && ids(found.items) + (found.complete ? '.' : '');
  };

  describe('publishing', () => {
    test('gives back what was published, whole', async () => {
      const xml = `<entry xmlns='http://www.w3.org/2005/Atom'><title>“\\"', 😀 \n\t {} NULL \\N</title></entry>`;
      await store.put(owner, node, [item('a', { xml, publisher: 'nurse@capulet.test/it', at: 1234567890123 })], 10);
      expect(await store.get(owner, node, ['a'])).toEqual([
        { id: 'a', xml, publisher: 'nurse@capulet.test/it', at: 1234567890123, createdAt: 1234567890123 },
      ]);
      await store.put(owner, node, [item('empty', { xml: '' })], 10);
      expect((await store.get(owner, node, ['empty']))[0]?.xml).toBe('');
    });

    test('an item that is published again is the newest, and was created when it was', async () => {
      const start = clock.time;
      await put('abc');
      clock.time += 5000;
      await store.put(owner, node, [item('a', { xml: '<new/>', publisher: 'juliet@capulet.test' })], unlimited);
      expect(await page()).toBe('bca.');
      expect(await page({ by: 'created' })).toBe('abc.');
      const [a] = await store.get(owner, node, ['a']);
      expect(a).toEqual({
        id: 'a',
        xml: '<new/>',
        publisher: 'juliet@capulet.test',
        at: start + 5000,
        createdAt: start,
      });
      await store.remove(owner, node, ['a']);
      await put('a');
      expect(await page({ by: 'created' })).toBe('bca.');
      expect((await store.get(owner, node, ['a']))[0]?.createdAt).toBe(start + 5000);
    });

    test('lets the oldest go beyond so many, and says which', async () => {
      expect(await put('abc', 3)).toEqual([]);
      expect(await put('d', 3)).toEqual(['a']);
      expect(await put('b', 3)).toEqual([]);
      expect(await page()).toBe('cdb.');
      expect(await put('efg', 2)).toEqual(['c', 'd', 'b', 'e']);
      expect(await page()).toBe('fg.');
      expect(await put('h', 1)).toEqual(['f', 'g']);
      expect(await put('h', 1)).toEqual([]);
      expect(await page()).toBe('h.');
    });

    test('an item that is in one publication twice is there once, as it was last', async () => {
      const twice = [item('a', { xml: '<one/>' }), item('b'), item('a', { xml: '<two/>' })];
      expect(await store.put(owner, node, twice, unlimited)).toEqual([]);
      expect(await page()).toBe('ba.');
      expect((await store.get(owner, node, ['a']))[0]?.xml).toBe('<two/>');
      expect(await store.usage(owner)).toEqual({ items: 2, bytes: '<n>b</n><two/>'.length });
    });

    test('keeps the order in which things are asked for, without waiting in between', async () => {
      const all = 'abcdefghijklmnopqrstuvwxyz';
      const gone = await Promise.all([...all].map((id) => put(id, 20)));
      expect(gone.flat().join('')).toBe('abcdef');
      expect(await page()).toBe('ghijklmnopqrstuvwxyz.');
      const done = await Promise.all([
        put('1'),
        store.remove(owner, node, ['1', 'z']),
        put('12'),
        store.clear(owner, node),
        put('34'),
        store.remove(owner, node, ['2', '3']),
        put('3'),
        store.trim(owner, node, 1),
        put('5'),
      ]);
      expect(done).toEqual([[], ['1', 'z'], [], 21, [], ['3'], [], ['4'], []]);
      expect(await page()).toBe('35.');
    });

    test('what is read was written by what was asked before', async () => {
      const writing = put('abc');
      expect(await page()).toBe('abc.');
      void store.clear(owner, node);
      expect(await store.usage(owner)).toEqual({ items: 0, bytes: 0 });
      await writing;
    });

    test('keeps nodes, owners and hosts apart', async () => {
      const elsewhere = await open('second.test');
      await put('ab');
      await put('c', 1, {}, 'other');
      await store.put(`${owner}x`, node, [item('d')], 1);
      await elsewhere.put(owner, node, [item('e')], 1);
      expect(await page()).toBe('ab.');
      expect(await page({}, 'other')).toBe('c.');
      await store.clear(owner, 'other');
      await elsewhere.clear(owner, node);
      expect(await page()).toBe('ab.');
      expect(ids((await store.page(`${owner}x`, node, { limit: 5 }))!.items)).toBe('d');
    });

    test('takes any id and any name of a node', async () => {
      const odd = ['__proto__', "quo'te", 'back\\slash', '"', '{a,b}', 'NULL', '\\N', ' ', 'ñ 𝒳', '\t\n', ''];
      for (const of of odd) {
        await store.put(
          owner,
          of,
          odd.map((id) => item(id)),
          100,
        );
        expect((await store.get(owner, of, odd)).map(({ id }) => id)).toEqual(odd);
      }
      expect(await store.remove(owner, 'NULL', ['NULL', '', 'null'])).toEqual(['NULL', '']);
      expect((await store.usage(owner)).items).toBe(odd.length ** 2 - 2);
    });

    test('refuses what no database can hold, and goes on', async () => {
      for (const text of ['a\0b', 'a\ud800', '\udc00b']) {
        const attempts = [
          () => store.put(text, node, [item('a')], 1),
          () => store.put(owner, text, [item('a')], 1),
          () => store.put(owner, node, [item('fine'), item(text)], 1),
          () => store.put(owner, node, [item('a', { xml: text })], 1),
          () => store.put(owner, node, [item('a', { publisher: text })], 1),
          () => store.get(owner, node, [text]),
          () => store.page(owner, node, { limit: 1, after: text }),
          () => store.remove(owner, node, [text]),
          () => store.clear(owner, text),
          () => store.newest([{ owner, node: text }]),
          () => store.usage(text),
        ];
        for (const attempt of attempts) await expect((async () => attempt())()).rejects.toThrow(UnstorableValue);
      }
      expect(await page()).toBe('.');
      await put('a');
      expect(await page()).toBe('a.');
    });
  });

  describe('reading', () => {
    test('finds by id, in the order asked for', async () => {
      await put('abcd');
      expect(ids(await store.get(owner, node, ['d', 'nothing', 'a', 'b']))).toBe('dab');
      expect(await store.get(owner, node, [])).toEqual([]);
      expect(await store.get(owner, 'no such node', ['a'])).toEqual([]);
    });

    test('pages forwards and backwards, in either order', async () => {
      await put('abcdefg');
      expect(await page({ limit: 3 })).toBe('abc');
      expect(await page({ limit: 3, after: 'c' })).toBe('def');
      expect(await page({ limit: 3, after: 'f' })).toBe('g.');
      expect(await page({ limit: 3, after: 'g' })).toBe('.');
      expect(await page({ limit: 3, backwards: true })).toBe('efg');
      expect(await page({ limit: 3, before: 'e' })).toBe('bcd');
      expect(await page({ limit: 3, before: 'd' })).toBe('abc.');
      expect(await page({ limit: 3, before: 'a' })).toBe('.');
      expect(await page({ limit: 3, newestFirst: true })).toBe('gfe');
      expect(await page({ limit: 3, newestFirst: true, after: 'e' })).toBe('dcb');
      expect(await page({ limit: 3, newestFirst: true, after: 'b' })).toBe('a.');
      expect(await page({ limit: 3, newestFirst: true, before: 'd' })).toBe('gfe.');
      expect(await page({ limit: 2, newestFirst: true, backwards: true })).toBe('ba');
      expect(await page({ limit: 2, after: 'b', before: 'f' })).toBe('de');
      expect(await page({ limit: 7 })).toBe('abcdefg.');
    });

    test('pages by creation', async () => {
      await put('abcd');
      await put('b');
      await put('a');
      expect(await page({ by: 'created', limit: 3 })).toBe('abc');
      expect(await page({ by: 'created', limit: 3, after: 'b' })).toBe('cd.');
      expect(await page({ by: 'created', limit: 2, newestFirst: true, after: 'c' })).toBe('ba.');
      expect(await page({ by: 'published', limit: 2, newestFirst: true, after: 'b' })).toBe('dc.');
    });

    test('a page from an item that is not there is none', async () => {
      await put('ab');
      await put('c', 5, {}, 'other');
      expect(await page({ after: 'c' })).toBeUndefined();
      expect(await page({ before: 'c' })).toBeUndefined();
      expect(await page({ after: 'a' }, 'no such node')).toBeUndefined();
      expect(await page({}, 'no such node')).toBe('.');
    });

    test('says how many there are, also where a page of nothing is asked for', async () => {
      await put('abc');
      expect(await store.page(owner, node, { limit: 0 })).toEqual({ items: [], complete: false, total: 3 });
      expect((await store.page(owner, node, { limit: 1, after: 'b' }))?.total).toBe(3);
      expect((await store.page(owner, node, { limit: 1, after: 'c' }))?.total).toBe(3);
      expect(await store.page(owner, 'none', { limit: 0 })).toEqual({ items: [], complete: true, total: 0 });
    });

    test('tells the newest items of many nodes at once', async () => {
      await put('abc');
      await put('a');
      await put('x', 1, {}, 'other');
      await store.put(`${owner}+`, node, [item('z')], 1);
      const asked = [
        { owner: `${owner}+`, node },
        { owner, node: 'none' },
        { owner, node: 'other' },
        { owner: 'nobody', node },
        { owner, node },
        { owner, node },
      ];
      const found = await store.newest(asked);
      expect(ids(found)).toBe('z-x-aa');
      expect(found[2]).toEqual({ ...item('x'), createdAt: clock.time });
      expect(await store.newest([])).toEqual([]);
    });
  });

  describe('removing', () => {
    test('removes by id, and says what was there', async () => {
      await put('abcd');
      expect(await store.remove(owner, node, ['c', 'nothing', 'a', 'a'])).toEqual(['c', 'a']);
      expect(await store.remove(owner, node, ['c'])).toEqual([]);
      expect(await page()).toBe('bd.');
      expect(await store.remove(owner, 'no such node', ['a'])).toEqual([]);
    });

    test('removes all of a node', async () => {
      await put('abcd');
      expect(await store.clear(owner, node)).toBe(4);
      expect(await store.clear(owner, node)).toBe(0);
      expect(await page()).toBe('.');
      await put('a');
      expect(await page()).toBe('a.');
    });

    test('keeps the newest alone', async () => {
      await put('abcd');
      expect(await store.trim(owner, node, 4)).toEqual([]);
      expect(await store.trim(owner, node, 2)).toEqual(['a', 'b']);
      expect(await page()).toBe('cd.');
      expect(await store.trim(owner, 'no such node', 1)).toEqual([]);
    });
  });

  describe('usage', () => {
    test('tells items and bytes of an owner and of a node, through all that changes them', async () => {
      const bytes = (text: string, times = 1): number => Buffer.byteLength(text) * times;
      expect(await store.usage(owner)).toEqual({ items: 0, bytes: 0 });
      await put('abc', unlimited, { xml: '<ü/>' });
      await put('x', unlimited, { xml: '<y/>' }, 'other');
      expect(await store.usage(owner)).toEqual({ items: 4, bytes: bytes('<ü/>', 3) + 4 });
      expect(await store.usage(owner, node)).toEqual({ items: 3, bytes: bytes('<ü/>', 3) });
      expect(await store.usage(owner, 'none')).toEqual({ items: 0, bytes: 0 });
      await put('a', unlimited, { xml: '<longer/>' });
      expect(await store.usage(owner, node)).toEqual({ items: 3, bytes: bytes('<ü/>', 2) + 9 });
      await put('d', 2, { xml: 'd' });
      expect(await store.usage(owner, node)).toEqual({ items: 2, bytes: 10 });
      await store.remove(owner, node, ['d', 'e']);
      expect(await store.usage(owner, node)).toEqual({ items: 1, bytes: 9 });
      await store.clear(owner, node);
      expect(await store.usage(owner)).toEqual({ items: 1, bytes: 4 });
      await storage.driver.purge('first.test', owner);
      expect(await store.usage(owner)).toEqual({ items: 0, bytes: 0 });
    });
  });

  describe('expiry', () => {
    test('an item that has expired is not found, and makes room when it is swept', async () => {
      await put('ab', unlimited, { until: clock.time + 1000 });
      await put('c');
      await put('d', unlimited, { until: clock.time + 5000 });
      expect(await page()).toBe('abcd.');
      expect((await store.get(owner, node, ['d']))[0]?.until).toBe(clock.time + 5000);
      clock.time += 1000;
      expect(await page()).toBe('cd.');
      expect(await page({ after: 'a' })).toBeUndefined();
      expect(ids(await store.get(owner, node, ['a', 'c']))).toBe('c');
      expect(await store.remove(owner, node, ['a'])).toEqual([]);
      clock.time += 4000;
      expect(ids(await store.newest([{ owner, node }]))).toBe('c');
      expect(await store.sweep(1)).toBe(1);
      expect(await store.sweep(100)).toBe(1);
      expect(await store.sweep(100)).toBe(0);
      expect(await store.usage(owner, node)).toEqual({ items: 1, bytes: '<n>c</n>'.length });
    });

    test('what is published again in the place of what has expired is new', async () => {
      await put('ab', unlimited, { until: clock.time + 1000 });
      clock.time += 1000;
      await put('a');
      expect((await store.get(owner, node, ['a']))[0]?.createdAt).toBe(clock.time);
      expect(await store.sweep(100)).toBe(1);
      expect(await page()).toBe('a.');
    });

    test('a node may be told when what it has expires', async () => {
      const start = clock.time;
      await put('a');
      clock.time += 1000;
      await put('b');
      await put('c', unlimited, {}, 'other');
      await store.expire(owner, node, 3000);
      expect((await store.get(owner, node, ['a', 'b'])).map(({ until }) => until)).toEqual([
        start + 3000,
        start + 4000,
      ]);
      clock.time = start + 3500;
      expect(await page()).toBe('b.');
      await store.expire(owner, node, undefined);
      clock.time += 10_000;
      expect(await page()).toBe('ab.');
      expect(await store.sweep(100)).toBe(0);
    });

    test('sweeps what has expired first, of every owner', async () => {
      await put('b', unlimited, { until: clock.time - 1 });
      await store.put(`${owner}+`, node, [item('a', { until: clock.time - 2 })], 1);
      expect(await store.sweep(1)).toBe(1);
      expect((await store.usage(`${owner}+`)).items).toBe(0);
      expect((await store.usage(owner)).items).toBe(1);
      expect(await store.sweep(100)).toBe(1);
      expect((await store.usage(owner)).items).toBe(0);
    });
  });

  test('purging removes all of an owner on one host, and nothing else', async () => {
    const elsewhere = await open('second.test');
    await put('abc');
    await put('x', 5, {}, 'other');
    await store.put(`${owner}+`, node, [item('a')], 1);
    await elsewhere.put(owner, node, [item('a')], 1);
    void put('d');
    await storage.driver.purge('first.test', owner);
    expect(await store.usage(owner)).toEqual({ items: 0, bytes: 0 });
    expect(await page()).toBe('.');
    expect(await page({}, 'other')).toBe('.');
    expect((await store.usage(`${owner}+`)).items).toBe(1);
    expect((await elsewhere.usage(owner)).items).toBe(1);
  });

  test('a store of another kind is refused, and what it has is there when it is opened again', async () => {
    await put('a');
    await expect(storage.driver.open('first.test', 'pubsub', { items: kv() })).rejects.toThrow(/items.*kv/);
    store = await open('first.test');
    expect(await page()).toBe('a.');
  });

  test('a closed driver says so, and has written what it was given', async () => {
    const another = await storage.world.driver();
    const own = await open('first.test', another);
    const writing = own.put(owner, node, [item('last')], 1);
    await another.close();
    await writing;
    await expect((async () => own.put(owner, node, [item('late')], 1))()).rejects.toBeInstanceOf(StorageUnavailable);
    await expect((async () => own.usage(owner))()).rejects.toBeInstanceOf(StorageUnavailable);
    if (!name.startsWith('memory')) expect(await page()).toBe('last.');
  });
});
