// Accepts client connections, counts them, and ends those that say nothing for too long.

import type { Socket } from 'node:net';
import { networkOf } from '../auth/throttle.ts';
import { within } from '../base/clock.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import { SocketTransport, type Transport } from '../net/transport.ts';
import { StreamError } from '../xmpp/errors.ts';
import type { C2sContext } from './context.ts';
import { ClientConnection } from './stream.ts';

// One timer looks after all connections: a timer each would cost more memory than the connection's own state.
const SWEEP = 5_000;

/** Who comes too fast waits, in milliseconds; who would wait longer is turned away. */
const LONGEST_WAIT = 5_000;
/** How long a network is remembered after its last connection came, in milliseconds. */
const REMEMBERED = 60_000;

/** What one network address has open, and how fast it comes. */
interface Arrivals {
  open: number;
  at: number;
  readonly bucket: TokenBucket | undefined;
}

export class ClientAcceptor {
  /** While false, who comes is told to go elsewhere. */
  isOpen = true;
  private readonly context: C2sContext;
  private readonly connections = new Set<ClientConnection>();
  private readonly networks = new Map<string, Arrivals>();
  private cancelSweep: () => void;
  private whenEmpty: (() => void) | undefined;

  constructor(context: C2sContext) {
    this.context = context;
    this.cancelSweep = this.schedule();
  }

  get count(): number {
    return this.connections.size;
  }

  /** Takes a connection; one for direct TLS begins with the handshake. */
  accept(socket: Socket, isDirectTls = false): void {
    this.take(new SocketTransport(socket, this.context.flusher, this.context.settings().outboundBytes), isDirectTls);
  }

  /** Takes what a client speaks through already. */
  take(transport: Transport, isDirectTls = false): void {
    const { connectionsPerAddress } = this.context.settings();
    const network = networkOf(transport.address);
    const arrivals = this.arrivalsFrom(network);
    const wait = arrivals.bucket?.take(1, this.context.clock.now()) ?? 0;
    arrivals.open++;
    const connection = new ClientConnection(transport, network, this.context, () => this.forget(connection, arrivals));
    this.connections.add(connection);
    if (!this.isOpen && !isDirectTls) connection.close(new StreamError('system-shutdown'));
    else if (!this.isOpen) connection.abort();
    else if (arrivals.open > connectionsPerAddress || wait > LONGEST_WAIT) {
      if (isDirectTls) connection.abort();
      else connection.close(new StreamError('policy-violation', 'too many connections from this address'));
    } else if (wait > 0) {
      connection.delay(wait);
      if (isDirectTls) this.context.clock.after(wait, () => void connection.secure());
    } else if (isDirectTls) void connection.secure();
  }

  /** Says goodbye to everybody with `system-shutdown`; resolves when they are gone, or after `deadline` milliseconds. */
  async close(deadline: number): Promise<void> {
    this.cancelSweep();
    for (const connection of this.connections) {
      connection.close(new StreamError('system-shutdown'));
      // (nobody can ask any more: it has no time for that)
      if (connection.isMute) connection.abort();
    }
    if (this.connections.size === 0) return;
    await within(this.context.clock, deadline, (done) => {
      this.whenEmpty = done;
    });
    for (const connection of this.connections) connection.abort();
  }

  private arrivalsFrom(network: string): Arrivals {
    const now = this.context.clock.now();
    let arrivals = this.networks.get(network);
    if (arrivals === undefined) {
      const { connectionRate } = this.context.settings();
      arrivals = { open: 0, at: now, bucket: connectionRate && new TokenBucket(connectionRate, now) };
      this.networks.set(network, arrivals);
    }
    arrivals.at = now;
    return arrivals;
  }

  private forget(connection: ClientConnection, arrivals: Arrivals): void {
    this.connections.delete(connection);
    arrivals.open--;
    if (this.connections.size === 0) this.whenEmpty?.();
  }

  private schedule(): () => void {
    return this.context.clock.after(SWEEP, () => {
      this.sweep();
      this.cancelSweep = this.schedule();
    });
  }

  private sweep(): void {
    const now = this.context.clock.now();
    const { preAuthTimeout, idleTimeout } = this.context.settings();
    for (const connection of this.connections) {
      // RFC 6120 4.9.3.4, 13.12: a stream that is not ready in time only costs memory
      const isLate = connection.stage !== 'bound' && now - connection.since > preAuthTimeout;
      const isIdle = idleTimeout > 0 && now - connection.lastRead > idleTimeout;
      if (isLate || isIdle) connection.close(new StreamError('connection-timeout'));
    }
    for (const [network, { open, at }] of this.networks) {
      if (open === 0 && now - at > REMEMBERED) this.networks.delete(network);
    }
  }
}
