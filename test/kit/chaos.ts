// A bad network on loopback: a TCP proxy that delays, coalesces, dribbles, half-closes and resets.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Address } from './client.ts';

/** How one direction treats what passes. */
export interface Behaviour {
  /** Milliseconds that every chunk waits. */
  readonly delay?: number;
  /** Gathers what comes within so many milliseconds into one write. */
  readonly coalesce?: number;
  /** Passes on so many bytes at a time, each as a segment of its own. */
  readonly dribble?: number;
  /** Lets nothing through, and does not read either: a frozen peer. */
  readonly frozen?: boolean;
}

export interface ChaosPipe extends AsyncDisposable {
  readonly address: Address;
  /** From the client to the server, and back; may be changed at any time. */
  upstream: Behaviour;
  downstream: Behaviour;
  /** Takes no new connections: resets them at once. */
  isShut: boolean;
  /** Ends one direction of every connection: as seen by the server, the client has half-closed. */
  halfClose(): void;
  /** Resets every connection, on both sides. */
  reset(): void;
  close(): Promise<void>;
}

export async function openChaosPipe(target: Address): Promise<ChaosPipe> {
  const pairs = new Set<{ readonly client: Socket; readonly server: Socket }>();
  const listener = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    if (pipe.isShut) {
      client.on('error', () => {}).resetAndDestroy();
      return;
    }
    const server = connect({ host: target.address, port: target.port, noDelay: true, allowHalfOpen: true });
    const pair = { client, server };
    pairs.add(pair);
    const gone = (): void => {
      client.destroy();
      server.destroy();
      pairs.delete(pair);
    };
    for (const socket of [client, server]) socket.on('error', gone).on('close', gone);
    void carry(client, server, () => pipe.upstream);
    void carry(server, client, () => pipe.downstream);
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { address, port } = listener.address() as AddressInfo;
  const pipe: ChaosPipe = {
    address: { address, port },
    upstream: {},
    downstream: {},
    isShut: false,
    halfClose() {
      for (const { server } of pairs) server.end();
    },
    reset() {
      for (const { client, server } of pairs) {
        client.resetAndDestroy();
        server.resetAndDestroy();
      }
    },
    async close() {
      for (const { client, server } of pairs) {
        client.destroy();
        server.destroy();
      }
      const closed = once(listener, 'close');
      listener.close();
      await closed;
    },
    [Symbol.asyncDispose]: () => pipe.close(),
  };
  return pipe;
}

async function carry(from: Socket, to: Socket, behaviour: () => Behaviour): Promise<void> {
  try {
    for await (const first of from) {
      let chunk = first as Buffer;
      const { delay = 0, coalesce = 0, dribble = 0 } = behaviour();
      if (delay > 0) await sleep(delay);
      while (behaviour().frozen) await sleep(5);
      if (coalesce > 0) {
        await sleep(coalesce);
        for (let more = from.read() as Buffer | null; more !== null; more = from.read() as Buffer | null) {
          chunk = Buffer.concat([chunk, more]);
        }
      }
      const step = dribble > 0 ? dribble : chunk.length;
      for (let at = 0; at < chunk.length; at += step) {
        if (to.destroyed) return;
        to.write(chunk.subarray(at, at + step));
        // a turn of the loop keeps the segments apart
        if (dribble > 0) await new Promise<void>((resolve) => setImmediate(resolve));
      }
    }
    to.end();
  } catch {
    // the connection broke; both ends are destroyed by its close event
  }
}
