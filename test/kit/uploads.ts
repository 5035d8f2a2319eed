// Somebody who sends files (XEP-0363): asks for slots on a stream, and puts and reads by HTTP, with all that HTTP says to see.
import { type ClientRequest, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import type { Element } from 'ltx';
import type { Address, StreamClient } from './client.ts';
import { type LoginOptions, logIn } from './login.ts';
import type { TestServer } from './test-server.ts';

const UPLOAD = 'urn:xmpp:http:upload:0';

export interface Slot {
  readonly put: string;
  readonly get: string;
}
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}
export interface AskedFile {
  readonly name?: string;
  readonly size: number;
  readonly type?: string;
  /** XML of it. */
  readonly purpose?: string;
}

export class Sender {
  readonly client: StreamClient;
  readonly jid: string;
  private readonly domain: string;
  private count = 0;

  private constructor(client: StreamClient, jid: string, domain: string) {
    this.client = client;
    this.jid = jid;
    this.domain = domain;
  }

  /** Logs in, with an account that is made for it where there is none. */
  static async come(server: TestServer, user: string, domain: string): Promise<Sender> {
    await server.server.accounts.create(`${user}@${domain}`, 'secret').catch(() => {});
    return Sender.enter(server.c2s, { user, password: 'secret', domain });
  }

  /** Logs in. */
  static async enter(address: Address, options: LoginOptions): Promise<Sender> {
    const { client, jid } = await logIn(address, options);
    return new Sender(client, jid, options.domain);
  }

  /** The answer to a request to the service for files. */
  async ask(type: 'get' | 'set', payload: string, to = `upload.${this.domain}`): Promise<Element> {
    const id = `upload-${this.count++}`;
    this.client.write(`<iq type='${type}' id='${id}' to='${to}'>${payload}</iq>`);
    for (;;) {
      const item = await this.client.next();
      if (item === undefined) throw new Error('no answer came');
      if (item.kind === 'element' && item.element.attrs.id === id) return item.element;
    }
  }

  async request({ name = 'file.bin', size, type, purpose = '' }: AskedFile): Promise<Element> {
    const asked = type === undefined ? '' : ` content-type='${type}'`;
    return this.ask('get', `<request xmlns='${UPLOAD}' filename='${name}' size='${size}'${asked}>${purpose}</request>`);
  }

  /** @throws Error where there is none */
  async slot(file: AskedFile): Promise<Slot> {
    const slot = (await this.request(file)).getChild('slot', UPLOAD);
    if (slot === undefined) throw new Error('there is no slot');
    return { put: slot.getChild('put')!.attrs.url, get: slot.getChild('get')!.attrs.url };
  }

  /** Sends a file; where it is. */
  async send(content: string | Buffer, file: Omit<AskedFile, 'size'> = {}): Promise<string> {
    const slot = await this.slot({ ...file, size: Buffer.byteLength(content) });
    const { status } = await http('PUT', slot.put, { body: content, ...(file.type && { type: file.type }) });
    if (status !== 201) throw new Error(`the file was refused: ${status}`);
    return slot.get;
  }
}

export interface Sent {
  readonly body?: string | Buffer;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One request, on a connection of its own; to this machine, whatever the name in the address is. */
export function http(method: string, url: string, { body, type, headers = {} }: Sent = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = open(method, url, {
      ...(body !== undefined && { 'content-length': String(Buffer.byteLength(body)) }),
      ...(type !== undefined && { 'content-type': type }),
      ...headers,
    });
    answerTo(request).then(resolve, reject);
    request.end(body);
  });
}

/** A request whose body is to come. */
export function open(method: string, url: string, headers: Readonly<Record<string, string>>): ClientRequest {
  const { port, pathname, search, host } = new URL(url);
  const options = { method, port, path: pathname + search, agent: false, headers: { host, ...headers } };
  return httpRequest({ hostname: '127.0.0.1', ...options });
}

export function answerTo(request: ClientRequest): Promise<Answer> {
  return new Promise((resolve, reject) => {
    request.on('error', reject);
    request.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
  });
}
