// A throw-away PostgreSQL of the machine's own packages, on a Unix socket below a temporary folder.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';

export interface TestPostgres {
  readonly config: pg.ClientConfig;
  readonly url: string;
  /** Of the postmaster; 0 while it does not run. */
  readonly pid: number;
  /** Starts it (again); settled when it answers. */
  start(): Promise<void>;
  /** `fast` ends sessions in order, `kill` is as bad as a power cut for the processes. */
  stop(how: 'fast' | 'kill'): Promise<void>;
  /** Stops it and removes all it had. */
  remove(): Promise<void>;
  /** Another, empty database in the same server. */
  database(name: string): Promise<pg.ClientConfig>;
}

/** The newest `/usr/lib/postgresql/N/bin`. */
function binaries(): string {
  const base = '/usr/lib/postgresql';
  const versions = existsSync(base) ? readdirSync(base).map(Number).filter(Number.isFinite) : [];
  if (versions.length === 0) throw new Error('no PostgreSQL below /usr/lib/postgresql; see scripts/test-deps.js');
  return join(base, String(Math.max(...versions)), 'bin');
}

/** PostgreSQL refuses to run as root. */
function plainUser(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const entry = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((line) => line.startsWith('postgres:'))!
    .split(':');
  return { uid: Number(entry[2]), gid: Number(entry[3]) };
}

/** `port`: also listens there on loopback, for those that know no Unix sockets. */
export async function startPostgres({ port }: { readonly port?: number } = {}): Promise<TestPostgres> {
  const bin = binaries();
  const user = plainUser();
  const folder = mkdtempSync(join(tmpdir(), 'parley-pg-'));
  if (user !== undefined) chownSync(folder, user.uid, user.gid);
  const data = join(folder, 'db');
  const as = { cwd: folder, ...user };
  const settings = ['--auth=trust', '--username=parley', '--encoding=UTF8', '--locale=C', '--no-sync'];
  execFileSync(join(bin, 'initdb'), ['-D', data, ...settings], { ...as, stdio: 'ignore' });

  const address = port === undefined ? { host: folder } : { host: '127.0.0.1', port };
  const config: pg.ClientConfig = { ...address, user: 'parley', database: 'postgres' };
  let child: ChildProcess | undefined;

  const answers = async (): Promise<boolean> => {
    const client = new pg.Client(config);
    client.on('error', () => {});
    try {
      await client.connect();
      return true;
    } catch {
      return false;
    } finally {
      await client.end().catch(() => {});
    }
  };
  const start = async (): Promise<void> => {
    const network = port === undefined ? ['-h', ''] : ['-h', '127.0.0.1', '-p', String(port)];
    const args = ['-D', data, '-k', folder, ...network, '-c', 'shared_buffers=16MB', '-c', 'log_min_messages=panic'];
    child = spawn(join(bin, 'postgres'), args, { ...as, stdio: 'ignore' });
    const deadline = Date.now() + 20_000;
    while (!(await answers())) {
      if (child.exitCode !== null || Date.now() > deadline) throw new Error('the test PostgreSQL does not start');
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  };
  const stop = async (how: 'fast' | 'kill'): Promise<void> => {
    const running = child;
    child = undefined;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
    const exited = new Promise((resolve) => running.once('exit', resolve));
    // SIGQUIT: every process drops what it does, nothing is written, recovery at the next start
    running.kill(how === 'fast' ? 'SIGINT' : 'SIGQUIT');
    await exited;
  };
  await start();
  return {
    config,
    url:
      port === undefined
        ? `postgres://parley@/postgres?host=${encodeURIComponent(folder)}`
        : `postgres://parley@127.0.0.1:${port}/postgres`,
    get pid() {
      return child?.pid ?? 0;
    },
    start,
    stop,
    async remove() {
      await stop('kill');
      rmSync(folder, { recursive: true, force: true });
    },
    async database(name) {
      const client = new pg.Client(config);
      await client.connect();
      await client.query(`CREATE DATABASE "${name}"`);
      await client.end();
      return { ...config, database: name };
    },
  };
}
