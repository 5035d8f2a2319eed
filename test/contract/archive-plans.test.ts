// What PostgreSQL does for each kind of question to an archive of 100,000 messages of several owners: it goes by an index, sorts
// nothing but what it returns, and reads about as many rows as it returns; also where most archives are much smaller.
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { silent } from '../../src/base/log.ts';
import type { ArchiveQuery, ArchiveRange, ArchiveStore } from '../../src/storage/ports.ts';
import { ArchiveKeys } from '../../src/storage/postgres/archive-keys.ts';
import { ArchiveStatements, type Statement } from '../../src/storage/postgres/archive-statements.ts';
import { archiveTables } from '../../src/storage/postgres/archive-tables.ts';
import { Database } from '../../src/storage/postgres/database.ts';
import { createPostgresDriver, type PostgresDriver } from '../../src/storage/postgres/driver.ts';
import { archive, type Searchable, type Spec } from '../../src/storage/specs.ts';
import { startPostgres, type TestPostgres } from '../kit/postgres.ts';
import { expectFewRows, outline, partsOf, planIn, type QueryPlan, rowsOf } from '../kit/query-plan.ts';

const owners = 5;
const parties = 100;
const total = 100_000;
const each = total / owners;
const small = 20_000;
const start = Date.UTC(2026, 0, 1);
const limit = 50;

let postgres: TestPostgres;
let driver: PostgresDriver;
let admin: pg.Client;
let store: ArchiveStore;
let statements: ArchiveStatements;
const ids: string[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
  const clock = { now: () => start + total * 1000 + 3_600_000, after: () => () => {} };
  driver = createPostgresDriver({ connection: postgres.config, clock });
  const spec = archive({ searchable: (xml) => ({ text: xml }) }) as Spec<unknown>;
  store = (await driver.open('h.test', 'm', { a: spec })).a as ArchiveStore;
  for (let i = 0; i < total; i += 5000) {
    const batch = Array.from({ length: 5000 }, (_, k) => {
      const n = i + k;
      const xml = `number${n} ${n % 500 === 0 ? 'rare' : 'usual'} ${'padding '.repeat(20)}`;
      const party = `p${n % parties}@h.test`;
      const ref = { sender: party, id: `id${n}` };
      return store.append(`o${n % owners}`, { with: party, resource: 'r', xml, ref, at: start + n * 1000 });
    });
    await Promise.all(batch.map(({ durable }) => durable));
    for (let k = 0; k < batch.length; k += owners) ids.push(batch[k]!.id);
  }
  // and many archives of one message, so that an archive of average length is a short one
  for (let i = 0; i < small; i += 5000) {
    const message = { with: 'p50@h.test', resource: 'r', xml: 'usual' };
    const batch = Array.from({ length: 5000 }, (_, k) => store.append(`small${i + k}`, message));
    await Promise.all(batch.map(({ durable }) => durable));
  }
  for (let i = 0; i < owners; i++) {
    await store.find(`o${i}`, { limit: 1, search: { text: 'rare', languages: [] } });
  }
  admin = new pg.Client(postgres.config);
  await admin.connect();
  await admin.query('SET plan_cache_mode = force_generic_plan');
  await admin.query('VACUUM ANALYZE parley.m_a, parley.m_a_words, parley.m_a_owners');
  const [row] = (await admin.query<{ secret: string }>('SELECT secret FROM parley.archive_secrets')).rows;
  statements = new ArchiveStatements(archiveTables({ name: 'm_a' }), new ArchiveKeys(row!.secret, 'h.test'));
}, 120_000);
afterAll(async () => {
  await admin?.end();
  await driver?.close();
  await postgres?.remove();
});

let prepared = 0;
async function explain([text, values]: Statement): Promise<QueryPlan> {
  const name = `q${prepared++}`;
  await admin.query(`PREPARE ${name} AS ${text}`);
  const literal = (value: unknown): string =>
    Array.isArray(value) ? `'{${value.join(',')}}'` : `'${String(value).replaceAll("'", "''")}'`;
  const execute = `EXECUTE ${name}${values.length > 0 ? `(${values.map(literal).join(', ')})` : ''}`;
  const { rows } = await admin.query(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${execute}`);
  return planIn(rows);
}

/** Every row that is read or sorted is one of these few, and found by an index. */
function expectFew(plan: QueryPlan, most: number): void {
  expectFewRows(plan, most);
  // an owner's messages lie apart from one another: a page of the table for each, and the way down the index
  const blocks = (plan['Shared Hit Blocks'] ?? 0) + (plan['Shared Read Blocks'] ?? 0);
  expect(blocks, outline(plan)).toBeGreaterThan(0);
  expect(blocks, outline(plan)).toBeLessThanOrEqual(2 * most + 20);
}
const indexes = (plan: QueryPlan): string[] => [...new Set(partsOf(plan).flatMap((node) => node['Index Name'] ?? []))];

test('connections plan without values', async () => {
  const database = new Database({ connection: postgres.config, log: silent });
  expect(await database.run('SHOW plan_cache_mode', [], true)).toEqual([['force_generic_plan']]);
  await database.close();
});

describe('a question', () => {
  const at = (n: number): number => start + n * 1000;
  const party = { with: 'p50@h.test' };
  const pages: Record<string, () => Partial<ArchiveQuery>> = {
    'the first page': () => ({}),
    'the last page': () => ({ backwards: true }),
    'after an id': () => ({ after: ids[10_000]! }),
    'before an id, backwards': () => ({ before: ids[10_000]!, backwards: true }),
    'after an id near the end': () => ({ afterId: ids[19_990]! }),
    'between ids': () => ({ afterId: ids[100]!, beforeId: ids[19_900]! }),
    'between ids, backwards': () => ({ afterId: ids[100]!, beforeId: ids[19_900]!, backwards: true }),
    'from a time': () => ({ start: at(50_000) }),
    'up to a time, backwards': () => ({ end: at(50_000), backwards: true }),
    'between times': () => ({ start: at(1000), end: at(99_000) }),
    'between times, after an id': () => ({ start: at(1000), end: at(99_000), after: ids[5000]! }),
    'a conversation': () => party,
    'the end of a conversation': () => ({ ...party, backwards: true }),
    'a conversation after an id': () => ({ ...party, after: ids[10_000]! }),
    'a conversation before an id, backwards': () => ({ ...party, before: ids[10_000]!, backwards: true }),
    'a conversation between times': () => ({ ...party, start: at(1000), end: at(99_000), backwards: true }),
    'a conversation with a resource': () => ({ ...party, resource: 'r' }),
    'a conversation that there is not': () => ({ with: 'nobody@h.test', backwards: true }),
  };
  test.each(Object.entries(pages))('%s is read by index, a page of rows', async (_what, query) => {
    const plan = await explain(statements.page('o0', { limit, ...query() }));
    expectFew(plan, limit + 1);
    const used = query().with === undefined ? 'm_a_pkey' : 'm_a_talk';
    expect(indexes(plan)).toContain(used);
  });

  test('messages by id are read one by one', async () => {
    const some = [ids[1]!, ids[10_000]!, ids[19_000]!];
    expectFew(await explain(statements.page('o0', { limit, ids: some })), some.length);
    expectFew(await explain(statements.page('o0', { limit, ids: some, ...party })), some.length);
  });

  test('a message by its reference is found in the index of its conversation', async () => {
    const plan = await explain(statements.lookup('o0', 'p50@h.test', { sender: 'p50@h.test', id: 'id150' }));
    expectFew(plan, 1);
    expect(plan['Actual Rows']).toBe(1);
    expectFew(await explain(statements.lookup('o0', 'p50@h.test', { sender: 'p50@h.test', id: 'none' })), 1);
  });

  test('what is unread in many archives is counted from where each was read up to, by index, and no further than that tells', async () => {
    const asked = [
      { owner: 'o0', afterId: ids[10_000]! },
      { owner: 'o1', start: at(99_000), except: 'p50@h.test' },
      { owner: 'o2' },
    ];
    const plan = await explain(statements.unread(asked, 100));
    expect(indexes(plan)).toEqual(['m_a_pkey']);
    expectFew(plan, 300);
  });

  test('the ends of an archive are two looks at its index', async () => {
    expectFew(await explain(statements.ends('o0')), 1);
  });

  test('counting stops where it becomes dear', async () => {
    const ranges: ArchiveRange[] = [{}, { start: at(1000) }, { with: 'p50@h.test' }];
    for (const range of ranges) expectFew(await explain(statements.count('o0', range, 100)), 101);
  });

  test('removing the oldest reads no more than it removes', async () => {
    await admin.query('BEGIN');
    const plan = await explain(statements.remove('o1', { end: at(90_000) }, 40));
    await admin.query('ROLLBACK');
    for (const node of partsOf(plan)) {
      expect(node['Node Type']).not.toBe('Seq Scan');
      if (/Index|Sort/.test(node['Node Type']))
        expect(node['Actual Rows'] * node['Actual Loops']).toBeLessThanOrEqual(40);
    }
    expect(indexes(plan)).toEqual(expect.arrayContaining(['m_a_pkey', 'm_a_words_pkey']));
  });

  test("searching reads the owner's own messages that have the words, and nothing else", async () => {
    const matches = each / 100;
    for (const query of [{}, { backwards: true }, { before: ids[10_000]!, backwards: true }]) {
      const plan = await explain(statements.search('o0', { limit, ...query }, [['rare'], ['padding']], limit + 1));
      expect(indexes(plan)).toEqual(expect.arrayContaining(['m_a_words_words', 'm_a_pkey']));
      for (const node of partsOf(plan)) {
        expect(node['Node Type']).not.toBe('Seq Scan');
        if (node['Relation Name'] === 'm_a_words') expect(rowsOf(node)).toBe(matches);
        if (node['Relation Name'] === 'm_a') expect(rowsOf(node)).toBeLessThanOrEqual(limit + 1);
      }
    }
  });
});

test('the driver asks just that', async () => {
  const page = await store.find('o0', { limit: 2, with: 'p50@h.test', after: ids[10_000]!, backwards: true });
  expect(page?.entries.map((entry) => entry.xml.split(' ')[0])).toEqual(['number99850', 'number99950']);
  const search = { text: 'rare', languages: [] };
  const found = await store.find('o0', { limit: 3, backwards: true, search });
  expect(found?.entries.map((entry) => entry.xml.split(' ')[0])).toEqual(['number98500', 'number99000', 'number99500']);
});

test('a search passes by what was collected a moment ago, and sees what has come since, and what corrects it', async () => {
  let read = 0;
  const searchable = (xml: string): Searchable => {
    read++;
    const [id, text = ''] = xml.split('|');
    return id === 'fix' ? { text, replaces: { sender: 'p@h.test', id: 'id7' } } : { text };
  };
  const spec = archive({ searchable }) as Spec<unknown>;
  const fresh = (await driver.open('h.test', 'fresh', { a: spec })).a as ArchiveStore;
  const say = (id: string, text: string): Promise<void> => {
    const ref = { sender: 'p@h.test', id };
    return fresh.append('o', { with: 'p@h.test', resource: 'r', xml: `${id}|${text}`, ref }).durable;
  };
  const search = async (text: string): Promise<readonly string[]> => {
    read = 0;
    const page = await fresh.find('o', { limit: 10, search: { text, languages: [] } });
    return page!.entries.map(({ xml }) => xml);
  };
  await Promise.all(Array.from({ length: 500 }, (_, n) => say(`id${n}`, n === 7 ? 'hapax' : 'usual')));
  expect(await search('hapax')).toEqual(['id7|hapax']);
  expect(read).toBeGreaterThan(500);
  expect(await search('hapax')).toEqual(['id7|hapax']);
  expect(read).toBeLessThan(5);
  await say('new', 'hapax');
  expect(await search('hapax')).toEqual(['id7|hapax', 'new|hapax']);
  expect(read).toBeLessThan(8);
  await say('fix', 'corrected');
  for (const _ of [1, 2]) {
    expect(await search('hapax')).toEqual(['new|hapax']);
    expect(await search('corrected')).toEqual(['fix|corrected']);
  }
  expect(read).toBeLessThan(8);
});
