// One node of several on this machine: what `parley start` runs in each of the processes that the primary has forked.
import cluster from 'node:cluster';
import type { NodeId } from '../cluster/cluster.ts';
import { ConfigError } from '../config/problems.ts';
import type { Config, ListenerName } from '../config/server.ts';
import { localCommands } from '../core/admin-commands.ts';
import { CommandError, type ReloadReport, runCommand } from '../core/commands.ts';
import { createLog } from '../core/log.ts';
import { type Figures, joinFigures } from '../core/metrics.ts';
import { loadModules } from '../index.ts';
import { Server } from '../server.ts';
import { startFacts } from './banner.ts';
import { Channel } from './channel.ts';
import { Ending } from './ending.ts';
import { readWhole, Settings } from './settings.ts';

/** What a node is told by the primary before it begins; plain JSON. */
export interface Plan {
  readonly name: string;
  /** Which of the machine's nodes it is, from 1; numbers are used again. */
  readonly number: number;
  /** The configuration: what its file said when the primary last found it right. */
  readonly text?: string;
  /** Where the embedded database is, which the primary looks after. */
  readonly database?: string;
  /** Ports that the primary has picked. */
  readonly ports: Readonly<Partial<Record<ListenerName, number>>>;
  readonly log: { readonly format: 'pretty' | 'json'; readonly colors: boolean };
}

/** Figures of one node, as the primary passes them on. */
export interface NodeFigures {
  readonly node: string;
  readonly figures: Figures;
}

/** Runs a node until the primary ends it; resolves with the exit code. */
export async function runNode(load: (text?: string) => Config): Promise<number> {
  const { worker } = cluster;
  if (worker === undefined) {
    throw new CommandError('bad-arguments', 'nodes are started by "parley start", as many as "cluster.processes" says');
  }
  let server: Server | undefined;
  const channel: Channel = new Channel(
    { send: (message) => void worker.send(message as never), onMessage: (fn) => void worker.on('message', fn) },
    {
      stop: () => ending.stopOnce('the primary'),
      command: ({ name, args }: { readonly name: string; readonly args: unknown }) => command(name, args),
      reload: (text: string | undefined) => reload(text),
      figures: () => server?.metrics.figures() ?? [],
      drain: () => server?.drain(),
      retire: () => server?.retire(),
      differing: () => server?.administration.differing() ?? [],
      ended: (life: NodeId) => server?.administration.bury(life),
      alive: () => {},
    },
  );
  const plan = (await channel.ask('plan')) as Plan;
  const loadPlanned = (text: string | undefined): Config => withPorts(load(text), plan);
  const config = await readWhole(() => loadPlanned(plan.text));
  const log = createLog({ ...config.log, ...plan.log, instance: plan.name });
  const settings = new Settings(config, log);
  const ending = new Ending(log, async () => server?.stop());
  ending.attendFailures();
  // what is for all comes from the primary: a terminal tells every process of its own accord
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => {});
  process.on('SIGTERM', () => ending.stopOnce('SIGTERM'));
  worker.on('disconnect', () => {
    // without the primary nobody would look after this node; what node:cluster would do is to end it at once
    worker.exitedAfterDisconnect = true;
    ending.stopOnce('the primary is gone');
  });
  const reload = (text: string | undefined): Promise<ReloadReport> =>
    settings.reload(
      () => loadPlanned(text),
      async (next) => server?.reload(next),
    );

  try {
    server = await Server.start(config, {
      modules: await loadModules(config),
      log,
      name: plan.name,
      ...(plan.database === undefined ? {} : { database: plan.database }),
      sharesPorts: true,
      ownsProcess: true,
      figures: async () => joinFigures((await channel.ask('figures')) as readonly NodeFigures[]),
      process: {
        reload: async () => (await channel.ask('reload')) as ReloadReport,
        stop: () => void channel.ask('stop').catch(() => {}),
        logLevel: (part, level, forMs) => log.setLevel(part, level, forMs),
        errors: () => log.recentErrors(),
      },
    });
  } catch (error) {
    log.flush();
    const message = error instanceof Error ? error.message : String(error);
    await channel.ask('failed', { message, isConfig: error instanceof ConfigError });
    return 1;
  }
  const { admin } = server;
  const command = async (name: string, args: unknown): Promise<object> => {
    const found = localCommands.find((one) => one.name === name);
    if (found === undefined) throw new CommandError('unknown-command', `there is no command "${name}"`);
    return runCommand(found, admin, args);
  };
  server.administration.onLife((life) => void channel.ask('life', life).catch(() => {}));
  ending.started();
  await channel.ask('ready', await startFacts(server, config));
  const code = await ending.ended;
  log.flush();
  return code;
}

/** The source of the configuration, which cannot be listed, stays with it. */
function withPorts(config: Config, { ports, number }: Plan): Config {
  const listen = { ...config.listen };
  for (const [name, port] of Object.entries(ports) as [ListenerName, number][]) {
    if (listen[name].port === 0) listen[name] = { ...listen[name], port };
  }
  // this one cannot be shared: both ends of a stream have to meet in one process
  const { proxy65 } = listen;
  if (proxy65.port) listen.proxy65 = { ...proxy65, port: proxy65.port + number - 1 };
  return Object.defineProperty({ ...config, listen }, 'source', { value: config.source, enumerable: false });
}
