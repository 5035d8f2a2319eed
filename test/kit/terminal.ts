// A program of the terminal as somebody sees it who types: what it draws is kept as a screen. It is told that this is a VT52, which knows no
// colours and no more than a dozen commands.
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { until } from './child-server.ts';

/** As large as fits into the bytes that a VT52 has for a place. */
const LINES = 60;
const COLUMNS = 200;
const ESCAPE = 0x1b;
/** How long a program may take to show something, in milliseconds: machines are busy. */
const PATIENCE = 15_000;

export class Terminal implements AsyncDisposable {
  /** What is on the screen; cells are characters. */
  private rows: string[][] = [];
  private line = 0;
  private column = 0;
  /** The beginning of a command or a character whose rest has not come. */
  private rest = Buffer.alloc(0);
  private readonly child: ChildProcessByStdio<Writable, Readable, null>;

  private constructor(child: ChildProcessByStdio<Writable, Readable, null>) {
    this.child = child;
    child.stdout.on('data', (bytes: Buffer) => this.draw(bytes));
    // it may end while somebody types
    child.stdin.on('error', () => {});
  }

  /** Runs a command that needs no quotes, in a terminal of its own. */
  static async start(command: string, env: Readonly<Record<string, string>>): Promise<Terminal> {
    // (util-linux has the only pseudo-terminal that needs no add-on, and what lets nothing outlive a test that was ended)
    const terminal = ['script', '--quiet', '--command', `exec ${command}`, '/dev/null'];
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...terminal], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: {
        PATH: process.env.PATH,
        LANG: 'C.UTF-8',
        TERM: 'vt52',
        LINES: String(LINES),
        COLUMNS: String(COLUMNS),
        SHELL: '/bin/sh',
        ...env,
      },
    });
    await once(child, 'spawn');
    return new Terminal(child);
  }

  /** The screen as text, its words one space apart: where lines are broken depends on what is drawn beside them. */
  get text(): string {
    return this.rows
      .map((row) => row.join(''))
      .join(' ')
      .replaceAll(/\s+/g, ' ');
  }

  /** The screen as it looks, for people. */
  private get picture(): string {
    return this.rows.map((row) => row.join('').trimEnd()).join('\n');
  }

  /** Types a line, and the key at its end. */
  type(line: string): void {
    this.child.stdin.write(`${line}\r`);
  }

  /** Waits until it is on the screen. @throws Error with the screen, when it is not within `ms` milliseconds */
  async shows(what: string | RegExp, ms = PATIENCE): Promise<void> {
    const isThere = (): boolean => (typeof what === 'string' ? this.text.includes(what) : what.test(this.text));
    if (!(await until(ms, isThere))) throw new Error(`${what} is not shown:\n${this.picture}`);
  }

  /** Waits until the program has ended by itself. @throws Error with the screen, when it has not within `ms` milliseconds */
  async ended(ms = PATIENCE): Promise<void> {
    const hasEnded = (): boolean => this.child.exitCode !== null || this.child.signalCode !== null;
    if (!(await until(ms, hasEnded))) throw new Error(`it has not ended:\n${this.picture}`);
  }

  /** Takes the terminal away from the program, and waits for its end. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const end = once(this.child, 'exit');
    this.child.kill();
    await end;
  }

  private draw(bytes: Buffer): void {
    const all = Buffer.concat([this.rest, bytes]);
    let at = 0;
    while (at < all.length) {
      const taken = all[at] === ESCAPE ? this.obey(all, at) : this.put(all, at);
      if (taken === 0) break;
      at += taken;
    }
    this.rest = all.subarray(at);
  }

  /** Does what a command says; 0 where its rest is missing, else how long it is. */
  private obey(all: Buffer, at: number): number {
    const command = String.fromCharCode(all[at + 1] ?? 0);
    switch (command) {
      case '\0':
        return 0;
      case 'Y':
        if (at + 4 > all.length) return 0;
        this.line = (all[at + 2] ?? 0) - 32;
        this.column = (all[at + 3] ?? 0) - 32;
        return 4;
      case 'H':
        this.line = this.column = 0;
        return 2;
      case 'J':
        this.row.length = Math.min(this.row.length, this.column);
        this.rows.length = Math.min(this.rows.length, this.line + 1);
        return 2;
      case 'K':
        this.row.length = Math.min(this.row.length, this.column);
        return 2;
      case 'A':
      case 'I':
        this.line--;
        return 2;
      case 'B':
        this.line++;
        return 2;
      case 'C':
        this.column++;
        return 2;
      case 'D':
        this.column--;
        return 2;
      default:
        // of keys and of letters that are lines
        return 2;
    }
  }

  private put(all: Buffer, at: number): number {
    const byte = all[at] ?? 0;
    const length = byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    if (at + length > all.length) return 0;
    if (byte === 0x0d) this.column = 0;
    else if (byte === 0x0a) this.line++;
    else if (byte === 0x08) this.column--;
    else if (byte >= 0x20) {
      const { row } = this;
      while (row.length < this.column) row.push(' ');
      row[this.column++] = all.toString('utf8', at, at + length);
    }
    if (this.line === LINES) {
      this.rows.shift();
      this.line--;
    }
    return length;
  }

  private get row(): string[] {
    while (this.rows.length <= this.line) this.rows.push([]);
    return this.rows[this.line] ?? [];
  }
}
