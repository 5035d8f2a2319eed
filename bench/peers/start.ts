// Starts a server as the options say, with a database of the machine's own if that is wanted.

import { join } from 'node:path';
import { type CommonOptions, UsageError } from '../options.ts';
import type { Peer, RunningPeer } from './peer.ts';
import { startPostgres } from './postgres.ts';

/** The port of a server that was started for the way in that is to be measured. Throws UsageError when there is none. */
export function portOf(server: RunningPeer, { tls, transport }: CommonOptions['target']): number {
  const isDirect = tls === 'direct';
  if (transport === 'tcp') return isDirect ? server.directTlsPort : server.port;
  const port = isDirect ? server.secureWebPort : server.webPort;
  if (port === undefined) throw new UsageError('this server is started without WebSockets');
  return port;
}

/** Started a second time in the same `dir`, it finds its users and its data again. */
export async function startPeer(peer: Peer, dir: string, users: number, common: CommonOptions): Promise<RunningPeer> {
  const { domain, userPrefix, password } = common.target;
  const postgres = common.onPostgres ? await startPostgres(join(dir, 'database')) : undefined;
  const options = { dir, domain, userPrefix, password, users, isFull: common.isFull, database: postgres?.address };
  try {
    const server = await peer.start(options);
    return {
      ...server,
      databasePids: postgres ? [postgres.pid] : [],
      async stop() {
        await server.stop();
        await postgres?.stop();
      },
    };
  } catch (error) {
    await postgres?.stop();
    throw error;
  }
}
