// What modules serve over HTTP: routes are declared beside everything else, and every host's are on the same ports.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Logger } from '../base/log.ts';
import type { MaybePromise } from '../base/maybe.ts';
import type { HttpPeer } from '../net/http.ts';
import { StorageUnavailable } from '../storage/errors.ts';
import { prepareDomain } from '../xmpp/jid.ts';
import type { Host, Instance } from './host.ts';
import { compileRoute, type Match, type MatchRoute } from './web-path.ts';

export type WebMethod = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS';

/** A request for a module. */
export interface WebRequest {
  /** HEAD is told as GET: what is answered goes without its body. */
  readonly method: WebMethod;
  readonly path: string;
  /** What stood for `:name`, and `*` for the rest; decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly peer: HttpPeer;
  /** The domain of accounts that was asked by one of its names; undefined where the name, or a number, is nobody's. */
  readonly named: string | undefined;
  /** The body as it comes. A client that waits for leave to send it gets that now. */
  body(): Readable;
  /** The whole body. @throws WebRefusal beyond so many bytes, or when it does not come within half a minute */
  read(limit: number): Promise<Buffer>;
}

export interface WebReply {
  readonly status: number;
  /** Plain text unless said otherwise. */
  readonly type?: string;
  /** Lists are sent as several headers of that name. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string | Uint8Array | Readable;
  /** The host does not know what is asked for, and says so; another one that does comes first. */
  readonly isUnknown?: boolean;
}

/** One line of a module's `routes`. */
export interface WebRoute {
  /** GET serves HEAD too; OPTIONS is answered where it is not named. */
  readonly methods: readonly WebMethod[];
  /** `/upload/:id/:name`: one segment for each name; a last `*` is the rest, also none. */
  readonly path: string;
  /**
   * Answers; nothing where this host does not know what is asked for, and then the next one that has such a route is asked.
   * @throws WebRefusal
   */
  handle(request: WebRequest): MaybePromise<WebReply | undefined>;
}

/** Refuses a request with a sentence. */
export class WebRefusal extends Error {
  override readonly name = 'WebRefusal';
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  constructor(status: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/** Where a host is on the web. */
export interface Web {
  /** The public address of a path; undefined where nothing listens for HTTP and no address is configured. */
  url(path: string): string | undefined;
}

/** A path for the log: what may be a token, a name or an id in it is not for everybody who reads logs. */
export function shownPath(path: string): string {
  return path.replace(/[^/]{16,}/g, '...');
}

/** How long a body may take that is read as a whole, and what is still on its way when it was refused; milliseconds. */
const BODY_TIME = 30_000;
const LINGER = 2_000;
/** Who has read nothing of an answer for so long is gone; milliseconds. */
const STANDSTILL = 5 * 60_000;

interface Compiled {
  readonly of: readonly Instance[];
  readonly routes: readonly { readonly route: WebRoute; readonly match: MatchRoute }[];
}
interface Found {
  readonly route: WebRoute;
  readonly match: Match;
}

/** Finds who answers a request. */
export class WebRoutes {
  private readonly hosts: ReadonlyMap<string, Host>;
  private readonly log: Logger;
  private readonly standstill: number;
  private readonly compiled = new WeakMap<Host, Compiled>();

  /** @param standstill after how long, in milliseconds, whoever reads nothing is not waited for */
  constructor(hosts: ReadonlyMap<string, Host>, log: Logger, standstill = STANDSTILL) {
    this.hosts = hosts;
    this.log = log;
    this.standstill = standstill;
  }

  /** Answers a request; false where no host has anything at its path. */
  take(request: IncomingMessage, response: ServerResponse, peer: HttpPeer): boolean {
    const at = (request.url ?? '').indexOf('?');
    const path = at < 0 ? (request.url ?? '') : request.url!.slice(0, at);
    const query = new URLSearchParams(at < 0 ? '' : request.url!.slice(at + 1));
    const named = this.named(peer.authority ?? '');
    const found = this.inOrder(named).flatMap((host) => this.find(host, path));
    if (found.length === 0) return false;
    const { standstill } = this;
    this.answer(found, { request, response, peer, path, query, named: named?.domain, standstill }).catch(
      (error: unknown) => {
        // the peer is gone, or what it was sent cannot be read to its end
        this.log.debug({ err: error, path: found[0]!.route.path }, 'a request was not answered to its end');
        response.destroy();
      },
    );
    return true;
  }

  /** The host that a client asks by a name of its own, or of one of its services. */
  private named(authority: string): Host | undefined {
    const name = authority.replace(/:\d*$/, '').toLowerCase();
    const domain = prepareDomain(name) ?? name;
    const isNamed = (host: Host): boolean =>
      host.domain === domain || (host.settings.web.url !== null && new URL(host.settings.web.url).hostname === name);
    const named = [...this.hosts.values()].find(isNamed);
    return named?.parent ?? named;
  }

  /** The host that is named comes first, and its services. */
  private inOrder(first: Host | undefined): readonly Host[] {
    const all = [...this.hosts.values()];
    if (first === undefined) return all;
    const own = (host: Host): boolean => host === first || host.parent === first;
    return [...all.filter(own), ...all.filter((host) => !own(host))];
  }

  private find(host: Host, path: string): Found[] {
    return this.routesOf(host).flatMap(({ route, match }) => {
      const found = match(path);
      return found === undefined ? [] : [{ route, match: found }];
    });
  }

  /** The list of modules is replaced as a whole when it changes. */
  private routesOf(host: Host): Compiled['routes'] {
    let known = this.compiled.get(host);
    if (known?.of !== host.instances) {
      const routes = host.instances.flatMap(({ installed }) => installed.routes ?? []);
      known = { of: host.instances, routes: routes.map((route) => ({ route, match: compileRoute(route.path) })) };
      this.compiled.set(host, known);
    }
    return known.routes;
  }

  private async answer(found: readonly Found[], exchange: Exchange): Promise<void> {
    const method = exchange.request.method === 'HEAD' ? 'GET' : exchange.request.method;
    const mine = found.filter(({ route }) => route.methods.some((one) => one === method));
    if (mine.length === 0) {
      const methods = new Set(
        found.flatMap(({ route }) => route.methods.flatMap((one) => (one === 'GET' ? [one, 'HEAD'] : one))),
      );
      const allow = [...methods.add('OPTIONS')].join(', ');
      const reply = method === 'OPTIONS' ? { status: 204 } : { status: 405, body: 'this is not done here\n' };
      return send(exchange, { ...reply, headers: { allow } });
    }
    return send(exchange, await this.ask(mine, method as WebMethod, exchange));
  }

  private async ask(found: readonly Found[], method: WebMethod, exchange: Exchange): Promise<WebReply> {
    const request = requestOf(exchange, method);
    let unknown: WebReply | undefined;
    try {
      for (const { route, match } of found) {
        if (match === 'malformed') return { status: 400, body: 'the address is malformed\n' };
        const reply = await route.handle({ ...request, params: match });
        if (reply?.isUnknown) unknown ??= reply;
        else if (reply !== undefined) return reply;
      }
      return unknown ?? { status: 404, body: 'there is nothing here\n' };
    } catch (error) {
      if (error instanceof WebRefusal) {
        return { status: error.status, headers: error.headers, body: `${error.message}\n` };
      }
      if (error instanceof StorageUnavailable) {
        return { status: 503, headers: { 'retry-after': '10' }, body: 'the database does not answer\n' };
      }
      this.log.error({ err: error, path: found[0]!.route.path }, 'a request failed');
      return { status: 500, body: 'something went wrong here\n' };
    }
  }
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly peer: HttpPeer;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly named: string | undefined;
  readonly standstill: number;
}

function requestOf(
  { request, response, peer, path, query, named }: Exchange,
  method: WebMethod,
): Omit<WebRequest, 'params'> {
  let isAwaited = request.headers.expect?.toLowerCase() === '100-continue';
  const body = (): Readable => {
    if (isAwaited) response.writeContinue();
    isAwaited = false;
    return request;
  };
  let whole: Promise<Buffer> | undefined;
  return {
    method,
    path,
    query,
    // RFC 9110 14.2: there are no parts of what HEAD asks for, though it is told as GET
    headers: request.method === 'HEAD' ? { ...request.headers, range: undefined } : request.headers,
    peer,
    named,
    body,
    read(limit) {
      if (Number(request.headers['content-length'] ?? 0) > limit) throw tooLarge(limit);
      // it comes once, and the next host may be asked
      whole ??= readAll(body(), limit);
      return whole;
    },
  };
}

const tooLarge = (limit: number): WebRefusal => new WebRefusal(413, `more than ${limit} bytes are not taken here`);

function readAll(body: Readable, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const timer = setTimeout(
      () => end(() => reject(new WebRefusal(408, 'the request did not come to its end'))),
      BODY_TIME,
    );
    const take = (chunk: Buffer): void => {
      length += chunk.length;
      if (length > limit) end(() => reject(tooLarge(limit)));
      else chunks.push(chunk);
    };
    const done = (): void => end(() => resolve(Buffer.concat(chunks)));
    const gone = (): void => end(() => reject(new WebRefusal(400, 'the request broke off')));
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      body.off('data', take).off('end', done).off('error', gone).off('close', gone);
      body.pause();
      settle();
    };
    body.on('data', take).on('end', done).on('error', gone).on('close', gone);
  });
}

async function send(
  { request, response, standstill }: Exchange,
  { status, type, headers, body = '' }: WebReply,
): Promise<void> {
  const usual = {
    'content-type': type ?? 'text/plain; charset=utf-8',
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-store',
  };
  const isText = typeof body === 'string' || body instanceof Uint8Array;
  // RFC 9110 15.4.5: with a 304, what is said of the content would be taken for what the client has
  const hasContent = status !== 204 && status !== 304;
  // (whoever reads slowly, but does, may take their time)
  response.setTimeout(standstill, () => response.destroy());
  response.statusCode = status;
  try {
    for (const [name, value] of Object.entries({ ...(hasContent ? usual : {}), ...headers }))
      response.setHeader(name, value);
  } catch (error) {
    // nobody is going to read it
    if (!isText) body.destroy();
    throw error;
  }
  if (!request.complete && hasBody(request)) partWith(request, response);
  if (isText && hasContent) response.setHeader('content-length', Buffer.byteLength(body));
  if (request.method === 'HEAD' || isText) {
    if (!isText) body.destroy();
    response.end(request.method === 'HEAD' ? '' : body);
    return;
  }
  await pipeline(body, response);
}

const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

/** What is still on its way was not wanted: the peer may read why, and then the connection ends. */
function partWith(request: IncomingMessage, response: ServerResponse): void {
  response.setHeader('connection', 'close');
  response.on('finish', () => {
    request.resume();
    const timer = setTimeout(() => request.destroy(), LINGER);
    request.on('close', () => clearTimeout(timer));
  });
}
