// What goes wrong with archives in databases, on purpose, with a real PostgreSQL: it dies under a batch, it is away, it refuses.
import { Socket } from 'node:net';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { StorageUnavailable } from '../../src/storage/errors.ts';
import type { ArchiveStore, NewArchived } from '../../src/storage/ports.ts';
import { createPostgresDriver, type PostgresDriver, type PostgresOptions } from '../../src/storage/postgres/driver.ts';
import { archive, type Spec } from '../../src/storage/specs.ts';
import { startPostgres, type TestPostgres } from '../kit/postgres.ts';

let postgres: TestPostgres;
let config: pg.ClientConfig;
let admin: pg.Client;
let count = 0;
const drivers: PostgresDriver[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres?.remove());
beforeEach(async () => {
  config = await postgres.database(`archives${count++}`);
  admin = new pg.Client(config);
  admin.on('error', () => {});
  await admin.connect();
});
afterEach(async () => {
  await Promise.all(drivers.splice(0).map((driver) => driver.close()));
  await admin.end().catch(() => {});
});

function connect(options: Partial<PostgresOptions> = {}): PostgresDriver {
  const driver = createPostgresDriver({ connection: config, ...options });
  drivers.push(driver);
  return driver;
}
const specs = { store: archive({ searchable: (xml) => ({ text: xml }) }) as Spec<unknown> };
const open = async (driver: PostgresDriver, module = 'm'): Promise<ArchiveStore> =>
  (await driver.open('h.test', module, specs)).store as ArchiveStore;
const message = (xml: string): NewArchived => ({ with: 'a@b.test', resource: 'r', xml });
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function everything(store: ArchiveStore): Promise<string[]> {
  const texts: string[] = [];
  for (let after: string | undefined; ; ) {
    const page = await store.find('o', { limit: 1000, after });
    texts.push(...page!.entries.map((entry) => entry.xml));
    after = page!.entries.at(-1)?.id;
    if (page!.complete) return texts;
  }
}

test('every message that was reported durable is there once, though the database dies twice meanwhile', async () => {
  const store = await open(connect());
  const durable = new Set<number>();
  let appended = 0;
  const appending = setInterval(() => {
    for (let i = 0; i < 4; i++) {
      const number = appended++;
      store.append('o', message(`${number}`)).durable.then(
        () => durable.add(number),
        () => {},
      );
    }
  }, 2);
  for (let round = 0; round < 2; round++) {
    await sleep(150);
    await postgres.stop('kill');
    await sleep(50);
    await postgres.start();
  }
  await sleep(150);
  clearInterval(appending);
  await expect.poll(() => durable.size, { timeout: 15_000 }).toBe(appended);
  expect(appended).toBeGreaterThan(200);
  expect(await everything(await open(connect()))).toEqual(Array.from({ length: appended }, (_, i) => `${i}`));
});

test('a batch that was written though its answer never came is not written twice', async () => {
  const sockets: Socket[] = [];
  const stream = (): Socket => {
    const socket = new Socket();
    sockets.push(socket);
    return socket;
  };
  const store = await open(connect({ connection: { ...config, stream } }));
  await store.append('o', message('before')).durable;
  // the server does not see that nobody listens any more until it has written the rows
  await admin.query(`CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(0.4); RETURN NULL; END $$`);
  await admin.query('CREATE TRIGGER dawdle AFTER INSERT ON parley.m_store EXECUTE FUNCTION dawdle()');
  const all = Array.from({ length: 50 }, (_, i) => store.append('o', message(`${i}`)).durable);
  const isWriting = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'COPY%' AND state = 'active'";
  await expect.poll(async () => (await admin.query(isWriting)).rowCount).toBe(1);
  for (const socket of sockets.splice(0)) socket.destroy();
  await Promise.all(all);
  expect(await everything(store)).toEqual(['before', ...Array.from({ length: 50 }, (_, i) => `${i}`)]);
  const seen = await admin.query<{ n: number }>('SELECT count(*)::int AS n FROM parley.m_store');
  expect(seen.rows[0]?.n).toBe(51);
});

test('messages wait out a lock that lasts longer than a statement may', async () => {
  const store = await open(connect({ timeout: 150 }));
  await admin.query('BEGIN; LOCK TABLE parley.m_store');
  const { durable } = store.append('o', message('patient \\ \t\n"'));
  await sleep(400);
  await admin.query('ROLLBACK');
  await durable;
  expect(await everything(store)).toEqual(['patient \\ \t\n"']);
});

test('a message that the database refuses fails alone, and the others are kept as they are', async () => {
  const store = await open(connect());
  await admin.query(`ALTER TABLE parley.m_store ADD CHECK (xml <> 'poison')`);
  const text = (i: number): string => (i === 77 || i === 120 ? 'poison' : `${i} {"\\N\t},`);
  const results = Array.from({ length: 150 }, (_, i) => store.append('o', message(text(i))).durable);
  const settled = await Promise.allSettled(results);
  expect(settled.flatMap((result, i) => (result.status === 'rejected' ? [i] : []))).toEqual([77, 120]);
  const kept = Array.from({ length: 150 }, (_, i) => text(i)).filter((xml) => xml !== 'poison');
  expect(await everything(store)).toEqual(kept);
});

test('without the database messages wait, up to where the next is refused at once; questions fail in time', async () => {
  const store = await open(connect({ patience: 150, waitingRows: 2_000 }));
  await store.append('o', message('before')).durable;
  await postgres.stop('kill');
  const waiting = store.append('o', message('waits')).durable;
  const from = performance.now();
  await expect(store.find('o', { limit: 1 })).rejects.toBeInstanceOf(StorageUnavailable);
  await expect(store.ends('o')).rejects.toBeInstanceOf(StorageUnavailable);
  await expect(store.find('o', { limit: 1, search: { text: 'x', languages: [] } })).rejects.toBeInstanceOf(
    StorageUnavailable,
  );
  expect(performance.now() - from).toBeLessThan(3_000);
  let refused = 0;
  for (let i = 0; i < 2_100; i++) {
    try {
      store.append('o', message(`${i}`)).durable.catch(() => {});
    } catch (error) {
      expect(error).toBeInstanceOf(StorageUnavailable);
      refused++;
    }
  }
  expect(refused).toBeGreaterThanOrEqual(99);
  await postgres.start();
  await waiting;
  await expect.poll(() => store.count('o', {}, 3_000).catch(() => 0), { timeout: 15_000 }).toBe(2_102 - refused);
});

test('nodes that start at once make the tables once, and share what they write and search', async () => {
  const stores = await Promise.all(Array.from({ length: 4 }, () => open(connect())));
  await Promise.all(Array.from({ length: 400 }, (_, i) => stores[i % 4]!.append('o', message(`apple ${i}`)).durable));
  const search = { text: 'apple', languages: ['en'] };
  const pages = await Promise.all(stores.map((store) => store.find('o', { limit: 1000, search })));
  for (const page of pages) expect(page?.entries).toHaveLength(400);
  expect(new Set(pages.map((page) => page!.entries.map((entry) => entry.id).join())).size).toBe(1);
});

test('the first search of a long archive is to be tried again, and goes on meanwhile', async () => {
  const clock = { time: Date.UTC(2026, 0, 1), now: (): number => clock.time, after: () => () => {} };
  const store = await open(connect({ clock, patience: 30 }));
  const written = Array.from(
    { length: 10_000 },
    (_, i) => store.append('o', message(`apple ${i} of ${i * 7}`)).durable,
  );
  await Promise.all(written);
  clock.time += 3_600_000;
  const search = (): Promise<string | undefined> =>
    store.find('o', { limit: 1, search: { text: '9999', languages: ['en'] } }).then(
      (page) => page?.entries[0]?.xml,
      (error) => {
        expect(error).toBeInstanceOf(StorageUnavailable);
        return 'not yet';
      },
    );
  expect(await search()).toBe('not yet');
  await expect.poll(search, { timeout: 30_000 }).toBe('apple 9999 of 69993');
});

test('a search finds what another node wrote long after it had minted the id', async () => {
  const time = Date.UTC(2026, 0, 1);
  const clock = { time, now: (): number => clock.time, after: () => () => {} };
  const late = await open(connect({ clock }));
  const quick = await open(connect({ clock: { now: () => time + 3_600_000, after: () => () => {} } }));
  await late.append('o', message('apple one')).durable;
  await quick.append('o', message('apple two')).durable;
  const search = { text: 'apple', languages: ['en'] };
  const found = async () => (await quick.find('o', { limit: 9, search }))?.entries.map((entry) => entry.xml);
  expect(await found()).toEqual(['apple one', 'apple two']);
  await admin.query('BEGIN; LOCK TABLE parley.m_store IN EXCLUSIVE MODE');
  clock.time += 1000;
  const { durable } = late.append('o', message('apple three'));
  clock.time = time + 3_600_000;
  expect(await found()).toEqual(['apple one', 'apple two']);
  await admin.query('ROLLBACK');
  await durable;
  expect(await found()).toEqual(['apple one', 'apple three', 'apple two']);
});

test('an archive that another node has removed is searched, and cleared of what is old, as soon as there is something in it', async () => {
  const [here, other] = [connect(), connect()];
  const [store] = [await open(here), await open(other)];
  await store.append('o', message('parting')).durable;
  await other.purge('h.test', 'o');
  await store.append('o', message('parting anew')).durable;
  const found = await store.find('o', { limit: 9, search: { text: 'parting', languages: ['en'] } });
  expect(found?.entries.map(({ xml }) => xml)).toEqual(['parting anew']);
  expect(await store.owners()).toEqual(['o']);
});

test('purging reaches archives of modules that are not loaded', async () => {
  const old = connect();
  const store = await open(old, 'retired');
  await store.append('gone', message('gone words')).durable;
  await store.append('stays', message('stay')).durable;
  await store.find('gone', { limit: 1, search: { text: 'words', languages: [] } });
  await old.close();
  const driver = connect();
  await open(driver, 'current');
  await driver.purge('h.test', 'gone');
  const rows = async (table: string) =>
    (await admin.query<{ n: number }>(`SELECT count(*)::int AS n FROM parley.retired_store${table}`)).rows[0]?.n;
  expect([await rows(''), await rows('_words'), await rows('_owners')]).toEqual([1, 0, 1]);
});
