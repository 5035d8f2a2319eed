// The reference driver: everything in memory, for tests and for trying things out. Values come back frozen, as JSON would bring
// them, so that a module which changes what it was given fails here first.
import { type Clock, systemClock } from '../base/clock.ts';
import type { MaybePromise } from '../base/maybe.ts';
import { createEphemeral, type Ephemeral, type OpenEphemeral } from './ephemeral.ts';
import { StorageMismatch, StorageUnavailable } from './errors.ts';
import { createIds, idBounds, idTime, type MintId } from './ids.ts';
import { checkText, stored } from './json.ts';
import { createMemoryArchive } from './memory-archive.ts';
import { createMemoryItems } from './memory-items.ts';
import { createMemoryPairs } from './memory-pairs.ts';
import type { Driver, KvStore, LogEntry, LogRange, LogStore, MapStore } from './ports.ts';
import { checkMigrations, migrateValue, type Spec } from './specs.ts';

type Index = Record<string, string>;
type Entry = LogEntry<unknown, Index>;

/** One declared store on one host. */
interface Table {
  readonly kind: Spec<unknown>['kind'];
  version: number;
  readonly store: unknown;
  purge(owner: string): MaybePromise<unknown>;
  close(): void;
  migrate(change: (old: unknown) => unknown): void;
}

/** Opens an empty database in memory. */
export function createMemoryDriver(
  clock: Clock = systemClock,
  openEphemeral: OpenEphemeral = () => createEphemeral(clock),
): Driver {
  const tables = new Map<string, Map<string, Table>>();
  const mint = createIds(clock);
  let closed = false;
  const check = (): void => {
    if (closed) throw new StorageUnavailable('the storage is closed');
  };
  const make = (spec: Spec<unknown>, host: string, title: string): Table => {
    if (spec.kind === 'kv') return kvTable(spec, check);
    if (spec.kind === 'map') return mapTable(spec, check);
    if (spec.kind === 'pairs') return { kind: 'pairs', version: spec.version, ...createMemoryPairs(check) };
    if (spec.kind === 'log') return logTable(spec, check, mint);
    if (spec.kind === 'archive') return archiveTable(spec, check, mint);
    if (spec.kind === 'items') return itemsTable(spec, check, clock);
    return ephemeralTable(openEphemeral(host, title));
  };

  return {
    async open(host, module, specs) {
      check();
      let ofHost = tables.get(host);
      if (ofHost === undefined) {
        ofHost = new Map();
        tables.set(host, ofHost);
      }
      const stores: Record<string, unknown> = {};
      for (const [name, spec] of Object.entries(specs)) {
        checkMigrations(`${module}.${name}`, spec);
        const key = `${module}\0${name}`;
        let table = ofHost.get(key);
        if (table === undefined) {
          table = make(spec, host, `${module}.${name}`);
          ofHost.set(key, table);
        } else {
          reopen(table, `${module}.${name}`, spec);
        }
        stores[name] = table.store;
      }
      return stores;
    },
    async purge(host, owner) {
      check();
      for (const table of tables.get(host)?.values() ?? []) await table.purge(owner);
    },
    // what is asked is done at once: nothing is ever under way
    async identify() {},
    async fence() {},
    async ping() {
      check();
    },
    async close() {
      closed = true;
      for (const ofHost of tables.values()) for (const table of ofHost.values()) table.close();
      tables.clear();
    },
  };
}

function reopen(table: Table, name: string, spec: Spec<unknown>): void {
  if (table.kind !== spec.kind) throw new StorageMismatch(`${name} is a ${table.kind} store, not a ${spec.kind} store`);
  const from = table.version;
  if (from > spec.version) throw new StorageMismatch(`${name} has version ${from}; this program knows ${spec.version}`);
  if (from === spec.version) return;
  table.migrate((old) => migrateValue(spec, from, old));
  table.version = spec.version;
}

function kvTable(spec: Spec<unknown>, check: () => void): Table {
  const values = new Map<string, unknown>();
  const put = (owner: string, value: unknown): unknown => {
    check();
    checkText(owner);
    if (value === undefined) {
      values.delete(owner);
      return undefined;
    }
    const kept = stored(value);
    values.set(owner, kept);
    return kept;
  };
  const store: KvStore<unknown> = {
    get(owner) {
      check();
      return values.get(checkText(owner));
    },
    async set(owner, value) {
      put(owner, value);
    },
    update: async (owner, change) => put(owner, change(values.get(owner))),
    async owners(after, limit = 1000) {
      check();
      const sorted = [...values.keys()].sort();
      return sorted.filter((owner) => after === undefined || owner > after).slice(0, limit);
    },
  };
  return {
    kind: 'kv',
    version: spec.version,
    store,
    purge: (owner) => values.delete(owner),
    close: () => values.clear(),
    migrate(change) {
      for (const [owner, value] of values) put(owner, change(value));
    },
  };
}

function mapTable(spec: Spec<unknown>, check: () => void): Table {
  const owners = new Map<string, Map<string, unknown>>();
  const put = (owner: string, key: string, value: unknown): unknown => {
    check();
    checkText(owner);
    checkText(key);
    const values = owners.get(owner);
    if (value === undefined) {
      if (values?.delete(key) && values.size === 0) owners.delete(owner);
      return undefined;
    }
    const kept = stored(value);
    if (values === undefined) owners.set(owner, new Map([[key, kept]]));
    else values.set(key, kept);
    return kept;
  };
  const store: MapStore<unknown> = {
    get(owner, key) {
      check();
      return owners.get(checkText(owner))?.get(checkText(key));
    },
    async set(owner, key, value) {
      put(owner, key, value);
    },
    async setAll(owner, values) {
      // (all that can be refused is, before anything is written)
      for (const [key, value] of values) if (checkText(key) !== undefined && value !== undefined) stored(value);
      for (const [key, value] of values) put(owner, key, value);
    },
    update: async (owner, key, change) => put(owner, key, change(owners.get(owner)?.get(key))),
    all(owner) {
      check();
      return new Map(owners.get(checkText(owner)));
    },
  };
  return {
    kind: 'map',
    version: spec.version,
    store,
    purge: (owner) => owners.delete(owner),
    close: () => owners.clear(),
    migrate(change) {
      for (const [owner, values] of owners) for (const [key, value] of values) put(owner, key, change(value));
    },
  };
}

function logTable(spec: Spec<unknown>, check: () => void, mint: MintId): Table {
  const owners = new Map<string, Entry[]>();
  const select = (owner: string, range: LogRange<Index>): Entry[] => {
    check();
    const [above, below] = idBounds(range);
    checkText(above + below);
    const where = Object.entries(range.where ?? {});
    for (const [, text] of where) checkText(text ?? '');
    range.ids?.forEach(checkText);
    const ids = range.ids === undefined ? undefined : new Set(range.ids);
    return (owners.get(checkText(owner)) ?? []).filter(
      (entry) =>
        entry.id > above &&
        entry.id < below &&
        (ids === undefined || ids.has(entry.id)) &&
        where.every(([column, text]) => text === undefined || entry.index[column] === text),
    );
  };
  const drop = (owner: string, entries: readonly Entry[]): void => {
    const gone = new Set(entries);
    const left = (owners.get(owner) ?? []).filter((entry) => !gone.has(entry));
    if (left.length > 0) owners.set(owner, left);
    else owners.delete(owner);
  };
  const store: LogStore<unknown, Index> = {
    append(owner, value, index) {
      check();
      checkText(owner);
      const kept: Index = {};
      for (const column of spec.index) kept[column] = checkText(index[column] ?? '');
      const id = mint();
      const entry = { id, at: idTime(id), value: stored(value), index: Object.freeze(kept) };
      const entries = owners.get(owner);
      if (entries === undefined) owners.set(owner, [entry]);
      else entries.push(entry);
      return { id, durable: Promise.resolve() };
    },
    async find(owner, query) {
      const found = select(owner, query);
      const cut = query.backwards ? Math.max(0, found.length - query.limit) : 0;
      const entries = found.slice(cut, cut + query.limit);
      return { entries, complete: entries.length === found.length };
    },
    count: async (owner, range) => select(owner, range).length,
    async remove(owner, range) {
      const found = select(owner, range);
      drop(owner, found);
      return found.length;
    },
    async take(owner, limit) {
      const taken = select(owner, {}).slice(0, limit);
      drop(owner, taken);
      return taken;
    },
  };
  return {
    kind: 'log',
    version: spec.version,
    store,
    purge: (owner) => owners.delete(owner),
    close: () => owners.clear(),
    migrate(change) {
      for (const [owner, entries] of owners) {
        owners.set(
          owner,
          entries.map((entry) => ({ ...entry, value: stored(change(entry.value)) })),
        );
      }
    },
  };
}

function archiveTable(spec: Spec<unknown>, check: () => void, mint: MintId): Table {
  return { kind: 'archive', version: spec.version, ...createMemoryArchive(check, mint, spec.searchable), migrate() {} };
}

function itemsTable(spec: Spec<unknown>, check: () => void, clock: Clock): Table {
  return { kind: 'items', version: spec.version, ...createMemoryItems(check, clock), migrate() {} };
}

function ephemeralTable(store: Ephemeral): Table {
  return {
    kind: 'ephemeral',
    version: 1,
    store,
    purge: (owner) => store.purge(owner),
    close: () => store.close(),
    migrate() {},
  };
}
