// Accepts connections of other servers, counts them, and ends those that prove nothing or say nothing for too long.

import type { Socket } from 'node:net';
import { networkOf } from '../auth/throttle.ts';
import { within } from '../base/clock.ts';
import type { Rate } from '../base/token-bucket.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import { SocketTransport } from '../net/transport.ts';
import { StreamError } from '../xmpp/errors.ts';
import type { S2sContext } from './context.ts';
import { InboundStream, type UnprovedLimits } from './inbound.ts';
import type { Pool } from './pool.ts';

/** Limits on those who connect, whoever they are; they hold before anything is known of them. */
export interface AcceptLimits {
  /** Streams that have not proved a name, all together and from one network address. */
  readonly unproved: number;
  readonly unprovedPerAddress: number;
  /** New connections from one network address. Undefined: no limit. */
  readonly connectionRate: Rate | undefined;
  readonly unprovedLimits: UnprovedLimits;
  readonly sendQueueBytes: number;
  readonly authTimeout: number;
}

/** One timer looks after all streams, outgoing ones too. */
const SWEEP = 5_000;
/** How long a network is remembered after its last connection came, in milliseconds. */
const REMEMBERED = 60_000;

/** Streams of one domain to one host of ours: one for each of its machines, and some that it has forgotten. */
const MOST_STREAMS = 32;

interface Arrivals {
  unproved: number;
  at: number;
  readonly bucket: TokenBucket | undefined;
}

export class ServerAcceptor {
  private readonly context: S2sContext;
  private readonly pool: Pool;
  private readonly limits: () => AcceptLimits;
  private readonly streams = new Set<InboundStream>();
  /** Those that have not proved a name, with where they came from. */
  private readonly unproved = new Map<InboundStream, Arrivals>();
  private readonly networks = new Map<string, Arrivals>();
  private cancelSweep: (() => void) | undefined;
  private whenEmpty: (() => void) | undefined;
  private isClosing = false;

  constructor(context: S2sContext, pool: Pool, limits: () => AcceptLimits) {
    this.context = context;
    this.pool = pool;
    this.limits = limits;
    pool.whenUsed = () => this.watch();
  }

  /** Incoming streams, in every state. */
  all(): Iterable<InboundStream> {
    return this.streams;
  }

  /** Takes a connection; one for direct TLS begins with the handshake. */
  accept(socket: Socket, isDirectTls: boolean): void {
    const limits = this.limits();
    const transport = new SocketTransport(socket, this.context.flusher, limits.sendQueueBytes);
    const arrivals = this.arrivalsFrom(networkOf(transport.address), limits);
    const now = this.context.clock.now();
    const isTooFast = (arrivals.bucket?.take(1, now) ?? 0) > 0;
    // who is turned away owes nothing: else a flood would keep a network out for long after its end
    if (isTooFast) arrivals.bucket?.take(-1, now);
    const isTooMany = arrivals.unproved >= limits.unprovedPerAddress || this.unproved.size >= limits.unproved;
    if (isTooFast || isTooMany) {
      // whoever comes by the thousand is not worth a stream
      this.context.failure('in', 'policy');
      transport.destroy();
      return;
    }
    const stream: InboundStream = new InboundStream(transport, this.context, limits.unprovedLimits, {
      canSend: (one, pair) => this.pool.canReturn(one, pair),
      proved: (pair) => {
        this.settle(stream);
        this.pool.proved(pair);
        this.makeRoom(pair.to, stream);
      },
      closed: (one, left, lost) => {
        this.settle(one);
        this.streams.delete(one);
        this.pool.returned(one, left, lost);
        if (this.streams.size === 0) this.whenEmpty?.();
      },
    });
    arrivals.unproved++;
    this.unproved.set(stream, arrivals);
    this.streams.add(stream);
    this.watch();
    if (isDirectTls) void stream.secure();
  }

  /** Ends streams that policy does not allow any more. */
  enforce(): void {
    for (const stream of this.streams) {
      if (!stream.isAllowed())
        stream.close(new StreamError('policy-violation', 'the settings of this server have changed'));
    }
  }

  /** Ends the streams of a domain; returns how many there were. */
  closeDomain(domain: string): number {
    const streams = [...this.streams].filter(({ domains }) => domains.has(domain));
    for (const stream of streams) stream.close();
    return streams.length;
  }

  /** Says goodbye to everybody; resolves when they are gone, or after `deadline` milliseconds. */
  async close(error: StreamError, deadline: number): Promise<void> {
    this.isClosing = true;
    this.cancelSweep?.();
    for (const stream of this.streams) stream.close(error);
    if (this.streams.size === 0) return;
    await within(this.context.clock, deadline, (done) => {
      this.whenEmpty = done;
    });
    for (const stream of [...this.streams]) stream.abort('the server stops');
  }

  private arrivalsFrom(network: string, { connectionRate }: AcceptLimits): Arrivals {
    const now = this.context.clock.now();
    let arrivals = this.networks.get(network);
    if (arrivals === undefined) {
      arrivals = { unproved: 0, at: now, bucket: connectionRate && new TokenBucket(connectionRate, now) };
      this.networks.set(network, arrivals);
    }
    arrivals.at = now;
    return arrivals;
  }

  /** A domain that has as many streams as it may have loses the one that was silent for longest. */
  private makeRoom(domain: string, stream: InboundStream): void {
    let count = 0;
    let oldest = stream;
    for (const one of this.streams) {
      if (one.host !== stream.host || !one.isOpen || !one.domains.has(domain)) continue;
      count++;
      if (one.lastSign < oldest.lastSign || (oldest === stream && one !== stream)) oldest = one;
    }
    if (count > MOST_STREAMS) oldest.close();
  }

  private settle(stream: InboundStream): void {
    const arrivals = this.unproved.get(stream);
    if (arrivals === undefined) return;
    arrivals.unproved--;
    this.unproved.delete(stream);
  }

  /** Looks after the streams for as long as there are any. */
  private watch(): void {
    if (this.cancelSweep !== undefined || this.isClosing) return;
    this.cancelSweep = this.context.clock.after(SWEEP, () => {
      this.cancelSweep = undefined;
      this.sweep();
      if (this.streams.size + this.networks.size + this.pool.size > 0) this.watch();
    });
  }

  private sweep(): void {
    const now = this.context.clock.now();
    const { authTimeout } = this.limits();
    for (const stream of this.unproved.keys()) {
      // RFC 6120 4.9.3.4, 13.12
      if (now - stream.since <= authTimeout || !stream.isOpen) continue;
      this.context.failure('in', 'timeout');
      stream.close(new StreamError('connection-timeout'));
    }
    for (const stream of this.streams) {
      const idle = stream.host === undefined ? undefined : this.context.settings(stream.host)?.idleTimeout;
      if (idle !== undefined && !stream.isUsedSince(now - idle)) stream.close();
    }
    for (const [network, { unproved, at }] of this.networks) {
      if (unproved === 0 && now - at > REMEMBERED) this.networks.delete(network);
    }
    this.pool.sweep();
  }
}
