// A relay for bytestreams between two peers (XEP-0065 6): both connect by SOCKS5 and name what they have in common; when it is activated, what one
// sends is written to the other. Nothing is kept: who is not read from is not read from either.
import type { Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import { Socks5 } from './socks5.ts';

/** What a stream may take. */
export interface StreamTerms {
  /** Whose it is, for {@link Bytestreams.activeOf}. */
  readonly owner: string;
  /** Both ways together. */
  readonly bytesPerSecond: number;
  /** Milliseconds without a byte, after which it is cut off. */
  readonly idle: number;
  /** Milliseconds, whatever happens. */
  readonly longest: number;
}

/** As modules see it. */
export interface Bytestreams {
  /** Where peers connect; undefined while nothing listens. */
  readonly port: number | undefined;
  /** How many peers have connected under a name that is not activated yet. */
  waiting(name: string): number;
  /** How many streams of an owner are on. */
  activeOf(owner: string): number;
  readonly active: number;
  /** Lets two that wait under a name talk. False where there are not two. @param ended with how many bytes have passed */
  activate(name: string, terms: StreamTerms, ended: (bytes: number) => void): boolean;
}

/** What a peer may take who has not proved to be of any use, in milliseconds and in numbers. */
const HANDSHAKE = 10_000;
const WAIT = 120_000;
const MOST_WAITING = 2000;
const MOST_WAITING_OF_ONE = 50;

/** Hexadecimal SHA-1 (XEP-0065 5.3.2). */
const nameForm = /^[0-9a-f]{40}$/i;

interface Waiting {
  readonly socket: Socket;
  /** Takes the socket away from what waits. */
  release(): void;
}

export class BytestreamRelay implements Bytestreams {
  private readonly clock: Clock;
  private readonly listening: () => number | undefined;
  private readonly peers = new Map<string, Waiting[]>();
  /** Connections that are not part of a stream, by address. */
  private readonly unproved = new Map<string, number>();
  private unprovedCount = 0;
  private readonly streams = new Set<Stream>();
  private readonly owners = new Map<string, number>();
  private readonly sockets = new Set<Socket>();

  /** @param listening the port, while there is one */
  constructor(clock: Clock, listening: () => number | undefined) {
    this.clock = clock;
    this.listening = listening;
  }

  get port(): number | undefined {
    return this.listening();
  }

  get active(): number {
    return this.streams.size;
  }

  waiting(name: string): number {
    return this.peers.get(name.toLowerCase())?.length ?? 0;
  }

  activeOf(owner: string): number {
    return this.owners.get(owner) ?? 0;
  }

  activate(name: string, terms: StreamTerms, ended: (bytes: number) => void): boolean {
    const [one, other] = this.peers.get(name.toLowerCase()) ?? [];
    if (one === undefined || other === undefined) return false;
    one.release();
    other.release();
    const { owner } = terms;
    this.owners.set(owner, this.activeOf(owner) + 1);
    const stream = new Stream(one.socket, other.socket, terms, this.clock, (bytes) => {
      this.streams.delete(stream);
      const left = this.activeOf(owner) - 1;
      if (left > 0) this.owners.set(owner, left);
      else this.owners.delete(owner);
      ended(bytes);
    });
    this.streams.add(stream);
    return true;
  }

  /** Takes a connection. */
  accept(socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    const ofOne = this.unproved.get(address) ?? 0;
    if (this.unprovedCount >= MOST_WAITING || ofOne >= MOST_WAITING_OF_ONE) {
      socket.destroy();
      return;
    }
    this.unproved.set(address, ofOne + 1);
    this.unprovedCount++;
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
    socket.on('error', () => {});
    this.greet(socket, () => {
      this.unprovedCount--;
      const left = (this.unproved.get(address) ?? 1) - 1;
      if (left > 0) this.unproved.set(address, left);
      else this.unproved.delete(address);
    });
  }

  /** Ends all there is. */
  close(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  /** @param proved called once, when it is over or part of a stream */
  private greet(socket: Socket, proved: () => void): void {
    const socks = new Socks5();
    let cancel = this.clock.after(HANDSHAKE, () => socket.destroy());
    let leave = (): void => {};
    const release = (): void => {
      cancel();
      leave();
      socket.removeListener('data', take);
      socket.removeListener('end', gone);
      socket.removeListener('close', release);
      proved();
    };
    const gone = (): void => void socket.destroy();
    const take = (chunk: Buffer): void => {
      let step = socks.take(chunk);
      while (step.reply !== undefined && !step.isOver) {
        socket.write(step.reply);
        step = socks.take(none);
      }
      if (step.isOver) {
        socket.end(step.reply ?? none);
        socket.destroySoon();
      } else if (step.name !== undefined) {
        const name = step.name.toLowerCase();
        const others = this.peers.get(name) ?? [];
        // XEP-0065 8.2: one target for each stream
        if (!nameForm.test(name) || others.length >= 2) {
          socket.end(socks.refused());
          socket.destroySoon();
          return;
        }
        cancel();
        cancel = this.clock.after(WAIT, () => socket.destroy());
        const own: Waiting = { socket, release };
        this.peers.set(name, [...others, own]);
        leave = () => this.leave(name, own);
        // 8.2: what is sent before the activation is ignored, and so is whoever ends before
        socket.removeListener('data', take);
        socket.resume();
        socket.write(socks.granted());
      }
    };
    socket.on('data', take);
    socket.once('end', gone);
    socket.once('close', release);
  }

  private leave(name: string, own: Waiting): void {
    const rest = (this.peers.get(name) ?? []).filter((one) => one !== own);
    if (rest.length > 0) this.peers.set(name, rest);
    else this.peers.delete(name);
  }
}

const none = Buffer.alloc(0);

/** Two connections that are one. */
class Stream {
  private readonly sockets: readonly [Socket, Socket];
  private readonly terms: StreamTerms;
  private readonly clock: Clock;
  private readonly ended: (bytes: number) => void;
  private readonly bucket: TokenBucket;
  private readonly cancelLongest: () => void;
  private cancelIdle = (): void => {};
  private bytes = 0;
  private lastAt: number;
  private open = 2;

  constructor(one: Socket, other: Socket, terms: StreamTerms, clock: Clock, ended: (bytes: number) => void) {
    this.sockets = [one, other];
    this.terms = terms;
    this.clock = clock;
    this.ended = ended;
    const { bytesPerSecond: rate } = terms;
    this.bucket = new TokenBucket({ rate, burst: rate }, clock.now());
    this.lastAt = clock.now();
    this.connect(one, other);
    this.connect(other, one);
    this.cancelLongest = clock.after(terms.longest, () => this.cut());
    this.watch(terms.idle);
  }

  /** One direction. */
  private connect(from: Socket, to: Socket): void {
    let reasons = 0;
    let cancel = (): void => {};
    const hold = (): (() => void) => {
      if (reasons++ === 0) from.pause();
      return () => {
        if (--reasons === 0) from.resume();
      };
    };
    from.on('data', (chunk: Buffer) => {
      const now = this.clock.now();
      this.bytes += chunk.length;
      this.lastAt = now;
      if (!to.write(chunk)) to.once('drain', hold());
      const wait = this.bucket.take(chunk.length, now);
      if (wait > 0) cancel = this.clock.after(wait, hold());
    });
    from.once('end', () => to.end());
    from.once('close', () => {
      cancel();
      // all that it has sent is still to arrive; where it was cut off, nobody is to take what came for all
      if (from.readableEnded) to.destroySoon();
      else to.resetAndDestroy();
      if (--this.open === 0) this.over();
    });
    from.resume();
  }

  private watch(wait: number): void {
    this.cancelIdle = this.clock.after(wait, () => {
      const left = this.lastAt + this.terms.idle - this.clock.now();
      if (left > 0) this.watch(left);
      else this.cut();
    });
  }

  private cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  private over(): void {
    this.cancelLongest();
    this.cancelIdle();
    this.ended(this.bytes);
  }
}
