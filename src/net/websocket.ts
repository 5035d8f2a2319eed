// WebSockets for XMPP (RFC 6455, RFC 7395): the handshake on the HTTP ports, keep-alive, and the transport of one connection.
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Clock } from '../base/clock.ts';
import { type HttpPeer, refuseUpgrade, tlsOf } from './http.ts';
import type { TlsInfo } from './tls.ts';
import type { Flusher, Transport, TransportHandlers } from './transport.ts';

export interface WebSocketOptions {
  /** Takes a connection whose handshake is done. */
  accept(transport: Transport): void;
  /** Bytes that a frame may have, and that a slow reader may leave waiting; read afresh for every connection. */
  limits(): { readonly frameBytes: number; readonly queuedBytes: number };
  readonly flusher: Flusher;
  readonly clock: Clock;
}

const SUBPROTOCOL = 'xmpp';

/** Proxies drop what is silent for a minute, as a rule; in milliseconds. */
const PING = 45_000;
/** Whoever did not even answer pings for so long is gone, in milliseconds. */
const SILENCE = 2 * PING + 10_000;
/** How long a peer has to answer a close frame, in milliseconds. */
const CLOSE_TIMEOUT = 5_000;
// What is a little too large for a stanza gets to the parser, which says so in XML (RFC 6120 4.9.3.14); anything above is closed with 1009.
const FRAME_SLACK = 16 * 1024;
/** What a control frame of a client has before its data: two bytes, and the key of its mask (RFC 6455 5.2). */
const CONTROL_HEADER = 6;
/** RFC 6455 7.4.1. */
const NORMAL = 1000;
const GOING_AWAY = 1001;
const UNSUPPORTED_DATA = 1003;

/** The WebSockets of one server. */
export class WebSockets {
  private readonly options: WebSocketOptions;
  private readonly server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    // compression costs memory by the connection, and tells attackers of secrets (CRIME)
    perMessageDeflate: false,
    // the types do not know it yet, and let it pass like this
    ...{ closeTimeout: CLOSE_TIMEOUT },
    handleProtocols: () => SUBPROTOCOL,
  });
  private readonly open = new Set<WebSocketTransport>();
  private cancelPing: () => void;

  constructor(options: WebSocketOptions) {
    this.options = options;
    this.cancelPing = this.schedule();
  }

  /**
   * Answers a request to become a WebSocket. The `Origin` does not matter: there are no cookies that a page elsewhere could
   * use, and who logs in says so with a password.
   */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, peer: HttpPeer): void {
    // RFC 7395 3.1: without the subprotocol there is nothing to talk about
    const offered = request.headers['sec-websocket-protocol']?.split(',').map((name) => name.trim()) ?? [];
    if (!offered.includes(SUBPROTOCOL)) {
      refuseUpgrade(socket, 400, 'the WebSocket subprotocol must be "xmpp"');
      return;
    }
    const { frameBytes, queuedBytes } = this.options.limits();
    this.server.options.maxPayload = frameBytes + FRAME_SLACK;
    this.server.handleUpgrade(request, socket, head, (webSocket) => {
      const gone = (): void => void this.open.delete(transport);
      const transport = new WebSocketTransport(webSocket, socket as Socket, peer, {
        flusher: this.options.flusher,
        clock: this.options.clock,
        queuedBytes,
        gone,
      });
      this.open.add(transport);
      this.options.accept(transport);
    });
  }

  /** Stops the pings; connections are ended by whoever took them. */
  close(): void {
    this.cancelPing();
  }

  private schedule(): () => void {
    return this.options.clock.after(PING, () => {
      const now = this.options.clock.now();
      for (const transport of this.open) transport.keepAlive(now);
      this.cancelPing = this.schedule();
    });
  }
}

interface TransportOptions {
  readonly flusher: Flusher;
  readonly clock: Clock;
  readonly queuedBytes: number;
  gone(): void;
}

/** One WebSocket: every write is one frame, and the frames of one tick go out together. */
class WebSocketTransport implements Transport {
  readonly address: string;
  readonly tls: TlsInfo | undefined;
  readonly isConfidential: boolean;
  readonly shape = 'frames';
  private readonly webSocket: WebSocket;
  private readonly socket: Socket;
  private readonly options: TransportOptions;
  private handlers: TransportHandlers | undefined;
  private isCorked = false;
  private isEnding = false;
  private isClosed = false;
  private lastTraffic: number;
  private unfinished = 0;
  private hasFrame = false;
  private failure: Error | undefined;

  constructor(webSocket: WebSocket, socket: Socket, peer: HttpPeer, options: TransportOptions) {
    this.webSocket = webSocket;
    this.socket = socket;
    this.address = peer.address;
    this.isConfidential = peer.isConfidential;
    this.tls = tlsOf(socket);
    this.options = options;
    this.lastTraffic = options.clock.now();
    this.listen();
  }

  get queuedBytes(): number {
    return this.webSocket.bufferedAmount;
  }

  attach(handlers: TransportHandlers): void {
    this.handlers = handlers;
  }

  write(xml: string): void {
    if (this.isEnding || this.isClosed) return;
    this.gather();
    this.webSocket.send(xml);
  }

  /** Hands what was gathered to the operating system. */
  flush(): void {
    if (!this.isCorked) return;
    this.isCorked = false;
    this.socket.uncork();
    this.checkQueue();
  }

  pause(): void {
    this.webSocket.pause();
  }

  resume(): void {
    this.webSocket.resume();
  }

  end(isGoingAway = false): void {
    if (this.isEnding || this.isClosed) return;
    this.finish(isGoingAway ? GOING_AWAY : NORMAL);
  }

  destroy(): void {
    this.flush();
    this.webSocket.terminate();
    this.over(undefined);
  }

  /** Asks for a sign of life (RFC 6455 5.5.2); drops a peer that gives none. */
  keepAlive(now: number): void {
    // who may not send now is not to blame for silence
    if (this.webSocket.isPaused) this.lastTraffic = now;
    else if (now - this.lastTraffic > SILENCE) {
      this.failure = new Error('no answer to pings');
      this.webSocket.terminate();
    } else if (!this.isEnding) this.webSocket.ping();
  }

  private gather(): void {
    if (this.isCorked) return;
    this.isCorked = true;
    this.socket.cork();
    this.options.flusher.add(this);
  }

  private finish(code: number): void {
    this.isEnding = true;
    this.webSocket.close(code);
    this.flush();
  }

  private checkQueue(): void {
    if (this.webSocket.bufferedAmount > this.options.queuedBytes) this.handlers?.overflow();
  }

  private listen(): void {
    const { webSocket, socket } = this;
    webSocket.on('message', (data, isBinary) => this.take(data as Buffer, isBinary));
    // the answer is written already: who asks and does not read is a slow reader too
    webSocket.on('ping', (data) => {
      this.checkQueue();
      this.skip(data);
    });
    webSocket.on('pong', (data) => this.skip(data));
    webSocket.on('error', (error) => {
      // it has closed the connection itself by now, with the code that fits
      this.failure = error;
      this.isEnding = true;
    });
    webSocket.on('close', () => this.over(this.failure));
    // behind the listener that reads frames: by then it is known whether one has ended
    socket.on('data', (chunk: Buffer) => this.count(chunk.length));
  }

  private take(frame: Buffer, isBinary: boolean): void {
    this.hasFrame = true;
    if (this.isEnding) return;
    if (!isBinary) this.handlers?.frame(frame);
    else {
      // RFC 7395 3.2
      this.failure = new Error('a binary frame');
      this.finish(UNSUPPORTED_DATA);
    }
  }

  /** RFC 6455 5.5: control frames come between frames, and within them; they are part of none. */
  private skip(data: Buffer): void {
    this.unfinished -= CONTROL_HEADER + data.length;
  }

  private count(bytes: number): void {
    this.lastTraffic = this.options.clock.now();
    // where in these bytes the next frame began is not known: it is counted from the next ones on
    this.unfinished = this.hasFrame ? 0 : this.unfinished + bytes;
    this.hasFrame = false;
    if (!this.isEnding) this.handlers?.traffic(bytes, this.unfinished);
  }

  private over(error: Error | undefined): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.options.gone();
    this.handlers?.closed(error);
    this.handlers = undefined;
  }
}
