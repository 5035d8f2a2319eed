// One table per declared store: its name, its columns, its statements. Tables live in the schema `parley`.
import { createHash } from 'node:crypto';
import type { Spec } from '../specs.ts';

export type TableKind = Exclude<Spec<unknown>['kind'], 'ephemeral'>;

/** What a declared store is in the database. */
export interface TableShape {
  readonly name: string;
  readonly kind: TableKind;
  readonly index: readonly string[];
}

export const schema = 'parley';
export const versionsTable = `${schema}.store_versions`;

const snake = (name: string): string =>
  name
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '_')
    .replace(/^_+|_+$/g, '');

// PostgreSQL cuts names at 63 bytes; we leave room for the suffixes of indexes
const longestName = 48;

function shorten(name: string): string {
  if (name.length <= longestName) return name;
  return `${name.slice(0, longestName - 9)}_${createHash('sha256').update(name).digest('hex').slice(0, 8)}`;
}

export const tableName = (module: string, store: string): string => shorten(`${snake(module)}_${snake(store)}`);
export const indexColumn = (name: string): string => `i_${shorten(snake(name))}`;
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
export const qualified = (shape: TableShape): string => `${schema}.${quoted(shape.name)}`;

/** The columns that tell rows apart, in the order of the primary key. */
export const keyColumns: Readonly<Record<TableKind, readonly string[]>> = {
  kv: ['host', 'owner'],
  map: ['host', 'owner', 'key'],
  pairs: ['host', 'owner', 'left_key', 'right_key'],
  log: ['host', 'owner', 'id'],
  archive: ['owner', 'id'],
  items: ['id', 'node'],
};

// An index entry must stay below 2704 bytes, and a JID may have 3071: only the beginning is indexed
const indexed = (column: string): string => `left(${column}, 200)`;

/** An equality that the index of a log's column serves. */
export const matches = (column: string, parameter: string): string =>
  `${indexed(column)} = ${indexed(parameter)} AND ${column} = ${parameter}`;

/** The statements that make a table. */
export function createTable(shape: TableShape): string[] {
  const keys = keyColumns[shape.kind];
  const columns = keys.map((column) => `${column} text COLLATE "C" NOT NULL`);
  columns.push('value jsonb NOT NULL', `PRIMARY KEY (${keys.join(', ')})`);
  // rows of keyed tables change in place: room on the page spares their index
  const options = shape.kind === 'log' ? '' : ' WITH (fillfactor = 85)';
  return [
    `CREATE TABLE ${qualified(shape)} (${columns.join(', ')})${options}`,
    ...(shape.kind === 'pairs' ? [indexByRight(shape)] : []),
    ...shape.index.flatMap((name) => addIndex(shape, name)),
  ];
}

/** Pairs are listed from either side. */
const indexByRight = (shape: TableShape): string =>
  `CREATE INDEX ${quoted(`${shape.name}_right`)} ON ${qualified(shape)} (host, owner, right_key, left_key)`;

/** The statements that add an indexed column to a log; older rows have the empty text there. */
export function addIndex(shape: TableShape, name: string): string[] {
  const column = indexColumn(name);
  return [
    `ALTER TABLE ${qualified(shape)} ADD COLUMN IF NOT EXISTS ${column} text COLLATE "C" NOT NULL DEFAULT ''`,
    `CREATE INDEX IF NOT EXISTS ${quoted(indexName(shape, name))} ON ${qualified(shape)} (host, owner, (${indexed(column)}), id)`,
  ];
}

/** The statement that stops indexing a column of a log; the column stays, in case it comes back. */
export const dropIndex = (shape: TableShape, name: string): string =>
  `DROP INDEX IF EXISTS ${schema}.${quoted(indexName(shape, name))}`;

function indexName(shape: TableShape, name: string): string {
  const hash = createHash('sha256').update(`${shape.name}.${name}`).digest('hex').slice(0, 10);
  return `${shape.name}_${hash}`;
}
