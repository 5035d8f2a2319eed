// Logs as tables: appends go through the batcher, pages are found by key (never by offset).
import { idBounds, idTime } from '../ids.ts';
import { checkText, encode } from '../json.ts';
import type { LogEntry, LogRange, LogStore } from '../ports.ts';
import { textArray } from './arrays.ts';
import type { Batcher, Target } from './batch.ts';
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
  const target = createTarget(shape, database);
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

  const appendRow = (texts: readonly string[], json: string): Promise<void> =>
    batcher.append(target, { texts, json }, json.length);

  return (host) => ({
    append(owner, value, index) {
      const id = mint();
      const texts = [host, checkText(owner), id];
      for (const name of shape.index) texts.push(checkText(index[name] ?? ''));
      return { id, durable: appendRow(texts, encode(value)) };
    },
    async find(owner, query) {
      const { sql, values } = condition(host, owner, query);
      await batcher.caughtUp(target, database.patience);
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
      await batcher.caughtUp(target, database.patience);
      const [row] = await database.run(`SELECT count(*)::int FROM ${table} WHERE ${sql}`, values, true);
      return row?.[0] as number;
    },
    async remove(owner, range) {
      const { life } = database;
      const { sql, values } = condition(host, owner, range);
      await batcher.caughtUp(target, database.patience);
      const text = `WITH gone AS (DELETE FROM ${table} WHERE ${sql} RETURNING 1) SELECT count(*)::int FROM gone`;
      const [row] = await database.run(text, values, true, life);
      return row?.[0] as number;
    },
    async take(owner, limit) {
      const { life } = database;
      await batcher.caughtUp(target, database.patience);
      const rows = await database.run(take, [host, checkText(owner), limit], false, life);
      return rows.map(entry).sort((a, b) => (a.id < b.id ? -1 : 1));
    },
  });
}

interface LogRow {
  /** host, owner, id and the indexed columns. */
  readonly texts: readonly string[];
  readonly json: string;
}

function createTarget(shape: TableShape, database: Database): Target<LogRow> {
  const columns = ['host', 'owner', 'id', ...shape.index.map(indexColumn)];
  const arrays = columns.map((_, i) => `$${i + 1}::text[]`).join(', ');
  // values travel as one JSON array: nothing in them has to be escaped again
  const text =
    `INSERT INTO ${qualified(shape)} (${columns.join(', ')}, value) ` +
    `SELECT * FROM ROWS FROM (unnest(${arrays}), jsonb_array_elements($${columns.length + 1}::jsonb)) ` +
    'ON CONFLICT DO NOTHING';
  return {
    last: undefined,
    async write(client, rows) {
      const values = columns.map((_, i) => textArray(rows, (row) => row.texts[i]!));
      values.push(`[${rows.map((row) => row.json).join(',')}]`);
      await client.query({ name: database.nameOf(text), text, values });
    },
  };
}
