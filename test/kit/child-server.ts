// A Parley as people run it: the compiled command in a process of its own, with a configuration file and the embedded database.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connectAdmin } from '../../src/cli/admin-client.ts';
import { adminSocketPath } from '../../src/cli/admin-socket.ts';
import type { ConfigInput } from '../../src/config/server.ts';
import type { Address } from './client.ts';
import { nodesOn } from './processes.ts';
import { mergeSettings } from './test-server.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const command = join(root, 'bin', 'parley.js');

/** How long a start or a stop may take, in milliseconds: the first start makes a database. */
const START = 60_000;
const STOP = 10_000;

export type ListenerName = 'c2s' | 'c2s-tls' | 'http';

const settings: ConfigInput = {
  registration: 'open',
  listen: {
    address: ['127.0.0.1'],
    c2s: 0,
    'c2s-tls': 0,
    s2s: null,
    's2s-tls': null,
    component: null,
    http: 0,
    https: null,
  },
  log: { format: 'json' },
};

interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** What a command that ran to its end has left. */
export interface CommandResult extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

export class ChildServer implements AsyncDisposable {
  readonly folder: string;
  /** Everything that was written to standard output and error, over all starts. */
  output = '';
  private readonly settings: ConfigInput;
  private ports = new Map<string, number>();
  private child: ChildProcess | undefined;
  private exit: Promise<Exit> | undefined;

  /** What the process believes to be later than it is, in milliseconds. */
  private readonly ahead: number;
  private readonly under: readonly string[];

  private constructor(more: ConfigInput, ahead: number, under: readonly string[]) {
    this.ahead = ahead;
    this.under = under;
    // a space: nobody's folders are as plain as those of programmers
    this.folder = mkdtempSync(join(tmpdir(), 'parley e2e '));
    this.settings = mergeSettings(settings, more);
  }

  /**
   * Starts a server on new data; settings are laid over those for tests.
   * @param ahead how much its clock is ahead of ours, in milliseconds
   * @param under a command that it is started by, and becomes
   */
  static async start(more: ConfigInput = {}, ahead = 0, under: readonly string[] = []): Promise<ChildServer> {
    build();
    const server = new ChildServer(more, ahead, under);
    try {
      await server.start();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  get file(): string {
    return join(this.folder, 'parley.yaml');
  }

  get pid(): number {
    return this.child?.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  /** The process of the embedded database; `undefined` when there is none. */
  get databasePid(): number | undefined {
    const file = join(this.folder, 'data', 'postgres', 'db', 'postmaster.pid');
    return existsSync(file) ? Number.parseInt(readFileSync(file, 'utf8'), 10) : undefined;
  }

  /** Starts it again on the same data and the same ports. */
  async start(): Promise<void> {
    this.configure();
    const { child, exit } = this.launch();
    this.child = child;
    this.exit = exit;
    const isReady = await until(START, () => this.output.includes('is ready for') || child.exitCode !== null);
    if (!isReady || child.exitCode !== null) throw new Error(`the server did not start:\n${this.output}`);
    if (this.ports.size > 0) return;
    const { listeners } = await this.status();
    this.ports = new Map(listeners.map(({ name, port }) => [name, port]));
  }

  /** Another process on the same configuration, whose end is waited for. */
  async startAnother(): Promise<CommandResult> {
    return this.cli(['start']);
  }

  address(listener: ListenerName): Address {
    const port = this.ports.get(listener);
    if (port === undefined) throw new Error(`there is no listener ${listener}`);
    return { address: '127.0.0.1', port };
  }

  /** `parley ARGS --config FILE`. */
  cli(args: readonly string[], input = ''): Promise<CommandResult> {
    const child = spawn(process.execPath, [command, ...args, '--config', this.file], { cwd: this.folder });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.stdin.end(input);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => child.kill('SIGKILL'), START);
      child.on('error', reject);
      child.on('close', (code, signal) => {
        clearTimeout(timer);
        resolve({ code, signal, stdout, stderr });
      });
    });
  }

  /** Makes accounts; the password of `user` is `user-secret`. */
  async addUsers(domain: string, users: readonly string[]): Promise<void> {
    const lines = users.map((user) => `${user}@${domain} ${passwordOf(user)}\n`).join('');
    const { code, stderr } = await this.cli(['user', 'add', '--batch', '-'], lines);
    if (code !== 0) throw new Error(`accounts could not be made: ${stderr}`);
  }

  /**
   * What a command says with `--json`, asked of the running server itself: a process of its own for each question is what slows tests
   * that ask again and again. @throws CommandError
   */
  async ask<T extends object>(command: string, args: object = {}): Promise<T> {
    const path = adminSocketPath(join(this.folder, 'data'));
    const client = await connectAdmin(path);
    if (client === undefined) throw new Error(`nothing answers on ${path}`);
    try {
      return (await client.run(command, args)) as T;
    } finally {
      client.close();
    }
  }

  status(): Promise<{
    readonly pid: number;
    readonly sessions: number;
    readonly listeners: readonly { readonly name: string; readonly port: number }[];
  }> {
    return this.ask('status');
  }

  /** Sends a signal, and waits for the end. @throws Error after `patience` milliseconds */
  async stop(signal: NodeJS.Signals = 'SIGTERM', patience = STOP): Promise<Exit> {
    if (this.child === undefined || this.exit === undefined) throw new Error('the server does not run');
    this.child.kill(signal);
    const late = new Promise<never>((_, reject) => {
      setTimeout(() => reject(new Error(`the server does not stop:\n${this.output}`)), patience).unref();
    });
    const exit = await Promise.race([this.exit, late]);
    this.child = undefined;
    // the next start is waited for by what it says
    this.output = this.output.replaceAll('is ready for', 'was ready for');
    return exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (this.isRunning) {
        await this.stop().catch(() => this.child?.kill('SIGKILL'));
      }
      // those of a primary that was killed end by themselves, or should
      for (const pid of nodesOn(this.file)) killIfThere(pid);
      const database = this.databasePid;
      if (database !== undefined && isAlive(database)) {
        process.kill(database, 'SIGINT');
        await until(STOP, () => !isAlive(database));
      }
    } finally {
      rmSync(this.folder, { recursive: true, force: true });
    }
  }

  private configure(): void {
    // ports that were picked once stay, so that clients find the server again
    const ports = Object.fromEntries(this.ports);
    const config = mergeSettings({ ...this.settings, data: './data' }, { listen: ports } as ConfigInput);
    writeFileSync(this.file, JSON.stringify(config));
  }

  private launch(): { child: ChildProcess; exit: Promise<Exit> } {
    const own = [process.execPath, ...clockAhead(this.ahead), command, 'start', '--config', this.file];
    const [first = '', ...args] = [...this.under, ...own];
    const child = spawn(first, args, {
      cwd: this.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
      });
    }
    const exit = new Promise<Exit>((resolve) => child.on('exit', (code, signal) => resolve({ code, signal })));
    return { child, exit };
  }
}

/** Makes a process believe that it is later: what asks for the time gets another one, before any of the server's code is there. */
function clockAhead(ms: number): string[] {
  if (ms === 0) return [];
  const code = `const Real = Date;
globalThis.Date = class Date extends Real {
  constructor(...args) { if (args.length === 0) super(Real.now() + ${ms}); else super(...args); }
  static now() { return Real.now() + ${ms}; }
};`;
  return ['--import', `data:text/javascript,${encodeURIComponent(code)}`];
}

export const passwordOf = (user: string): string => `${user}-secret`;

/** Whether a process runs; one that has ended and that nobody asks after (as in containers) does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return process.platform !== 'linux';
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it has just ended
  }
}

/** Asks until it holds, every so many milliseconds; false when it does not within `ms` milliseconds. */
export async function until(ms: number, holds: () => boolean | Promise<boolean>, every = 20): Promise<boolean> {
  for (const deadline = performance.now() + ms; ; ) {
    if (await holds()) return true;
    if (performance.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}

/** Compiles what has changed; where several test files start at once, one of them does it and the others wait. */
export function build(): void {
  const lock = join(root, 'node_modules', '.parley-build.lock');
  for (const deadline = Date.now() + 60_000; ; ) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' });
      break;
    } catch {
      const holder = existsSync(lock) ? Number(readFileSync(lock, 'utf8')) : 0;
      if (Date.now() > deadline || (holder > 0 && !isAlive(holder))) rmSync(lock, { force: true });
      spawnSync('sleep', ['0.1']);
    }
  }
  try {
    const { status, stdout } = spawnSync(process.execPath, [join(root, 'scripts', 'build.js'), '--if-stale'], {
      cwd: root,
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`the server does not compile:\n${stdout}`);
  } finally {
    rmSync(lock, { force: true });
  }
}
