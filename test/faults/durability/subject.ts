// The server under test and its database, as processes that can be killed, frozen and started again.
import { readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { Target } from '../../../bench/load/client.ts';
import { ejabberd } from '../../../bench/peers/ejabberd.ts';
import { freePort, type Peer, type RunningPeer, temporaryDirectory } from '../../../bench/peers/peer.ts';
import { prosody } from '../../../bench/peers/prosody.ts';
import { ChildServer, isAlive, until } from '../../kit/child-server.ts';
import { startPostgres, type TestPostgres } from '../../kit/postgres.ts';

export interface Subject {
  readonly name: string;
  /** Where it is now: a restart may move it. */
  readonly target: Target;
  readonly database: Database;
  /** kill -9. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** What it wrote lately, for when something went wrong. */
  output(): string;
  /** Ends all of it. */
  dispose(): Promise<void>;
}

export interface Database {
  /** kill -9 of the postmaster and of all its processes. */
  kill(): Promise<void>;
  /** An orderly end; it stays away until `start`. */
  shutDown(): Promise<void>;
  /** Lets it come back; settled when it is there or is being started by the server. */
  start(): Promise<void>;
  freeze(): void;
  thaw(): void;
}

export const subjectNames = ['embedded', 'postgres', 'prosody', 'ejabberd'] as const;
export type SubjectName = (typeof subjectNames)[number];

const domain = 'localhost';
const password = 'durable';
const userPrefix = 'user';

/** Starts a server with accounts `user1` to `userN`: Parley on its embedded database or on one of its own, or one of its peers. */
export async function startSubject(name: SubjectName, users: number): Promise<Subject> {
  if (name === 'embedded' || name === 'postgres') return startParley(name, users);
  return startOther(name === 'prosody' ? prosody : ejabberd, users);
}

async function startParley(name: 'embedded' | 'postgres', users: number): Promise<Subject> {
  const postgres = name === 'postgres' ? await startPostgres({ port: await freePort() }) : undefined;
  const server = await ChildServer.start({
    hosts: { [domain]: {} },
    tls: { required: false },
    limits: { enabled: false },
    ...(postgres ? { database: postgres.url } : {}),
  }).catch(async (error: unknown) => {
    await postgres?.remove();
    throw error;
  });
  const lines = Array.from({ length: users }, (_, i) => `${userPrefix}${i + 1}@${domain} ${password}\n`).join('');
  const { code, stderr } = await server.cli(['user', 'add', '--batch', '-'], lines);
  if (code !== 0) throw new Error(`accounts could not be made: ${stderr}`);
  return {
    name: `Parley (${name})`,
    get target() {
      return targetAt(server.address('c2s').port);
    },
    database: postgres ? separate(postgres) : embedded(server),
    async kill() {
      await server.stop('SIGKILL');
    },
    start: () => server.start(),
    output: () => server.output.slice(-4_000),
    async dispose() {
      await server[Symbol.asyncDispose]();
      await postgres?.remove();
    },
  };
}

async function startOther(peer: Peer, users: number): Promise<Subject> {
  if ((await peer.version()) === undefined) throw new Error(`${peer.name} is not installed`);
  const port = await freePort();
  const postgres = await startPostgres({ port });
  const dir = temporaryDirectory();
  const database = { host: '127.0.0.1', port, user: 'parley', database: 'postgres' };
  const start = () => peer.start({ dir, domain, userPrefix, password, users, isFull: true, database });
  let running: RunningPeer = await start();
  return {
    name: peer.name,
    get target() {
      return targetAt(running.port);
    },
    database: separate(postgres),
    async kill() {
      const [pid] = running.pids;
      process.kill(pid!, 'SIGKILL');
      await until(5_000, () => !isAlive(pid!));
    },
    async start() {
      running = await start();
    },
    output: () => readFileSync(join(dir, 'output.log'), 'utf8').slice(-4_000),
    async dispose() {
      await running.stop();
      await postgres.remove();
    },
  };
}

function targetAt(port: number): Target {
  return {
    host: '127.0.0.1',
    port,
    domain,
    tls: 'none',
    transport: 'tcp',
    sasl: 'plain',
    userPrefix,
    password,
    sources: 1,
  };
}

/** The embedded database: the server starts it again by itself, unless it cannot. */
function embedded(server: ChildServer): Database {
  const control = join(server.folder, 'data', 'postgres', 'db', 'global', 'pg_control');
  let isAway = false;
  const pid = (): number => server.databasePid ?? 0;
  return {
    kill: () => killAll(pid()),
    async shutDown() {
      const postmaster = pid();
      process.kill(postmaster, 'SIGINT');
      await until(10_000, () => !isAlive(postmaster));
      // without this file it does not start again
      renameSync(control, `${control}.away`);
      isAway = true;
    },
    async start() {
      if (isAway) renameSync(`${control}.away`, control);
      isAway = false;
    },
    freeze: () => signalAll(pid(), 'SIGSTOP'),
    thaw: () => signalAll(pid(), 'SIGCONT'),
  };
}

function separate(postgres: TestPostgres): Database {
  return {
    kill: () => killAll(postgres.pid),
    shutDown: () => postgres.stop('fast'),
    start: () => postgres.start(),
    freeze: () => signalAll(postgres.pid, 'SIGSTOP'),
    thaw: () => signalAll(postgres.pid, 'SIGCONT'),
  };
}

async function killAll(postmaster: number): Promise<void> {
  const pids = signalAll(postmaster, 'SIGKILL');
  if (!(await until(5_000, () => !pids.some(isAlive)))) throw new Error('the database could not be killed');
}

/** The postmaster first, so that it starts nothing anew. Returns whom the signal was sent. */
function signalAll(postmaster: number, signal: NodeJS.Signals): number[] {
  if (postmaster <= 0) throw new Error('no database runs');
  const pids = [postmaster, ...childrenOf(postmaster)];
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // ended meanwhile
    }
  }
  return pids;
}

function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
        return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === parent;
      } catch {
        return false;
      }
    });
}
