// Connecting to a machine that has several addresses: both families race, later attempts start while earlier ones are under way
// (RFC 8305, "Happy Eyeballs" version 2).
import { connect, type Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';

/** RFC 8305 3: how long the answer for IPv6 is waited for when that for IPv4 is there, in milliseconds. */
const RESOLUTION_DELAY = 50;
/** RFC 8305 5: how long one attempt has to itself, in milliseconds. */
const ATTEMPT_DELAY = 250;
/** How many addresses of one machine are tried. */
const MOST_ADDRESSES = 16;

export interface RaceOptions {
  /** Resolves the addresses of one family. */
  addresses(family: 4 | 6): Promise<readonly string[]>;
  readonly port: number;
  readonly clock: Clock;
  /** For one attempt, in milliseconds. */
  readonly attemptTimeout: number;
  /** Told of every attempt, in words. */
  readonly tell: (text: string, isOk: boolean) => void;
  /** Makes a connection; node:net's unless said otherwise. */
  readonly dial?: (address: string, port: number) => Socket;
}

/** The machine has no address at all. */
export class NoAddress extends Error {}

/**
 * The first connection that is made; all others are dropped.
 * @throws NoAddress; Error with a sentence when addresses are not told, or none of them can be connected to
 */
export function connectFirst(options: RaceOptions): Promise<Socket> {
  return new Promise((resolve, reject) => new Race(options, resolve, reject).start());
}

function dialTcp(host: string, port: number): Socket {
  return connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 300_000, allowHalfOpen: true });
}

class Race {
  private readonly options: RaceOptions;
  private readonly won: (socket: Socket) => void;
  private readonly lost: (error: Error) => void;
  private readonly waiting: Record<4 | 6, string[]> = { 4: [], 6: [] };
  private readonly running = new Set<Socket>();
  private readonly problems: string[] = [];
  private unresolved = 2;
  private isStarted = false;
  private isOver = false;
  /** Every address there is has been tried, and another one is late already. */
  private isShort = false;
  private tried = 0;
  /** IPv6 first (RFC 8305 4), then by turns. */
  private next: 4 | 6 = 6;
  private cancelTimer: () => void = () => {};

  constructor(options: RaceOptions, won: (socket: Socket) => void, lost: (error: Error) => void) {
    this.options = options;
    this.won = won;
    this.lost = lost;
  }

  start(): void {
    for (const family of [6, 4] as const) {
      this.options.addresses(family).then(
        (addresses) => this.resolved(family, addresses),
        (error: unknown) => {
          this.problems.push(error instanceof Error ? error.message : String(error));
          this.resolved(family, []);
        },
      );
    }
  }

  private resolved(family: 4 | 6, addresses: readonly string[]): void {
    this.unresolved--;
    this.waiting[family].push(...addresses);
    if (this.isOver) return;
    if (this.isStarted) {
      if (this.running.size === 0 || this.isShort) this.proceed();
    } else if (family === 6 || this.unresolved === 0) this.proceed();
    else this.cancelTimer = this.options.clock.after(RESOLUTION_DELAY, () => this.proceed());
  }

  /** Starts the next attempt, if there is an address left; gives up when nothing is under way any more. */
  private proceed(): void {
    if (this.isOver) return;
    this.cancelTimer();
    const address = this.take();
    this.isShort = address === undefined;
    if (address === undefined) {
      if (this.running.size === 0 && this.unresolved === 0) this.giveUp();
      return;
    }
    this.isStarted = true;
    this.attempt(address);
    this.cancelTimer = this.options.clock.after(ATTEMPT_DELAY, () => this.proceed());
  }

  private take(): string | undefined {
    if (this.tried >= MOST_ADDRESSES) return undefined;
    const other = this.next === 6 ? 4 : 6;
    const family = this.waiting[this.next].length > 0 ? this.next : other;
    const address = this.waiting[family].shift();
    if (address === undefined) return undefined;
    this.next = family === 6 ? 4 : 6;
    this.tried++;
    return address;
  }

  private attempt(address: string): void {
    const { port, clock, attemptTimeout, tell, dial = dialTcp } = this.options;
    const where = `${address} port ${port}`;
    const socket = dial(address, port);
    this.running.add(socket);
    const failed = (why: string): void => {
      cancel();
      socket.destroy();
      if (!this.running.delete(socket) || this.isOver) return;
      tell(`${where}: ${why}`, false);
      this.problems.push(`${where}: ${why}`);
      this.proceed();
    };
    const cancel = clock.after(attemptTimeout, () => failed('no answer'));
    socket.on('error', (error: NodeJS.ErrnoException) => failed(explain(error)));
    socket.once('connect', () => {
      cancel();
      this.running.delete(socket);
      if (this.isOver) {
        socket.destroy();
        return;
      }
      this.finish();
      tell(`connected to ${where}`, true);
      this.won(socket);
    });
  }

  private finish(): void {
    this.isOver = true;
    this.cancelTimer();
    for (const socket of this.running) socket.destroy();
    this.running.clear();
  }

  private giveUp(): void {
    this.finish();
    this.lost(
      this.problems.length === 0 ? new NoAddress('there is no address for it') : new Error(this.problems.join('; ')),
    );
  }
}

function explain(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'ECONNREFUSED':
      return 'nobody listens there';
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return 'there is no way to that address';
    case 'ETIMEDOUT':
      return 'no answer';
    default:
      return error.message;
  }
}
