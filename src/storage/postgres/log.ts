// Logs as tables: appends go through the batcher, pages are found by key (never by offset).
import { idBounds, idTime } from '../ids.ts';
import { checkText, encode } from '../json.ts';
import type { LogEntry, LogRange, LogStore } from '../ports.ts';
import { type Batcher, createTarget } from './batch.ts';
import type { Database, Row } from './database.ts';
import { indexColumn, matches, qualified, type TableShape } from './tables.ts';

type Index = Record<string, string>;

export interface LogParts {
  readonly database: Database;
  readonly batcher: Batcher;
  readonly mint: () => string;
}

/** The shared part of a log: one batch target however many hosts open it. */
export function createLogTable(shape: TableShape, parts: LogParts): (host: string) => LogStore<unknown, Index> {
  const { database, batcher, mint } = parts;
  const target = createTarget(shape);
  const table = qualified(shape);
  const columns = shape.index.map(indexColumn);
  const selected = ['id', 'value', ...columns].join(', ');
  const returned = selected.replaceAll(/\w+/g, 'gone.$&');
  const take =
    `DELETE FROM ${table} AS gone USING (SELECT host, owner, id FROM ${table} WHERE host = $1 AND owner = $2 ` +
    'ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED) AS first ' +
    `WHERE gone.host = first.host AND gone.owner = first.owner AND gone.id = first.id RETURNING ${returned}`;

  const entry = (row: Row): LogEntry<unknown, Index> => {
    const id = row[0] as string;
    const index: Index = {};
    for (let i = 0; i < columns.length; i++) index[shape.index[i]!] = row[i + 2] as string;
    return { id, at: idTime(id), value: row[1], index };
  };

  const condition = (host: string, owner: string, range: LogRange<Index>): { sql: string; values: unknown[] } => {
    const values: unknown[] = [host, checkText(owner), ...idBounds(range).map(checkText)];
    let sql = 'host = $1 AND owner = $2 AND id > $3 AND id < $4';
    for (let i = 0; i < columns.length; i++) {
      const text = range.where?.[shape.index[i]!];
      if (text !== undefined) sql += ` AND ${matches(columns[i]!, `$${values.push(checkText(text))}`)}`;
    }
    if (range.ids !== undefined) sql += ` AND id = ANY($${values.push(range.ids.map(checkText))}::text[])`;
    return { sql, values };
  };

  /** What this process has appended is seen by what it asks afterwards. */
  const ownAppends = async (): Promise<void> => {
    const written = batcher.written(target);
    if (written === undefined) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, database.patience);
    });
    // when the rows do not get through, the statement that follows says what is wrong
    await Promise.race([written.catch(() => {}), late]);
    clearTimeout(timer);
  };

  return (host) => ({
    append(owner, value, index) {
      const id = mint();
      const texts = [host, checkText(owner), id];
      for (const name of shape.index) texts.push(checkText(index[name] ?? ''));
      return { id, durable: batcher.append(target, texts, encode(value)) };
    },
    async find(owner, query) {
      const { sql, values } = condition(host, owner, query);
      await ownAppends();
      const limit = Math.max(0, query.limit);
      const order = query.backwards ? 'DESC' : 'ASC';
      // one more than asked for tells whether that is all
      const text = `SELECT ${selected} FROM ${table} WHERE ${sql} ORDER BY id ${order} LIMIT $${values.push(limit + 1)}`;
      const rows = await database.run(text, values, true);
      const entries = rows.slice(0, limit).map(entry);
      if (query.backwards) entries.reverse();
      return { entries, complete: rows.length <= limit };
    },
    async count(owner, range) {
      const { sql, values } = condition(host, owner, range);
      await ownAppends();
      const [row] = await database.run(`SELECT count(*)::int FROM ${table} WHERE ${sql}`, values, true);
      return row?.[0] as number;
    },
    async remove(owner, range) {
      const { sql, values } = condition(host, owner, range);
      await ownAppends();
      const text = `WITH gone AS (DELETE FROM ${table} WHERE ${sql} RETURNING 1) SELECT count(*)::int FROM gone`;
      const [row] = await database.run(text, values, true);
      return row?.[0] as number;
    },
    async take(owner, limit) {
      await ownAppends();
      const rows = await database.run(take, [host, checkText(owner), limit], false);
      return rows.map(entry).sort((a, b) => (a.id < b.id ? -1 : 1));
    },
  });
}
