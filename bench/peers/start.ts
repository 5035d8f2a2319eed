// Starts a server as the options say, with a database of the machine's own if that is wanted.

import { join } from 'node:path';
import type { CommonOptions } from '../options.ts';
import type { Peer, RunningPeer } from './peer.ts';
import { startPostgres } from './postgres.ts';

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
