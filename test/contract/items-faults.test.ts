// What goes wrong with the database while items are published, on purpose: it dies, refuses a value, a dead node wants to write, several
// processes write at once. And what PostgreSQL does for each question: it reads about what it returns, however much there is.
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Logger, silent } from '../../src/base/log.ts';
import { StorageUnavailable, UnstorableValue } from '../../src/storage/errors.ts';
import type { ItemsStore, NewItem, PairsStore } from '../../src/storage/ports.ts';
import { createPostgresDriver, type PostgresDriver } from '../../src/storage/postgres/driver.ts';
import { readStatements } from '../../src/storage/postgres/items.ts';
import { itemStatements } from '../../src/storage/postgres/items-tables.ts';
import { items, pairs, type Spec } from '../../src/storage/specs.ts';
import { startPostgres, type TestPostgres } from '../kit/postgres.ts';
import { expectFewRows, outline, planIn } from '../kit/query-plan.ts';

const specs = { items: items() as Spec<unknown>, entities: pairs() as Spec<unknown> };
interface Stores {
  readonly items: ItemsStore;
  readonly entities: PairsStore<unknown>;
}
const node = 'blog';
const unlimited = 1_000_000;

let postgres: TestPostgres;
const drivers: PostgresDriver[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(async () => {
  await Promise.all(drivers.map((driver) => driver.close()));
  await postgres?.remove();
});

const connect = (log: Logger = silent): PostgresDriver => {
  const driver = createPostgresDriver({ connection: postgres.config, log });
  drivers.push(driver);
  return driver;
};
const open = async (driver: PostgresDriver, host = 'h.test'): Promise<Stores> =>
  (await driver.open(host, 'pubsub', specs)) as unknown as Stores;
const item = (id: string, xml = `<n>${id}</n>`): NewItem => ({ id, xml, publisher: 'p', at: Date.now() });

/** What the rows of nodes say, and what there is. */
async function totals(host = 'h.test'): Promise<{ readonly said: unknown; readonly is: unknown }> {
  const client = new pg.Client(postgres.config);
  await client.connect();
  const of = 'host = $1 GROUP BY owner, node ORDER BY owner, node';
  const said = await client.query(
    `SELECT owner, node, sum(items)::int AS items, sum(bytes)::int AS bytes FROM parley.pubsub_items_nodes WHERE items > 0 AND ${of}`,
    [host],
  );
  const is = await client.query(
    `SELECT owner, n.node, count(*)::int AS items, sum(octet_length(xml))::int AS bytes
      FROM parley.pubsub_items AS i JOIN parley.pubsub_items_nodes AS n ON n.key = i.node
      WHERE host = $1 GROUP BY owner, n.node ORDER BY owner, n.node`,
    [host],
  );
  await client.end();
  return { said: said.rows, is: is.rows };
}

test('what was published is there, in order, though the database dies meanwhile, and is counted right', async () => {
  const { items: store } = await open(connect(), 'dies.test');
  const durable: string[] = [];
  let published = 0;
  const publishing = setInterval(() => {
    const id = String(published++).padStart(5, '0');
    store.put('o', node, [item(id), item(`again${published % 3}`)], unlimited).then(
      () => durable.push(id),
      () => {},
    );
  }, 2);
  for (let round = 0; round < 2; round++) {
    await new Promise((resolve) => setTimeout(resolve, 150));
    await postgres.stop('kill');
    await new Promise((resolve) => setTimeout(resolve, 50));
    await postgres.start();
  }
  await expect.poll(async () => (await store.usage('o').catch(() => ({ items: 0 }))).items).toBeGreaterThan(3);
  clearInterval(publishing);
  await store.trim('o', node, unlimited);
  const all = (await store.page('o', node, { limit: 100_000 }))!.items.map(({ id }) => id);
  const numbered = all.filter((id) => !id.startsWith('again'));
  expect(numbered).toEqual([...numbered].sort());
  expect(durable.length).toBeGreaterThan(0);
  expect(numbered).toEqual(expect.arrayContaining(durable));
  expect(all.length - numbered.length).toBe(3);
  const { said, is } = await totals('dies.test');
  expect(said).toEqual(is);
}, 60_000);

test('a value that the database refuses fails alone, and what was asked beside it is done', async () => {
  const refused: string[] = [];
  const note = (level: string) => () => void refused.push(level);
  const log: Logger = { ...silent, error: note('error') };
  const { items: store } = await open(connect(log), 'refused.test');
  // no index holds it, and it cannot be packed
  const long = Array.from({ length: 3000 }, () => Math.random().toString(36).slice(2)).join('');
  const done = await Promise.allSettled([
    store.put('o', node, [item('a')], unlimited),
    store.put('o', node, [item('b'), item(long)], unlimited),
    store.put('o', node, [item('c')], unlimited),
    store.remove('o', node, ['a']),
  ]);
  expect(done.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
  expect((done[1] as PromiseRejectedResult).reason).toBeInstanceOf(UnstorableValue);
  expect((done[3] as PromiseFulfilledResult<readonly string[]>).value).toEqual(['a']);
  expect((await store.page('o', node, { limit: 9 }))!.items.map(({ id }) => id)).toEqual(['c']);
  expect(refused).toEqual(['error']);
});

test('a life that is fenced publishes nothing any more, and changes no pairs', async () => {
  const [old, young] = [connect(), connect()];
  await old.identify('node:1');
  await young.identify('node:2');
  const before = await open(old, 'fenced.test');
  const after = await open(young, 'fenced.test');
  await before.items.put('o', node, [item('a')], 9);
  await before.entities.set('o', node, 'romeo', 1);
  await young.fence('node:1');
  const late = [
    before.items.put('o', node, [item('b')], 9),
    before.items.remove('o', node, ['a']),
    before.items.clear('o', node),
    before.items.sweep(9),
    before.entities.set('o', node, 'romeo', 2),
    before.entities.setAll('o', node, new Map([['romeo', 3]])),
    before.entities.clear('o', node),
  ];
  const ended = Promise.allSettled(late);
  await old.identify('node:3');
  for (const one of await ended) {
    expect(one.status === 'rejected' && one.reason).toBeInstanceOf(StorageUnavailable);
  }
  expect((await after.items.page('o', node, { limit: 9 }))!.items.map(({ id }) => id)).toEqual(['a']);
  expect(await after.entities.left('o', node)).toEqual(new Map([['romeo', 1]]));
  await after.items.put('o', node, [item('c')], 9);
});

test('several processes that write the same nodes, sweep and purge at once do not get in each other’s way', async () => {
  const stores = await Promise.all([connect(), connect(), connect()].map((driver) => open(driver, 'many.test')));
  const nodes = ['a', 'b', 'c', 'd'];
  const work = stores.flatMap(({ items: store }, process) =>
    Array.from({ length: 60 }, async (_, i) => {
      const at = Date.now();
      // (each in another order)
      const name = nodes[(i * (process + 1)) % nodes.length]!;
      await store.put(`o${i % 3}`, name, [item(`i${i % 20}`), { ...item(`x${i}`), until: at + 1 }], 15);
      if (i % 10 === 0) await store.sweep(10);
      if (i % 12 === 0) await store.remove(`o${i % 3}`, name, ['i0', 'i3']);
      if (i % 17 === 0) await drivers.at(-1)!.purge('many.test', 'o2');
    }),
  );
  const failed = (await Promise.allSettled(work)).filter(({ status }) => status === 'rejected');
  expect(failed).toEqual([]);
  const { said, is } = await totals('many.test');
  expect(said).toEqual(is);
}, 60_000);

test('every question is answered by an index, by reading what it returns, among 30,000 items of one node and as many of others', async () => {
  const { items: store } = await open(connect(), 'plans.test');
  const xml = 'x'.repeat(200);
  const put = (owner: string, ids: string[]) =>
    store.put(
      owner,
      node,
      ids.map((id) => item(id, xml)),
      unlimited,
    );
  for (let i = 0; i < 30_000; i += 1000)
    await put(
      'o',
      Array.from({ length: 1000 }, (_, k) => `i${i + k}`),
    );
  await Promise.all(Array.from({ length: 3000 }, (_, i) => put(`small${i}`, ['current', 'b', 'c'])));
  const client = new pg.Client(postgres.config);
  await client.connect();
  await client.query('SET plan_cache_mode = force_generic_plan');
  const shape = { name: 'pubsub_items', kind: 'items' as const, index: [] };
  const [read, write] = [readStatements(shape), itemStatements(shape)];
  const now = Date.now();
  const of = ['plans.test', 'o', node, now];
  const names = ['{plans.test}', '{o}', `{${node}}`];
  const questions: [string, readonly unknown[], most: number][] = [
    [read.page({ limit: 50 }), of, 51],
    [read.page({ limit: 50, backwards: true }), of, 51],
    [read.page({ limit: 50, after: 'i15000' }), [...of, 'i15000'], 51],
    [read.page({ limit: 50, before: 'i15000', newestFirst: true }), [...of, 'i15000'], 51],
    [read.page({ limit: 50, after: 'i9', before: 'i15000' }), [...of, 'i9', 'i15000'], 51],
    [read.page({ limit: 50, after: 'i15000', by: 'created', newestFirst: true }), [...of, 'i15000'], 51],
    [read.get, [...of, '{i1,i29000,current}'], 3],
    [read.newest, ['plans.test', '{o,small1,small2,none}', `{${node},${node},${node},${node}}`, now], 4],
    [read.usageOfNode, of.slice(0, 3), 1],
    [read.usage, of.slice(0, 2), 1],
    [read.sweep, [now, 10], 10],
    [write.publish, [...names, '{i7}', '{p}', '{x}', `{${now}}`, '{NULL}', now], 1],
    [write.trim, [...names, '{29990}'], 10],
    [write.remove, [...names, '{i77}', now], 1],
  ];
  for (const analysed of [false, true]) {
    if (analysed) await client.query('VACUUM ANALYZE parley.pubsub_items, parley.pubsub_items_nodes');
    for (const [i, [text, values, most]] of questions.entries()) {
      const name = `q${Number(analysed)}_${i}`;
      const given = values.map((value) => `'${value}'`).join(', ');
      await client.query('BEGIN');
      if (i >= questions.length - 3) await client.query('SET LOCAL enable_seqscan = off');
      await client.query(`PREPARE ${name} AS ${text}`);
      const { rows } = await client.query(`EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE ${name}(${given})`);
      await client.query('ROLLBACK');
      const plan = planIn(rows);
      expectFewRows(plan, most, `${text}\n${outline(plan)}`);
    }
  }
  await client.end();
}, 120_000);
