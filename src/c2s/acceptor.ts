// Accepts client connections, counts them, and ends those that say nothing for too long.
import type { Socket } from 'node:net';
import { networkOf } from '../auth/throttle.ts';
import { SocketTransport } from '../net/transport.ts';
import { StreamError } from '../xmpp/errors.ts';
import type { C2sContext } from './context.ts';
import { ClientConnection } from './stream.ts';

// One timer looks after all connections: a timer each would cost more memory than the connection's own state.
const SWEEP = 5_000;

export class ClientAcceptor {
  private readonly context: C2sContext;
  private readonly connections = new Set<ClientConnection>();
  private readonly perNetwork = new Map<string, number>();
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
    const { connectionsPerAddress, outboundBytes } = this.context.settings();
    const network = networkOf(socket.remoteAddress ?? '');
    const others = this.perNetwork.get(network) ?? 0;
    const transport = new SocketTransport(socket, this.context.flusher, outboundBytes);
    this.perNetwork.set(network, others + 1);
    const connection = new ClientConnection(transport, this.context, () => this.forget(connection, network));
    this.connections.add(connection);
    if (others >= connectionsPerAddress) {
      if (isDirectTls) connection.abort();
      else connection.close(new StreamError('policy-violation', 'too many connections from this address'));
    } else if (isDirectTls) {
      void connection.secure();
    }
  }

  /** Says goodbye to everybody with `system-shutdown`; resolves when they are gone, or after `deadline` milliseconds. */
  async close(deadline: number): Promise<void> {
    this.cancelSweep();
    for (const connection of this.connections) connection.close(new StreamError('system-shutdown'));
    if (this.connections.size === 0) return;
    let cancel = (): void => {};
    await new Promise<void>((resolve) => {
      this.whenEmpty = resolve;
      cancel = this.context.clock.after(deadline, resolve);
    });
    cancel();
    for (const connection of this.connections) connection.abort();
  }

  private forget(connection: ClientConnection, network: string): void {
    this.connections.delete(connection);
    const rest = (this.perNetwork.get(network) ?? 1) - 1;
    if (rest > 0) this.perNetwork.set(network, rest);
    else this.perNetwork.delete(network);
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
  }
}
