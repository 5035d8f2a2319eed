// The ports of a server: opened in order, closed while it drains, and opened again should it go on.
import type { Socket } from 'node:net';
import type { ClientAcceptor } from '../c2s/acceptor.ts';
import type { Config, ListenerName } from '../config/server.ts';
import type { BytestreamRelay } from '../net/bytestreams.ts';
import type { Http } from '../net/http.ts';
import { type Listener, listenTcp } from '../net/listener.ts';
import type { TlsContexts } from '../net/tls.ts';
import type { Components } from '../s2s/components.ts';
import type { Federation } from '../s2s/federation.ts';

export interface ListenersParts {
  /** The configuration as it is now. */
  readonly config: () => Config;
  readonly clients: ClientAcceptor;
  readonly federation: Federation;
  readonly components: Components;
  readonly relay: BytestreamRelay;
  readonly http: Http;
  readonly tls: TlsContexts;
}

/** What speaks XMPP from its first byte: nothing of it is needed while a server drains. */
const streams: readonly ListenerName[] = ['c2s', 'c2s-tls', 's2s', 's2s-tls', 'component', 'proxy65'];
const web: readonly ListenerName[] = ['http', 'https'];

export class Listeners {
  private readonly parts: ListenersParts;
  private readonly listeners = new Map<ListenerName, Listener>();
  /** What was picked where any port would do: the same again when it is opened again. */
  private readonly picked = new Map<ListenerName, number>();

  constructor(parts: ListenersParts) {
    this.parts = parts;
  }

  /** Opens what is configured and not open. @throws ListenError */
  async open(names: readonly ListenerName[] = [...streams, ...web]): Promise<void> {
    for (const name of names) {
      if (this.isNeeded(name)) await this.openOne(name);
    }
  }

  /** A port that nobody needs is not taken. */
  private isNeeded(name: ListenerName): boolean {
    const { components, hosts } = this.parts.config();
    if (name === 'component') return Object.keys(components).length > 0;
    return name !== 'proxy65' || Object.values(hosts).some(({ proxy }) => proxy.enabled);
  }

  /** Accepts nothing any more; connections that were accepted go on. HTTP, too, only where it is said. */
  async close(withWeb: boolean): Promise<void> {
    for (const name of withWeb ? [...streams, ...web] : streams) {
      const listener = this.listeners.get(name);
      this.listeners.delete(name);
      await listener?.close();
    }
  }

  /** Undefined when it is switched off, or closed. */
  get(name: ListenerName): Listener | undefined {
    return this.listeners.get(name);
  }

  has(name: ListenerName): boolean {
    return this.listeners.has(name);
  }

  /** Names, addresses and ports of all that are open. */
  list(): readonly { readonly name: ListenerName; readonly address: string; readonly port: number }[] {
    return [...this.listeners].flatMap(([name, { addresses, port }]) =>
      addresses.map((address) => ({ name, address, port })),
    );
  }

  private async openOne(name: ListenerName): Promise<void> {
    const { port, address } = this.parts.config().listen[name];
    if (port === null || this.listeners.has(name)) return;
    const listener = await this.start(name, address, port === 0 ? (this.picked.get(name) ?? 0) : port);
    this.picked.set(name, listener.port);
    this.listeners.set(name, listener);
  }

  private start(name: ListenerName, addresses: readonly string[], port: number): Promise<Listener> {
    const { clients, federation, components, relay, http, tls } = this.parts;
    const tcp = (what: string, accept: (socket: Socket) => void): Promise<Listener> =>
      listenTcp(what, addresses, port, accept);
    switch (name) {
      case 'c2s':
        return tcp('clients', (socket) => clients.accept(socket));
      case 'c2s-tls':
        return tcp('clients, direct TLS', (socket) => clients.accept(socket, true));
      case 's2s':
        return tcp('servers', (socket) => federation.accept(socket));
      case 's2s-tls':
        return tcp('servers, direct TLS', (socket) => federation.accept(socket, true));
      case 'component':
        return tcp('components', (socket) => components.accept(socket));
      case 'proxy65':
        // both ends of a stream have to meet in one process
        return listenTcp('files', addresses, port, (socket) => relay.accept(socket), { exclusive: true });
      case 'http':
        return http.listen('HTTP', addresses, port);
      case 'https':
        return http.listen('HTTPS', addresses, port, tls);
    }
  }
}
