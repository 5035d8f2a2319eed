// Group commit: rows that are appended to logs and archives at about the same time are written by one statement each table, on a connection of
// its own. Every row has an id of ours, so a batch whose fate is unknown is simply written again.
import type pg from 'pg';
import { StorageUnavailable } from '../errors.ts';
import type { Database } from './database.ts';
import { describe, isFull, isLost, isPassing, translate } from './failures.ts';
import { LifeOver } from './fence.ts';

/** While rows come in, a batch is written at most this often on average, in milliseconds. */
const pace = 10;
/** After a pause so many batches are written at once, without gathering: who appends now and then does not wait. */
const burst = 16;
/** So many rows do not wait for the pace. */
const enough = 500;
// The longer a commit takes, the more comes meanwhile, and goes with the next one: so many rows, or so many characters.
const mostPerStatement = 4_000;
const longestStatement = 8 * 1024 * 1024;
const mostCharacters = 64 * 1024 * 1024;
const longestRetry = 5_000;
/** The part of the room that is left for what belongs to rows which are there already. */
const headroom = 0.1;

/** A table as the batcher sees it. */
export interface Target<R> {
  /** Writes rows in one transaction. `again`: it was tried before, and some or all may be there already. */
  write(client: pg.Client, rows: readonly R[], again: boolean): Promise<void>;
  /** The row appended last, while it waits. */
  last: { readonly durable: Promise<void> } | undefined;
}

interface Waiting {
  readonly target: Target<unknown>;
  readonly row: unknown;
  readonly size: number;
  durable: Promise<void>;
  resolve: () => void;
  reject: (error: unknown) => void;
}

const nothing = (): void => {};
const never = new Promise<void>(nothing);

export class Batcher {
  readonly #database: Database;
  readonly #mostRows: number;
  #queue: Waiting[] = [];
  #characters = 0;
  #client: pg.Client | undefined;
  #timer: NodeJS.Timeout | NodeJS.Immediate | undefined;
  #isSoon = false;
  /** Somebody waits for what comes after the batch that is being written. */
  #isNextSoon = false;
  #writing: Promise<void> | undefined;
  /** When the next batch is due; behind the present after a pause. */
  #due = 0;
  #closed = false;

  /** @param mostRows how many may wait for the database */
  constructor(database: Database, mostRows = 50_000) {
    this.#database = database;
    this.#mostRows = mostRows;
  }

  /**
   * Throws StorageUnavailable when so much waits that nothing new is to begin. For whoever appends several rows one after the other
   * and must not be refused half-way: what began before finds room.
   */
  begin(): void {
    const rows = this.#queue.length >= Math.floor(this.#mostRows * (1 - headroom));
    if (rows || this.#characters > mostCharacters * (1 - headroom)) throw new StorageUnavailable(full);
    this.check();
  }

  /** Throws StorageUnavailable when another row would be refused. */
  check(): void {
    const why = this.#refusal();
    if (why !== undefined) throw new StorageUnavailable(why);
  }

  /**
   * Queues a row of so many characters; settled when it is on disk, or when it never will be.
   * @param isAwaited somebody does nothing until it is written: where nothing else waits, it is, at once
   */
  append<R>(target: Target<R>, row: R, size: number, isAwaited = false): Promise<void> {
    const why = this.#refusal();
    if (why !== undefined) return refused(why);
    this.#characters += size;
    // (thousands wait at a time: each with one promise, and nothing else that the garbage collector has to carry along)
    const waiting: Waiting = {
      target: target as Target<unknown>,
      row,
      size,
      durable: never,
      resolve: nothing,
      reject: nothing,
    };
    waiting.durable = new Promise((resolve, reject) => {
      waiting.resolve = resolve;
      waiting.reject = reject;
    });
    this.#queue.push(waiting);
    target.last = waiting;
    this.#schedule(isAwaited && this.#queue.length === 1);
    return waiting.durable;
  }

  /** Settled when everything appended to the target so far is written; `undefined` when it is already. */
  written(target: Pick<Target<unknown>, 'last'>): Promise<void> | undefined {
    if (target.last === undefined) return undefined;
    this.#schedule(true);
    return target.last.durable;
  }

  /**
   * Waits so that what this process has appended is seen by what it asks next; for so many milliseconds at most. When the rows do
   * not get through, the statement that follows says what is wrong.
   */
  async caughtUp(target: Pick<Target<unknown>, 'last'>, patience: number): Promise<void> {
    const written = this.written(target);
    if (written === undefined) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, patience);
    });
    await Promise.race([written.catch(() => {}), late]);
    clearTimeout(timer);
  }

  /** Settled when everything appended so far is written, or has failed. */
  async drained(): Promise<void> {
    const targets = new Set(this.#queue.map((row) => row.target));
    await Promise.allSettled([this.#writing, ...[...targets].map((target) => this.written(target))]);
  }

  /** Drops what waits: it was to be written in the name of a life that is over. */
  drop(): void {
    if (this.#queue.length > 0) {
      this.#database.log.warn(
        { rows: this.#queue.length },
        'rows were not written before the life of this node was over',
      );
    }
    for (const row of this.#queue.splice(0)) this.#settle(row, new LifeOver());
    void this.#disconnect();
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

  #refusal(): string | undefined {
    if (this.#closed) return 'the storage is closed';
    const isFull = this.#queue.length >= this.#mostRows || this.#characters > mostCharacters;
    return isFull ? full : undefined;
  }

  #schedule(isUrgent: boolean): void {
    if (this.#writing !== undefined) this.#isNextSoon ||= isUrgent;
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
    const now = performance.now();
    // (those that were written at once are no reason to wait for longer)
    this.#due = Math.min(Math.max(this.#due, now - burst * pace) + pace, now + pace);
    const rows = this.#queue.splice(0, this.#next());
    this.#writing = this.#write(rows, this.#database.life).finally(() => {
      this.#writing = undefined;
      const isUrgent = this.#isNextSoon;
      this.#isNextSoon = false;
      this.#schedule(isUrgent);
    });
  }

  /** How many rows go with the next batch. */
  #next(): number {
    let size = 0;
    const most = Math.min(this.#queue.length, mostPerStatement);
    for (let i = 0; i < most; i++) {
      size += this.#queue[i]!.size;
      if (size > longestStatement) return Math.max(i, 1);
    }
    return most;
  }

  async #write(rows: readonly Waiting[], life: string): Promise<void> {
    const tables = new Map<Target<unknown>, Waiting[]>();
    for (const row of rows) {
      const group = tables.get(row.target);
      if (group === undefined) tables.set(row.target, [row]);
      else group.push(row);
    }
    for (const [target, group] of tables) await this.#insert(target, group, life, false);
  }

  /** Writes rows of one table until they are written; a row that cannot be is found by halving, and fails alone. */
  async #insert(target: Target<unknown>, rows: readonly Waiting[], life: string, again: boolean): Promise<void> {
    for (let wait = 50, isRetry = again; ; wait = Math.min(wait * 2, longestRetry), isRetry = true) {
      try {
        await this.#send(target, rows, life, isRetry);
        for (const row of rows) this.#settle(row);
        return;
      } catch (error) {
        if (isPassing(error)) {
          if (life === this.#database.life && (await this.#mayRetry(error, wait))) continue;
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
      await this.#insert(target, rows.slice(0, half), life, true);
      await this.#insert(target, rows.slice(half), life, true);
      return;
    }
  }

  async #send(target: Target<unknown>, rows: readonly Waiting[], life: string, again: boolean): Promise<void> {
    const client = this.#client ?? (await this.#connect());
    if (life !== this.#database.life) throw new LifeOver();
    await target.write(
      client,
      rows.map((waiting) => waiting.row),
      again,
    );
  }

  async #connect(): Promise<pg.Client> {
    const client = this.#database.client();
    const forget = (): void => {
      if (this.#client === client) this.#client = undefined;
    };
    client.on('error', forget);
    client.on('end', forget);
    try {
      await client.connect();
    } catch (error) {
      if (isFull(error)) this.#database.makeRoom(error);
      throw error;
    }
    try {
      await this.#database.admit(client);
    } catch (error) {
      await client.end().catch(nothing);
      throw error;
    }
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
    this.#characters -= row.size;
    if (row.target.last === row) row.target.last = undefined;
    if (error === undefined) row.resolve();
    else {
      // (nobody has to listen)
      row.durable.catch(nothing);
      row.reject(error);
    }
  }

  async #disconnect(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => {});
  }
}

const full = 'too many rows wait for the database';

function refused(why: string): Promise<never> {
  const failed = Promise.reject(new StorageUnavailable(why));
  failed.catch(() => {});
  return failed;
}
