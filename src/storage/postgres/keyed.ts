// Stores of one value per owner, of many keyed values per owner, and of pairs, as tables. What is read of many owners at the same moment is read by one
// statement: somebody with many contacts costs no more round trips than somebody with one.
import { Together } from '../../base/together.ts';
import { StorageUnavailable } from '../errors.ts';
import { checkText, encode, freeze } from '../json.ts';
import type { KvStore, MapStore, PairsStore } from '../ports.ts';
import { textArray } from './arrays.ts';
import type { Database } from './database.ts';
import { keyColumns, qualified, type TableShape } from './tables.ts';

const mostTries = 100;

/** Reads and writes single rows of one host. */
interface Rows {
  get(key: readonly string[]): Promise<unknown>;
  set(key: readonly string[], value: unknown): Promise<void>;
  update(key: readonly string[], change: (old: unknown) => unknown): Promise<unknown>;
}

function createRows(database: Database, shape: TableShape, host: string): Rows {
  const table = qualified(shape);
  const columns = keyColumns[shape.kind];
  const isRow = columns.map((column, i) => `${column} = $${i + 1}`).join(' AND ');
  const next = columns.length + 1;
  const marks = columns.map((_, i) => `$${i + 1}`).join(', ');
  const insert = `INSERT INTO ${table} (${columns.join(', ')}, value) VALUES (${marks}, $${next})`;
  // xmin is the transaction that wrote this version of the row: the same as long as nobody else has written
  const unchanged = `xmin = $${next}::text::xid`;
  const sql = {
    get: `SELECT value FROM ${table} WHERE ${isRow}`,
    read: `SELECT value, xmin::text FROM ${table} WHERE ${isRow}`,
    put: `${insert} ON CONFLICT (${columns.join(', ')}) DO UPDATE SET value = excluded.value`,
    remove: `DELETE FROM ${table} WHERE ${isRow}`,
    insertNew: `${insert} ON CONFLICT DO NOTHING RETURNING 1`,
    replaceUnchanged: `UPDATE ${table} SET value = $${next + 1} WHERE ${isRow} AND ${unchanged} RETURNING 1`,
    removeUnchanged: `DELETE FROM ${table} WHERE ${isRow} AND ${unchanged} RETURNING 1`,
  };
  // updates of one row queue up here, so that only other nodes can come in between
  const queues = new Map<string, Promise<unknown>>();

  /** One attempt: whether it was stored, and what. */
  async function attempt(
    row: string[],
    change: (old: unknown) => unknown,
    life: string,
  ): Promise<{ value: unknown } | undefined> {
    const [found] = await database.run(sql.read, row, true, life);
    const old = found === undefined ? undefined : freeze(found[0]);
    const value = change(old);
    if (value === old) return { value };
    if (value === undefined) {
      const done = await database.run(sql.removeUnchanged, [...row, found![1]], false, life);
      return done.length > 0 ? { value } : undefined;
    }
    const json = encode(value);
    const done =
      found === undefined
        ? await database.run(sql.insertNew, [...row, json], false, life)
        : await database.run(sql.replaceUnchanged, [...row, found[1], json], false, life);
    return done.length > 0 ? { value: JSON.parse(json) } : undefined;
  }

  async function updateRow(row: string[], change: (old: unknown) => unknown, life: string): Promise<unknown> {
    for (let tries = 0; tries < mostTries; tries++) {
      const done = await attempt(row, change, life);
      if (done !== undefined) return done.value;
    }
    throw new StorageUnavailable('a row is written by too many at once');
  }

  return {
    async get(key) {
      const [found] = await database.run(sql.get, [host, ...key.map(checkText)], true);
      return found?.[0];
    },
    async set(key, value) {
      const row = [host, ...key.map(checkText)];
      if (value === undefined) await database.run(sql.remove, row, true);
      else await database.run(sql.put, [...row, encode(value)], true);
    },
    async update(key, change) {
      const row = [host, ...key.map(checkText)];
      const name = key.join('\0');
      const { life } = database;
      const before = queues.get(name);
      const work =
        before === undefined ? updateRow(row, change, life) : before.then(() => updateRow(row, change, life));
      const settled = work.catch(() => {});
      queues.set(name, settled);
      try {
        return await work;
      } finally {
        if (queues.get(name) === settled) queues.delete(name);
      }
    },
  };
}

export function createKv(database: Database, shape: TableShape, host: string): KvStore<unknown> {
  const rows = createRows(database, shape, host);
  const page = `SELECT owner FROM ${qualified(shape)} WHERE host = $1 AND owner > $2 ORDER BY owner LIMIT $3`;
  const values = `SELECT owner, value FROM ${qualified(shape)} WHERE host = $1 AND owner = ANY($2::text[])`;
  const reading = new Together<unknown>(
    async (owners) => {
      const found = await database.run(values, [host, textArray(owners, (owner) => owner)], true);
      return new Map(found.map((row) => [row[0] as string, row[1]]));
    },
    () => undefined,
  );
  return {
    get: async (owner) => reading.ask(checkText(owner)),
    set: (owner, value) => rows.set([owner], value),
    update: (owner, change) => rows.update([owner], change),
    async owners(after = '', limit = 1000) {
      const found = await database.run(page, [host, checkText(after), limit], true);
      return found.map((row) => row[0] as string);
    },
  };
}

/** What is removed by a step that writes several values, and what is written. */
function parted(values: ReadonlyMap<string, unknown>): Record<'gone' | 'keys' | 'json', string[]> {
  const parts: ReturnType<typeof parted> = { gone: [], keys: [], json: [] };
  for (const [key, value] of values) {
    if (value === undefined) parts.gone.push(checkText(key));
    else {
      parts.json.push(encode(value));
      parts.keys.push(checkText(key));
    }
  }
  return parts;
}

export function createMap(database: Database, shape: TableShape, host: string): MapStore<unknown> {
  const rows = createRows(database, shape, host);
  const table = qualified(shape);
  const all = `SELECT owner, key, value FROM ${table} WHERE host = $1 AND owner = ANY($2::text[])`;
  const reading = new Together<ReadonlyMap<string, unknown>>(
    async (owners) => {
      const maps = new Map<string, Map<string, unknown>>();
      for (const row of await database.run(all, [host, textArray(owners, (owner) => owner)], true)) {
        const [owner, key, value] = row as [string, string, unknown];
        const map = maps.get(owner);
        if (map === undefined) maps.set(owner, new Map([[key, value]]));
        else map.set(key, value);
      }
      return maps;
    },
    () => new Map(),
  );
  const setAll =
    `WITH gone AS (DELETE FROM ${table} WHERE host = $1 AND owner = $2 AND key = ANY($3::text[])) ` +
    `INSERT INTO ${table} (host, owner, key, value) ` +
    'SELECT $1, $2, new.key, new.value FROM unnest($4::text[], $5::jsonb[]) AS new (key, value) ' +
    'ON CONFLICT (host, owner, key) DO UPDATE SET value = excluded.value';
  return {
    get: (owner, key) => rows.get([owner, key]),
    set: (owner, key, value) => rows.set([owner, key], value),
    async setAll(owner, values) {
      const { gone, keys, json } = parted(values);
      await database.run(setAll, [host, checkText(owner), gone, keys, json], true);
    },
    update: (owner, key, change) => rows.update([owner, key], change),
    all: async (owner) => reading.ask(checkText(owner)),
  };
}

export function createPairs(database: Database, shape: TableShape, host: string): PairsStore<unknown> {
  const rows = createRows(database, shape, host);
  const table = qualified(shape);
  const isOwn = 'host = $1 AND owner = $2';
  const sql = {
    left: `SELECT right_key, value FROM ${table} WHERE ${isOwn} AND left_key = $3`,
    right: `SELECT left_key, value FROM ${table} WHERE ${isOwn} AND right_key = $3`,
    clear: `WITH gone AS (DELETE FROM ${table} WHERE ${isOwn} AND left_key = $3 RETURNING 1) SELECT count(*) FROM gone`,
    setAll:
      `WITH gone AS (DELETE FROM ${table} WHERE ${isOwn} AND left_key = $3 AND right_key = ANY($4::text[])) ` +
      `INSERT INTO ${table} (host, owner, left_key, right_key, value) ` +
      'SELECT $1, $2, $3, new.key, new.value FROM unnest($5::text[], $6::jsonb[]) AS new (key, value) ' +
      'ON CONFLICT (host, owner, left_key, right_key) DO UPDATE SET value = excluded.value',
  };
  const list = async (text: string, owner: string, key: string): Promise<ReadonlyMap<string, unknown>> => {
    const found = await database.run(text, [host, checkText(owner), checkText(key)], true);
    return new Map(found.map((row) => [row[0] as string, row[1]]));
  };
  return {
    get: (owner, left, right) => rows.get([owner, left, right]),
    set: (owner, left, right, value) => rows.set([owner, left, right], value),
    async setAll(owner, left, values) {
      const { gone, keys, json } = parted(values);
      await database.run(sql.setAll, [host, checkText(owner), checkText(left), gone, keys, json], true);
    },
    left: (owner, left) => list(sql.left, owner, left),
    right: (owner, right) => list(sql.right, owner, right),
    async clear(owner, left) {
      const [row] = await database.run(sql.clear, [host, checkText(owner), checkText(left)], true);
      return Number(row![0]);
    },
  };
}
