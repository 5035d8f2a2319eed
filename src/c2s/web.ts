// What browsers come in by: WebSockets (RFC 7395), BOSH (XEP-0206), and where a domain says that it has them (XEP-0156).
import { networkOf } from '../auth/throttle.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { Bosh } from '../net/bosh.ts';
import type { Http, HttpPeer, HttpReply } from '../net/http.ts';
import { refuseUpgrade } from '../net/http.ts';
import { WebSockets } from '../net/websocket.ts';
import { escapeAttr } from '../xml/escape.ts';
import { Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import type { ClientAcceptor } from './acceptor.ts';
import { BoshErrands } from './bosh-errands.ts';
import type { C2sContext } from './context.ts';

/** The first is the one that is told of; the others are what clients guess, and other servers have. */
const paths = ['/xmpp-websocket', '/websocket', '/ws'] as const;
const boshPaths = ['/http-bind', '/http-bind/'] as const;
const HTTPS = 443;

export interface WebParts {
  readonly http: Http;
  readonly clients: ClientAcceptor;
  readonly context: C2sContext;
  readonly cluster: Cluster;
  /** The port of the listener for HTTPS, if there is one. */
  httpsPort(): number | undefined;
}

interface Link {
  readonly rel: string;
  readonly href: string;
}

/** What was added, while the server runs. */
export interface Web {
  /** How many BOSH sessions there are. */
  readonly boshSessions: number;
  /** Stops what goes on by itself; when nothing listens any more. */
  close(): void;
}

/** Adds the routes; call it before the first port is listened on. */
export function addWebRoutes(parts: WebParts): Web {
  const { http, clients, context, cluster } = parts;
  // RFC 7395 3.9, XEP-0206 2: TLS has to be there before the stream is
  const mayEnter = (peer: HttpPeer): boolean => peer.isConfidential || !context.settings().requireTls;
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
      if (mayEnter(peer)) sockets.upgrade(request, socket, head, peer);
      else refuseUpgrade(socket, 403, 'TLS is required: connect to wss://');
    });
    http.route('GET', path, async () => ({
      status: 426,
      body: 'This is for XMPP clients: connect with a WebSocket of the subprotocol "xmpp" (RFC 7395).\n',
      headers: { upgrade: 'websocket', connection: 'upgrade' },
    }));
  }
  const bosh: Bosh = new Bosh({
    accept: (transport) => clients.take(transport),
    domainOf: (to) => domainOf(to, context),
    mayEnter,
    secureUri: (peer) => {
      const base = secureBase(peer, parts);
      return base && `https://${base}${boshPaths[0]}`;
    },
    networkOf,
    limits: () => {
      const { stanzaBytesBeforeAuth, stanzaBytes, outboundBytes, connectionsPerAddress } = context.settings();
      return {
        stanzaBytesBeforeAuth,
        stanzaBytes,
        queuedBytes: outboundBytes,
        uploadsPerAddress: connectionsPerAddress,
      };
    },
    elsewhere: new BoshErrands(cluster, (errand) => bosh.takeFrom(errand)),
    flusher: context.flusher,
    clock: context.clock,
  });
  for (const path of boshPaths) http.handle(path, (request, response, peer) => bosh.handle(request, response, peer));
  http.route('GET', '/.well-known/host-meta', async ({ peer }) => hostMeta('xml', peer, parts));
  http.route('GET', '/.well-known/host-meta.json', async ({ peer }) => hostMeta('json', peer, parts));
  return {
    get boshSessions() {
      return bosh.table.open;
    },
    close() {
      sockets.close();
      bosh.close();
    },
  };
}

function hostMeta(format: 'xml' | 'json', peer: HttpPeer, parts: WebParts): HttpReply {
  const base = secureBase(peer, parts);
  // XEP-0156 3: pages of any origin may read this, and nothing else here
  const headers = { 'access-control-allow-origin': '*' };
  if (base === undefined) return { status: 404, body: 'no metadata of this host\n', headers };
  const links: readonly Link[] = [
    { rel: NS.altWebSocket, href: `wss://${base}${paths[0]}` },
    { rel: NS.altBosh, href: `https://${base}${boshPaths[0]}` },
  ];
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
  const domain = domainOf(name, context);
  if (domain === undefined) return undefined;
  const port = isProxied ? Number(ownPort ?? HTTPS) : httpsPort();
  if (port === undefined) return undefined;
  const { hostname } = new URL(`https://${domain}`);
  return port === HTTPS ? hostname : `${hostname}:${port}`;
}

/** The domain, prepared; undefined where that is none of ours. */
function domainOf(name: string, context: C2sContext): string | undefined {
  const jid = Jid.parse(name);
  return jid === undefined || jid.domain !== jid.full || context.host(jid.domain) === undefined
    ? undefined
    : jid.domain;
}
