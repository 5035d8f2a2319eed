// The HTTP server (Fastify): modules and the composition root add routes; plain HTTP and HTTPS serve the same ones.
import type { RequestListener, Server } from 'node:http';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import { type FastifyInstance, fastify } from 'fastify';
import { type Listener, listenServers } from './listener.ts';
import type { TlsContexts } from './tls.ts';

export interface HttpRequest {
  readonly params: Readonly<Record<string, string>>;
  /** The client's network address. */
  readonly address: string;
  /** Whether it came over HTTPS. */
  readonly encrypted: boolean;
}
export interface HttpReply {
  readonly status: number;
  readonly type?: string;
  readonly body?: string;
}

/** The routes of one server, and the ports that they are served on. */
export class Http {
  private readonly app: FastifyInstance = fastify({ logger: false, bodyLimit: 1024 * 1024, trustProxy: false });
  private handler: RequestListener | undefined;
  private readonly servers: Server[] = [];

  /** Adds a route; before the first port is listened on. */
  route(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    url: string,
    answer: (request: HttpRequest) => Promise<HttpReply>,
  ): void {
    this.app.route({
      method,
      url,
      handler: async (request, reply) => {
        const params = request.params as Readonly<Record<string, string>>;
        const { status, type, body } = await answer({
          params,
          address: request.ip,
          encrypted: request.protocol === 'https',
        });
        // what is served here is data for machines, and never to be taken for a page
        return reply
          .code(status)
          .header('x-content-type-options', 'nosniff')
          .header('cache-control', 'no-store')
          .type(type ?? 'text/plain; charset=utf-8')
          .send(body ?? '');
      },
    });
  }

  /** @throws ListenError */
  async listen(what: string, addresses: readonly string[], port: number, tls?: TlsContexts): Promise<Listener> {
    const handler = await this.ready();
    return listenServers(what, addresses, port, () => {
      const server =
        tls === undefined
          ? createHttpServer(handler)
          : createHttpsServer({ ...tls.serverOptions(), ALPNProtocols: ['http/1.1'] }, handler);
      if (tls !== undefined) tls.follow(server as HttpsServer);
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
      this.handler = (request, response) => this.app.routing(request, response);
    }
    return this.handler;
  }
}
