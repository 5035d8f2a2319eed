// Listeners: ports that accept connections, on several addresses, with TLS or without.
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';

export interface Listener {
  /** The first address that it listens on, and the port; the port that was picked, where 0 was asked for. */
  readonly address: string;
  readonly port: number;
  readonly addresses: readonly string[];
  /** Accepts nothing any more; connections that were accepted go on. */
  close(): Promise<void>;
}

/** A port that cannot be listened on, told in a sentence for the operator. */
export class ListenError extends Error {
  readonly code: string;
  constructor(what: string, address: string, port: number, cause: NodeJS.ErrnoException) {
    super(`cannot listen on ${address} port ${port} (${what}): ${explain(cause, port)}`, { cause });
    this.name = 'ListenError';
    this.code = cause.code ?? '';
  }
}

function explain(error: NodeJS.ErrnoException, port: number): string {
  switch (error.code) {
    case 'EADDRINUSE':
      return 'something else listens there already. Stop it, or choose another port under "listen" (0 picks a free one, null switches it off)';
    case 'EACCES':
      return `ports below 1024 are for root. Choose a port above, or give node the right with: setcap cap_net_bind_service=+ep $(readlink -f $(which node)) (port ${port})`;
    case 'EADDRNOTAVAIL':
      return 'this machine has no such address. Correct "listen.address"';
    default:
      return error.message;
  }
}

/**
 * Listens for TCP connections; each is handed on as it comes.
 * @param options `exclusive`: the port is not shared with other processes of this server
 * @throws ListenError
 */
export function listenTcp(
  what: string,
  addresses: readonly string[],
  port: number,
  accept: (socket: Socket) => void,
  options: { readonly exclusive?: boolean } = {},
): Promise<Listener> {
  const create = (): Server =>
    createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 300_000 }, (socket) => {
      // until somebody takes the socket, a reset must not end the process
      socket.on('error', () => {});
      accept(socket);
    });
  return listenServers(what, addresses, port, create, options);
}

/** Starts a server on every address, all with the same port. @throws ListenError */
export async function listenServers(
  what: string,
  addresses: readonly string[],
  port: number,
  create: () => Server,
  { exclusive = false }: { readonly exclusive?: boolean } = {},
): Promise<Listener> {
  const servers: Server[] = [];
  let picked = port;
  try {
    for (const address of addresses) {
      const server = create();
      await listenOne(server, what, address, picked, exclusive);
      servers.push(server);
      // a port that was picked on the first address is taken on the others too
      picked = portOf(server);
    }
  } catch (error) {
    await Promise.all(servers.map(closeServer));
    throw error;
  }
  return {
    address: addresses[0] ?? '',
    port: picked,
    addresses,
    close: async () => {
      await Promise.all(servers.map(closeServer));
    },
  };
}

async function listenOne(
  server: Server,
  what: string,
  address: string,
  port: number,
  exclusive: boolean,
): Promise<void> {
  server.listen({ host: address, port, backlog: 1024, exclusive });
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new ListenError(what, address, port, error as NodeJS.ErrnoException);
  }
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** Does not wait for connections that are still open: those are ended by whoever holds them. */
function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    setImmediate(resolve);
  });
}
