// A server that is one process, with what surrounds it: signals, the admin socket, its settings.
import type { Config } from '../config/server.ts';
import { CommandError, type ReloadReport, runCommand } from '../core/commands.ts';
import type { Log } from '../core/log.ts';
import { loadModules } from '../index.ts';
import { Server } from '../server.ts';
import { type AdminServer, openAdminServer } from './admin-server.ts';
import { type StartFacts, startFacts } from './banner.ts';
import { Ending } from './ending.ts';
import { Settings, withDiffering } from './settings.ts';

export class Running {
  readonly log: Log;
  private readonly settings: Settings;
  private readonly load: () => Config;
  private readonly ending: Ending;
  private server: Server | undefined;
  private admin: AdminServer | undefined;

  constructor(config: Config, load: () => Config, log: Log) {
    this.settings = new Settings(config, log);
    this.load = load;
    this.log = log;
    this.ending = new Ending(log, () => this.finish());
  }

  /** Resolves with the exit code. */
  get ended(): Promise<number> {
    return this.ending.ended;
  }

  /** Starts the server. @throws AlreadyRunningError, ConfigError, or an Error with a message for the operator */
  async begin(): Promise<StartFacts> {
    const { config } = this.settings;
    // the socket comes first: it keeps a second server off this data
    this.admin = await openAdminServer(config.data, this.log, (command, args) => {
      if (!this.server) throw new CommandError('not-running', 'the server is just starting; try again');
      return runCommand(command, this.server.admin, args);
    });
    this.ending.attend(() => this.reload());
    let server: Server;
    try {
      server = await Server.start(config, {
        modules: await loadModules(config),
        log: this.log,
        ownsProcess: true,
        process: {
          reload: () => this.reload(),
          stop: () => setImmediate(() => this.ending.stop('command')),
          logLevel: (part, level, forMs) => this.log.setLevel(part, level, forMs),
          errors: () => this.log.recentErrors(),
        },
      });
    } catch (error) {
      await this.admin.close();
      throw error;
    }
    this.server = server;
    const facts = await startFacts(server, config);
    this.ending.started();
    return facts;
  }

  private async finish(): Promise<void> {
    try {
      await this.server?.stop();
    } finally {
      // last, for whoever waits for the end waits for this
      await this.admin?.close();
    }
  }

  private async reload(): Promise<ReloadReport> {
    const report = await this.settings.reload(this.load, async (config) => this.server?.reload(config));
    return withDiffering(report, async () => (await this.server?.administration.differing()) ?? []);
  }
}
