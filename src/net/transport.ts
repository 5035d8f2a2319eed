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

/** Writes out what was gathered, once per turn of the event loop. One per server. */
export class Flusher {
  private dirty: Flushable[] = [];
  private isScheduled = false;

  add(transport: Flushable): void {
    this.dirty.push(transport);
    if (this.isScheduled) return;
    this.isScheduled = true;
    setImmediate(() => this.flush());
  }

  private flush(): void {
    this.isScheduled = false;
    const dirty = this.dirty;
    this.dirty = [];
    for (const transport of dirty) transport.flush();
  }
}

/** A TCP connection, with or without TLS. */
export class SocketTransport implements Transport {
  readonly address: string;
  readonly shape = 'stream';
  tls: TlsInfo | undefined;
  private socket: Socket;
  private readonly flusher: Flusher;
  private readonly maxQueued: number;
  private handlers: TransportHandlers | undefined;
  private waiting = '';
  private isEnding = false;
  private isClosed = false;

  /** @param maxQueued how many bytes a slow reader may leave waiting */
  constructor(socket: Socket, flusher: Flusher, maxQueued: number) {
    this.socket = socket;
    this.address = socket.remoteAddress ?? '';
    this.flusher = flusher;
    this.maxQueued = maxQueued;
    this.listen(socket);
  }

  get isConfidential(): boolean {
    return this.tls !== undefined;
  }

  get queuedBytes(): number {
    return this.waiting.length + this.socket.writableLength;
  }

  attach(handlers: TransportHandlers): void {
    this.handlers = handlers;
  }

  write(xml: string): void {
    if (this.isEnding || this.isClosed) return;
    if (this.waiting === '') this.flusher.add(this);
    this.waiting += xml;
  }

  /** Hands what was gathered to the socket. */
  flush(): void {
    if (this.waiting === '' || this.isClosed) return;
    const xml = this.waiting;
    this.waiting = '';
    this.socket.write(xml, 'utf8');
    if (this.socket.writableLength > this.maxQueued) this.handlers?.overflow();
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
    this.socket.end();
  }

  destroy(): void {
    this.flush();
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
    this.handlers?.closed(error);
    this.handlers = undefined;
  }
}
