// `parley start`: one server in the foreground, from its first screen to its orderly end.
import { accessSync, constants, mkdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { adminContext } from '../admin.ts';
import { softwareVersion } from '../base/software.ts';
import { diff } from '../config/describe.ts';
import { inOrder, validateModules } from '../config/load.ts';
import { ConfigError, type ConfigProblem, formatProblem, type ModulesSource } from '../config/problems.ts';
import { maskUrl } from '../config/schema.ts';
import type { Config } from '../config/server.ts';
import { adminCommands, formatEndpoint } from '../core/admin-commands.ts';
import { type AdminContext, CommandError, type ReloadReport } from '../core/commands.ts';
import { createLog, type Log } from '../core/log.ts';
import { loadModules } from '../index.ts';
import { Server } from '../server.ts';
import { type AdminServer, AlreadyRunningError, createAdminServer } from './admin-server.ts';
import { adminSocketPath } from './admin-socket.ts';
import type { Io } from './io.ts';

/** How long an orderly stop may take, in milliseconds. */
const STOP_LIMIT = 15_000;
/** Terminals and npm may each pass the same Ctrl+C on: only a later one is a second one. */
const SAME_SIGNAL = 400;

/** Reads the configuration and checks all of it, the settings of modules too. Throws ConfigError. */
export async function readWhole(load: () => Config): Promise<Config> {
  const check = async (config: ModulesSource, plugins: Config['plugins']): Promise<ConfigProblem[]> => {
    const modules = await loadModules({ source: config.source, plugins });
    return validateModules(config, new Map([...modules].map(([name, { config: schema }]) => [name, schema])));
  };
  try {
    const config = load();
    const problems = await check(config, config.plugins);
    if (problems.length > 0) throw new ConfigError(problems);
    return config;
  } catch (error) {
    // with plugins that are not known yet, nobody can tell which modules there are
    if (!(error instanceof ConfigError) || !error.unchecked || error.unchecked.source.raw.plugins) throw error;
    throw new ConfigError(inOrder([...error.problems, ...(await check(error.unchecked, []))]));
  }
}

/** Runs a server until it is told to stop; resolves with the exit code. */
export async function start(load: () => Config, configOption: string | undefined, io: Io): Promise<number> {
  const config = await readWhole(load);
  const log = createLog({ ...config.log });
  const problem = dataProblem(config.data);
  if (problem !== undefined) {
    io.error(`parley: ${problem}`);
    return 1;
  }
  const running = new Running(config, load, log);
  try {
    await running.begin();
  } catch (error) {
    log.flush();
    io.error(`parley: ${startProblem(error, config)}`);
    return 1;
  }
  io.out(await banner(running, configOption));
  for (const warning of config.source.warnings) log.warn({}, formatProblem(warning));
  const code = await running.ended;
  log.flush();
  return code;
}

/** Folder by folder: Node's own `recursive` never ends where an existing folder says that there is none (/proc). */
function makeFolder(folder: string): void {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true) return;
  if (dirname(folder) !== folder) makeFolder(dirname(folder));
  mkdirSync(folder, { mode: 0o700 });
}

/** Why the data folder will not do. */
function dataProblem(folder: string): string | undefined {
  try {
    makeFolder(folder);
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why =
      code === 'EACCES' || code === 'EPERM'
        ? 'this user may not write there'
        : code === 'EROFS'
          ? 'the file system is read-only'
          : code === 'EEXIST' || code === 'ENOTDIR'
            ? 'a file is in the way'
            : `it cannot be used (${code})`;
    return `data folder ${folder}: ${why}. Correct its rights, or choose another one with "data" or PARLEY_DATA`;
  }
}

function startProblem(error: unknown, config: Config): string {
  if (error instanceof AlreadyRunningError) {
    return `${error.message}. Stop it with "parley stop", or choose another "data" folder (this one is ${config.data})`;
  }
  return error instanceof Error ? error.message : String(error);
}

/** A server in this process, with what surrounds it. */
class Running {
  readonly ended: Promise<number>;
  config: Config;
  /** What holds where a restart is needed for anything else. */
  private readonly begun: Config;
  private readonly load: () => Config;
  readonly log: Log;
  private server: Server | undefined;
  private admin: AdminServer | undefined;
  private context: AdminContext | undefined;
  private stopping = 0;
  private reloading: Promise<unknown> = Promise.resolve();
  private end: (code: number) => void = () => {};

  constructor(config: Config, load: () => Config, log: Log) {
    this.config = config;
    this.begun = config;
    this.load = load;
    this.log = log;
    this.ended = new Promise((done) => {
      this.end = done;
    });
  }

  get running(): Server {
    if (!this.server) throw new Error('the server has not started');
    return this.server;
  }

  async begin(): Promise<void> {
    // the socket comes first: it keeps a second server off this data
    this.admin = await createAdminServer({
      path: adminSocketPath(this.config.data),
      commands: adminCommands,
      context: () => {
        if (!this.context) throw new CommandError('not-running', 'the server is just starting; try again');
        return this.context;
      },
      log: this.log.child({ part: 'admin' }),
    });
    this.attend();
    try {
      const modules = await loadModules(this.config);
      this.server = await Server.start(this.config, { modules, log: this.log });
    } catch (error) {
      await this.admin.close();
      throw error;
    }
    this.context = adminContext(this.server, {
      reload: () => this.reload(),
      stop: () => setImmediate(() => this.stop('command')),
      logLevel: (part, level, forMs) => this.log.setLevel(part, level, forMs),
      errors: () => this.log.recentErrors(),
    });
    if (this.stopping !== 0) await this.finish();
  }

  private attend(): void {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => this.stop(signal));
    process.on('SIGHUP', () => {
      this.reload().catch((error: unknown) => {
        const problems = error instanceof ConfigError ? error.problems.map(formatProblem) : undefined;
        for (const problem of problems ?? []) this.log.error({}, `not reloaded: ${problem}`);
        if (!problems) this.log.error({ err: error }, 'not reloaded');
      });
    });
    // a reader of the log that went away is no reason to end
    process.stdout.on('error', () => {});
    process.stderr.on('error', () => {});
    process.on('unhandledRejection', (error) => this.log.error({ err: error }, 'a failure that nobody handled'));
    process.on('uncaughtException', (error) => {
      this.log.error({ err: error }, 'a failure that nobody caught; stopping');
      this.stop('failure', 1);
    });
  }

  private stop(why: string, code = 0): void {
    const now = Date.now();
    if (this.stopping !== 0) {
      if (now - this.stopping < SAME_SIGNAL) return;
      this.log.flush();
      process.exit(1);
    }
    this.stopping = now;
    this.log.info({ why }, 'stopping');
    setTimeout(() => {
      this.log.error({}, 'the stop takes too long; ending now');
      this.log.flush();
      process.exit(1);
    }, STOP_LIMIT).unref();
    if (this.server) void this.finish(code);
  }

  private async finish(code = 0): Promise<void> {
    let result = code;
    try {
      await this.server?.stop();
      this.log.info({}, 'stopped');
    } catch (error) {
      this.log.error({ err: error }, 'the stop was not orderly');
      result = 1;
    }
    // last, for whoever waits for the end waits for this
    await this.admin?.close();
    this.end(result);
  }

  /** One reload after another. */
  private reload(): Promise<ReloadReport> {
    const next = this.reloading.then(() => this.reloadNow());
    this.reloading = next.catch(() => {});
    return next;
  }

  private async reloadNow(): Promise<ReloadReport> {
    const config = await readWhole(this.load);
    const applied = diff(this.config, config).filter(({ restart }) => !restart);
    // also what earlier reloads have left to a restart
    const restart = diff(this.begun, config).filter((change) => change.restart);
    await this.running.reload(config);
    this.config = config;
    this.log.configure(config.log);
    const report = {
      applied: applied.map(({ path }) => path),
      restart: restart.map(({ path }) => path),
    };
    this.log.info(report, 'configuration read again');
    if (report.restart.length > 0) this.log.warn({ settings: report.restart }, 'some settings need a restart');
    return report;
  }
}

const titles: Readonly<Record<string, string>> = {
  c2s: 'clients, STARTTLS',
  'c2s-tls': 'clients, TLS',
  s2s: 'servers, STARTTLS',
  's2s-tls': 'servers, TLS',
  component: 'components',
  http: 'HTTP',
  https: 'HTTPS',
};

/** The first screen. */
async function banner({ running, config }: Running, configOption: string | undefined): Promise<string> {
  const hosts = Object.keys(config.hosts);
  const listening = new Map<string, string[]>();
  for (const { name, address, port } of running.listening) {
    listening.set(name, [...(listening.get(name) ?? []), formatEndpoint(address, port)]);
  }
  const local = hosts.map((host) => running.tls.certificateFor(host)).find((found) => found?.source === 'local');
  const from =
    config.source.file ??
    (hosts.every((host) => host === 'localhost')
      ? 'no file: starting for localhost only'
      : 'no file: from the environment');
  const lines = [
    `parley ${softwareVersion()} is ready for ${hosts.join(', ')}`,
    '',
    row('config', from),
    row('data', config.data),
    row(
      'database',
      config.database === 'embedded' ? 'embedded Postgres, in the data folder' : maskUrl(config.database),
    ),
    row(
      'tls',
      local
        ? `certificate made here${local.file ? `; trust ${join(dirname(local.file), 'ca.crt')} in your client` : ''}`
        : 'certificates from tls.certificates',
    ),
    ...[...listening].map(([name, endpoints]) => row(name, `${endpoints.join(', ')}  (${titles[name] ?? name})`)),
  ];
  const first = hosts.find((host) => config.hosts[host]?.authentication === 'accounts');
  const accounts = first === undefined ? undefined : running.hosts.get(first)?.accounts;
  if (accounts && (await accounts.list(undefined, 1)).length === 0) {
    const option =
      configOption === undefined ? '' : ` --config ${/\s/.test(configOption) ? `"${configOption}"` : configOption}`;
    lines.push('', '  Make the first account, in another terminal:', `    npx parley user add alice@${first}${option}`);
  }
  return `${lines.join('\n')}\n`;
}

const row = (name: string, value: string): string => `  ${name.padEnd(10)} ${value}`;
