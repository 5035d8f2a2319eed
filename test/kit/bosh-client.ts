// BoshClient: one end of a BOSH session (XEP-0124, XEP-0206), as raw as a test wants it.
import { type ClientRequest, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { type Element, parse } from 'ltx';
import type { Address } from './client.ts';

export const HTTPBIND = 'http://jabber.org/protocol/httpbind';
export const XBOSH = 'urn:xmpp:xbosh';
const SASL = 'urn:ietf:params:xml:ns:xmpp-sasl';

export interface BoshAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface BoshWishes {
  readonly path?: string;
  readonly secure?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface BoshLogin {
  readonly domain: string;
  readonly user: string;
  readonly password: string;
  readonly resource?: string;
}

export type BodyAttrs = Readonly<Record<string, string | number>>;

/** An exchange under way. */
export interface Exchange {
  readonly request: ClientRequest;
  readonly answer: Promise<BoshAnswer>;
}

/** A wrapper, as clients write it. */
export function bodyXml(attrs: BodyAttrs, content = ''): string {
  const list = Object.entries(attrs).map(([name, value]) => ` ${name}='${value}'`);
  return `<body xmlns='${HTTPBIND}' xmlns:xmpp='${XBOSH}'${list.join('')}>${content}</body>`;
}

/** Sends one request; the answer is rejected when the connection ends without one. */
export function exchange(
  { address, port }: Address,
  body: string | Buffer,
  { path = '/http-bind', secure = false, headers = {} }: BoshWishes = {},
  method = 'POST',
): Exchange {
  const send = secure ? httpsRequest : httpRequest;
  const options = { host: address, port, path, method, rejectUnauthorized: false, agent: false } as const;
  const length = { 'content-type': 'text/xml; charset=utf-8', 'content-length': Buffer.byteLength(body) };
  const request = send({ ...options, headers: { ...length, ...headers } });
  const answer = new Promise<BoshAnswer>((resolve, reject) => {
    request.on('error', reject);
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
    });
  });
  // whoever cuts the connection does not wait for the answer
  answer.catch(() => {});
  request.end(body);
  return { request, answer };
}

export class BoshClient {
  readonly address: Address;
  readonly wishes: BoshWishes;
  rid: number;
  sid = '';
  jid = '';

  constructor(address: Address, wishes: BoshWishes = {}, rid = 1_000_000 + Math.floor(Math.random() * 1e9)) {
    this.address = address;
    this.wishes = wishes;
    this.rid = rid;
  }

  /** Authenticates with PLAIN and binds. */
  static async logIn(
    address: Address,
    login: BoshLogin,
    attrs: BodyAttrs = {},
    wishes: BoshWishes = {},
  ): Promise<BoshClient> {
    const client = new BoshClient(address, wishes);
    await client.create({ to: login.domain, ...attrs });
    await client.authenticate(login);
    return client;
  }

  async authenticate(login: BoshLogin): Promise<void> {
    const { resource } = login;
    await this.signIn(login);
    const wish = resource === undefined ? '' : `<resource>${resource}</resource>`;
    const bind = `<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>${wish}</bind>`;
    const bound = await this.ask(`<iq xmlns='jabber:client' type='set' id='bind'>${bind}</iq>`);
    this.jid = bound.getChild('iq', 'jabber:client')?.getChild('bind')?.getChildText('jid') ?? '';
    if (this.jid === '') throw new Error(`not bound: ${bound}`);
  }

  /** Authenticates with PLAIN, and restarts the stream; nothing is bound. */
  async signIn({ domain, user, password }: BoshLogin): Promise<void> {
    const plain = Buffer.from(`\0${user}\0${password}`).toString('base64');
    const success = await this.ask(`<auth xmlns='${SASL}' mechanism='PLAIN'>${plain}</auth>`);
    if (success.getChild('success', SASL) === undefined) throw new Error(`no success: ${success}`);
    await this.ask('', { to: domain, 'xmpp:restart': 'true', 'xml:lang': 'en' });
  }

  /** Begins the session. */
  async create(attrs: BodyAttrs): Promise<Element> {
    const first = { rid: this.rid, ver: '1.6', wait: 60, hold: 1, 'xmpp:version': '1.0', ...attrs };
    const { status, text } = await exchange(this.address, bodyXml(first), this.wishes).answer;
    const body = parse(text);
    if (status !== 200) throw new Error(`status ${status}: ${text}`);
    this.sid = body.attrs.sid ?? '';
    return body;
  }

  /** The text of this session's next request. */
  next(content = '', attrs: BodyAttrs = {}): string {
    return bodyXml({ rid: ++this.rid, sid: this.sid, ...attrs }, content);
  }

  /** Sends the next request. */
  send(content = '', attrs: BodyAttrs = {}): Exchange {
    return exchange(this.address, this.next(content, attrs), this.wishes);
  }

  /** Sends something, whatever it is. */
  raw(text: string | Buffer, wishes: BoshWishes = this.wishes): Exchange {
    return exchange(this.address, text, wishes);
  }

  /** Sends the next request; what comes back. */
  async ask(content = '', attrs: BodyAttrs = {}): Promise<Element> {
    return wrapperOf(await this.send(content, attrs).answer);
  }
}

/** The wrapper in an answer, which has to be one. */
export function wrapperOf({ status, text }: BoshAnswer): Element {
  if (status !== 200) throw new Error(`status ${status}: ${text}`);
  const body = parse(text);
  if (body.name !== 'body' || body.attrs.xmlns !== HTTPBIND) throw new Error(`no wrapper: ${text}`);
  return body;
}
