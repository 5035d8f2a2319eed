// The PostgreSQL driver: stores as tables, whether the database is a server of its own or the embedded one.
import type pg from 'pg';
import { type Clock, systemClock } from '../../base/clock.ts';
import { type Logger, silent } from '../../base/log.ts';
import { createEphemeral, type Ephemeral, type OpenEphemeral } from '../ephemeral.ts';
import { StorageMismatch } from '../errors.ts';
import { createIds } from '../ids.ts';
import { checkText } from '../json.ts';
import type { Driver, ItemsStore, LogStore } from '../ports.ts';
import { checkMigrations, type Spec } from '../specs.ts';
import { type ArchiveTable, createArchiveTable } from './archive.ts';
import { secretsTable } from './archive-tables.ts';
import { Batcher } from './batch.ts';
import { Database } from './database.ts';
import { translate } from './failures.ts';
import { connectionName, fenceOff, fenceTables } from './fence.ts';
import { createItemsTable } from './items.ts';
import { createKv, createMap, createPairs } from './keyed.ts';
import { createLogTable } from './log.ts';
import {
  type Declared,
  describeMigration,
  migrate,
  planSteps,
  prepareAll,
  readVersions,
  type Versions,
} from './migrate.ts';
import { quoted, schema, type TableShape, tableName } from './tables.ts';

export interface PostgresOptions {
  /** A `postgres://` URL, or pg's own settings. */
  readonly connection: string | pg.ClientConfig;
  readonly log?: Logger;
  readonly clock?: Clock;
  /** Connections at most, besides one for appends. */
  readonly connections?: number;
  /** How long a statement may run, in milliseconds. */
  readonly timeout?: number;
  /** How long a statement waits for a database that is away, in milliseconds. */
  readonly patience?: number;
  /** Appended rows that may wait for a database that is away or slow; what comes then is refused. */
  readonly waitingRows?: number;
  /** Where values that expire are kept; in this process unless said otherwise. */
  readonly ephemeral?: OpenEphemeral | undefined;
  /** Called when the driver has closed; stops an embedded server. */
  readonly onClose?: () => Promise<void>;
}

export interface PostgresDriver extends Driver {
  /** What opening these stores would do to the database, a line each; changes nothing. */
  plan(module: string, specs: Readonly<Record<string, Spec<unknown>>>): Promise<readonly string[]>;
}

const closingTime = 10_000;

/** Connects on first use. */
export function createPostgresDriver(options: PostgresOptions): PostgresDriver {
  const { log = silent, clock = systemClock, connection, onClose, waitingRows, ...rest } = options;
  const { ephemeral = () => createEphemeral(clock), ...limits } = rest;
  const database = new Database({
    ...limits,
    log,
    connection: typeof connection === 'string' ? { connectionString: connection } : connection,
  });
  const batcher = new Batcher(database, waitingRows);
  const mint = createIds(clock);
  const logs = new Map<string, (host: string) => LogStore<unknown, Record<string, string>>>();
  const archives = new Map<string, ArchiveTable>();
  const itemsTables = new Map<string, (host: string) => ItemsStore>();
  const ephemerals = new Map<string, Map<string, Ephemeral>>();
  let versions: Versions | undefined;
  let hasFences = false;
  // one at a time in this process; the advisory lock is for the others
  let preparing: Promise<unknown> = Promise.resolve();
  let closing: Promise<void> | undefined;

  const prepare = async (declared: readonly Declared[]): Promise<void> => {
    try {
      versions ??= await readVersions(database);
      if (planSteps(versions, declared).length > 0) versions = await migrate(database, declared);
    } catch (error) {
      throw translate(error);
    }
  };
  const openEphemeral = (host: string, title: string): Ephemeral => {
    let ofHost = ephemerals.get(host);
    if (ofHost === undefined) {
      ofHost = new Map();
      ephemerals.set(host, ofHost);
    }
    let store = ofHost.get(title);
    if (store === undefined) {
      store = ephemeral(host, title);
      ofHost.set(title, store);
    }
    return store;
  };
  const makeArchive = async (shape: TableShape): Promise<ArchiveTable> => {
    const [row] = await database.run(`SELECT secret FROM ${secretsTable} WHERE name = $1`, [shape.name], true);
    return createArchiveTable(shape, { database, batcher, mint, clock, secret: row?.[0] as string });
  };
  const openArchive = async (store: Declared): Promise<ArchiveTable> => {
    const made = archives.get(store.name) ?? (await makeArchive(store));
    // (another host may have opened it meanwhile)
    const table = archives.get(store.name) ?? made;
    archives.set(store.name, table);
    return table;
  };
  const openItems = (store: Declared): ((host: string) => ItemsStore) => {
    const table = itemsTables.get(store.name) ?? createItemsTable(store, { database, batcher, clock });
    itemsTables.set(store.name, table);
    return table;
  };
  const openTable = async (host: string, store: Declared): Promise<unknown> => {
    if (store.kind === 'archive') return (await openArchive(store)).open(host, store.spec.searchable);
    if (store.kind === 'kv') return createKv(database, store, host);
    if (store.kind === 'map') return createMap(database, store, host);
    if (store.kind === 'pairs') return createPairs(database, store, host);
    if (store.kind === 'items') return openItems(store)(host);
    let table = logs.get(store.name);
    if (table === undefined) {
      table = createLogTable(store, { database, batcher, mint });
      logs.set(store.name, table);
    }
    return table(host);
  };
  /** Also those of modules that are not loaded now. */
  const purgeArchives = async (host: string, owner: string): Promise<void> => {
    for (const [name, { kind, index }] of (await readVersions(database)) ?? []) {
      if (kind !== 'archive') continue;
      const table = archives.get(name) ?? (await makeArchive({ name, kind, index }));
      await table.purge(host, owner);
    }
  };
  const close = async (): Promise<void> => {
    await batcher.close(closingTime);
    await database.close();
    for (const ofHost of ephemerals.values()) for (const store of ofHost.values()) store.close();
    await onClose?.();
  };

  return {
    async open(host, module, specs) {
      checkText(host);
      const declared = declare(module, specs);
      if (declared.length > 0) {
        const prepared = preparing.then(() => prepare(declared));
        preparing = prepared.catch(() => {});
        await prepared;
      }
      const stores: Record<string, unknown> = {};
      for (const store of declared) stores[store.store] = await openTable(host, store);
      for (const [name, spec] of Object.entries(specs)) {
        if (spec.kind === 'ephemeral') stores[name] = openEphemeral(host, `${module}.${name}`);
      }
      return stores;
    },
    async plan(module, specs) {
      return describeMigration(database, declare(module, specs));
    },
    purge: async (host, owner) => {
      for (const store of ephemerals.get(host)?.values() ?? []) await store.purge(owner);
      await batcher.drained();
      await purgeArchives(checkText(host), checkText(owner));
      await purge(database, checkText(host), checkText(owner));
    },
    async identify(life) {
      try {
        // (once: later a node that comes back to life must not wait for anything)
        if (!hasFences) await prepareAll(database, fenceTables);
      } catch (error) {
        throw translate(error);
      }
      hasFences = true;
      database.begin(life);
      batcher.drop();
    },
    fence: (life) => fenceOff(database, connectionName(life)),
    ping: () => database.ping(),
    close() {
      closing ??= close();
      return closing;
    },
  };
}

interface DeclaredStore extends Declared {
  readonly store: string;
}

function declare(module: string, specs: Readonly<Record<string, Spec<unknown>>>): DeclaredStore[] {
  const declared: DeclaredStore[] = [];
  for (const [store, spec] of Object.entries(specs)) {
    const title = `${module}.${store}`;
    checkMigrations(title, spec);
    if (spec.kind === 'ephemeral') continue;
    const name = tableName(module, store);
    const twin = declared.find((other) => other.name === name);
    if (twin !== undefined) throw new StorageMismatch(`${title} and ${twin.title} would share the table ${name}`);
    declared.push({ store, title, spec, name, kind: spec.kind, index: spec.index });
  }
  return declared;
}

/** Every table of the schema that has rows of owners, also those of modules that are not loaded now, in one transaction. */
async function purge(database: Database, host: string, owner: string): Promise<void> {
  const tables = await database.run(
    `SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
      WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND (SELECT count(*) FROM pg_attribute AS a
          WHERE a.attrelid = c.oid AND a.attname IN ('host', 'owner') AND NOT a.attisdropped) = 2`,
    [schema],
    true,
  );
  if (tables.length === 0) return;
  const deletions = tables.map(
    ([name], i) => `d${i} AS (DELETE FROM ${schema}.${quoted(name as string)} WHERE host = $1 AND owner = $2)`,
  );
  await database.run(`WITH ${deletions.join(', ')} SELECT 1`, [host, owner], true);
}
