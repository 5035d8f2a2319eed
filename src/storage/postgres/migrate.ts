// Which stores the database has, in which version, and how it gets to what the program declares. One transaction for all stores of
// a module, under an advisory lock: any number of nodes may start at once.
import type pg from 'pg';
import { StorageMismatch } from '../errors.ts';
import { encode } from '../json.ts';
import { migrateValue, type Spec } from '../specs.ts';
import { createArchive } from './archive-tables.ts';
import type { Database } from './database.ts';
import { createItems } from './items-tables.ts';
import {
  addIndex,
  createTable,
  dropIndex,
  keyColumns,
  qualified,
  schema,
  type TableShape,
  versionsTable,
} from './tables.ts';

/** A store as a module declares it. */
export interface Declared extends TableShape {
  /** `module.store`, for people and against names that fall together. */
  readonly title: string;
  readonly spec: Spec<unknown>;
}

/** A store as the database has it. */
export interface Existing {
  readonly title: string;
  readonly kind: string;
  readonly version: number;
  readonly index: readonly string[];
}
export type Versions = Map<string, Existing>;

/** One step on the way; `what` is for people. */
interface Step {
  readonly what: string;
  /** It touches nothing that is there: of fifty stores of a new server, nobody wants to read. */
  readonly isNew?: boolean;
  run(client: pg.Client): Promise<void>;
}

/** The layout of the whole schema: raised when the way in which we make tables changes. */
const layout: Existing = { title: 'the database layout', kind: 'layout', version: 1, index: [] };
const layoutName = '';
// 'parley' in ASCII
const lockKey = '123580868846969';
const batch = 500;

/** What there is; `undefined` when there is no schema of ours yet. */
export async function readVersions(client: pg.Client | Database): Promise<Versions | undefined> {
  const query = async (text: string): Promise<readonly (readonly unknown[])[]> =>
    'run' in client ? client.run(text, [], true) : (await client.query({ text, rowMode: 'array' })).rows;
  const [exists] = await query(`SELECT to_regclass('${versionsTable}') IS NOT NULL`);
  if (exists?.[0] !== true) return undefined;
  const rows = await query(`SELECT name, title, kind, version, index FROM ${versionsTable}`);
  const versions: Versions = new Map();
  for (const [name, title, kind, version, index] of rows) {
    versions.set(name as string, {
      title: title as string,
      kind: kind as string,
      version: version as number,
      index: index as string[],
    });
  }
  const found = versions.get(layoutName);
  if (found !== undefined && found.version > layout.version) throw newer(layout.title, found.version, layout.version);
  return versions;
}

const newer = (title: string, has: number, knows: number): StorageMismatch =>
  new StorageMismatch(
    `${title} has version ${has} in the database, and this program knows only version ${knows}: run the newer program, or restore a backup`,
  );

/** What has to be done for these stores; nothing when they are as declared. Throws {@link StorageMismatch} when they cannot be. */
export function planSteps(versions: Versions | undefined, declared: readonly Declared[]): readonly Step[] {
  const steps: Step[] = [];
  if (versions === undefined) {
    steps.push(
      statements('create the schema', [
        `CREATE SCHEMA IF NOT EXISTS ${schema}`,
        `CREATE TABLE ${versionsTable} (name text PRIMARY KEY, title text NOT NULL, kind text NOT NULL,
          version integer NOT NULL, index text[] NOT NULL)`,
      ]),
      record(layoutName, layout),
    );
  }
  for (const store of declared) steps.push(...planStore(versions?.get(store.name), store));
  return steps;
}

function planStore(has: Existing | undefined, store: Declared): Step[] {
  const { title, kind, spec, index } = store;
  const now = { title, kind, version: spec.version, index };
  if (has === undefined) {
    const texts = creation(store);
    return [{ ...statements(`create ${title} (${kind})`, texts), isNew: true }, record(store.name, now)];
  }
  if (has.title !== title) throw new StorageMismatch(`${title} and ${has.title} would share the table ${store.name}`);
  if (has.kind !== kind)
    throw new StorageMismatch(`${title} is a ${has.kind} store in the database, not a ${kind} store`);
  if (has.version > spec.version) throw newer(title, has.version, spec.version);
  const steps: Step[] = [];
  for (const name of index) {
    if (!has.index.includes(name)) steps.push(statements(`index ${title} by ${name}`, addIndex(store, name)));
  }
  for (const name of has.index) {
    if (!index.includes(name)) steps.push(statements(`stop indexing ${title} by ${name}`, [dropIndex(store, name)]));
  }
  if (has.version < spec.version) {
    steps.push({
      what: `change ${title} from version ${has.version} to version ${spec.version}`,
      run: (client) => migrateValues(client, store, has.version),
    });
  }
  return steps.length > 0 ? [...steps, record(store.name, now)] : [];
}

function creation(store: Declared): string[] {
  if (store.kind === 'archive') return createArchive(store);
  return store.kind === 'items' ? createItems(store) : createTable(store);
}

function statements(what: string, texts: readonly string[]): Step {
  return {
    what,
    async run(client) {
      for (const text of texts) await client.query(text);
    },
  };
}

function record(name: string, is: Existing): Step {
  return {
    what: '',
    async run(client) {
      await client.query(
        `INSERT INTO ${versionsTable} (name, title, kind, version, index) VALUES ($1, $2, $3, $4, $5)
          ON CONFLICT (name) DO UPDATE SET version = excluded.version, index = excluded.index`,
        [name, is.title, is.kind, is.version, is.index],
      );
    },
  };
}

/** What would be done, a line each. */
export async function describeMigration(database: Database, declared: readonly Declared[]): Promise<readonly string[]> {
  const steps = planSteps(await readVersions(database), declared);
  return steps.map((step) => step.what).filter((what) => what !== '');
}

/** Makes the database have these stores as declared; returns what it has then. */
export async function migrate(database: Database, declared: readonly Declared[]): Promise<Versions> {
  // however long other nodes' migrations and our own take
  const client = database.client(0);
  await client.connect();
  try {
    const [encoding] = (await client.query<{ server_encoding: string }>('SHOW server_encoding')).rows;
    if (encoding?.server_encoding !== 'UTF8') {
      throw new StorageMismatch(`the database has the encoding ${encoding?.server_encoding}; it must be UTF8`);
    }
    await client.query('BEGIN');
    await lock(client, database);
    for (const step of planSteps(await readVersions(client), declared)) {
      if (step.what !== '') database.log[step.isNew ? 'debug' : 'info']({}, `database: ${step.what}`);
      await step.run(client);
    }
    const versions = await readVersions(client);
    await client.query('COMMIT');
    return versions!;
  } finally {
    // an open transaction is rolled back
    await client.end().catch(() => {});
  }
}

/** Runs statements that may be run again by any node at any time, one node after another. */
export async function prepareAll(database: Database, texts: readonly string[]): Promise<void> {
  const client = database.client(0);
  await client.connect();
  try {
    await client.query('BEGIN');
    await lock(client, database);
    for (const text of texts) await client.query(text);
    await client.query('COMMIT');
  } finally {
    await client.end().catch(() => {});
  }
}

async function lock(client: pg.Client, database: Database): Promise<void> {
  const [tried] = (await client.query<{ got: boolean }>(`SELECT pg_try_advisory_xact_lock(${lockKey}) AS got`)).rows;
  if (tried?.got) return;
  database.log.info({}, 'waiting for another node that prepares the database');
  await client.query(`SELECT pg_advisory_xact_lock(${lockKey})`);
}

/** Rewrites every value of a store, batch by batch. */
async function migrateValues(client: pg.Client, store: Declared, from: number): Promise<void> {
  const table = qualified(store);
  const keys = keyColumns[store.kind];
  const list = keys.join(', ');
  const marks = keys.map((_, i) => `$${i + 1}`).join(', ');
  const arrays = keys.map((_, i) => `$${i + 1}::text[]`).join(', ');
  const same = keys.map((key) => `t.${key} = u.${key}`).join(' AND ');
  // others may read, and write again when we are done
  await client.query(`LOCK TABLE ${table} IN SHARE ROW EXCLUSIVE MODE`);
  let last: string[] = keys.map(() => '');
  for (;;) {
    const page = await client.query<unknown[]>({
      text: `SELECT ${list}, value FROM ${table} WHERE (${list}) > (${marks}) ORDER BY ${list} LIMIT ${batch}`,
      values: last,
      rowMode: 'array',
    });
    const changed: string[][] = [...keys.map(() => []), []];
    const removed: string[][] = keys.map(() => []);
    for (const row of page.rows) {
      last = row.slice(0, keys.length) as string[];
      const value = migrateValue(store.spec, from, row[keys.length]);
      const into = value === undefined ? removed : changed;
      last.forEach((key, i) => {
        into[i]!.push(key);
      });
      if (value !== undefined) changed[keys.length]!.push(encode(value));
    }
    if (changed[0]!.length > 0) {
      await client.query(
        `UPDATE ${table} AS t SET value = u.value
          FROM unnest(${arrays}, $${keys.length + 1}::jsonb[]) AS u (${list}, value) WHERE ${same}`,
        changed,
      );
    }
    if (removed[0]!.length > 0) {
      await client.query(`DELETE FROM ${table} AS t USING unnest(${arrays}) AS u (${list}) WHERE ${same}`, removed);
    }
    if (page.rows.length < batch) return;
  }
}
