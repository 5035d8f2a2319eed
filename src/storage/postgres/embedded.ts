// Supervises the embedded PostgreSQL: makes its database at first start, starts it or adopts one that outlived us, restarts it when it
// dies, stops it. It listens on a Unix socket only, in a folder that nobody else can enter, and runs in a session of its own, so that
// a terminal's Ctrl-C does not reach it before we have written out what waits.
import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import type { Logger } from '../../base/log.ts';
import { type Binaries, EmbeddedError, pinnedMajor, prepareBinaries } from './embedded-binaries.ts';
import { createLogFile, type LogFile } from './embedded-log.ts';
import { makePrivate, type Place, preparePlace } from './embedded-place.ts';
import { disown, isAlive, isPostmaster, type Postmaster, readPostmaster, sleep, waitFor } from './embedded-process.ts';
import { describe } from './failures.ts';

export { EmbeddedError } from './embedded-binaries.ts';

export interface EmbeddedOptions {
  /** Parley's data folder; the database takes the folder `postgres` in it. */
  readonly dataFolder: string;
  readonly log: Logger;
  /** How many nodes connect to it; 1 unless said otherwise. */
  readonly nodes?: number;
}

export interface Embedded {
  /** How to connect, in pg's words. */
  readonly config: pg.ClientConfig;
  /** The same as a URL, for other processes of the same user. */
  readonly url: string;
  /** The process that is PostgreSQL now. */
  readonly pid: number;
  /** Ends PostgreSQL in order, within about 15 seconds. Close the driver first. */
  stop(): Promise<void>;
}

const port = 5432;
const databaseUser = 'parley';
// held by a connection for as long as a Parley uses the database: the kernel lets go of it, however that Parley ends
const useLock = '123580868846970';
const fastStop = 10_000;
const immediateStop = 5_000;
/** How long a start may take when nothing tells that it goes on, in milliseconds. */
const startLimit = 60_000;

/** A small server that shares the machine: little memory, few processes, nothing that only replication needs. */
const settings = {
  listen_addresses: '',
  unix_socket_permissions: '0700',
  cluster_name: 'parley',
  fsync: 'on',
  shared_buffers: '24MB',
  work_mem: '4MB',
  maintenance_work_mem: '32MB',
  wal_level: 'minimal',
  max_wal_senders: '0',
  min_wal_size: '32MB',
  max_wal_size: '256MB',
  io_method: 'sync',
  jit: 'off',
  max_worker_processes: '2',
  max_parallel_workers: '0',
  max_parallel_workers_per_gather: '0',
  autovacuum_max_workers: '2',
  logging_collector: 'off',
  log_destination: 'stderr',
  log_checkpoints: 'off',
  log_min_messages: 'warning',
  // what people write must not get into log files
  log_error_verbosity: 'terse',
  log_min_error_statement: 'panic',
  log_statement: 'none',
  timezone: 'UTC',
};

/** Whoever looks in from outside, and the tests, have some too. */
const spareConnections = 24;
/** Twice what a node's pool has: what a node that was killed has left is there for a while. */
const connectionsPerNode = 16;

/** Starts or adopts the database below the data folder. @throws EmbeddedError with what to do, when that cannot be */
export async function createEmbedded(options: EmbeddedOptions): Promise<Embedded> {
  const { log } = options;
  const place = preparePlace(options.dataFolder);
  const binaries = prepareBinaries(place.user, place.isReachable ? place.folder : undefined, log);
  if (!place.isReachable) {
    log.info(
      { folder: place.folder, user: place.user?.uid },
      'Postgres refuses to run as root: the embedded database runs as another user, which needs no way to this folder',
    );
  }
  const supervisor = new Supervisor(place, binaries, log, spareConnections + connectionsPerNode * (options.nodes ?? 1));
  await supervisor.start();
  return {
    config: { host: place.socket, port, user: databaseUser, database: 'postgres' },
    url: `postgres://${databaseUser}@/postgres?host=${encodeURIComponent(place.socket)}&port=${port}`,
    get pid() {
      return readPostmaster(place.db)?.pid ?? 0;
    },
    stop: () => supervisor.stop(),
  };
}

class Supervisor {
  readonly #place: Place;
  readonly #binaries: Binaries;
  readonly #log: Logger;
  readonly #logFile: LogFile;
  /** The connection that holds the lock. */
  #hold: pg.Client | undefined;
  #isStopping = false;
  #restarting: Promise<void> | undefined;
  readonly #connections: number;

  constructor(place: Place, binaries: Binaries, log: Logger, connections: number) {
    this.#connections = connections;
    this.#place = place;
    this.#binaries = binaries;
    this.#log = log;
    this.#logFile = createLogFile(place.log);
  }

  async start(): Promise<void> {
    try {
      await this.#initialise();
      await this.#run();
    } catch (error) {
      this.#logFile.close();
      throw error;
    }
  }

  async stop(): Promise<void> {
    if (this.#isStopping) return;
    this.#isStopping = true;
    await this.#restarting?.catch(() => {});
    await this.#hold?.end().catch(() => {});
    const postmaster = this.#postmaster();
    if (postmaster !== undefined) await this.#end(postmaster);
    removeIfEmpty(this.#place.socket);
    this.#logFile.close();
  }

  /** The living postmaster of our data folder. */
  #postmaster(): Postmaster | undefined {
    const found = readPostmaster(this.#place.db);
    return found !== undefined && isPostmaster(found.pid, found.socket || this.#place.socket) ? found : undefined;
  }

  // ---- the first start

  async #initialise(): Promise<void> {
    const { db, folder } = this.#place;
    // left by attempts that were cut off
    for (const name of readdirSync(folder)) {
      const [, pid] = /^db\.new-(\d+)$/.exec(name) ?? [];
      if (pid !== undefined && !isAlive(Number(pid))) rmSync(join(folder, name), { recursive: true, force: true });
    }
    if (!existsSync(db)) {
      this.#log.info({ folder: db }, 'making the embedded database');
      await this.#makeDatabase(join(folder, `db.new-${process.pid}`));
    }
    const version = readFileSync(join(db, 'PG_VERSION'), 'utf8').trim();
    if (version !== this.#binaries.major) {
      throw new EmbeddedError(
        `the database in ${db} was made by PostgreSQL ${version}, and this program brings ${pinnedMajor}: ` +
          'dump it with the old version and restore it with the new one (pg_dump, psql)',
      );
    }
  }

  /** Made aside and renamed, so that a database is there as a whole or not at all. */
  async #makeDatabase(fresh: string): Promise<void> {
    const { db, user } = this.#place;
    rmSync(fresh, { recursive: true, force: true });
    mkdirSync(fresh, { mode: 0o700 });
    chmodSync(fresh, 0o700);
    if (user !== undefined) chownSync(fresh, user.uid, user.gid);
    const args = ['-D', this.#path(fresh), '-U', databaseUser, '--auth-local=trust', '--auth-host=reject'];
    args.push('--encoding=UTF8', '--locale=C', '--no-instructions');
    const child = this.#spawn(this.#binaries.initdb, args, fresh);
    const code = await exitOf(child);
    if (code !== 0) {
      rmSync(fresh, { recursive: true, force: true });
      throw new EmbeddedError(`the embedded database could not be made (initdb: ${code})${this.#logFile.tail()}`);
    }
    try {
      renameSync(fresh, db);
    } catch (error) {
      // another Parley was faster; which of us goes on is decided by the lock
      rmSync(fresh, { recursive: true, force: true });
      if (!existsSync(db)) throw error;
    }
  }

  // ---- running

  /** Gets a postmaster of ours to answer, and the lock. */
  async #run(): Promise<void> {
    let deadline = performance.now() + startLimit;
    let child: ChildProcess | undefined;
    let tries = 0;
    for (let wait = 5; !this.#isStopping; wait = Math.min(wait * 1.5, 100)) {
      const postmaster = this.#postmaster();
      if (postmaster !== undefined) {
        if (postmaster.status === 'ready' && (await this.#take(child?.pid === postmaster.pid))) return;
        // recovery after a crash takes the time that it takes
        if (postmaster.status === 'starting' || postmaster.status === 'stopping')
          deadline = performance.now() + startLimit;
      } else if (child === undefined || hasExited(child)) {
        if (tries++ === 5) throw new EmbeddedError(`the embedded database does not start${this.#logFile.tail()}`);
        child = this.#launch();
      }
      if (performance.now() > deadline) {
        if (postmaster === undefined)
          throw new EmbeddedError(`the embedded database does not start${this.#logFile.tail()}`);
        this.#log.warn({ pid: postmaster.pid }, 'the embedded database does not answer; restarting it');
        await this.#end(postmaster);
        deadline = performance.now() + startLimit;
      }
      await sleep(wait);
    }
  }

  #launch(): ChildProcess {
    const { db, socket, user } = this.#place;
    // one that stopped just now may have taken it away
    makePrivate(socket, user);
    const left = readPostmaster(db);
    if (left !== undefined && isAlive(left.pid) && !isPostmaster(left.pid, left.socket || socket)) disown(db);
    // the folder is ours alone, so a lock of nobody's is a left-over
    const lock = join(socket, `.s.PGSQL.${port}.lock`);
    const holder = existsSync(lock) ? Number.parseInt(readFileSync(lock, 'utf8'), 10) : undefined;
    if (holder !== undefined && !isPostmaster(holder, socket)) {
      rmSync(lock, { force: true });
      rmSync(join(socket, `.s.PGSQL.${port}`), { force: true });
    }
    this.#logFile.rotate();
    const args = ['-D', this.#path(db), '-k', socket, '-p', String(port), '-c', `max_connections=${this.#connections}`];
    for (const [name, value] of Object.entries(settings)) args.push('-c', `${name}=${value}`);
    const child = this.#spawn(this.#binaries.postgres, args, db);
    child.unref();
    return child;
  }

  /** Connects and takes the lock; false when the database does not answer yet. */
  async #take(isNew: boolean): Promise<boolean> {
    const client = new pg.Client({
      host: this.#place.socket,
      port,
      user: databaseUser,
      database: 'postgres',
      application_name: `parley ${process.pid}`,
      connectionTimeoutMillis: 5_000,
    });
    client.on('error', () => {});
    const ask = async (text: string): Promise<unknown> => (await client.query<{ is: unknown }>(text)).rows[0]?.is;
    try {
      await client.connect();
      // a predecessor that was killed just now may still be held for a moment
      const got = await waitFor(
        2_000,
        async () => (await ask(`SELECT pg_try_advisory_lock(${useLock}) AS is`)) === true,
      );
      if (!got) {
        const holder = await ask(
          `SELECT a.application_name AS is FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
            WHERE l.locktype = 'advisory' AND (l.classid::bigint << 32) + l.objid::bigint = ${useLock}`,
        );
        throw new EmbeddedError(
          `the data folder ${this.#place.folder} is in use by another Parley (${String(holder ?? 'unknown').replace('parley', 'process')}): ` +
            'stop that one first, or give this one another data folder',
        );
      }
    } catch (error) {
      await client.end().catch(() => {});
      if (error instanceof EmbeddedError) throw error;
      this.#log.debug({ error: describe(error) }, 'the embedded database does not answer yet');
      return false;
    }
    if (!isNew) this.#log.info({}, 'the embedded database was running already; going on with it');
    this.#hold = client;
    client.on('end', () => {
      this.#hold = undefined;
      if (!this.#isStopping) this.#restarting = this.#restart();
    });
    return true;
  }

  async #restart(): Promise<void> {
    this.#log.warn({}, 'the embedded database went away; starting it again');
    for (let wait = 100; !this.#isStopping; wait = Math.min(wait * 2, 10_000)) {
      try {
        await this.#run();
        return;
      } catch (error) {
        this.#log.error({ error: describe(error) }, 'the embedded database does not start; trying again');
        await sleep(wait);
      }
    }
  }

  /** Fast shutdown, then, if that takes too long, an immediate one (recovered from at the next start). */
  async #end(postmaster: Postmaster): Promise<void> {
    const isGone = (): boolean => !isPostmaster(postmaster.pid, postmaster.socket || this.#place.socket);
    signal(postmaster.pid, 'SIGINT');
    if (await waitFor(fastStop, isGone)) return;
    this.#log.warn({ pid: postmaster.pid }, 'the embedded database takes long to stop; stopping it at once');
    signal(postmaster.pid, 'SIGQUIT');
    if (!(await waitFor(immediateStop, isGone)))
      this.#log.error({ pid: postmaster.pid }, 'the embedded database does not stop');
  }

  /** As the database's user is to see it: where it cannot come by the path, it starts from within. */
  #path(folder: string): string {
    return this.#place.isReachable ? folder : '/proc/self/cwd';
  }

  #spawn(program: string, args: readonly string[], cwd: string): ChildProcess {
    const out = this.#logFile.open();
    try {
      return spawn(program, args, {
        cwd,
        ...this.#place.user,
        detached: true,
        stdio: ['ignore', out, out],
        // nothing of our own environment: it may hold secrets
        env: { PATH: process.env.PATH ?? '/usr/bin:/bin', LANG: 'C', LC_ALL: 'C', TZ: 'UTC' },
      }).on('error', (error) => this.#log.error({ error: error.message }, `${program} does not start`));
    } finally {
      closeSync(out);
    }
  }
}

const hasExited = (child: ChildProcess): boolean =>
  child.pid === undefined || child.exitCode !== null || child.signalCode !== null;

function exitOf(child: ChildProcess): Promise<number | string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, by) => resolve(code ?? by ?? 'unknown'));
  });
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // still in use
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // gone in the meantime
  }
}
