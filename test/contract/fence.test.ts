// Lives of nodes that are over must not write: what `Driver.fence` promises, over every database.
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { StorageUnavailable } from '../../src/storage/errors.ts';
import type { Driver, KvStore, LogStore } from '../../src/storage/ports.ts';
import { kv, log, type Spec } from '../../src/storage/specs.ts';
import { type StorageWorld, storageWorlds } from '../kit/storage-worlds.ts';

type Log = LogStore<unknown, Record<string, string>>;

const specs = { values: kv(), entries: log({ index: [] }) } as Readonly<Record<string, Spec<unknown>>>;
let count = 0;

async function openStores(driver: Driver, host: string): Promise<{ values: KvStore<unknown>; entries: Log }> {
  return (await driver.open(host, 'm', specs)) as { values: KvStore<unknown>; entries: Log };
}

describe.each(Object.entries(storageWorlds(systemClock)))('%s', (name, build) => {
  let world: StorageWorld;
  let config: pg.ClientConfig | undefined;
  const drivers: Driver[] = [];
  beforeAll(async () => {
    world = await build();
    config = world.config;
  });
  afterAll(async () => {
    await Promise.all(drivers.map((driver) => driver.close()));
    await world.close();
  });
  const life = (): string => `host-with-a-name-that-is-rather-long-as-they-are-in-clouds.example:${++count}xyz`;
  const start = async (named: string): Promise<Driver> => {
    const driver = await world.driver();
    drivers.push(driver);
    await driver.identify(named);
    return driver;
  };

  test('a life that is named reads and writes, and so does one that fences another', async () => {
    const [one, two] = [life(), life()];
    const driver = await start(one);
    const { values, entries } = await openStores(driver, 'a.test');
    await values.set('romeo', 1);
    await driver.fence(two);
    await driver.fence(two);
    await values.set('romeo', 2);
    await entries.append('romeo', 'x', {}).durable;
    expect(await values.get('romeo')).toBe(2);
  });

  test('a new life of the same process reads what the old one wrote, and writes', async () => {
    const driver = await start(life());
    const { values, entries } = await openStores(driver, 'b.test');
    await values.set('romeo', 1);
    await entries.append('romeo', 'x', {}).durable;
    await driver.identify(life());
    expect(await values.get('romeo')).toBe(1);
    await values.update('romeo', (old) => (old as number) + 1);
    await entries.append('romeo', 'y', {}).durable;
    expect(await values.get('romeo')).toBe(2);
    expect(await entries.count('romeo', {})).toBe(2);
  });

  // where everything is done as soon as it is asked, there is nothing to be fenced
  describe.skipIf(/memory/.test(name))('between processes', () => {
    test('a life that is fenced cannot write any more, and another one can', async () => {
      const [one, two] = [life(), life()];
      const [old, young] = [await start(one), await start(two)];
      const before = await openStores(old, 'c.test');
      const after = await openStores(young, 'c.test');
      await before.values.set('romeo', 1);
      await young.fence(one);
      await expect(before.values.set('romeo', 2)).rejects.toThrow(StorageUnavailable);
      await expect(before.values.update('romeo', () => 3)).rejects.toThrow(StorageUnavailable);
      await expect(before.values.get('romeo')).rejects.toThrow(StorageUnavailable);
      expect(await after.values.get('romeo')).toBe(1);
      await after.values.set('romeo', 4);
      // a new life of the process that was fenced is like any other
      await old.identify(life());
      expect(await before.values.get('romeo')).toBe(4);
    });

    test('what waits to be written when a life is fenced is refused by its new life', async () => {
      const [one, two] = [life(), life()];
      const [old, young] = [await start(one), await start(two)];
      const { entries } = await openStores(old, 'd.test');
      await entries.append('romeo', 'first', {}).durable;
      await young.fence(one);
      const late = Promise.allSettled([1, 2, 3].map((n) => entries.append('romeo', n, {}).durable));
      await old.identify(life());
      expect((await late).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
      const page = await entries.find('romeo', { limit: 10 });
      expect(page.entries.map(({ value }) => value)).toEqual(['first']);
    });

    test('a statement that is under way has no effect once the fence holds', async () => {
      const [one, two] = [life(), life()];
      const [old, young] = [await start(one), await start(two)];
      const before = await openStores(old, 'e.test');
      const after = await openStores(young, 'e.test');
      await before.values.set('romeo', 1);
      // somebody holds the row: whoever writes it waits in the database
      const blocker = new pg.Client(config!);
      await blocker.connect();
      await blocker.query('BEGIN');
      await blocker.query("SELECT * FROM parley.m_values WHERE owner = 'romeo' FOR UPDATE");
      const write = before.values.set('romeo', 'too late').catch((error: unknown) => error);
      const waits = async (): Promise<number> =>
        (await blocker.query("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")).rows.length;
      await expect.poll(waits).toBe(1);
      await young.fence(one);
      await blocker.query('COMMIT');
      await blocker.end();
      expect(await after.values.get('romeo')).toBe(1);
      expect(await write).toBeInstanceOf(StorageUnavailable);
      expect(await after.values.get('romeo')).toBe(1);
    });
  });
});
