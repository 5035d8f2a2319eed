// What browsers come in by: WebSockets (RFC 7395), and where a domain says that it has them (XEP-0156).
import type { Http, HttpPeer, HttpReply } from '../net/http.ts';
import { refuseUpgrade } from '../net/http.ts';
import { WebSockets } from '../net/websocket.ts';
import { escapeAttr } from '../xml/escape.ts';
import { Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import type { ClientAcceptor } from './acceptor.ts';
import type { C2sContext } from './context.ts';

/** The first is the one that is told of; the others are what clients guess, and other servers have. */
const paths = ['/xmpp-websocket', '/websocket', '/ws'] as const;
const HTTPS = 443;

export interface WebParts {
  readonly http: Http;
  readonly clients: ClientAcceptor;
  readonly context: C2sContext;
  /** The port of the listener for HTTPS, if there is one. */
  httpsPort(): number | undefined;
}

interface Link {
  readonly rel: string;
  readonly href: string;
}

/** Adds the routes; call it before the first port is listened on, and close what it returns when nothing listens any more. */
export function addWebRoutes(parts: WebParts): { close(): void } {
  const { http, clients, context } = parts;
  const sockets = new WebSockets({
    accept: (transport) => clients.take(transport),
    limits: () => {
      const { stanzaBytes, outboundBytes } = context.settings();
      return { frameBytes: stanzaBytes, queuedBytes: outboundBytes };
    },
    flusher: context.flusher,
    clock: context.clock,
  });
  for (const path of paths) {
    http.upgrade(path, (request, socket, head, peer) => {
      // RFC 7395 3.9: there is no way to TLS from inside a WebSocket
      if (peer.isConfidential || !context.settings().requireTls) sockets.upgrade(request, socket, head, peer);
      else refuseUpgrade(socket, 403, 'TLS is required: connect to wss://');
    });
    http.route('GET', path, async () => ({
      status: 426,
      body: 'This is for XMPP clients: connect with a WebSocket of the subprotocol "xmpp" (RFC 7395).\n',
      headers: { upgrade: 'websocket', connection: 'upgrade' },
    }));
  }
  http.route('GET', '/.well-known/host-meta', async ({ peer }) => hostMeta('xml', peer, parts));
  http.route('GET', '/.well-known/host-meta.json', async ({ peer }) => hostMeta('json', peer, parts));
  return sockets;
}

function hostMeta(format: 'xml' | 'json', peer: HttpPeer, parts: WebParts): HttpReply {
  const base = secureBase(peer, parts);
  // XEP-0156 3: pages of any origin may read this, and nothing else here
  const headers = { 'access-control-allow-origin': '*' };
  if (base === undefined) return { status: 404, body: 'no metadata of this host\n', headers };
  const links: readonly Link[] = [{ rel: NS.altWebSocket, href: `wss://${base}${paths[0]}` }];
  return format === 'xml'
    ? { status: 200, type: 'application/xrd+xml; charset=utf-8', body: xrd(links), headers }
    : { status: 200, type: 'application/json; charset=utf-8', body: `${JSON.stringify({ links })}\n`, headers };
}

/** RFC 6415. */
function xrd(links: readonly Link[]): string {
  const lines = links.map(({ rel, href }) => `  <Link rel='${escapeAttr(rel)}' href='${escapeAttr(href)}'/>\n`);
  return `<?xml version='1.0' encoding='utf-8'?>\n<XRD xmlns='${NS.xrd}'>\n${lines.join('')}</XRD>\n`;
}

/**
 * Name and port that are reached with TLS (XEP-0156 2.2): of our listener, or of the proxy that the question came through.
 * Undefined where there are none, and for hosts that are not ours: the question's own word for itself is not repeated.
 */
function secureBase({ authority = '', isProxied }: HttpPeer, { context, httpsPort }: WebParts): string | undefined {
  const [, name = '', ownPort] = /^([^:[\]]+)(?::(\d{1,5}))?$/.exec(authority) ?? [];
  const domain = Jid.parse(name)?.domain;
  if (domain === undefined || domain !== Jid.parse(name)?.full || context.host(domain) === undefined) return undefined;
  const port = isProxied ? Number(ownPort ?? HTTPS) : httpsPort();
  if (port === undefined) return undefined;
  const { hostname } = new URL(`https://${domain}`);
  return port === HTTPS ? hostname : `${hostname}:${port}`;
}
