// Whether a Postgres lets in all the connections that the nodes may want; for `parley doctor`.
import type { Config } from '../config/server.ts';
import { CONNECTIONS_OF_A_NODE, connectionRoom } from '../storage/postgres/room.ts';
import { livingNodes } from './cluster.ts';

export interface DatabaseRoom {
  readonly connections: number;
  /** By so many nodes together. */
  readonly wanted: number;
  readonly nodes: number;
}

/**
 * @param processes how many there are to be on this machine; of the others those count that run
 * @throws Error where the database does not answer
 */
export async function examineRoom(config: Config, processes: number): Promise<DatabaseRoom> {
  const nodes = Math.max(processes, (await livingNodes(config)).length);
  return { connections: await connectionRoom(config.database), wanted: nodes * CONNECTIONS_OF_A_NODE, nodes };
}
