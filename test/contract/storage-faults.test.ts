// What goes wrong with databases, on purpose, with a real PostgreSQL: it dies, it hangs, two nodes do the same thing at once.
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Logger } from '../../src/base/log.ts';
import { StorageMismatch, StorageUnavailable } from '../../src/storage/errors.ts';
import type { KvStore, LogStore } from '../../src/storage/ports.ts';
import { createPostgresDriver, type PostgresDriver, type PostgresOptions } from '../../src/storage/postgres/driver.ts';
import { kv, log, map, type Spec } from '../../src/storage/specs.ts';
import { startPostgres, type TestPostgres } from '../kit/postgres.ts';

type Log = LogStore<unknown, { with: string }>;

let postgres: TestPostgres;
let config: pg.ClientConfig;
let admin: pg.Client;
let count = 0;
const drivers: PostgresDriver[] = [];
const lines: { level: string; message: string | undefined }[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres?.remove());
beforeEach(async () => {
  config = await postgres.database(`faults${count++}`);
  admin = new pg.Client(config);
  admin.on('error', () => {});
  await admin.connect();
  lines.length = 0;
});
afterEach(async () => {
  await Promise.all(drivers.splice(0).map((driver) => driver.close()));
  await admin.end().catch(() => {});
});

const note = (level: string) => (_fields: object, message?: string) => void lines.push({ level, message });
const logger: Logger = {
  debug: () => {},
  info: note('info'),
  warn: note('warn'),
  error: note('error'),
  child: () => logger,
};
const messages = (level: string) => lines.filter((line) => line.level === level).map((line) => line.message);

function connect(options: Partial<PostgresOptions> = {}): PostgresDriver {
  const driver = createPostgresDriver({ connection: config, log: logger, ...options });
  drivers.push(driver);
  return driver;
}
async function open<T>(driver: PostgresDriver, module: string, spec: unknown): Promise<T> {
  const stores = await driver.open('h.test', module, { store: spec as Spec<unknown> });
  return stores.store as T;
}
const openLog = (driver: PostgresDriver, module = 'm') => open<Log>(driver, module, log({ index: ['with'] }));
const openKv = (driver: PostgresDriver, module = 'k') => open<KvStore<unknown>>(driver, module, kv());
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test('every append that was reported durable is there once, though the database dies twice meanwhile', async () => {
  const store = await openLog(connect());
  const durable = new Set<number>();
  let appended = 0;
  const appending = setInterval(() => {
    // slow enough for what waits to stay within bounds, however long the database takes to start on a busy machine
    for (let i = 0; i < 4; i++) {
      const number = appended++;
      store.append('o', number, { with: 'x' }).durable.then(
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
  const again = await openLog(connect());
  const values: unknown[] = [];
  for (let after: string | undefined; ; ) {
    const page = await again.find('o', { limit: 1000, ...(after !== undefined && { after }) });
    values.push(...page.entries.map((entry) => entry.value));
    after = page.entries.at(-1)?.id;
    if (page.complete) break;
  }
  expect(appended).toBeGreaterThan(500);
  // in the order of appending, none missing, none twice
  expect(values).toEqual(Array.from({ length: appended }, (_, i) => i));
});

test('an outage is one warning; statements wait a little and then say so; it ends by itself', async () => {
  const driver = connect({ patience: 150 });
  const store = await openKv(driver);
  await store.set('a', 1);
  await postgres.stop('fast');
  const start = performance.now();
  const failures = await Promise.allSettled(Array.from({ length: 5 }, async () => store.get('a')));
  for (const failure of failures) {
    expect(failure).toMatchObject({ status: 'rejected', reason: expect.any(StorageUnavailable) });
  }
  expect(performance.now() - start).toBeLessThan(2_000);
  await expect(driver.ping()).rejects.toBeInstanceOf(StorageUnavailable);
  expect(messages('warn')).toEqual(['the database does not answer; trying until it does']);
  await postgres.start();
  await expect.poll(() => messages('info').at(-1), { timeout: 10_000 }).toBe('the database answers again');
  expect(await store.get('a')).toBe(1);
  expect(messages('warn')).toHaveLength(1);
});

test('a wrong name of a database is said at once, and is no outage', async () => {
  const driver = connect({ connection: { ...config, database: 'nowhere' } });
  await expect(driver.ping()).rejects.toThrow(/refuses us: .*"nowhere" does not exist/);
  await expect(driver.ping()).rejects.toBeInstanceOf(StorageUnavailable);
  expect(messages('warn')).toEqual([]);
});

test('a database that is not there is named with the reason', async () => {
  const driver = connect({ connection: { host: '/nowhere', user: 'x' }, patience: 100 });
  await expect(driver.ping()).rejects.toThrow(/does not answer: .*ENOENT/);
});

test('a short restart goes unnoticed by those who wait', async () => {
  const store = await openKv(connect({ patience: 10_000 }));
  await store.set('a', 1);
  await postgres.stop('fast');
  const reading = store.get('a');
  await postgres.start();
  expect(await reading).toBe(1);
});

test('connections that the administrator ends are replaced without a word', async () => {
  const store = await openKv(connect());
  await store.set('a', 1);
  await admin.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'parley'");
  expect(await store.get('a')).toBe(1);
  expect(messages('warn')).toEqual([]);
});

test('a statement that hangs ends in time', async () => {
  const driver = connect({ timeout: 200 });
  const store = await openKv(driver);
  await admin.query('BEGIN; LOCK TABLE parley.k_store');
  await expect(store.set('a', 1)).rejects.toBeInstanceOf(StorageUnavailable);
  await admin.query('ROLLBACK');
  await store.set('a', 2);
  expect(await store.get('a')).toBe(2);
});

test('appends wait out a lock that lasts longer than a statement may', async () => {
  const store = await openLog(connect({ timeout: 150 }));
  await admin.query('BEGIN; LOCK TABLE parley.m_store');
  const { durable } = store.append('o', 'patient', { with: '' });
  await sleep(400);
  await admin.query('ROLLBACK');
  await durable;
  expect((await store.find('o', { limit: 10 })).entries.map((entry) => entry.value)).toEqual(['patient']);
});

test('a row that the database refuses fails alone', async () => {
  const store = await openLog(connect());
  await admin.query(`ALTER TABLE parley.m_store ADD CHECK (value <> '"poison"')`);
  const results = Array.from({ length: 150 }, (_, i) =>
    store.append('o', i === 77 || i === 120 ? 'poison' : i, { with: '' }),
  );
  const settled = await Promise.allSettled(results.map((result) => result.durable));
  expect(settled.flatMap((result, i) => (result.status === 'rejected' ? [i] : []))).toEqual([77, 120]);
  expect(await store.count('o', {})).toBe(148);
});

test('what waits for a dead database is bounded, and fails at the end', async () => {
  const driver = connect({ waitingRows: 2_000 });
  const store = await openLog(driver);
  await postgres.stop('kill');
  const results: Promise<void>[] = [];
  for (let i = 0; i < 2_200; i++) results.push(store.append('o', i, { with: '' }).durable);
  await expect(results.at(-1)).rejects.toThrow(/too many/);
  await postgres.start();
  await results[0];
  await results[1_900];
  expect(await store.count('o', {})).toBe(2_000);
});

test('two nodes that change the same value lose nothing, from the first insert to removals', async () => {
  const [one, two] = [await openKv(connect()), await openKv(connect())];
  const add = (store: KvStore<unknown>) => store.update('counter', (old) => ((old as number | undefined) ?? 0) + 1);
  await Promise.all(Array.from({ length: 120 }, (_, i) => add(i % 2 ? one : two)));
  expect(await one.get('counter')).toBe(120);
  // a token that only one of them may have
  const claims: string[] = [];
  for (let round = 0; round < 20; round++) {
    await one.set('token', round);
    const claim = (store: KvStore<unknown>, who: string) => {
      let mine = false;
      return store
        .update('token', (old) => {
          mine = old !== undefined;
          return undefined;
        })
        .then(() => mine && claims.push(who));
    };
    await Promise.all([claim(one, 'one'), claim(two, 'two')]);
  }
  expect(claims).toHaveLength(20);
});

test('nodes that start at once make and migrate the tables once', async () => {
  const spec1 = kv<number>();
  const spec2 = kv<number>({ version: 2, migrate: { 2: (old) => (old as number) + 1 } });
  const first = await Promise.all(
    Array.from({ length: 4 }, () => connect()).map((driver) => open<KvStore<number>>(driver, 'race', spec1)),
  );
  await Promise.all(Array.from({ length: 700 }, (_, i) => first[i % 4]!.set(`u${i}`, i)));
  const second = await Promise.all(
    Array.from({ length: 4 }, () => connect()).map((driver) => open<KvStore<number>>(driver, 'race', spec2)),
  );
  expect(await second[0]!.get('u0')).toBe(1);
  expect(await second[3]!.get('u699')).toBe(700);
});

test('a migration that fails leaves everything as it was', async () => {
  const driver = connect();
  const store = await open<KvStore<unknown>>(driver, 'fail', kv());
  await store.set('a', 'old');
  const failing = kv({
    version: 2,
    migrate: {
      2: () => {
        throw new Error('cannot read that');
      },
    },
  });
  await expect(open(connect(), 'fail', failing)).rejects.toThrow('cannot read that');
  expect(await (await open<KvStore<unknown>>(connect(), 'fail', kv())).get('a')).toBe('old');
});

test('maps and logs migrate too, value by value', async () => {
  const driver = connect();
  const items = await open<{ set(o: string, k: string, v: unknown): Promise<void> }>(driver, 'mm', map());
  await items.set('o', 'k', 1);
  const entries = await openLog(driver, 'ml');
  for (let i = 0; i < 1100; i++) entries.append('o', i, { with: `${i % 2}` });
  await entries.count('o', {});
  const options = { version: 2, migrate: { 2: (old: unknown) => ({ n: old }) } };
  const newItems = await open<{ get(o: string, k: string): Promise<unknown> }>(connect(), 'mm', map(options));
  expect(await newItems.get('o', 'k')).toEqual({ n: 1 });
  const newLog = await open<Log>(connect(), 'ml', log({ index: ['with'], ...options }));
  const page = await newLog.find('o', { limit: 2, backwards: true, where: { with: '1' } });
  expect(page.entries.map((entry) => entry.value)).toEqual([{ n: 1097 }, { n: 1099 }]);
});

test('an index may come and go', async () => {
  const both = log<unknown, { with: string; thread: string }>({ index: ['with', 'thread'] });
  const before = await openLog(connect(), 'ix');
  await before.append('o', 1, { with: 'a' }).durable;
  const now = await open<LogStore<unknown, { with: string; thread: string }>>(connect(), 'ix', both);
  await now.append('o', 2, { with: 'a', thread: 't' }).durable;
  const found = await now.find('o', { limit: 5, where: { thread: 't' } });
  expect(found.entries.map((entry) => entry.value)).toEqual([2]);
  expect((await now.find('o', { limit: 5, where: { thread: '' } })).entries).toHaveLength(1);
  const indexes = "SELECT count(*)::int AS n FROM pg_indexes WHERE tablename = 'ix_store'";
  expect((await admin.query<{ n: number }>(indexes)).rows[0]?.n).toBe(3);
  const without = await openLog(connect(), 'ix');
  await without.append('o', 3, { with: 'a' }).durable;
  expect((await admin.query<{ n: number }>(indexes)).rows[0]?.n).toBe(2);
});

test('a page by index is found by that index, not by reading everything', async () => {
  const store = await openLog(connect(), 'plan');
  for (let i = 0; i < 5000; i++) store.append('o', i, { with: `contact${i % 500}` });
  await store.count('o', {});
  await admin.query('ANALYZE parley.plan_store');
  const explained = await admin.query({
    text: `EXPLAIN SELECT id FROM parley.plan_store WHERE host = 'h.test' AND owner = 'o' AND id > '' AND id < '~'
      AND left(i_with, 200) = left('contact7', 200) AND i_with = 'contact7' ORDER BY id LIMIT 51`,
    rowMode: 'array',
  });
  const plan = explained.rows.flat().join('\n');
  expect(plan).toMatch(/Index.*Scan.*plan_store_[0-9a-f]{10}/);
  expect(plan).not.toMatch(/Seq Scan/);
});

test('a database of a newer program is refused with one clear line', async () => {
  await openKv(connect());
  await admin.query("UPDATE parley.store_versions SET version = 99 WHERE name = ''");
  const refused = openKv(connect());
  await expect(refused).rejects.toBeInstanceOf(StorageMismatch);
  await expect(refused).rejects.toThrow(/^the database layout has version 99 .* knows only version 1/);
});

test('a dry run says what would be done and does nothing', async () => {
  const driver = connect();
  const specs = { store: kv({ version: 2, migrate: { 2: (old) => old } }) as Spec<unknown> };
  expect(await driver.plan('dry', specs)).toEqual(['create the schema', 'create dry.store (kv)']);
  expect((await admin.query("SELECT 1 FROM pg_namespace WHERE nspname = 'parley'")).rowCount).toBe(0);
  await openKv(driver, 'dry');
  expect(await connect().plan('dry', specs)).toEqual(['change dry.store from version 1 to version 2']);
});

test('stores whose tables would have one name are refused', async () => {
  const driver = connect();
  await driver.open('h.test', 'one-two', { three: kv() as Spec<unknown> });
  await expect(driver.open('h.test', 'one', { twoThree: kv() as Spec<unknown> })).rejects.toBeInstanceOf(
    StorageMismatch,
  );
  const long = 'an-extremely-long-name-of-a-module-that-somebody-has-thought-up';
  await driver.open('h.test', long, { first: kv() as Spec<unknown>, second: kv() as Spec<unknown> });
  await driver.open('h.test', long, { entries: log({ index: ['with', 'thread'] }) as Spec<unknown> });
});

test('a key too long for an index is refused as such', async () => {
  const store = await openKv(connect());
  // what compresses would fit
  const long = randomBytes(3000).toString('base64');
  await expect(store.set(long, 1)).rejects.toMatchObject({ name: 'UnstorableValue' });
  expect(messages('warn')).toEqual([]);
});

test('purging reaches every table with owners, also those of modules that are not loaded', async () => {
  const old = connect();
  await (await openKv(old, 'retired')).set('gone', 1);
  await old.close();
  const driver = connect();
  await (await openKv(driver, 'current')).set('gone', 1);
  await (await openLog(driver, 'archive')).append('gone', 1, { with: '' }).durable;
  await admin.query('CREATE TABLE parley."Odd ""name" (host text, owner text, what text)');
  await admin.query(`INSERT INTO parley."Odd ""name" VALUES ('h.test', 'gone', 'x'), ('h.test', 'stays', 'y')`);
  await driver.purge('h.test', 'gone');
  const tables = await admin.query<{ name: string }>(
    `SELECT quote_ident(table_name) AS name FROM information_schema.columns WHERE table_schema = 'parley' AND column_name = 'owner'`,
  );
  expect(tables.rows).toHaveLength(4);
  for (const { name } of tables.rows) {
    const left = await admin.query(`SELECT 1 FROM parley.${name} WHERE owner = 'gone'`);
    expect(left.rowCount, name).toBe(0);
  }
  expect((await admin.query('SELECT 1 FROM parley."Odd ""name"')).rowCount).toBe(1);
});

test('a database with another encoding is refused', async () => {
  await admin.query("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0");
  await expect(openKv(connect({ connection: { ...config, database: 'ascii' } }))).rejects.toThrow(/SQL_ASCII.*UTF8/);
});

test('where the server has fewer connections than a node would use, it goes on with those that it has', async () => {
  await admin.query('DROP ROLE IF EXISTS small');
  await admin.query('CREATE ROLE small LOGIN CONNECTION LIMIT 4');
  await admin.query(`ALTER DATABASE "${config.database}" OWNER TO small`);
  const driver = connect({ connection: { ...config, user: 'small' }, connections: 8 });
  const store = await openKv(driver);
  const rowsOf = await openLog(driver);
  await store.set('o', 1);
  const ours = "tableowner = 'small' AND schemaname NOT LIKE 'pg_%'";
  const { rows } = await admin.query(
    `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE ${ours}`,
  );
  await admin.query('BEGIN');
  await admin.query(`LOCK TABLE ${rows.map(({ name }) => name).join(', ')} IN ACCESS EXCLUSIVE MODE`);
  // what is asked at the same moment would be one question
  const reading = Promise.all(Array.from({ length: 30 }, (_, i) => sleep(i).then(() => store.get('o'))));
  await sleep(1_000);
  await admin.query('COMMIT');
  expect(new Set(await reading)).toEqual(new Set([1]));
  expect(messages('warn')).toEqual(['the database has no more connections for this node: raise its max_connections']);
  // those who write rows have one as well, though the others had taken all
  const began = performance.now();
  await rowsOf.append('o', 1, { with: 'x' }).durable;
  expect(performance.now() - began).toBeLessThan(8_000);
  await drivers.pop()!.close();
  await admin.query(`ALTER DATABASE "${config.database}" OWNER TO parley`);
}, 30_000);
