// Message archives as tables: rows come in batches, pages are found by key (never by offset).
import type { Clock } from '../../base/clock.ts';
import { idTime, isId, type MintId } from '../ids.ts';
import { checkText } from '../json.ts';
import type { Archived, ArchivePage, ArchiveQuery, ArchiveRange, ArchiveStore } from '../ports.ts';
import type { ReadSearchable } from '../specs.ts';
import { ArchiveKeys, firstUuid, idOf, lastUuid, uuidFloor, uuidOf } from './archive-keys.ts';
import { createSearch } from './archive-search.ts';
import { ArchiveStatements, namedIds } from './archive-statements.ts';
import { archiveTables, createArchiveTarget } from './archive-tables.ts';
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

/** The shared part of an archive: one batch target however many hosts open it. */
export function createArchiveTable(shape: TableShape, parts: ArchiveParts): ArchiveTable {
  const { database, batcher, mint, clock, secret } = parts;
  const tables = archiveTables(shape);
  const { messages, owners, words } = tables;
  const target = createArchiveTarget(shape, database, {
    now: () => clock.now(),
    floor: () => uuidFloor(clock.now() - settled / 3),
  });
  const some = (table: string): string =>
    `DELETE FROM ${table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM ${table} WHERE (owner, id) >= ($1, $2) ` +
    `AND (owner, id) <= ($1, $3) ORDER BY owner, id LIMIT ${purgeStep})) RETURNING 1`;
  const purge =
    `WITH m AS (${some(messages)}), w AS (${some(words)}) ` +
    'SELECT (SELECT count(*) FROM m) + (SELECT count(*) FROM w)';
  const listed = `SELECT owner FROM ${owners} WHERE host = $1 AND owner > $2 ORDER BY owner LIMIT $3`;

  function open(host: string, searchable: ReadSearchable = () => undefined): ArchiveStore {
    const keys = new ArchiveKeys(secret, host);
    const statements = new ArchiveStatements(tables, keys);
    const search = createSearch(tables, { database, keys, statements, host, clock, settled, searchable });
    const caughtUp = (): Promise<void> => batcher.caughtUp(target, database.patience);
    return {
      begin: () => batcher.begin(),
      mint: () => mint(),
      append(owner, message) {
        const { with: party, resource, xml, ref } = message;
        for (const text of [owner, party, resource, xml]) checkText(text);
        if (ref !== undefined) checkText(ref.sender + ref.id);
        batcher.check();
        const id = message.id ?? mint(message.at);
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
          const known = await database.run(...statements.existence(owner, named), true);
          return known[0]?.[0] === named.length ? search.find(owner, query, query.search) : undefined;
        }
        return toPage(await database.run(...statements.page(owner, query), true), query);
      },
      async count(owner, range, most) {
        checkQuery(owner, range);
        if (isNowhere(range)) return 0;
        await caughtUp();
        const [row] = await database.run(...statements.count(owner, range, most), true);
        const count = row?.[0] as number;
        return count > most ? undefined : count;
      },
      async unread(asked, most) {
        for (const { owner, afterId, except } of asked) checkText(owner + (afterId ?? '') + (except ?? ''));
        if (asked.length === 0) return [];
        await caughtUp();
        const rows = await database.run(...statements.unread(asked, most), true);
        return rows.map(([count]) => count as number);
      },
      async ends(owner) {
        checkText(owner);
        await caughtUp();
        const [row] = await database.run(...statements.ends(owner), true);
        if (row === undefined || row[0] === null || row[1] === null) return undefined;
        return { first: end(row[0] as string), last: end(row[1] as string) };
      },
      async lookup(owner, { with: party, ref }) {
        checkText(owner + party + ref.sender + ref.id);
        await caughtUp();
        const [row] = await database.run(...statements.lookup(owner, party, ref), true);
        return row === undefined ? undefined : archived(row);
      },
      async replace(owner, id, xml) {
        checkText(owner + xml);
        if (!isId(checkText(id))) return false;
        const { life } = database;
        await caughtUp();
        return (await database.run(...statements.replace(owner, id, xml), true, life)).length > 0;
      },
      async remove(owner, range, most) {
        checkQuery(owner, range);
        if (isNowhere(range)) return 0;
        const { life } = database;
        await caughtUp();
        const [row] = await database.run(...statements.remove(owner, range, most), true, life);
        return row?.[0] as number;
      },
      async owners(after = '', limit = 1000) {
        await caughtUp();
        const rows = await database.run(listed, [host, checkText(after), limit], true);
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
        const [row] = await database.run(purge, [key, firstUuid, lastUuid], true);
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

function checkQuery(owner: string, query: ArchiveRange | ArchiveQuery): void {
  checkText(owner);
  const { after, before } = query as Partial<ArchiveQuery>;
  const { with: party, resource, afterId, beforeId, ids } = query;
  for (const text of [party, resource, after, before, afterId, beforeId]) checkText(text ?? '');
  ids?.forEach(checkText);
}

const isNowhere = ({ afterId, beforeId }: ArchiveRange): boolean =>
  [afterId, beforeId].some((id) => id !== undefined && !isId(id));

function toPage(rows: readonly Row[], query: ArchiveQuery): ArchivePage | undefined {
  if (rows.length > 0 && rows.at(-1)![0] === null) return undefined;
  const limit = Math.max(0, query.limit);
  const entries = rows.slice(0, limit).map(archived);
  if (query.backwards) entries.reverse();
  return { entries, complete: rows.length <= limit };
}
