// A client under full control: one TCP or TLS connection, what is written goes out as it is, what comes in is kept in order.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { StringDecoder } from 'node:string_decoder';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { Element } from 'ltx';
import { StreamReader } from './xml-view.ts';

export interface Address {
  readonly address: string;
  readonly port: number;
}

/** A certificate to show, in PEM. */
export interface Identity {
  readonly certificate?: string;
  readonly key?: string;
}

/** What a server can send. */
export type Item =
  | { readonly kind: 'header'; readonly element: Element }
  | { readonly kind: 'element'; readonly element: Element }
  | { readonly kind: 'end' };

export interface Watcher {
  sent?(text: string): void;
  received?(item: Item): void;
  closed?(): void;
}

const SM = 'urn:xmpp:sm:3';

/** How long anything that is waited for may take, in milliseconds. */
export const PATIENCE = Number(process.env.PARLEY_TEST_PATIENCE ?? 8_000);

export class StreamClient {
  /** What came and was not read yet. */
  readonly inbox: Item[] = [];
  watcher: Watcher = {};
  isClosed = false;
  /** The domain of the last stream header that was sent. */
  domain = '';
  /** The domain that it speaks for, where it is a component. */
  speaksFor: string | undefined;
  private socket: Socket;
  private reader!: StreamReader;
  private decoder = new StringDecoder('utf8');
  private broken: Error | undefined;
  private readonly waiting = new Set<() => void>();
  private readonly fences = new Map<string, () => void>();
  private fenceCount = 0;
  /** Whether stream management is on: fences are requests for acknowledgements then, which nobody counts. */
  isManaged = false;
  /** Where it is connected. */
  readonly address: Address;
  /** For each acknowledgement that is still to come: the fence that asked for it, or undefined when it was no fence. */
  private readonly asked: ((() => void) | undefined)[] = [];

  private constructor(socket: Socket, address: Address) {
    this.socket = socket;
    this.address = address;
    this.restart();
    this.listen(socket);
  }

  /** Connects; `tls` for direct TLS, with whatever certificate there is. */
  static async connect(where: Address, options: { readonly tls?: boolean } = {}): Promise<StreamClient> {
    const plain = connect({ host: where.address, port: where.port, noDelay: true });
    await once(plain, 'connect');
    const socket = options.tls ? await handshake(plain, undefined) : plain;
    return new StreamClient(socket, where);
  }

  /** Expects a new stream from the server: after TLS, after SASL. */
  restart(): void {
    this.reader = new StreamReader({
      header: (element) => this.take({ kind: 'header', element }),
      element: (element) => this.take({ kind: 'element', element }),
      end: () => this.take({ kind: 'end' }),
    });
  }

  write(text: string | Buffer): void {
    this.watcher.sent?.(typeof text === 'string' ? text : `(bytes ${text.toString('hex')})`);
    for (const _ of this.isManaged ? String(text).matchAll(/<r\s/g) : []) this.asked.push(undefined);
    this.socket.write(text);
  }

  /** Writes without a word in the transcript. */
  writeQuietly(text: string): void {
    this.socket.write(text);
  }

  /** Sends a stream header and reads a new stream. */
  open(to: string, attrs = ''): void {
    this.domain = to;
    this.restart();
    this.write(
      `<?xml version='1.0'?><stream:stream to='${to}' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'${attrs}>`,
    );
  }

  /** As {@link open}, for a server that speaks for `from`; the end of the header may declare more. */
  openServer(from: string | undefined, to: string, attrs = ''): void {
    this.restart();
    const who = from === undefined ? '' : ` from='${from}'`;
    this.write(
      `<?xml version='1.0'?><stream:stream to='${to}'${who} version='1.0' xmlns='jabber:server' xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'${attrs}>`,
    );
  }

  /** The next thing that came, or comes within `ms`. */
  async next(ms: number = PATIENCE): Promise<Item | undefined> {
    await this.until(() => this.inbox.length > 0 || this.isClosed, ms);
    return this.inbox.shift();
  }

  /** Waits for the server to end the connection. */
  async closed(ms: number = PATIENCE): Promise<boolean> {
    await this.until(() => this.isClosed, ms);
    return this.isClosed;
  }

  /**
   * A question that every server answers, by a result or an error (by an acknowledgement under stream management): all that the server sent before the answer has come by then,
   * and all that this client sent before the question has been handled.
   * @throws Error when no answer comes
   */
  async fence(): Promise<void> {
    let isBack = false;
    const back = (): void => {
      isBack = true;
    };
    if (this.isManaged) {
      this.asked.push(back);
      this.socket.write(`<r xmlns='${SM}'/>`);
    } else {
      const id = `fence-${++this.fenceCount}`;
      this.fences.set(id, back);
      const from = this.speaksFor === undefined ? '' : ` from='${this.speaksFor}'`;
      this.socket.write(`<iq type='get' id='${id}'${from} to='${this.domain}'><ping xmlns='urn:xmpp:ping'/></iq>`);
    }
    await this.until(() => isBack || this.isClosed, PATIENCE);
    if (!isBack && !this.isClosed) throw new Error('the server did not answer a ping in time');
  }

  /** Takes the connection into TLS; call it when the server has agreed. */
  async startTls(servername: string, identity: Identity = {}): Promise<TLSSocket> {
    const plain = this.socket;
    plain.removeAllListeners('data').removeAllListeners('close').removeAllListeners('error');
    const secured = await handshake(plain, servername, identity);
    this.socket = secured;
    this.decoder = new StringDecoder('utf8');
    this.restart();
    this.listen(secured);
    return secured;
  }

  /** Sends our end of the connection, and goes on reading. */
  halfClose(): void {
    this.socket.end();
  }

  /** Leaves without closing the stream. */
  async destroy(): Promise<void> {
    if (this.socket.destroyed) return;
    const closed = once(this.socket, 'close');
    this.socket.destroy();
    await closed;
  }

  /** Leaves by a TCP reset. */
  async reset(): Promise<void> {
    if (this.socket.destroyed) return;
    const closed = once(this.socket, 'close');
    this.socket.resetAndDestroy();
    await closed;
  }

  /** Stops reading, so that what the server sends piles up there. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  private listen(socket: Socket): void {
    socket.on('data', (chunk) => this.feed(chunk));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.isClosed = true;
      this.watcher.closed?.();
      this.wake();
    });
  }

  private feed(chunk: Buffer): void {
    if (this.broken !== undefined) return;
    try {
      this.reader.write(this.decoder.write(chunk));
    } catch (error) {
      this.broken = error as Error;
      throw error;
    }
  }

  private take(item: Item): void {
    if (item.kind === 'element' && item.element.attrs.xmlns === SM) {
      if (item.element.name === 'enabled' || item.element.name === 'resumed') this.isManaged = true;
      const fence = item.element.name === 'a' ? this.asked.shift() : undefined;
      if (fence !== undefined) {
        fence();
        this.wake();
        return;
      }
    }
    if (item.kind === 'element') {
      const { id } = item.element.attrs as { id?: string };
      const fence = id === undefined ? undefined : this.fences.get(id);
      if (id !== undefined && fence !== undefined && item.element.name === 'iq') {
        this.fences.delete(id);
        fence();
        this.wake();
        return;
      }
    }
    this.watcher.received?.(item);
    this.inbox.push(item);
    this.wake();
  }

  private wake(): void {
    for (const check of [...this.waiting]) check();
  }

  private until(isDone: () => boolean, ms: number): Promise<void> {
    if (isDone()) return Promise.resolve();
    return new Promise((resolve) => {
      const finish = (): void => {
        clearTimeout(timer);
        this.waiting.delete(check);
        resolve();
      };
      const check = (): void => {
        if (isDone()) finish();
      };
      const timer = setTimeout(finish, ms);
      this.waiting.add(check);
    });
  }
}

async function handshake(
  socket: Socket,
  servername: string | undefined,
  { certificate, key }: Identity = {},
): Promise<TLSSocket> {
  const secured = connectTls({
    socket,
    rejectUnauthorized: false,
    ...(certificate === undefined || key === undefined ? {} : { cert: certificate, key }),
    ...(servername === undefined ? {} : { servername }),
  });
  await once(secured, 'secureConnect');
  return secured;
}
