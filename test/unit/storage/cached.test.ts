// The read cache: fast, bounded, and never stale.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cached, type Invalidation, invalidationTopic } from '../../../src/storage/cached.ts';
import { createMemoryDriver } from '../../../src/storage/memory.ts';
import type { Driver, KvStore, MapStore } from '../../../src/storage/ports.ts';
import { kv, map, type Opened, type Spec } from '../../../src/storage/specs.ts';

const specs = { prefs: kv<number>({ cache: true }), items: map<number>({ cache: true }), plain: kv<number>() };
type Stores = Opened<typeof specs>;

/** A bus whose messages arrive when they are let through. */
function createBus() {
  const listeners = new Map<number, (body: unknown) => void>();
  const doubters = new Map<number, (isOurs: boolean) => void>();
  const waiting: (() => void)[] = [];
  return {
    waiting,
    /** Nothing that waits arrives. */
    lose() {
      waiting.splice(0);
    },
    /** A node hears that there was a gap. */
    gap(id: number, isOurs: boolean) {
      doubters.get(id)?.(isOurs);
    },
    node(id: number): Invalidation {
      return {
        publish(topic, body) {
          expect(topic).toBe(invalidationTopic);
          for (const [other, fn] of listeners) if (other !== id) waiting.push(() => fn(body));
        },
        subscribe(_topic, fn) {
          listeners.set(id, fn);
          return () => listeners.delete(id);
        },
        onGap(fn) {
          doubters.set(id, fn);
          return () => doubters.delete(id);
        },
      };
    },
    deliver() {
      for (const message of waiting.splice(0)) message();
    },
  };
}

/** A driver that counts reads, and whose operations take effect and answer only when they are let. */
function createSlow(inner: Driver) {
  const waiting: (() => void)[] = [];
  const state = { reads: 0, isSlow: false, isFailing: false };
  const turn = (): Promise<void> | undefined =>
    state.isSlow ? new Promise((resolve) => waiting.push(resolve)) : undefined;
  const wrap = (store: Record<string, (...args: unknown[]) => unknown>) =>
    Object.fromEntries(
      Object.entries(store).map(([name, method]) => [
        name,
        async (...args: unknown[]) => {
          if (name === 'get' || name === 'all') state.reads++;
          await turn();
          const result = await method(...args);
          await turn();
          if (state.isFailing) throw new Error('lost');
          return result;
        },
      ]),
    );
  const driver: Driver = {
    ...inner,
    async open(host, module, declared) {
      const opened = await inner.open(host, module, declared);
      return Object.fromEntries(Object.entries(opened).map(([name, store]) => [name, wrap(store as never)]));
    },
    close: async () => {},
  };
  return { driver, state, waiting };
}

async function openOn(driver: Driver): Promise<Stores> {
  return (await driver.open('h.test', 'm', specs as Record<string, Spec<unknown>>)) as unknown as Stores;
}

test('what was read or written lately is there at once, also when it is nothing', async () => {
  const slow = createSlow(createMemoryDriver());
  const { prefs, items } = await openOn(cached(slow.driver));
  expect(prefs.get('a')).toBeInstanceOf(Promise);
  expect(await prefs.get('a')).toBeUndefined();
  expect(prefs.get('a')).toBeUndefined();
  await prefs.set('a', 1);
  expect(prefs.get('a')).toBe(1);
  expect(await prefs.update('a', (old) => (old ?? 0) + 1)).toBe(2);
  expect(prefs.get('a')).toBe(2);
  await items.all('a');
  await items.set('a', 'x', 1);
  await items.update('a', 'y', () => 2);
  const before = items.all('a') as ReadonlyMap<string, number>;
  await items.set('a', 'x', undefined);
  expect([...before]).toEqual([
    ['x', 1],
    ['y', 2],
  ]);
  expect(items.get('a', 'x')).toBeUndefined();
  expect(items.get('a', 'y')).toBe(2);
  expect(slow.state.reads).toBe(2);
});

test('stores that do not ask for it are not cached', async () => {
  const { plain } = await openOn(cached(createSlow(createMemoryDriver()).driver));
  await plain.set('a', 1);
  expect(plain.get('a')).toBeInstanceOf(Promise);
});

test('many who ask at once cause one load', async () => {
  const slow = createSlow(createMemoryDriver());
  const { prefs } = await openOn(cached(slow.driver));
  await Promise.all(Array.from({ length: 20 }, () => prefs.get('a')));
  expect(slow.state.reads).toBe(1);
});

test('a failed load is not kept, a failed write is not believed', async () => {
  const slow = createSlow(createMemoryDriver());
  const { prefs } = await openOn(cached(slow.driver));
  await prefs.set('a', 1);
  slow.state.isFailing = true;
  await expect(prefs.set('a', 2)).rejects.toThrow('lost');
  await expect(prefs.get('a')).rejects.toThrow('lost');
  slow.state.isFailing = false;
  // it was written, although nobody was told
  expect(await prefs.get('a')).toBe(2);
});

test('no more is kept than allowed, the least recently used goes first', async () => {
  const slow = createSlow(createMemoryDriver());
  const { prefs, items } = await openOn(cached(slow.driver, { entries: 3 }));
  for (const owner of ['a', 'b', 'c']) await prefs.set(owner, 1);
  expect(prefs.get('a')).toBe(1);
  await prefs.set('d', 1);
  expect(prefs.get('b')).toBeInstanceOf(Promise);
  expect(prefs.get('d')).toBe(1);
  for (const key of ['1', '2', '3', '4']) await items.set('big', key, 1);
  await items.all('big');
  expect(items.all('big')).toBeInstanceOf(Promise);
});

test('what another node writes, and what is purged, is forgotten', async () => {
  const memory = createMemoryDriver();
  const bus = createBus();
  const drivers = [cached(memory, { invalidation: bus.node(1) }), cached(memory, { invalidation: bus.node(2) })];
  const [one, two] = [await openOn(drivers[0]!), await openOn(drivers[1]!)];
  await one.prefs.set('a', 1);
  expect(await two.prefs.get('a')).toBe(1);
  await one.prefs.set('a', 2);
  bus.deliver();
  expect(await two.prefs.get('a')).toBe(2);
  await two.items.set('a', 'k', 1);
  bus.deliver();
  expect(await one.items.get('a', 'k')).toBe(1);
  await drivers[1]!.purge('h.test', 'a');
  bus.deliver();
  expect(await one.items.get('a', 'k')).toBeUndefined();
  expect(await one.prefs.get('a')).toBeUndefined();
  expect(await two.prefs.get('a')).toBeUndefined();
});

test("where word may have been lost everything is forgotten, and everywhere where it was this node's", async () => {
  const memory = createMemoryDriver();
  const bus = createBus();
  const [one, two] = await Promise.all(
    [1, 2].map((id) => openOn(cached(memory, { invalidation: bus.node(id) }))) as [Promise<Stores>, Promise<Stores>],
  );
  await one.prefs.set('a', 1);
  expect(await two.prefs.get('a')).toBe(1);
  await one.prefs.set('a', 2);
  bus.lose();
  expect(await two.prefs.get('a')).toBe(1);
  bus.gap(2, false);
  expect(bus.waiting).toEqual([]);
  expect(await two.prefs.get('a')).toBe(2);
  await one.prefs.set('a', 3);
  bus.lose();
  bus.gap(1, true);
  bus.deliver();
  expect(await two.prefs.get('a')).toBe(3);
});

test('a write that another node overtakes on its way back is not kept', async () => {
  const memory = createMemoryDriver();
  const bus = createBus();
  const slow = createSlow(memory);
  const one = await openOn(cached(slow.driver, { invalidation: bus.node(1) }));
  const two = await openOn(cached(memory, { invalidation: bus.node(2) }));
  slow.state.isSlow = true;
  const writing = one.prefs.set('a', 1);
  slow.waiting.shift()!();
  await new Promise((resolve) => setImmediate(resolve));
  // stored, but not yet answered
  expect(await two.prefs.update('a', (old) => (old ?? 0) + 1)).toBe(2);
  bus.deliver();
  slow.state.isSlow = false;
  slow.waiting.shift()!();
  await writing;
  expect(await one.prefs.get('a')).toBe(2);
});

test('who reads after a write does not get what was being read before it', async () => {
  const slow = createSlow(createMemoryDriver());
  const { items } = await openOn(cached(slow.driver));
  slow.state.isSlow = true;
  const before = items.all('a');
  slow.waiting.shift()!();
  await new Promise((resolve) => setImmediate(resolve));
  // read, but not yet answered
  slow.state.isSlow = false;
  await items.set('a', 'k', 1);
  expect(await items.get('a', 'k')).toBe(1);
  slow.waiting.shift()!();
  expect((await before).size).toBe(0);
  expect(await items.get('a', 'k')).toBe(1);
});

test('whatever the order of loads, writes and word from other nodes, nothing old stays', async () => {
  const command = fc.record({
    node: fc.nat(1),
    what: fc.constantFrom('get', 'set', 'update', 'setKey', 'all', 'step', 'step', 'step', 'deliver'),
    pick: fc.nat(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(command, { maxLength: 40 }), async (commands) => {
      const memory = createMemoryDriver();
      const bus = createBus();
      const slows = [createSlow(memory), createSlow(memory)];
      const nodes: { prefs: KvStore<number>; items: MapStore<number> }[] = [];
      for (const [id, slow] of slows.entries()) {
        nodes.push(await openOn(cached(slow.driver, { invalidation: bus.node(id) })));
        slow.state.isSlow = true;
      }
      const pending: unknown[] = [];
      let next = 0;
      for (const { node, what, pick } of commands) {
        const { prefs, items } = nodes[node]!;
        const { waiting } = slows[node]!;
        if (what === 'get') pending.push(prefs.get('o'));
        else if (what === 'set') pending.push(prefs.set('o', next++));
        else if (what === 'update') pending.push(prefs.update('o', () => next++));
        else if (what === 'setKey') pending.push(items.set('o', `${pick % 2}`, next++));
        else if (what === 'all') pending.push(items.all('o'));
        else if (what === 'deliver') bus.deliver();
        else if (waiting.length > 0) waiting.splice(pick % waiting.length, 1)[0]!();
        await new Promise((resolve) => setImmediate(resolve));
      }
      for (const slow of slows) slow.state.isSlow = false;
      while (slows.some((slow) => slow.waiting.length > 0)) {
        for (const slow of slows) for (const go of slow.waiting.splice(0)) go();
        await new Promise((resolve) => setImmediate(resolve));
      }
      await Promise.all(pending);
      bus.deliver();
      const truth = await openOn(memory);
      for (const { prefs, items } of nodes) {
        expect(await prefs.get('o')).toEqual(await truth.prefs.get('o'));
        expect(new Map(await items.all('o'))).toEqual(new Map(await truth.items.all('o')));
      }
    }),
    { numRuns: 600 },
  );
});
