// Group commit: rows that are appended to logs at about the same time are written by one statement each table, on a connection of
// its own. Every row has an id of ours, so a batch whose fate is unknown is simply written again.
import type pg from 'pg';
import { StorageUnavailable } from '../errors.ts';
import type { Database } from './database.ts';
import { describe, isLost, isPassing, translate } from './failures.ts';
import { indexColumn, qualified, type TableShape } from './tables.ts';

/** While rows come in, a batch is written at most this often on average, in milliseconds. */
const pace = 5;
/** After a pause so many batches are written at once, without gathering: who appends now and then does not wait. */
const burst = 16;
/** So many rows do not wait for the pace. */
const enough = 100;
const mostPerStatement = 500;
const mostRows = 20_000;
const mostCharacters = 64 * 1024 * 1024;
const longestRetry = 5_000;

/** A log table as the batcher sees it. */
export interface Target {
  readonly sql: string;
  readonly texts: number;
  /** The row appended last, while it waits. */
  last: Promise<void> | undefined;
}

interface Waiting {
  readonly target: Target;
  /** host, owner, id and the indexed columns. */
  readonly texts: readonly string[];
  readonly json: string;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export function createTarget(shape: TableShape): Target {
  const columns = ['host', 'owner', 'id', ...shape.index.map(indexColumn)];
  const arrays = columns.map((_, i) => `$${i + 1}::text[]`).join(', ');
  // values travel as one JSON array: nothing in them has to be escaped again
  const sql =
    `INSERT INTO ${qualified(shape)} (${columns.join(', ')}, value) ` +
    `SELECT * FROM ROWS FROM (unnest(${arrays}), jsonb_array_elements($${columns.length + 1}::jsonb)) ` +
    'ON CONFLICT DO NOTHING';
  return { sql, texts: columns.length, last: undefined };
}

export class Batcher {
  readonly #database: Database;
  #queue: Waiting[] = [];
  #characters = 0;
  #client: pg.Client | undefined;
  #timer: NodeJS.Timeout | NodeJS.Immediate | undefined;
  #isSoon = false;
  #writing: Promise<void> | undefined;
  /** When the next batch is due; behind the present after a pause. */
  #due = 0;
  #closed = false;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Queues a row; settled when it is on disk, or when it never will be. */
  append(target: Target, texts: readonly string[], json: string): Promise<void> {
    if (this.#closed) return refused('the storage is closed');
    if (this.#queue.length >= mostRows || this.#characters > mostCharacters) {
      return refused('too many rows wait for the database');
    }
    this.#characters += json.length;
    const durable = new Promise<void>((resolve, reject) => {
      this.#queue.push({ target, texts, json, resolve, reject });
    });
    target.last = durable;
    // (nobody else has to listen)
    const forget = (): void => {
      if (target.last === durable) target.last = undefined;
    };
    durable.then(forget, forget);
    this.#schedule(false);
    return durable;
  }

  /** Settled when everything appended to the target so far is written; `undefined` when it is already. */
  written(target: Target): Promise<void> | undefined {
    if (target.last === undefined) return undefined;
    this.#schedule(true);
    return target.last;
  }

  /** Settled when everything appended so far is written, or has failed. */
  async drained(): Promise<void> {
    const targets = new Set(this.#queue.map((row) => row.target));
    await Promise.allSettled([this.#writing, ...[...targets].map((target) => this.written(target))]);
  }

  /** Writes what waits, for at most `ms` milliseconds; what is left then fails. */
  async close(ms: number): Promise<void> {
    this.#closed = true;
    const deadline = performance.now() + ms;
    while ((this.#queue.length > 0 || this.#writing !== undefined) && performance.now() < deadline) {
      this.#schedule(true);
      const late = new Promise((resolve) => setTimeout(resolve, deadline - performance.now()).unref());
      await Promise.race([this.#writing ?? new Promise((resolve) => setImmediate(resolve)), late]);
    }
    this.#unschedule();
    if (this.#queue.length > 0) {
      this.#database.log.error({ rows: this.#queue.length }, 'the storage closes with rows that could not be written');
    }
    const error = new StorageUnavailable('the storage is closed');
    for (const row of this.#queue.splice(0)) this.#settle(row, error);
    await this.#disconnect();
  }

  #schedule(isUrgent: boolean): void {
    if (this.#writing !== undefined || this.#queue.length === 0) return;
    const isSoon = isUrgent || this.#queue.length >= enough;
    if (this.#timer !== undefined && (this.#isSoon || !isSoon)) return;
    const wait = isSoon ? 0 : this.#due - performance.now();
    this.#unschedule();
    this.#isSoon = wait <= 0;
    const start = (): void => {
      this.#timer = undefined;
      this.#start();
    };
    // not this instant: the rest of this turn's rows come along
    this.#timer = wait <= 0 ? setImmediate(start) : setTimeout(start, wait);
  }

  #unschedule(): void {
    clearTimeout(this.#timer as NodeJS.Timeout | undefined);
    clearImmediate(this.#timer as NodeJS.Immediate | undefined);
    this.#timer = undefined;
  }

  #start(): void {
    this.#due = Math.max(this.#due, performance.now() - burst * pace) + pace;
    const rows = this.#queue.splice(0, mostPerStatement);
    this.#writing = this.#write(rows).finally(() => {
      this.#writing = undefined;
      this.#schedule(false);
    });
  }

  async #write(rows: readonly Waiting[]): Promise<void> {
    const tables = new Map<Target, Waiting[]>();
    for (const row of rows) {
      const group = tables.get(row.target);
      if (group === undefined) tables.set(row.target, [row]);
      else group.push(row);
    }
    for (const [target, group] of tables) await this.#insert(target, group);
  }

  /** Writes rows of one table until they are written; a row that cannot be is found by halving, and fails alone. */
  async #insert(target: Target, rows: readonly Waiting[]): Promise<void> {
    for (let wait = 50; ; wait = Math.min(wait * 2, longestRetry)) {
      try {
        await this.#send(target, rows);
        for (const row of rows) this.#settle(row);
        return;
      } catch (error) {
        if (isPassing(error)) {
          if (await this.#mayRetry(error, wait)) continue;
          for (const row of rows) this.#settle(row, translate(error));
          return;
        }
        if (rows.length === 1) {
          this.#database.log.error({ error: describe(error) }, 'the database refuses a row');
          this.#settle(rows[0]!, translate(error));
          return;
        }
      }
      const half = rows.length >> 1;
      await this.#insert(target, rows.slice(0, half));
      await this.#insert(target, rows.slice(half));
      return;
    }
  }

  async #send(target: Target, rows: readonly Waiting[]): Promise<void> {
    const values: string[] = [];
    for (let i = 0; i < target.texts; i++) values.push(textArray(rows, i));
    let json = '[';
    for (const row of rows) json += json.length === 1 ? row.json : `,${row.json}`;
    values.push(`${json}]`);
    const client = this.#client ?? (await this.#connect());
    await client.query({ name: this.#database.nameOf(target.sql), text: target.sql, values });
  }

  async #connect(): Promise<pg.Client> {
    const client = this.#database.client();
    const forget = (): void => {
      if (this.#client === client) this.#client = undefined;
    };
    client.on('error', forget);
    client.on('end', forget);
    await client.connect();
    this.#client = client;
    return client;
  }

  /** Waits until another attempt makes sense; false when there will be none. */
  async #mayRetry(error: unknown, wait: number): Promise<boolean> {
    if (isLost(error)) {
      await this.#disconnect();
      // the first time the connection itself may be all that broke
      if (wait > 50) await this.#database.lost(error);
    } else {
      this.#database.log.warn({ error: describe(error) }, 'the database cannot take rows now');
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
    return !this.#database.isClosed;
  }

  #settle(row: Waiting, error?: unknown): void {
    this.#characters -= row.json.length;
    if (error === undefined) row.resolve();
    else row.reject(error);
  }

  async #disconnect(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => {});
  }
}

function refused(why: string): Promise<never> {
  const failed = Promise.reject(new StorageUnavailable(why));
  failed.catch(() => {});
  return failed;
}

const special = /["\\]/;

/** One column of the rows, as PostgreSQL writes arrays (PostgreSQL manual, 8.15.6). */
function textArray(rows: readonly Waiting[], column: number): string {
  let array = '{';
  for (const row of rows) {
    const text = row.texts[column]!;
    if (array.length > 1) array += ',';
    array += special.test(text) ? `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"` : `"${text}"`;
  }
  return `${array}}`;
}
