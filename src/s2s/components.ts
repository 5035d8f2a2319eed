// External components (XEP-0114): which there are, which of them are connected, to this node or another, and what goes to them.
import type { Socket } from 'node:net';
import { type Clock, within } from '../base/clock.ts';
import type { Gate } from '../base/gate.ts';
import type { Logger } from '../base/log.ts';
import { isPromise } from '../base/maybe.ts';
import { Ring } from '../base/ring.ts';
import type { Cluster, NodeId } from '../cluster/cluster.ts';
import type { Config } from '../config/server.ts';
import { componentGone, componentReady } from '../core/events.ts';
import type { Host } from '../core/host.ts';
import { type Counter, counter, type Metrics } from '../core/metrics.ts';
import type { Router } from '../core/router.ts';
import type { Transit } from '../core/transit.ts';
import { Flusher, SocketTransport } from '../net/transport.ts';
import { StanzaError, StreamError } from '../xmpp/errors.ts';
import { Jid } from '../xmpp/jid.ts';
import type { Stanza } from '../xmpp/stanza.ts';
import { ComponentStream } from './component.ts';
import { ComponentPlaces } from './component-places.ts';
import { type Direction, type StreamLimits, streamLimits } from './context.ts';
import { writeStanza } from './queued.ts';

export interface ComponentLimits extends StreamLimits {
  /** In milliseconds. */
  readonly authTimeout: number;
}

/** What a component's stream needs of the server it belongs to. */
export interface ComponentContext {
  /** What a component has to know; undefined for a domain that is none. */
  secret(domain: string): string | undefined;
  limits(): ComponentLimits;
  readonly defaultDomain: string;
  readonly router: Router;
  /** What comes from outside waits while it is closed. */
  readonly gate: Gate | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  /** Counts a stanza. */
  stanza(direction: Direction): void;
}

export interface ComponentsParts {
  /** The configuration as it is now. */
  readonly config: () => Config;
  readonly router: Router;
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Those that are served, whose modules hear of components. */
  readonly hosts: ReadonlyMap<string, Host>;
}

/** One component, as people see it. */
export interface ComponentView {
  readonly domain: string;
  readonly connected: boolean;
  readonly address?: string;
  /** Milliseconds since 1970. */
  readonly since?: number;
  /** Stanzas, over this connection. */
  readonly sent: number;
  readonly received: number;
}

const stanzaMetrics = { stanzas: counter('Stanzas exchanged with components') };
const failureMetrics = { failures: counter('Streams of components that ended with an error, by its condition') };

export class Components {
  private readonly parts: ComponentsParts;
  private readonly log: Logger;
  private readonly context: ComponentContext;
  private readonly flusher = new Flusher();
  private readonly streams = new Set<ComponentStream>();
  /** Those that have proved themselves, by domain, in the order in which they came. */
  private readonly ready = new Map<string, readonly ComponentStream[]>();
  private readonly places: ComponentPlaces;
  /** The secrets that streams were let in with, by domain. */
  private secrets: Config['components'];
  private readonly failures = new Map<string, Counter>();
  private unproved = 0;
  private whenEmpty: (() => void) | undefined;

  constructor(parts: ComponentsParts) {
    this.parts = parts;
    this.log = parts.log.child({ part: 'component' });
    this.secrets = parts.config().components;
    this.context = this.createContext();
    this.places = new ComponentPlaces({
      cluster: parts.cluster,
      clock: parts.clock,
      own: () => [...this.ready].map(([domain, streams]) => [domain, streams.at(-1)!.since]),
      onRival: (domain, since, node) => this.meet(domain, since, node),
      onLost: (domain) => {
        if (this.open(domain).length === 0) parts.router.giveUp(domain);
      },
    });
    parts.metrics.observe('components_connected', 'Whether a component is connected', ['component'], (gauge) => {
      for (const { domain, connected } of this.list()) gauge.set({ component: domain }, connected ? 1 : 0);
    });
  }

  /** Whether a domain is a component's, connected or not. */
  has(domain: string): boolean {
    return this.context.secret(domain) !== undefined;
  }

  /** All components there may be. */
  list(): ComponentView[] {
    return Object.keys(this.parts.config().components).map((domain) => {
      const stream = this.open(domain).at(-1);
      return stream === undefined
        ? { domain, connected: false, sent: 0, received: 0 }
        : {
            domain,
            connected: true,
            address: stream.address,
            since: stream.since,
            sent: stream.sent,
            received: stream.received,
          };
    });
  }

  /**
   * Sends a stanza to the component of its domain, wherever it is connected.
   * @throws StanzaError `remote-server-timeout` while the component is away
   */
  send(transit: Transit): void {
    const { stanza } = transit;
    const streams = this.open(stanza.to.domain);
    const elsewhere = this.places.of(stanza.to.domain);
    const node = this.choose(stanza, streams.length > 0, elsewhere);
    if (node === undefined) throw away();
    if (node === this.parts.cluster.self) {
      // what the host says itself may be for the one that has just come
      const at = stanza.from.local === '' ? streams.length - 1 : pick(streams.keys(), stanza.from.bare);
      streams[at]!.send(stanza);
      return;
    }
    const { el: element, from, to } = stanza;
    const sent = this.parts.cluster.send(node, { kind: 'stanza', xml: writeStanza(element, from, to) });
    if (isPromise(sent)) transit.settle(sent.catch(() => this.parts.router.refuse(element, to, from, away())));
  }

  /** Of the nodes that a component is connected to the one that a stanza goes to. Those of one person go to one and the same. */
  private choose({ from, to }: Stanza, isHere: boolean, elsewhere: readonly NodeId[]): NodeId | undefined {
    const { self } = this.parts.cluster;
    if (elsewhere.length === 0) return isHere ? self : undefined;
    if (isHere && (from.local === '' || !this.mayBeMany(to.domain))) return self;
    return pick(isHere ? [self, ...elsewhere] : elsewhere, from.bare);
  }

  /** Takes a connection. */
  accept(socket: Socket): void {
    const { limits, s2s } = this.parts.config();
    const transport = new SocketTransport(socket, this.flusher, s2s['send-queue-bytes']);
    if (limits.enabled && this.unproved >= limits['servers-unproved-per-address']) {
      this.fail('policy-violation');
      transport.destroy();
      return;
    }
    this.unproved++;
    const stream = new ComponentStream(transport, this.context, {
      ready: (one) => this.welcome(one),
      closed: (one, reason) => this.gone(one, reason),
    });
    this.streams.add(stream);
  }

  /** Settings have changed: a component that is no more, or has another secret, is sent away. */
  reload(): void {
    const old = this.secrets;
    this.secrets = this.parts.config().components;
    for (const stream of this.streams) {
      const { domain } = stream;
      if (domain === undefined) continue;
      const secret = this.context.secret(domain);
      if (secret === undefined) stream.close(new StreamError('host-gone'));
      else if (secret !== old[domain]?.secret) stream.close(new StreamError('reset', 'the secret has changed'));
    }
  }

  /** The modules of a host are other ones than before: they hear of the components that are connected, and what these could do. */
  introduce(host: Host, before: Host['grants']): void {
    for (const { domain, connected } of this.list()) {
      const component = Jid.of('', domain);
      if (connected) host.notify(componentReady, { component, was: before.get(domain) });
    }
  }

  /** Says goodbye to all; resolves when they are gone, or after `deadline` milliseconds. */
  async close(deadline: number): Promise<void> {
    this.places.stop();
    for (const stream of this.streams) stream.close(new StreamError('system-shutdown'));
    if (this.streams.size === 0) return;
    await within(this.parts.clock, deadline, (done) => {
      this.whenEmpty = done;
    });
    for (const stream of [...this.streams]) stream.abort('the server stops');
  }

  /** The streams of a component on this node. */
  private open(domain: string): readonly ComponentStream[] {
    const streams = this.ready.get(domain) ?? none;
    return streams.every(({ isOpen }) => isOpen) ? streams : streams.filter(({ isOpen }) => isOpen);
  }

  private mayBeMany(domain: string): boolean {
    return this.parts.config().components[domain]?.connections === 'many';
  }

  /** A component is connected to another node, too: the newer connection stays. */
  private meet(domain: string, since: number, node: NodeId): void {
    if (this.mayBeMany(domain)) return;
    const { self } = this.parts.cluster;
    for (const stream of this.open(domain)) {
      if (stream.since < since || (stream.since === since && self < node)) stream.close(replaced());
    }
  }

  private welcome(stream: ComponentStream): void {
    this.unproved--;
    const domain = stream.domain!;
    const before = this.ready.get(domain) ?? none;
    const mayStay = this.mayBeMany(domain);
    this.ready.set(domain, mayStay ? [...before, stream] : [stream]);
    // it knows the secret, so it is the same one, come back before we noticed that it had gone
    if (!mayStay && before.length > 0) {
      for (const old of before) old.close(replaced());
      // what the old connection was asked the new one does not know of
      this.parts.router.giveUp(domain);
    }
    this.places.announce();
    this.log.info({ component: domain, address: stream.address }, 'a component connected');
    const component = Jid.of('', domain);
    for (const host of this.parts.hosts.values()) host.notify(componentReady, { component, was: undefined });
  }

  private gone(stream: ComponentStream, reason: string): void {
    const { domain, error } = stream;
    this.streams.delete(stream);
    if (error !== undefined) this.fail(error.condition);
    if (!stream.isAuthenticated) this.unproved--;
    else this.log.info({ component: domain, reason }, 'a component has gone');
    if (domain !== undefined && this.ready.get(domain)?.includes(stream)) this.remove(domain, stream);
    if (this.streams.size === 0) this.whenEmpty?.();
  }

  private remove(domain: string, stream: ComponentStream): void {
    const rest = this.ready.get(domain)!.filter((one) => one !== stream);
    if (rest.length > 0) {
      this.ready.set(domain, rest);
      return;
    }
    this.ready.delete(domain);
    this.places.announce();
    if (this.places.of(domain).length === 0) this.parts.router.giveUp(domain);
    const component = Jid.of('', domain);
    for (const host of this.parts.hosts.values()) host.notify(componentGone, { component });
  }

  private fail(reason: string): void {
    let known = this.failures.get(reason);
    if (known === undefined) {
      known = this.parts.metrics.open('component', failureMetrics, { reason }).failures;
      this.failures.set(reason, known);
    }
    known.inc();
  }

  private createContext(): ComponentContext {
    const { parts } = this;
    const counters: Readonly<Record<Direction, Counter>> = {
      in: parts.metrics.open('component', stanzaMetrics, { direction: 'in' }).stanzas,
      out: parts.metrics.open('component', stanzaMetrics, { direction: 'out' }).stanzas,
    };
    return {
      secret: (domain) => {
        const { components } = parts.config();
        return Object.hasOwn(components, domain) ? components[domain]?.secret : undefined;
      },
      limits: () => limitsOf(parts.config()),
      get defaultDomain() {
        return Object.keys(parts.config().hosts)[0] ?? 'localhost';
      },
      router: parts.router,
      gate: parts.cluster.gate,
      clock: parts.clock,
      log: this.log,
      stanza: (direction) => counters[direction].inc(),
    };
  }
}

const none: readonly ComponentStream[] = [];

const away = (): StanzaError => new StanzaError('remote-server-timeout', 'the component is not connected');
const replaced = (): StreamError => new StreamError('conflict', 'replaced by a new connection');

/** One of several, always the same for a key for as long as it is there. */
function pick<T extends string | number>(of: Iterable<T>, key: string): T {
  const names = new Map([...of].map((one) => [String(one), one]));
  return names.get(new Ring(names.keys(), String).owner(key))!;
}

/** A component speaks for as many people as another server does. */
function limitsOf({ limits, s2s }: Config): ComponentLimits {
  return {
    ...streamLimits(s2s, limits),
    authTimeout: limits['auth-timeout'],
  };
}

/** The closest of the domains that a component's name is below, if it is below one. */
export function parentOf(component: string, domains: Iterable<string>): string | undefined {
  let closest: string | undefined;
  for (const domain of domains) {
    if (component.endsWith(`.${domain}`) && domain.length > (closest?.length ?? 0)) closest = domain;
  }
  return closest;
}
