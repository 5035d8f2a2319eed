// A server that nobody can reach, for what is done with the data of a stopped one: all of it is there but the doors.
import { livingNodes } from '../composition/cluster.ts';
import type { Config } from '../config/server.ts';
import { type AnyCommand, CommandError, runCommand } from '../core/commands.ts';
import { createLog } from '../core/log.ts';
import { loadModules } from '../index.ts';
import { Server } from '../server.ts';
import { createAdminServer } from './admin-server.ts';
import { adminSocketPath } from './admin-socket.ts';
import { dataProblem } from './start.ts';

/**
 * Runs one command on such a server, then stops it.
 * @throws CommandError what the command is refused with; `refused` where another node of a cluster is running
 */
export async function runQuietly(config: Config, command: AnyCommand, args: object): Promise<object> {
  if (config.database === 'memory')
    throw new CommandError('not-running', 'the server is not running, and its database is kept in memory only');
  const problem = dataProblem(config.data);
  if (problem !== undefined) throw new CommandError('failed', problem);
  const [other] = await livingNodes(config);
  if (other !== undefined)
    throw new CommandError(
      'refused',
      `node ${other} of the cluster is running elsewhere: give the command on its machine`,
    );
  const log = createLog({ ...config.log, level: 'error' });
  // the socket keeps a second server off this data
  const admin = await createAdminServer({
    path: adminSocketPath(config.data),
    commands: [],
    run: async () => ({}),
    log,
  });
  try {
    const server = await Server.start(silenced(config), { modules: await loadModules(config), log });
    try {
      return await runCommand(command, server.admin, args);
    } finally {
      await server.stop();
    }
  } finally {
    await admin.close();
    log.flush();
  }
}

function silenced(config: Config): Config {
  const listen = Object.fromEntries(
    Object.entries(config.listen).map(([name, value]) => [
      name,
      name === 'address' ? value : { port: null, address: undefined },
    ]),
  ) as Config['listen'];
  const hosts = Object.fromEntries(
    Object.entries(config.hosts).map(([domain, host]) => [domain, { ...host, s2s: { ...host.s2s, enabled: false } }]),
  );
  // (where each setting was said does not go along by itself)
  return Object.defineProperty({ ...config, listen, hosts }, 'source', { value: config.source, enumerable: false });
}
