// WebSocketClient: one end of an XMPP WebSocket (RFC 7395) that reads every frame as a document of its own.
import type { IncomingMessage } from 'node:http';
import { type Element, parse } from 'ltx';
import { WebSocket } from 'ws';
import type { Address } from './client.ts';

export interface WebSocketLogin {
  readonly domain: string;
  readonly user: string;
  readonly password: string;
  readonly resource?: string;
}

export interface WebSocketWishes {
  readonly path?: string;
  readonly protocols?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly secure?: boolean;
}

export const FRAMING = 'urn:ietf:params:xml:ns:xmpp-framing';
export const openFrame = (to: string): string => `<open xmlns='${FRAMING}' to='${to}' version='1.0'/>`;
export const closeFrame = `<close xmlns='${FRAMING}'/>`;

const patience = 3_000;

export class WebSocketClient implements AsyncDisposable {
  readonly socket: WebSocket;
  /** Every frame, as it came. */
  readonly frames: string[] = [];
  pings = 0;
  /** The code of the close frame, once there was one (RFC 6455 7.4). */
  closeCode: number | undefined;
  jid = '';
  private read = 0;
  private wake = (): void => {};

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('message', (data, isBinary) => {
      if (isBinary) throw new Error('a binary frame');
      this.frames.push(String(data));
      this.wake();
    });
    socket.on('ping', () => {
      this.pings++;
    });
    socket.on('error', () => {});
    socket.on('close', (code) => {
      this.closeCode = code;
      this.wake();
    });
  }

  /** Connects, or returns the answer that refused it: status and body. */
  static async try(
    { address, port }: Address,
    { path = '/xmpp-websocket', protocols = ['xmpp'], headers = {}, secure = false }: WebSocketWishes = {},
  ): Promise<WebSocketClient | { readonly status: number; readonly body: string }> {
    const url = `${secure ? 'wss' : 'ws'}://${address}:${port}${path}`;
    const socket = new WebSocket(url, [...protocols], {
      headers,
      rejectUnauthorized: false,
      handshakeTimeout: patience,
    });
    const client = new WebSocketClient(socket);
    return new Promise((resolve, reject) => {
      socket.once('open', () => resolve(client));
      socket.once('error', reject);
      socket.once('unexpected-response', (_request, response) => {
        readBody(response).then((body) => resolve({ status: response.statusCode ?? 0, body }), reject);
      });
    });
  }

  static async connect(address: Address, wishes: WebSocketWishes = {}): Promise<WebSocketClient> {
    const client = await WebSocketClient.try(address, wishes);
    if (client instanceof WebSocketClient) return client;
    throw new Error(`refused with ${client.status}: ${client.body}`);
  }

  /** Connects, authenticates with PLAIN and binds. */
  static async logIn(address: Address, login: WebSocketLogin, wishes: WebSocketWishes = {}): Promise<WebSocketClient> {
    const client = await WebSocketClient.connect(address, wishes);
    await client.authenticate(login);
    return client;
  }

  async authenticate({ domain, user, password, resource }: WebSocketLogin): Promise<void> {
    const sasl = 'urn:ietf:params:xml:ns:xmpp-sasl';
    const plain = Buffer.from(`\0${user}\0${password}`).toString('base64');
    await this.open(domain);
    this.send(`<auth xmlns='${sasl}' mechanism='PLAIN'>${plain}</auth>`);
    await this.expect('success', sasl);
    await this.open(domain);
    const wish = resource === undefined ? '' : `<resource>${resource}</resource>`;
    const bind = `<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>${wish}</bind>`;
    this.send(`<iq xmlns='jabber:client' type='set' id='bind'>${bind}</iq>`);
    const answer = await this.expect('iq', 'jabber:client');
    this.jid = answer.getChild('bind')?.getChildText('jid') ?? '';
  }

  send(frame: string | Buffer): void {
    this.socket.send(frame);
  }

  /** Opens the stream, or opens it again; the features. */
  async open(domain: string): Promise<Element> {
    this.send(openFrame(domain));
    await this.expect('open', FRAMING);
    return this.expect('stream:features', 'http://etherx.jabber.org/streams');
  }

  /** The next frame, as the document that it is; undefined at the end of the connection. */
  async next(ms = patience): Promise<Element | undefined> {
    const end = Date.now() + ms;
    while (this.read === this.frames.length) {
      if (this.closeCode !== undefined) return undefined;
      const rest = end - Date.now();
      if (rest <= 0) throw new Error(`nothing came; before that:\n${this.frames.join('\n')}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, rest);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return parse(this.frames[this.read++]!);
  }

  /** The next frame; its element must be that one, with the namespace declared on itself. */
  async expect(name: string, ns: string): Promise<Element> {
    const element = await this.next();
    const prefix = name.includes(':') ? `xmlns:${name.split(':')[0]}` : 'xmlns';
    if (element?.name === name && element.attrs[prefix] === ns) return element;
    throw new Error(`<${name} ${prefix}='${ns}'/> was expected, and this came: ${element ?? 'the end'}`);
  }

  /** Up to the end of the connection: the condition of the stream error, whether the stream was closed, and the close code. */
  async ending(): Promise<{ readonly error: string | undefined; readonly closed: boolean; readonly code: number }> {
    let error: string | undefined;
    let closed = false;
    for (let element = await this.next(8_000); element !== undefined; element = await this.next(8_000)) {
      if (closed) throw new Error(`behind <close/> came ${element}`);
      if (element.name === 'stream:error') error = (element.children[0] as Element).name;
      closed = element.name === 'close';
    }
    return { error, closed, code: this.closeCode ?? 0 };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.closeCode !== undefined) return;
    const closed = new Promise<void>((resolve) => this.socket.once('close', () => resolve()));
    this.socket.terminate();
    await closed;
  }
}

async function readBody(response: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of response) body += String(chunk);
  return body;
}
