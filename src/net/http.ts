// The HTTP server (Fastify): modules and the composition root add routes; plain HTTP and HTTPS serve the same ones.
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { createServer as createHttpServer, STATUS_CODES } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import { isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { type FastifyInstance, fastify } from 'fastify';
import { type Listener, listenServers } from './listener.ts';
import type { TlsContexts, TlsInfo } from './tls.ts';

/** Who asks, through a proxy on this machine perhaps. */
export interface HttpPeer {
  /** The client's network address. */
  readonly address: string;
  /** Nobody on the way can listen in: TLS up to here, or up to a proxy on this machine, or no network at all. */
  readonly isConfidential: boolean;
  /** A proxy on this machine took the request, and says that it came over HTTPS. */
  readonly isProxied: boolean;
  /** What the client thinks it talks to: name and, perhaps, port. */
  readonly authority: string | undefined;
}

/** Takes a connection that asks to leave HTTP (RFC 9110 7.8). */
export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer, peer: HttpPeer) => void;

/** Takes a request as it comes, body and all, and answers it whenever it likes. */
export type RawHandler = (request: IncomingMessage, response: ServerResponse, peer: HttpPeer) => void;

export interface HttpRequest {
  readonly params: Readonly<Record<string, string>>;
  /** The client's network address. */
  readonly address: string;
  /** Whether it came over HTTPS. */
  readonly encrypted: boolean;
  readonly peer: HttpPeer;
}
export interface HttpReply {
  readonly status: number;
  readonly type?: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The routes of one server, and the ports that they are served on. */
export class Http {
  private readonly app: FastifyInstance = fastify({ logger: false, bodyLimit: 1024 * 1024, trustProxy: false });
  private handler: RequestListener | undefined;
  private readonly servers: Server[] = [];
  private readonly upgrades = new Map<string, UpgradeHandler>();
  private readonly raw = new Map<string, RawHandler>();
  private readonly routed = new Set<string>();
  private others: (...asked: Parameters<RawHandler>) => boolean = () => false;

  /** Adds a route; before the first port is listened on. */
  route(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    url: string,
    answer: (request: HttpRequest) => Promise<HttpReply>,
  ): void {
    this.routed.add(url);
    this.app.route({
      method,
      url,
      handler: async (request, reply) => {
        const params = request.params as Readonly<Record<string, string>>;
        const { status, type, body, headers } = await answer({
          params,
          address: request.ip,
          encrypted: request.protocol === 'https',
          peer: peerOf(request.raw),
        });
        // what is served here is data for machines, and never to be taken for a page
        return reply
          .code(status)
          .header('x-content-type-options', 'nosniff')
          .header('cache-control', 'no-store')
          .headers(headers ?? {})
          .type(type ?? 'text/plain; charset=utf-8')
          .send(body ?? '');
      },
    });
  }

  /** Hands on the connections that ask there to leave HTTP. */
  upgrade(path: string, take: UpgradeHandler): void {
    this.upgrades.set(path, take);
  }

  /** Hands on all requests for that path, for what waits and looks at connections. */
  handle(path: string, take: RawHandler): void {
    this.raw.set(path, take);
  }

  /** Who is asked for all other paths; it says whether it answers. */
  otherwise(take: (...asked: Parameters<RawHandler>) => boolean): void {
    this.others = take;
  }

  /** @throws ListenError */
  async listen(what: string, addresses: readonly string[], port: number, tls?: TlsContexts): Promise<Listener> {
    const handler = await this.ready();
    return listenServers(what, addresses, port, () => {
      const server =
        tls === undefined
          ? createHttpServer(timeouts, handler)
          : createHttpsServer({ ...tls.serverOptions(), ...timeouts, ALPNProtocols: ['http/1.1'] }, handler);
      if (tls !== undefined) tls.follow(server as HttpsServer);
      // whoever answers gives leave to send the body, or refuses it
      server.on('checkContinue', handler);
      server.on('upgrade', (request, socket, head) => {
        const take = this.upgrades.get(pathOf(request));
        if (take === undefined) refuseUpgrade(socket, 404, 'nothing here is for upgraded connections');
        else take(request, socket, head, peerOf(request));
      });
      this.servers.push(server);
      return server;
    });
  }

  /** Ends every connection, those that are kept alive too. */
  async close(): Promise<void> {
    for (const server of this.servers) server.closeAllConnections();
    await this.app.close();
  }

  private async ready(): Promise<RequestListener> {
    if (this.handler === undefined) {
      await this.app.ready();
      this.handler = (request, response) => {
        const take = this.raw.get(pathOf(request));
        if (take !== undefined) {
          goOn(request, response);
          take(request, response, peerOf(request));
        } else if (this.routed.has(pathOf(request)) || !this.others(request, response, peerOf(request))) {
          goOn(request, response);
          this.app.routing(request, response);
        }
      };
    }
    return this.handler;
  }
}

/** Answers a request to leave HTTP with a refusal, and ends the connection. */
export function refuseUpgrade(socket: Duplex, status: number, why: string): void {
  // the peer may be gone already
  socket.on('error', () => {});
  const body = `${why}\n`;
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8`;
  socket.end(`${head}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

/** A body may be large, and its way slow: who reads it watches over it. */
const timeouts = { requestTimeout: 60 * 60_000, headersTimeout: 60_000 };

function goOn({ headers }: IncomingMessage, response: ServerResponse): void {
  if (headers.expect?.toLowerCase() === '100-continue') response.writeContinue();
}

const pathOf = ({ url }: IncomingMessage): string => url?.split('?')[0] ?? '';

/** How a connection for HTTP is encrypted. There is no channel to bind to: browsers do not show it to pages, and proxies end it. */
export function tlsOf(socket: Socket): TlsInfo | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  return {
    protocol: socket.getProtocol() ?? '',
    cipher: socket.getCipher()?.standardName ?? '',
    exporter: undefined,
    unique: undefined,
    endPoint: undefined,
    servername: undefined,
    alpn: undefined,
    peerCertificates: [],
  };
}

/** A proxy is believed only when it is on this machine: anybody can send its headers. */
export function peerOf({ socket, headers }: Pick<IncomingMessage, 'socket' | 'headers'>): HttpPeer {
  const { remoteAddress = '' } = socket;
  const isLocal = /^(::1$|(::ffff:)?127\.)/i.test(remoteAddress);
  const isEncrypted = socket instanceof TLSSocket;
  const address = isLocal ? last(headers['x-forwarded-for']) : undefined;
  const proto = isLocal ? last(headers['x-forwarded-proto']) : undefined;
  return {
    address: address !== undefined && isIP(address) !== 0 ? address : remoteAddress,
    isConfidential: isEncrypted || (isLocal && (proto === undefined || isSecure(proto))),
    isProxied: !isEncrypted && proto !== undefined && isSecure(proto),
    authority: headers.host,
  };
}

const isSecure = (proto: string): boolean => proto === 'https' || proto === 'wss';

/** Every proxy adds to the end of the list; what stands before may be anybody's. */
function last(header: string | string[] | undefined): string | undefined {
  return header?.toString().split(',').at(-1)?.trim();
}
