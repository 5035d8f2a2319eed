// The contract of pairs (PairsStore in src/storage/ports.ts): one suite, every driver.
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { StorageMismatch, StorageUnavailable, UnstorableValue } from '../../src/storage/errors.ts';
import type { PairsStore } from '../../src/storage/ports.ts';
import { map, pairs, type Spec } from '../../src/storage/specs.ts';
import { storageForAll, storageWorlds } from '../kit/storage-worlds.ts';

interface Bond {
  readonly affiliation: string;
}
const owner = (affiliation: string): Bond => ({ affiliation });
const specs = { entities: pairs<Bond>() as Spec<unknown> };
const romeo = 'romeo@montague.test';
const juliet = 'juliet@capulet.test/balcony';

describe.each(Object.entries(storageWorlds(systemClock)))('%s', (_name, build) => {
  const storage = storageForAll(build);
  let store: PairsStore<Bond>;
  let own = '';
  let owners = 0;
  let modules = 0;

  beforeAll(async () => {
    store = await open('first.test');
  });
  beforeEach(() => {
    own = `owner${owners++}`;
  });

  const open = async (host: string, of = storage.driver): Promise<PairsStore<Bond>> =>
    (await of.open(host, 'pubsub', specs)).entities as PairsStore<Bond>;
  const listed = (found: ReadonlyMap<string, Bond>): Record<string, string> =>
    Object.fromEntries([...found].map(([key, { affiliation }]) => [key, affiliation]));

  test('gives back what was set, until it is removed', async () => {
    expect(await store.get(own, 'blog', romeo)).toBeUndefined();
    await store.set(own, 'blog', romeo, owner('owner'));
    expect(await store.get(own, 'blog', romeo)).toEqual({ affiliation: 'owner' });
    await store.set(own, 'blog', romeo, owner('outcast'));
    expect(await store.get(own, 'blog', romeo)).toEqual({ affiliation: 'outcast' });
    await store.set(own, 'blog', romeo, undefined);
    expect(await store.get(own, 'blog', romeo)).toBeUndefined();
    await store.set(own, 'blog', romeo, undefined);
  });

  test('lists a thing by who, and somebody by what', async () => {
    await store.set(own, 'blog', romeo, owner('owner'));
    await store.set(own, 'blog', juliet, owner('member'));
    await store.set(own, 'news', juliet, owner('publisher'));
    await store.set(`${own}+`, 'blog', juliet, owner('none'));
    expect(listed(await store.left(own, 'blog'))).toEqual({ [romeo]: 'owner', [juliet]: 'member' });
    expect(listed(await store.right(own, juliet))).toEqual({ blog: 'member', news: 'publisher' });
    expect(listed(await store.right(own, 'nobody'))).toEqual({});
    expect(listed(await store.left(own, romeo))).toEqual({});
    expect(await store.clear(own, 'blog')).toBe(2);
    expect(await store.clear(own, 'blog')).toBe(0);
    expect(listed(await store.right(own, juliet))).toEqual({ news: 'publisher' });
    expect(listed(await store.right(`${own}+`, juliet))).toEqual({ blog: 'none' });
  });

  test('sets several of a thing at once, or none', async () => {
    await store.setAll(
      own,
      'blog',
      new Map([
        [romeo, owner('owner')],
        ['tybalt', owner('outcast')],
      ]),
    );
    await store.setAll(
      own,
      'blog',
      new Map([
        [romeo, owner('member')],
        ['tybalt', undefined],
        ['nobody', undefined],
        [juliet, owner('owner')],
      ]),
    );
    expect(listed(await store.left(own, 'blog'))).toEqual({ [romeo]: 'member', [juliet]: 'owner' });
    await store.setAll(own, 'blog', new Map());
    const bad = new Map([
      [romeo, undefined],
      ['half \ud800', owner('owner')],
    ]);
    await expect(store.setAll(own, 'blog', bad)).rejects.toThrow(UnstorableValue);
    expect(listed(await store.left(own, 'blog'))).toEqual({ [romeo]: 'member', [juliet]: 'owner' });
  });

  test('keeps its own copies of values', async () => {
    const value = { affiliation: 'owner', list: [1] };
    await store.set(own, 'blog', romeo, value);
    value.list.push(2);
    expect(await store.get(own, 'blog', romeo)).toEqual({ affiliation: 'owner', list: [1] });
    ((await store.left(own, 'blog')) as Map<string, Bond>).clear();
    expect((await store.left(own, 'blog')).size).toBe(1);
  });

  test('takes any keys, also the names of what objects have', async () => {
    const odd = ['__proto__', 'constructor', "quo'te", 'back\\slash', '"', '{a,b}', 'NULL', ' ', 'ñ 𝒳', ''];
    for (const left of odd) await store.setAll(own, left, new Map(odd.map((right) => [right, owner(left + right)])));
    for (const left of odd) {
      expect(await store.get(own, left, 'NULL')).toEqual(owner(`${left}NULL`));
      expect((await store.left(own, left)).size).toBe(odd.length);
      expect((await store.right(own, left)).get('"')).toEqual(owner(`"${left}`));
    }
  });

  test('refuses what no database can hold', async () => {
    for (const text of ['a\0b', 'a\ud800', '\udc00b']) {
      const attempts = [
        () => store.set(text, 'l', 'r', owner('')),
        () => store.set(own, text, 'r', owner('')),
        () => store.set(own, 'l', text, owner('')),
        () => store.set(own, 'l', 'r', owner(text)),
        () => store.get(own, text, 'r'),
        () => store.left(own, text),
        () => store.right(own, text),
        () => store.clear(own, text),
      ];
      for (const attempt of attempts) await expect((async () => attempt())()).rejects.toThrow(UnstorableValue);
    }
    expect((await store.left(own, 'l')).size).toBe(0);
  });

  test('keeps hosts apart, and purging removes all of an owner on one of them', async () => {
    const elsewhere = await open('second.test');
    for (const one of [store, elsewhere]) {
      await one.set(own, 'blog', romeo, owner('owner'));
      await one.set(`${own}+`, 'blog', romeo, owner('owner'));
    }
    await storage.driver.purge('first.test', own);
    expect((await store.left(own, 'blog')).size).toBe(0);
    expect((await store.right(own, romeo)).size).toBe(0);
    expect((await store.left(`${own}+`, 'blog')).size).toBe(1);
    expect((await elsewhere.left(own, 'blog')).size).toBe(1);
  });

  test('values are brought to the declared version, and a store of another kind is refused', async () => {
    const module = `versions${modules++}`;
    const old = (await storage.driver.open('v.test', module, { s: pairs() as Spec<unknown> })).s as PairsStore<unknown>;
    const all = Array.from({ length: 603 }, (_, i) => [`u${i}`, `n${i}`] as const);
    await old.setAll('o', 'a', new Map(all));
    await old.setAll('o', 'b', new Map([['u0', 'drop']]));
    const migrate = { 2: (value: unknown) => (value === 'drop' ? undefined : [value]) };
    const declared = pairs({ version: 2, migrate }) as Spec<unknown>;
    const now = (await storage.driver.open('v.test', module, { s: declared })).s as PairsStore<unknown>;
    expect(await now.left('o', 'a')).toEqual(new Map(all.map(([key, value]) => [key, [value]])));
    expect(await now.right('o', 'u0')).toEqual(new Map([['a', ['n0']]]));
    await expect(storage.driver.open('v.test', module, { s: map() as Spec<unknown> })).rejects.toBeInstanceOf(
      StorageMismatch,
    );
  });

  test('a closed driver says so', async () => {
    const another = await storage.world.driver();
    const one = await open('first.test', another);
    await another.close();
    await expect((async () => one.set(own, 'l', 'r', owner('')))()).rejects.toBeInstanceOf(StorageUnavailable);
    await expect((async () => one.left(own, 'l'))()).rejects.toBeInstanceOf(StorageUnavailable);
  });
});
