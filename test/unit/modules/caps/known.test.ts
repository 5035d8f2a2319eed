import { expect, test } from 'vitest';
import { Known, type KnownCapabilities } from '../../../../src/modules/caps/known.ts';
import { StorageUnavailable } from '../../../../src/storage/errors.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import type { KvStore } from '../../../../src/storage/ports.ts';
import { kv } from '../../../../src/storage/specs.ts';
import { FakeClock } from '../../../kit/clock.ts';

const DAY = 24 * 3_600_000;

async function setup() {
  const clock = new FakeClock();
  const { store } = (await createMemoryDriver(clock).open('verona.test', 'caps', {
    store: kv<KnownCapabilities>(),
  })) as { store: KvStore<KnownCapabilities> };
  const work: Promise<unknown>[] = [];
  const make = (on: KvStore<KnownCapabilities> = store): Known =>
    new Known({ store: on, clock, background: (one) => void work.push(one) });
  return { clock, store, make, done: () => Promise.all(work) };
}

test('what one node has learnt another one finds', async () => {
  const { make } = await setup();
  await make().learn('sha-1.x', ['a', 'n+notify']);
  const other = make();
  expect(other.peek('sha-1.x')).toBeUndefined();
  expect([...(await other.find('sha-1.x'))!.wants]).toEqual(['n']);
  // from now on without a question
  expect([...other.peek('sha-1.x')!.features]).toEqual(['a', 'n+notify']);
  expect(await other.find('sha-1.y')).toBeUndefined();
});

test('the database is asked once by those who come together', async () => {
  const { store, make } = await setup();
  await make().learn('sha-1.x', ['a']);
  let gets = 0;
  const counting: KvStore<KnownCapabilities> = {
    ...store,
    get: async (owner) => {
      gets++;
      return store.get(owner);
    },
  };
  const other = make(counting);
  await Promise.all(Array.from({ length: 100 }, () => other.find('sha-1.x')));
  expect(gets).toBe(1);
});

test('while the database is away what is learnt is known here, and written down later', async () => {
  const { store, make, done } = await setup();
  let isAway = true;
  const flaky: KvStore<KnownCapabilities> = {
    ...store,
    get: (owner) => (isAway ? Promise.reject(new StorageUnavailable('away')) : store.get(owner)),
    set: (owner, value) => (isAway ? Promise.reject(new StorageUnavailable('away')) : store.set(owner, value)),
  };
  const known = make(flaky);
  expect(await known.find('sha-1.x')).toBeUndefined();
  expect((await known.learn('sha-1.x', ['a'])).features.has('a')).toBe(true);
  expect(await store.get('sha-1.x')).toBeUndefined();
  isAway = false;
  expect(known.peek('sha-1.x')).toBeDefined();
  await done();
  expect((await store.get('sha-1.x'))?.features).toEqual(['a']);
});

test('what is of use stays, and what was of none for two months goes', async () => {
  const { clock, store, make, done } = await setup();
  const known = make();
  await known.learn('sha-1.used', ['a']);
  await known.learn('sha-1.unused', ['a']);
  for (let day = 0; day < 70; day += 10) {
    await clock.advance(10 * DAY);
    known.peek('sha-1.used');
    await done();
  }
  await known.sweep();
  expect(await store.owners()).toEqual(['sha-1.used']);
});

test('of twenty thousand and more the oldest go', async () => {
  const { clock, store, make } = await setup();
  const at = clock.now();
  for (let i = 0; i < 20_003; i++) await store.set(`k${i}`, { features: [], at: at + (i % 1000) });
  await store.set('old', { features: [], at: at - 1 });
  await make().sweep();
  let count = 0;
  let page: readonly string[] = [];
  do {
    page = await store.owners(page.at(-1), 1000);
    count += page.length;
  } while (page.length === 1000);
  expect(count).toBe(20_000);
  expect(await store.get('old')).toBeUndefined();
});
