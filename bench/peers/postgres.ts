// The machine's own PostgreSQL (Debian's packages), for servers that are compared on the same database: its settings are the
// package's, with every commit on disk. Trusts whoever comes over loopback.

import { execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { type Daemon, endWithUs, freePort, LOOPBACK, stopDaemon } from './peer.ts';

export interface DatabaseAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
}

export interface RunningPostgres {
  readonly address: DatabaseAddress;
  /** Of its postmaster. */
  readonly pid: number;
  stop(): Promise<void>;
}

const BASE = '/usr/lib/postgresql';
const USER = 'bench';

/** Starts it on the data in `dir`, which it makes when there is none. Throws when it is not installed or does not start. */
export async function startPostgres(dir: string): Promise<RunningPostgres> {
  const versions = existsSync(BASE) ? readdirSync(BASE).map(Number).filter(Number.isFinite) : [];
  if (versions.length === 0) throw new Error(`no PostgreSQL below ${BASE}: apt-get install postgresql`);
  const bin = join(BASE, String(Math.max(...versions)), 'bin');
  const user = unprivileged();
  const as = { cwd: '/', ...user };
  mkdirSync(dir, { recursive: true });
  if (user) chownSync(dir, user.uid, user.gid);
  const data = join(dir, 'data');
  if (!existsSync(data)) {
    const settings = ['--auth=trust', `--username=${USER}`, '--encoding=UTF8', '--locale=C', '--no-sync'];
    execFileSync(join(bin, 'initdb'), ['-D', data, ...settings], { ...as, stdio: 'ignore' });
  }
  const port = await freePort();
  const log = join(dir, 'postgres.log');
  const out = openSync(log, 'a');
  const args = ['-D', data, '-h', LOOPBACK, '-p', String(port), '-k', '', '-c', 'max_connections=200'];
  const child = spawn(join(bin, 'postgres'), args, { ...as, stdio: ['ignore', out, out] });
  endWithUs(child, 'SIGINT');
  const daemon: Daemon = { process: child, log };
  const address = { host: LOOPBACK, port, user: USER, database: 'postgres' };
  for (let i = 0; !(await answers(address)); i++) {
    if (i === 200 || child.exitCode !== null) {
      await stopDaemon(daemon, 'SIGINT');
      throw new Error(`PostgreSQL does not start:\n${readFileSync(log, 'utf8').slice(-2000)}`);
    }
    await delay(100);
  }
  return { address, pid: child.pid!, stop: () => stopDaemon(daemon, 'SIGINT') };
}

/** Runs SQL in it; several statements if need be. */
export async function query(address: DatabaseAddress, sql: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ ...address });
  await client.connect();
  try {
    return await client.query(sql);
  } finally {
    await client.end();
  }
}

async function answers(address: DatabaseAddress): Promise<boolean> {
  try {
    await query(address, 'SELECT 1');
    return true;
  } catch {
    return false;
  }
}

/** PostgreSQL refuses to run as root. */
function unprivileged(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith('postgres:'));
  if (line === undefined) throw new Error('there is no user postgres to run PostgreSQL as');
  const [, , uid, gid] = line.split(':').map(Number);
  return { uid: uid!, gid: gid! };
}
