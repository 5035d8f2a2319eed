// Transports: what carries a stream's bytes. Writing never blocks and never waits; everything of one tick goes out in one write.
import type { Socket } from 'node:net';
import { type ConnectionOptions, connect, TLSSocket, type TLSSocketOptions } from 'node:tls';
import type { TlsInfo } from './tls.ts';

/**
 * What a transport carries: one stream of bytes (RFC 6120), frames of one element each (RFC 7395), or bodies, documents that
 * wrap any number of elements (XEP-0206).
 */
export type TransportShape = 'stream' | 'frames' | 'bodies';

export interface TransportHandlers {
  /** Bytes came. */
  data(chunk: Buffer): void;
  /** From a transport of frames, in place of `data`: a whole one came. */
  frame(frame: Buffer): void;
  /** From a transport of bodies, in place of `data`: one came, and its turn has come. */
  body(body: Buffer): void;
  /** From those two: so many bytes came, whole frames of which were told already; so many are of one that is not whole. */
  traffic(bytes: number, unfinished: number): void;
  /** Nothing comes or goes any more; called once. `error` says why, where it was not an orderly end. */
  closed(error: Error | undefined): void;
  /** More is waiting than the peer may leave unread. */
  overflow(): void;
}

export interface Progress {
  readonly written: number;
  readonly handedOver: number;
}

/** A socket, a WebSocket, a BOSH session or a test's pipe. */
export interface Transport {
  /** The peer's network address. */
  readonly address: string;
  readonly tls: TlsInfo | undefined;
  /** Nobody on the way can listen in. */
  readonly isConfidential: boolean;
  readonly shape: TransportShape;
  /** What was written and is not with the operating system yet. */
  readonly queuedBytes: number;
  /**
   * For a transport that can tell: how much was written, in characters, and how much of that was handed to the operating system, in order.
   * The rest has certainly not left, and never will once the connection is over.
   */
  readonly progress?: Progress;
  attach(handlers: TransportHandlers): void;
  write(xml: string): void;
  pause(): void;
  resume(): void;
  /**
   * Says goodbye after all that was written: nothing more will be sent.
   * @param isGoingAway the server goes, and what went on over the connection does not end by that; only some can say so
   */
  end(isGoingAway?: boolean): void;
  /** True while the peer cannot be told anything, since it has to ask first. */
  readonly isMute?: boolean;
  /** Drops the connection now. */
  destroy(): void;
  /** For a transport of bodies: all that was in one is handled. */
  handled?(): void;
  /** For one that has to know how large the elements may be that it is to take, in bytes. */
  allow?(stanzaBytes: number): void;
  /** Takes the connection into TLS (RFC 6120 5.4.3); undefined where that cannot be. Rejects when it failed, and all is over. */
  startTls?(options: TLSSocketOptions, describe: (socket: TLSSocket) => TlsInfo): Promise<void>;
}

/** What gathers what is written to it. */
interface Flushable {
  /** Hands on what was gathered. */
  flush(): void;
}

/** Sockets written to in one turn of the event loop, so that it ends within some milliseconds. */
const MOST_AT_ONCE = 500;

/**
 * Writes out what was gathered, once per turn of the event loop, in the order in which it began to be. Where more sockets wait than one
 * turn is for, the others have another turn: what is written to them meanwhile goes out with the rest. One per server.
 */
export class Flusher {
  private dirty: Flushable[] = [];
  private isScheduled = false;

  add(transport: Flushable): void {
    this.dirty.push(transport);
    if (!this.isScheduled) this.schedule();
  }

  private schedule(): void {
    this.isScheduled = true;
    setImmediate(() => this.flush());
  }

  private flush(): void {
    this.isScheduled = false;
    const now = this.dirty;
    this.dirty = now.length > MOST_AT_ONCE ? now.splice(MOST_AT_ONCE) : [];
    if (this.dirty.length > 0) this.schedule();
    for (const transport of now) transport.flush();
  }
}

/** How much a socket is given at a time, in characters: of that alone nobody knows whether it has left. */
const AT_A_TIME = 128 * 1024;

/** Text that waits for the socket, as bytes: a string that waits for long would keep everything alive that it was made from. */
interface Piece {
  readonly bytes: Buffer;
  readonly length: number;
}

/** A TCP connection, with or without TLS. What the operating system does not take yet stays here, not with the socket. */
export class SocketTransport implements Transport {
  readonly address: string;
  readonly shape = 'stream';
  readonly progress = { written: 0, handedOver: 0 };
  tls: TlsInfo | undefined;
  private socket: Socket;
  private readonly flusher: Flusher;
  private readonly maxQueued: number;
  private handlers: TransportHandlers | undefined;
  /** What was written in this turn of the event loop. */
  private waiting = '';
  /** What was written before, in order, and is for the socket when that has done its last write. */
  private held: Piece[] = [];
  private heldBytes = 0;
  private isBusy = false;
  private isEnding = false;
  private isClosed = false;
  private written: (error?: Error | null) => void;

  /** @param maxQueued how many bytes a slow reader may leave waiting */
  constructor(socket: Socket, flusher: Flusher, maxQueued: number) {
    this.socket = socket;
    this.address = socket.remoteAddress ?? '';
    this.flusher = flusher;
    this.maxQueued = maxQueued;
    this.written = this.watch(socket);
    this.listen(socket);
  }

  get isConfidential(): boolean {
    return this.tls !== undefined;
  }

  get queuedBytes(): number {
    return this.waiting.length + this.heldBytes + this.socket.writableLength;
  }

  attach(handlers: TransportHandlers): void {
    this.handlers = handlers;
  }

  write(xml: string): void {
    if (this.isEnding || this.isClosed) return;
    if (this.waiting === '') this.flusher.add(this);
    this.waiting += xml;
    this.progress.written += xml.length;
  }

  /** Hands what was gathered to the socket, or keeps it until the socket is done with what it has. */
  flush(): void {
    if (this.waiting === '' || this.isClosed) return;
    const xml = this.waiting;
    this.waiting = '';
    if (this.isBusy || xml.length > AT_A_TIME) {
      this.hold(xml);
      if (!this.isBusy) this.handOver(AT_A_TIME);
    } else {
      this.isBusy = true;
      this.progress.handedOver += xml.length;
      this.socket.write(xml, 'utf8', this.written);
    }
    if (this.heldBytes + this.socket.writableLength > this.maxQueued) this.handlers?.overflow();
  }

  private hold(xml: string): void {
    for (let from = 0; from < xml.length; ) {
      let to = from + AT_A_TIME;
      // the two halves of a character stay together
      if ((xml.charCodeAt(to - 1) & 0xfc00) === 0xd800) to++;
      const text = xml.slice(from, to);
      const bytes = Buffer.from(text, 'utf8');
      this.held.push({ bytes, length: text.length });
      this.heldBytes += bytes.length;
      from = to;
    }
  }

  /** Gives the socket some of what is held: at least one piece, and no more characters than `most` where there are several. */
  private handOver(most: number): void {
    let count = 0;
    let length = 0;
    while (count < this.held.length && (count === 0 || length + this.held[count]!.length <= most)) {
      length += this.held[count++]!.length;
    }
    const pieces = this.held.splice(0, count).map(({ bytes }) => bytes);
    const bytes = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
    this.heldBytes -= bytes.length;
    this.isBusy = true;
    this.progress.handedOver += length;
    this.socket.write(bytes, this.written);
  }

  /** What to do when a socket has done a write; one that went into TLS since need not tell. */
  private watch(socket: Socket): (error?: Error | null) => void {
    return (error) => {
      // (what a socket says of its last write when it is destroyed means nothing)
      if (error || socket.destroyed || socket !== this.socket) return;
      this.isBusy = false;
      if (this.isClosed) return;
      if (this.held.length > 0) this.handOver(AT_A_TIME);
      else if (this.isEnding) this.socket.end();
    };
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /**
   * Takes the connection into TLS (RFC 6120 5.4.3): what was written before goes out in the clear, nothing that was
   * read before is kept. Rejects when the handshake fails; the connection is gone then.
   */
  startTls(options: TLSSocketOptions, describe: (socket: TLSSocket) => TlsInfo): Promise<void> {
    this.flush();
    if (this.held.length > 0) this.handOver(Number.POSITIVE_INFINITY);
    const plain = this.socket;
    plain.removeAllListeners('data');
    plain.removeAllListeners('end');
    plain.removeAllListeners('close');
    plain.removeAllListeners('error');
    const secure =
      options.isServer === true
        ? new TLSSocket(plain, options)
        : connect({ ...(options as ConnectionOptions), socket: plain });
    this.socket = secure;
    this.isBusy = false;
    this.written = this.watch(secure);
    // what goes wrong underneath shows in the TLS socket too; without a listener it would end the process
    plain.on('error', (error) => secure.destroy(error));
    return new Promise((resolve, reject) => {
      this.listen(secure, reject);
      secure.once('secure', () => {
        this.tls = describe(secure);
        resolve();
      });
    });
  }

  end(): void {
    if (this.isEnding || this.isClosed) return;
    this.flush();
    this.isEnding = true;
    // (a reader that was too slow is gone by now)
    if (!this.isBusy && !this.isClosed) this.socket.end();
  }

  destroy(): void {
    if (!this.isBusy) this.flush();
    this.socket.destroy();
    this.over(undefined);
  }

  private listen(socket: Socket, failed?: (error: Error) => void): void {
    let failure: Error | undefined;
    socket.on('data', (chunk: Buffer) => this.handlers?.data(chunk));
    // with half-open sockets allowed, the peer's end is for us to answer
    socket.on('end', () => this.end());
    socket.on('error', (error) => {
      failure = error;
    });
    socket.on('close', () => {
      if (socket !== this.socket) return;
      failed?.(failure ?? new Error('the connection closed during the TLS handshake'));
      this.over(failure);
    });
  }

  private over(error: Error | undefined): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.waiting = '';
    this.held = [];
    this.heldBytes = 0;
    this.handlers?.closed(error);
    this.handlers = undefined;
  }
}
