// Message archives as tables: rows come in batches, pages are found by key (never by offset).
import type { Clock } from '../../base/clock.ts';
import { idTime, isId, type MintId } from '../ids.ts';
import { checkText } from '../json.ts';
import type { Archived, ArchivePage, ArchiveQuery, ArchiveRange, ArchiveStore } from '../ports.ts';
import type { ReadSearchable } from '../specs.ts';
import { ArchiveKeys, idOf, uuidBounds, uuidFloor, uuidOf } from './archive-keys.ts';
import { createSearch } from './archive-search.ts';
import { type ArchiveTables, archiveTables, createArchiveTarget } from './archive-tables.ts';
import type { Batcher } from './batch.ts';
import type { Database, Row } from './database.ts';
import type { TableShape } from './tables.ts';

export interface ArchiveParts {
  readonly database: Database;
  readonly batcher: Batcher;
  readonly mint: MintId;
  readonly clock: Pick<Clock, 'now'>;
  readonly secret: string;
}

export interface ArchiveTable {
  open(host: string, searchable?: ReadSearchable): ArchiveStore;
  /** Removes an owner's messages and words, in small steps; its row among the owners is left to the caller. */
  purge(host: string, owner: string): Promise<void>;
}

// a search takes what is older for known; rows that are written later than that send it back
const settled = 60_000;
const purgeStep = 2_000;

/** A statement and its values. */
export interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}

/** The shared part of an archive: one batch target however many hosts open it. */
export function createArchiveTable(shape: TableShape, parts: ArchiveParts): ArchiveTable {
  const { database, batcher, mint, clock, secret } = parts;
  const tables = archiveTables(shape);
  const { messages, owners, words } = tables;
  const target = createArchiveTarget(shape, database, {
    now: () => clock.now(),
    floor: () => uuidFloor(clock.now() - settled / 3),
  });
  const purge =
    `WITH m AS (DELETE FROM ${messages} WHERE owner = $1 AND id = ANY(ARRAY` +
    `(SELECT id FROM ${messages} WHERE owner = $1 ORDER BY id LIMIT ${purgeStep})) RETURNING 1), ` +
    `w AS (DELETE FROM ${words} WHERE owner = $1 AND id = ANY(ARRAY` +
    `(SELECT id FROM ${words} WHERE owner = $1 ORDER BY id LIMIT ${purgeStep})) RETURNING 1) ` +
    'SELECT (SELECT count(*) FROM m) + (SELECT count(*) FROM w)';
  const sql = {
    ends:
      `SELECT (SELECT id FROM ${messages} WHERE owner = $1 ORDER BY id LIMIT 1), ` +
      `(SELECT id FROM ${messages} WHERE owner = $1 ORDER BY id DESC LIMIT 1)`,
    replace:
      `WITH w AS (DELETE FROM ${words} WHERE owner = $1 AND id = $2) ` +
      `UPDATE ${messages} SET xml = $3 WHERE owner = $1 AND id = $2 RETURNING 1`,
    owners: `SELECT owner FROM ${owners} WHERE host = $1 AND owner > $2 ORDER BY owner LIMIT $3`,
  };

  function open(host: string, searchable: ReadSearchable = () => undefined): ArchiveStore {
    const keys = new ArchiveKeys(secret, host);
    const search = createSearch(tables, { database, keys, host, clock, settled, searchable });
    const caughtUp = (): Promise<void> => batcher.caughtUp(target, database.patience);
    return {
      append(owner, message) {
        const { with: party, resource, xml, ref } = message;
        for (const text of [owner, party, resource, xml]) checkText(text);
        if (ref !== undefined) checkText(ref.sender + ref.id);
        batcher.check();
        const id = mint(message.at);
        const row = {
          host,
          ownerName: owner,
          owner: keys.owner(owner),
          talk: keys.talk(owner, party),
          uuid: uuidOf(id),
          ref: ref === undefined ? undefined : keys.ref(ref),
          resource,
          xml,
        };
        return { id, durable: batcher.append(target, row, xml.length) };
      },
      async find(owner, query) {
        checkQuery(owner, query);
        const named = namedIds(query);
        if (!named.every(isId)) return undefined;
        await caughtUp();
        if (query.search !== undefined) {
          const known = await database.run(...runnable(existence(tables, keys, owner, named)), true);
          return known[0]?.[0] === named.length ? search.find(owner, query, query.search) : undefined;
        }
        return toPage(await database.run(...runnable(pageStatement(tables, keys, owner, query)), true), query);
      },
      async count(owner, range, most) {
        checkQuery(owner, range);
        if (isNowhere(range)) return 0;
        await caughtUp();
        const { text, values } = countStatement(tables, keys, owner, range, most);
        const [row] = await database.run(text, values, true);
        const count = row?.[0] as number;
        return count > most ? undefined : count;
      },
      async ends(owner) {
        const key = keys.owner(checkText(owner));
        await caughtUp();
        const [row] = await database.run(sql.ends, [key], true);
        if (row === undefined || row[0] === null || row[1] === null) return undefined;
        return { first: end(row[0] as string), last: end(row[1] as string) };
      },
      async lookup(owner, { with: party, ref }) {
        checkText(owner + party + ref.sender + ref.id);
        await caughtUp();
        const { text, values } = lookupStatement(tables, keys, owner, party, ref);
        const [row] = await database.run(text, values, true);
        return row === undefined ? undefined : archived(row);
      },
      async replace(owner, id, xml) {
        checkText(owner + xml);
        if (!isId(checkText(id))) return false;
        await caughtUp();
        return (await database.run(sql.replace, [keys.owner(owner), uuidOf(id), xml], true)).length > 0;
      },
      async remove(owner, range, most) {
        checkQuery(owner, range);
        if (isNowhere(range)) return 0;
        await caughtUp();
        const { text, values } = removeStatement(tables, keys, owner, range, most);
        const [row] = await database.run(text, values, true);
        return row?.[0] as number;
      },
      async owners(after = '', limit = 1000) {
        await caughtUp();
        const rows = await database.run(sql.owners, [host, checkText(after), limit], true);
        return rows.map((row) => row[0] as string);
      },
    };
  }

  return {
    open,
    async purge(host, owner) {
      const key = new ArchiveKeys(secret, host).owner(owner);
      target.forget(key);
      for (;;) {
        const [row] = await database.run(purge, [key], true);
        if (Number(row?.[0]) === 0) return;
      }
    },
  };
}

const archived = (row: Row): Archived => {
  const id = idOf(row[0] as string);
  return { id, at: idTime(id), xml: row[1] as string };
};

const end = (uuid: string): { id: string; at: number } => {
  const id = idOf(uuid);
  return { id, at: idTime(id) };
};

const runnable = ({ text, values }: Statement): [string, readonly unknown[]] => [text, values];

function checkQuery(owner: string, query: (ArchiveRange & Pick<ArchiveQuery, 'limit'>) | ArchiveRange): void {
  checkText(owner);
  const { after, before } = query as Partial<ArchiveQuery>;
  const { with: party, resource, afterId, beforeId, ids } = query;
  for (const text of [party, resource, after, before, afterId, beforeId]) checkText(text ?? '');
  ids?.forEach(checkText);
}

/** Every id that a query names, once. */
const namedIds = (query: ArchiveQuery): string[] => {
  const named = [query.after, query.before, query.afterId, query.beforeId, ...(query.ids ?? [])];
  return [...new Set(named.filter((id) => id !== undefined))];
};

const isNowhere = ({ afterId, beforeId }: ArchiveRange): boolean =>
  [afterId, beforeId].some((id) => id !== undefined && !isId(id));

// as few different statements as there are sizes of pages
const sizes = [2, 6, 11, 21, 31, 51, 101, 201, 301, 501, 1001];
const roundUp = (rows: number): number => sizes.find((size) => size >= rows) ?? rows;

/** The condition of a range, its values appended to those there are. `column`: what to put before the columns' names. */
export function condition(
  keys: ArchiveKeys,
  owner: string,
  range: ArchiveRange & Pick<Partial<ArchiveQuery>, 'after' | 'before'>,
  values: unknown[],
  column = '',
): string {
  const { from, to } = uuidBounds(range);
  const place = (value: unknown): string => `$${values.push(value)}`;
  let sql: string;
  if (range.with === undefined) {
    sql = `${column}owner = ${place(keys.owner(owner))}`;
  } else {
    // a conversation is one owner's; said so that only the index of conversations is of use
    const talk = place(keys.talk(owner, range.with));
    sql = `${column}talk = ${talk} AND (${column}owner = ${place(keys.owner(owner))}) IS TRUE`;
  }
  if (from !== undefined) sql += ` AND ${column}id >= ${place(from)}`;
  if (to !== undefined) sql += ` AND ${column}id < ${place(to)}`;
  if (range.ids !== undefined) {
    sql += ` AND ${column}id = ANY(${place(`{${range.ids.filter(isId).map(uuidOf).join(',')}}`)}::uuid[])`;
  }
  if (range.with !== undefined && range.resource !== undefined) {
    sql += ` AND ${column}resource = ${place(range.resource)}`;
  }
  return sql;
}

/** Rows of one page and one more, with how many of the ids that the query names there are. */
export function pageStatement(tables: ArchiveTables, keys: ArchiveKeys, owner: string, query: ArchiveQuery): Statement {
  const values: unknown[] = [];
  const where = condition(keys, owner, query, values);
  const rows = roundUp(Math.max(0, query.limit) + 1);
  const order = query.backwards ? 'DESC' : 'ASC';
  const page = `SELECT id, xml FROM ${tables.messages} WHERE ${where} ORDER BY id ${order} LIMIT ${rows}`;
  const named = namedIds(query);
  if (named.length === 0) return { text: page, values };
  const known = existence(tables, keys, owner, named, values);
  const all = `$${values.push(named.length)}`;
  const text =
    `WITH known AS MATERIALIZED (${known.text}) ` +
    `SELECT p.id, p.xml FROM known CROSS JOIN LATERAL (${page}) AS p WHERE known.n = ${all} ` +
    `UNION ALL SELECT NULL, NULL FROM known WHERE known.n < ${all}`;
  return { text, values };
}

/** How many of these ids there are. */
function existence(
  tables: ArchiveTables,
  keys: ArchiveKeys,
  owner: string,
  named: readonly string[],
  values: unknown[] = [],
): Statement {
  const key = values.push(keys.owner(owner));
  const ids = values.push(`{${named.map(uuidOf).join(',')}}`);
  const text = `SELECT count(*)::int AS n FROM ${tables.messages} WHERE owner = $${key} AND id = ANY($${ids}::uuid[])`;
  return { text, values };
}

function toPage(rows: readonly Row[], query: ArchiveQuery): ArchivePage | undefined {
  if (rows.length > 0 && rows.at(-1)![0] === null) return undefined;
  const limit = Math.max(0, query.limit);
  const entries = rows.slice(0, limit).map(archived);
  if (query.backwards) entries.reverse();
  return { entries, complete: rows.length <= limit };
}

export function countStatement(
  tables: ArchiveTables,
  keys: ArchiveKeys,
  owner: string,
  range: ArchiveRange,
  most: number,
): Statement {
  const values: unknown[] = [];
  const where = condition(keys, owner, range, values);
  const some = `SELECT 1 FROM ${tables.messages} WHERE ${where} LIMIT $${values.push(most + 1)}`;
  return { text: `SELECT count(*)::int FROM (${some}) AS counted`, values };
}

export function lookupStatement(
  tables: ArchiveTables,
  keys: ArchiveKeys,
  owner: string,
  party: string,
  ref: { readonly sender: string; readonly id: string },
): Statement {
  const values: unknown[] = [];
  const where = condition(keys, owner, { with: party }, values);
  const isIt = `ref = $${values.push(keys.ref(ref))}`;
  return {
    text: `SELECT id, xml FROM ${tables.messages} WHERE ${where} AND ${isIt} ORDER BY id DESC LIMIT 1`,
    values,
  };
}

export function removeStatement(
  tables: ArchiveTables,
  keys: ArchiveKeys,
  owner: string,
  range: ArchiveRange,
  most: number,
): Statement {
  const values: unknown[] = [];
  const where = condition(keys, owner, range, values);
  const first = `SELECT id FROM ${tables.messages} WHERE ${where} ORDER BY id LIMIT ${Math.max(0, most)}`;
  const key = `$${values.push(keys.owner(owner))}`;
  const isIt = `owner = ${key} AND id = ANY(ARRAY(SELECT id FROM first))`;
  const text =
    `WITH first AS MATERIALIZED (${first}), w AS (DELETE FROM ${tables.words} WHERE ${isIt}), ` +
    `m AS (DELETE FROM ${tables.messages} WHERE ${isIt} RETURNING 1) SELECT count(*)::int FROM m`;
  return { text, values };
}
