// Federation: everything between the router and other servers, put together. One per server.

import type { Socket } from 'node:net';
import type { Allowance } from '../base/budget.ts';
import type { Clock } from '../base/clock.ts';
import type { Gate } from '../base/gate.ts';
import type { Logger } from '../base/log.ts';
import type { Config, HostSettings } from '../config/server.ts';
import type { ServerStreamInfo } from '../core/commands.ts';
import { type Counter, counter, type Metrics } from '../core/metrics.ts';
import type { Remote } from '../core/remote.ts';
import type { Router } from '../core/router.ts';
import type { Transit } from '../core/transit.ts';
import { Dns, type NameServer } from '../net/dns.ts';
import type { TlsContexts } from '../net/tls.ts';
import { Flusher } from '../net/transport.ts';
import { Trust } from '../net/trust.ts';
import { StreamError } from '../xmpp/errors.ts';
import { type AcceptLimits, ServerAcceptor } from './acceptor.ts';
import { type Direction, type FailureReason, type S2sContext, type S2sSettings, streamLimits } from './context.ts';
import { Pool } from './pool.ts';
import type { Step } from './trace.ts';

export interface FederationParts {
  /** The configuration as it is now. */
  readonly config: () => Config;
  /** The settings of a domain that is served here, by ourselves or by a component. */
  readonly settingsOf: (domain: string) => HostSettings['s2s'] | undefined;
  readonly router: Router;
  readonly tls: TlsContexts;
  /** Of dialback. */
  readonly secret: string;
  /** What comes from outside waits while it is closed. */
  readonly gate: Gate | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** In place of real name servers, for tests. */
  readonly nameServer?: NameServer;
}

/** One stream with another server, as people see it. */
export interface StreamView extends ServerStreamInfo {
  /** Stanzas that came and are being handled. */
  readonly handling: number;
}

/** Enough to prove hundreds of names, and to answer for as many keys. */
const unprovedAllowance: Allowance = { bytes: { rate: 50_000, burst: 500_000 }, elements: { rate: 50, burst: 500 } };

const stanzaMetrics = { stanzas: counter('Stanzas exchanged with other servers') };
const failureMetrics = { failures: counter('Streams with other servers that failed, by reason') };

export class Federation implements Pick<Remote, 'send'> {
  private readonly parts: FederationParts;
  private readonly pool: Pool;
  private readonly acceptor: ServerAcceptor;
  private readonly trust: Trust;
  private readonly counters: Readonly<Record<Direction, Counter>>;
  private readonly failures = new Map<string, Counter>();
  private readonly settings = new Map<string, S2sSettings | undefined>();
  private generation = 0;

  constructor(parts: FederationParts) {
    this.parts = parts;
    const config = parts.config();
    this.trust = new Trust(config.tls.ca === null ? [] : [config.tls.ca]);
    this.counters = {
      in: parts.metrics.open('s2s', stanzaMetrics, { direction: 'in' }).stanzas,
      out: parts.metrics.open('s2s', stanzaMetrics, { direction: 'out' }).stanzas,
    };
    const context = this.createContext();
    this.pool = new Pool(context);
    this.acceptor = new ServerAcceptor(context, this.pool, () => this.acceptLimits());
    this.observe();
  }

  /** Reads the authorities that are trusted. @throws Error with a sentence when a file cannot be read */
  start(): void {
    if (Object.values(this.parts.config().hosts).some(({ s2s }) => s2s.enabled)) this.trust.load();
  }

  send(transit: Transit): void {
    this.pool.send(transit);
  }

  /** Takes a connection of another server. */
  accept(socket: Socket, isDirectTls = false): void {
    this.acceptor.accept(socket, isDirectTls);
  }

  /** Settings have changed: streams that are still allowed stay. */
  reload(): void {
    this.generation++;
    this.settings.clear();
    this.pool.enforce();
    this.acceptor.enforce();
  }

  /** All streams there are. */
  streams(): StreamView[] {
    const outgoing = [...this.pool.all()].map((stream) => ({
      direction: 'out' as const,
      host: stream.pair.from,
      domains: [stream.pair.to],
      state: stream.isEnding ? 'closing' : stream.state,
      address: stream.address,
      tls: stream.tlsVersion,
      proof: stream.method,
      bidi: stream.isBidi,
      since: stream.since,
      sent: stream.sent,
      received: stream.received,
      waiting: stream.waiting,
      handling: stream.handling,
    }));
    const incoming = [...this.acceptor.all()].map((stream) => ({
      direction: 'in' as const,
      host: stream.host,
      domains: [...stream.domains.keys()],
      state: !stream.isOpen ? 'closing' : stream.isAuthenticated ? 'open' : 'connecting',
      address: stream.address,
      tls: stream.tlsVersion,
      proof: stream.domains.values().next().value,
      bidi: stream.isBidi,
      since: stream.since,
      sent: stream.sent,
      received: stream.received,
      waiting: stream.waiting,
      handling: stream.handling,
    }));
    return [...outgoing, ...incoming];
  }

  /** Tries to reach a domain for a host of ours, step by step; undefined where policy is against it. */
  probe(
    domain: string,
    host: string,
  ): Promise<{ readonly isReached: boolean; readonly steps: readonly Step[] } | undefined> {
    return this.pool.probe({ from: host, to: domain });
  }

  /** Ends all streams with a domain; returns how many there were. */
  closeDomain(domain: string): number {
    return this.pool.closeDomain(domain) + this.acceptor.closeDomain(domain);
  }

  /** Says goodbye to all servers when they have what was sent; resolves when they are gone, or soon after `deadline` milliseconds. */
  async close(deadline: number): Promise<void> {
    let cancel = (): void => {};
    const late = new Promise<void>((resolve) => {
      cancel = this.parts.clock.after(deadline, resolve);
    });
    const streams = [...this.pool.all(), ...this.acceptor.all()];
    await Promise.race([late, Promise.all(streams.map((stream) => stream.drain()))]);
    cancel();
    const error = new StreamError('system-shutdown');
    await Promise.all([this.acceptor.close(error, deadline), this.pool.close(error, deadline)]);
  }

  private createContext(): S2sContext {
    const { parts } = this;
    const self = this;
    return {
      serves: (domain) => parts.settingsOf(domain) !== undefined,
      settings: (domain) => this.settingsOf(domain),
      get generation() {
        return self.generation;
      },
      get defaultDomain() {
        return Object.keys(parts.config().hosts)[0] ?? 'localhost';
      },
      tls: parts.tls,
      trust: this.trust,
      dns: new Dns({
        servers: parts.config().dns.servers,
        clock: parts.clock,
        ...(parts.nameServer === undefined ? {} : { nameServer: parts.nameServer }),
      }),
      secret: parts.secret,
      router: parts.router,
      flusher: new Flusher(),
      gate: parts.gate,
      clock: parts.clock,
      log: parts.log.child({ part: 's2s' }),
      stanza: (direction) => this.counters[direction].inc(),
      failure: (direction, reason) => this.countFailure(direction, reason),
      // the error goes to whoever sent the stanza, in the name of whom it was for
      refuse: (element, from, to, error) => void parts.router.refuse(element, to, from, error),
      verify: (pair, id, key) => this.pool.verify(pair, id, key),
    };
  }

  private settingsOf(domain: string): S2sSettings | undefined {
    if (!this.settings.has(domain)) {
      const settings = this.parts.settingsOf(domain);
      // strangers must not fill the memory with names
      if (settings === undefined) return undefined;
      this.settings.set(domain, settings.enabled ? federationSettings(settings, this.parts.config()) : undefined);
    }
    return this.settings.get(domain);
  }

  private acceptLimits(): AcceptLimits {
    const { limits, s2s } = this.parts.config();
    const unlimited = Number.POSITIVE_INFINITY;
    return {
      unproved: limits.enabled ? limits['servers-unproved'] : unlimited,
      unprovedPerAddress: limits.enabled ? limits['servers-unproved-per-address'] : unlimited,
      connectionRate: limits.enabled
        ? { rate: limits['servers-connections-per-second'], burst: limits['servers-connections-burst'] }
        : undefined,
      unprovedLimits: {
        stanzaBytes: limits['stanza-bytes-before-auth'],
        allowance: limits.enabled ? unprovedAllowance : undefined,
      },
      sendQueueBytes: s2s['send-queue-bytes'],
      authTimeout: s2s['auth-timeout'],
    };
  }

  private countFailure(direction: Direction, reason: FailureReason): void {
    const key = `${direction} ${reason}`;
    let known = this.failures.get(key);
    if (known === undefined) {
      known = this.parts.metrics.open('s2s', failureMetrics, { direction, reason }).failures;
      this.failures.set(key, known);
    }
    known.inc();
  }

  private observe(): void {
    this.parts.metrics.observe('s2s_streams', 'Streams with other servers', ['direction', 'state'], (gauge) => {
      gauge.set({ direction: 'in', state: 'open' }, 0);
      gauge.set({ direction: 'out', state: 'open' }, 0);
      for (const { direction, state } of this.streams()) gauge.inc({ direction, state });
    });
  }
}

function federationSettings(s2s: HostSettings['s2s'], { limits }: Config): S2sSettings {
  return {
    requireValidCertificates: s2s['require-valid-certificates'],
    mayTalkTo: policyOf(s2s),
    bidi: s2s.bidi,
    ...streamLimits(s2s, limits),
    sendQueueBytes: s2s['send-queue-bytes'],
    queueStanzas: s2s['queue-stanzas'],
    queueBytes: s2s['queue-bytes'],
    queueTimeout: s2s['queue-time'],
    authTimeout: s2s['auth-timeout'],
    idleTimeout: s2s['idle-timeout'],
  };
}

function policyOf({ policy, allow, deny }: HostSettings['s2s']): (domain: string) => boolean {
  switch (policy) {
    case 'open':
      return () => true;
    case 'allow-list':
      return (domain) => isListed(allow, domain);
    case 'deny-list':
      return (domain) => !isListed(deny, domain);
  }
}

/** `*.example.org` stands for all domains below it. */
function isListed(list: readonly string[], domain: string): boolean {
  return list.some((entry) => (entry.startsWith('*.') ? domain.endsWith(entry.slice(1)) : entry === domain));
}
