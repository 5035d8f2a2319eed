// The connections to PostgreSQL: a pool, prepared statements, and what happens while the database is away.
import pg from 'pg';
import type { Logger } from '../../base/log.ts';
import { StorageUnavailable } from '../errors.ts';
import { describe, isDeadlock, isFull, isLost, isRejected, translate } from './failures.ts';
import { connectionName, introduce, LifeOver } from './fence.ts';

export interface DatabaseOptions {
  /** Where the database is, in pg's words. */
  readonly connection: pg.ClientConfig;
  readonly log: Logger;
  /** Connections at most, besides the one of the batcher. */
  readonly connections?: number;
  /** How long a statement may run, in milliseconds. */
  readonly timeout?: number;
  /** How long a statement waits for a database that is away before it fails, in milliseconds. */
  readonly patience?: number;
}

export type Row = readonly unknown[];

const firstWait = 50;
const longestWait = 5_000;
/** How long a node makes do with fewer connections before it asks for more, and how often that is told, in milliseconds. */
const shortage = 60_000;
const shortageTold = 3_600_000;

export class Database {
  readonly log: Logger;
  /** In milliseconds. */
  readonly patience: number;
  #pool: pg.Pool;
  /** As connections are called; the empty text while nobody has to tell them apart. */
  #life = '';
  readonly #config: pg.ClientConfig;
  readonly #connections: number;
  readonly #timeout: number;
  readonly #names = new Map<string, string>();
  /** While the database is away: settled when it is back. */
  #outage: Promise<void> | undefined;
  #since = 0;
  #reason: unknown;
  /** Until when it need not be told again that there are too few connections. */
  #shortUntil = 0;
  #closed = false;
  readonly #closing = new AbortController();

  constructor(options: DatabaseOptions) {
    this.log = options.log;
    this.patience = options.patience ?? 3_000;
    this.#timeout = options.timeout ?? 15_000;
    this.#config = {
      application_name: 'parley',
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
      ...options.connection,
    };
    this.#connections = options.connections ?? 8;
    this.#pool = this.#open();
  }

  /** In whose name is written now; of whoever asks for several things in turn, all are to be in the same. */
  get life(): string {
    return this.#life;
  }

  /** From now on connections are those of another life; old ones end, and what was asked and not sent over them is refused. */
  begin(life: string): void {
    this.#life = connectionName(life);
    const old = this.#pool;
    this.#pool = this.#open();
    old.end().catch(() => {});
  }

  /** A connection that was just made may be used from here on. @throws LifeOver */
  async admit(client: pg.ClientBase, life = this.#life): Promise<void> {
    if (life !== '') await introduce(client, life);
    if (life !== this.#life) throw new LifeOver();
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** A connection of one's own. `timeout`: how long a statement may run, in milliseconds; 0: as long as it takes. */
  client(timeout = this.#timeout): pg.Client {
    const client = new pg.Client({ ...this.#config, ...this.#limits(timeout) });
    client.on('error', () => {});
    return client;
  }

  /**
   * Runs a prepared statement. A statement that does the same when it is done twice (`repeatable`) is tried again when the
   * connection breaks under it; any is that had to give way to another. Throws {@link StorageUnavailable} when the database is away for longer than our patience.
   */
  async run(text: string, values: readonly unknown[], repeatable: boolean, life = this.#life): Promise<readonly Row[]> {
    const deadline = performance.now() + this.patience;
    for (;;) {
      if (this.#outage !== undefined) await this.#wait(deadline);
      if (this.#closed) throw new StorageUnavailable('the storage is closed');
      if (life !== this.#life) throw new LifeOver();
      let client: pg.PoolClient;
      try {
        client = await this.#pool.connect();
      } catch (error) {
        if (life !== this.#life || error instanceof LifeOver) throw new LifeOver();
        // nothing was sent
        if (this.#closed || this.#isBusy(error) || performance.now() > deadline) throw translate(error);
        if (isFull(error) && this.#pool.totalCount > 0) {
          this.#shrink(error);
          continue;
        }
        if (isRejected(error))
          throw new StorageUnavailable(`the database refuses us: ${describe(error)}`, { cause: error });
        void this.lost(error);
        continue;
      }
      let broken = false;
      try {
        if (life !== this.#life) throw new LifeOver();
        const query = { name: this.nameOf(text), text, values: values as unknown[], rowMode: 'array' as const };
        return (await client.query<unknown[]>(query)).rows;
      } catch (error) {
        broken = isLost(error);
        const mayRepeat = broken ? repeatable : isDeadlock(error);
        if (!mayRepeat || performance.now() > deadline) throw translate(error);
      } finally {
        client.release(broken);
      }
    }
  }

  /** Told that a connection could not be made; settled when one can be made again, or when the storage closes. */
  lost(error: unknown): Promise<void> {
    if (this.#outage === undefined) {
      this.#since = performance.now();
      this.#reason = error;
      this.#outage = this.#recover(error);
    }
    return this.#outage;
  }

  async ping(): Promise<void> {
    await this.run('SELECT 1', [], true);
  }

  /** Lets what runs finish, for at most `ms` milliseconds. */
  async close(ms = 5_000): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#closing.abort();
    await Promise.race([this.#pool.end(), new Promise((resolve) => setTimeout(resolve, ms).unref())]);
  }

  #open(): pg.Pool {
    const life = this.#life;
    const pool = new pg.Pool({
      ...this.#config,
      ...this.#limits(this.#timeout),
      max: this.#connections,
      idleTimeoutMillis: 30_000,
      onConnect: async (client) => {
        // our statements have one good plan each: it is made once, and no values talk the planner out of it
        await client.query('SET plan_cache_mode = force_generic_plan');
        await this.admit(client, life);
      },
    });
    // an idle connection that dies is taken out of the pool; the next statement finds out whether the database is away
    pool.on('error', (error) => this.log.debug({ error: describe(error) }, 'lost an idle database connection'));
    pool.on('connect', (client) => client.on('error', () => {}));
    return pool;
  }

  async #recover(reason: unknown): Promise<void> {
    const since = performance.now();
    this.log.warn({ error: describe(reason) }, 'the database does not answer; trying until it does');
    for (let wait = firstWait; !this.#closed; wait = Math.min(wait * 2, longestWait)) {
      // a little chance, so that several nodes do not come back in step
      await this.#sleep(wait * (0.75 + Math.random() / 2));
      if (this.#closed) break;
      const client = this.client();
      try {
        await client.connect();
        await client.query('SELECT 1');
        // at once, and before it is said: from here on another outage may begin
        this.#outage = undefined;
        this.log.info({ seconds: Math.round(performance.now() - since) / 1000 }, 'the database answers again');
        return;
      } catch (error) {
        this.#reason = error;
        this.log.debug({ error: describe(error) }, 'the database still does not answer');
      } finally {
        await client.end().catch(() => {});
      }
    }
    this.#outage = undefined;
  }

  async #wait(deadline: number): Promise<void> {
    // an outage that is longer than our patience is no surprise any more: nobody's stream is held up for it again and again
    const left = Math.min(deadline, this.#since + this.patience) - performance.now();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<true>((resolve) => {
      timer = setTimeout(resolve, Math.max(0, left), true);
    });
    const isLate = await Promise.race([this.#outage, late]);
    clearTimeout(timer);
    if (!isLate) return;
    const cause = this.#reason;
    throw new StorageUnavailable(`the database does not answer: ${describe(cause)}`, { cause });
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#closing.signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#closing.signal.addEventListener('abort', done);
    });
  }

  /** Told that the server had none for somebody who needs one of his own: one of the pool's is ended for it. */
  makeRoom(error: unknown): void {
    if (this.#pool.totalCount <= 1) return;
    this.#shrink(error);
    this.#pool.options.max--;
    // the next that is free
    this.#pool.connect().then(
      (client) => client.release(true),
      () => {},
    );
  }

  /** The server has no connection more for this node, which goes on with those that it has, and tries for more after a while. */
  #shrink(error: unknown): void {
    const pool = this.#pool;
    pool.options.max = pool.totalCount;
    setTimeout(() => {
      pool.options.max = this.#connections;
    }, shortage).unref();
    const now = performance.now();
    if (now < this.#shortUntil) return;
    this.#shortUntil = now + shortageTold;
    this.log.warn(
      { error: describe(error), connections: pool.totalCount, wanted: this.#connections },
      'the database has no more connections for this node: raise its max_connections',
    );
  }

  // all connections in use for seconds, or none left on the server: overload, but not an outage
  #isBusy(error: unknown): boolean {
    return (
      this.#pool.idleCount === 0 && this.#pool.waitingCount > 0 && /timeout exceeded when trying/.test(describe(error))
    );
  }

  #limits(timeout: number): pg.ClientConfig {
    if (timeout === 0) return {};
    // the server gives up first; the client only where the server is frozen
    return {
      statement_timeout: timeout,
      idle_in_transaction_session_timeout: timeout,
      query_timeout: timeout + 2_000,
    };
  }

  /** The name under which connections prepare a statement. */
  nameOf(text: string): string {
    let name = this.#names.get(text);
    if (name === undefined) {
      name = `parley_${this.#names.size}`;
      this.#names.set(text, name);
    }
    return name;
  }
}
