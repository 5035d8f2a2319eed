// Runs administrative commands: on the running server, or on the store of a stopped one.
import { livingNodes } from '../composition/cluster.ts';
import type { Config } from '../config/server.ts';
import { type AnyCommand, CommandError, type OfflineContext, runCommand } from '../core/commands.ts';
import { connectAdmin } from './admin-client.ts';
import { adminSocketPath } from './admin-socket.ts';

/** Somewhere that commands run, until it is closed. */
export interface Remote {
  /** Whether the server is running. */
  readonly live: boolean;
  run(command: AnyCommand, args: object): Promise<object>;
  /** Resolves when the server has closed the connection; at once when it does not run. */
  readonly closed: Promise<void>;
  close(): Promise<void>;
}

export type OpenOffline = (config: Config) => Promise<OfflineContext>;

/** Reaches the server that runs on a data folder. Rejects with CommandError `not-running` when there is none. */
export async function openLive(data: string): Promise<Remote> {
  const path = adminSocketPath(data);
  const client = await connectAdmin(path);
  if (!client) throw new CommandError('not-running', `the server is not running (nothing answers on ${path})`);
  return {
    live: true,
    run: (command, args) => client.run(command.name, args),
    closed: client.closed,
    close: async () => client.close(),
  };
}

/** Reaches the server, or its store while it is stopped. */
export async function openRemote(config: Config, openOffline: OpenOffline): Promise<Remote> {
  try {
    return await openLive(config.data);
  } catch (error) {
    if (!(error instanceof CommandError) || error.code !== 'not-running') throw error;
  }
  const context = await openOffline(config);
  let others: Promise<readonly string[]> | undefined;
  return {
    live: false,
    async run(command, args) {
      if (command.readOnly !== true) {
        // nodes elsewhere remember what is stored, and have people to tell
        others ??= livingNodes(config);
        const [other] = await others;
        if (other !== undefined) {
          const message = `node ${other} of the cluster is running elsewhere, and has to know of this: give the command on its machine`;
          throw new CommandError('refused', message);
        }
      }
      return runCommand(command, context, args);
    },
    closed: Promise.resolve(),
    close: () => context.close(),
  };
}
