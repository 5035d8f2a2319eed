// The configuration that a process of the server runs with: how it is read and checked as a whole, and how another takes its place.
import { diff } from '../config/describe.ts';
import { inOrder, validateModules } from '../config/load.ts';
import { ConfigError, type ConfigProblem, type ModulesSource } from '../config/problems.ts';
import type { Config } from '../config/server.ts';
import type { ReloadReport } from '../core/commands.ts';
import type { Log } from '../core/log.ts';
import { loadModules } from '../index.ts';

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

/** Adds the nodes that are configured otherwise. That they cannot be told does not undo a reload. */
export async function withDiffering(
  report: ReloadReport,
  differing: () => Promise<readonly string[]>,
): Promise<ReloadReport> {
  const differs = await differing().catch(() => []);
  return differs.length === 0 ? report : { ...report, differs };
}

export class Settings {
  config: Config;
  /** What holds where a restart is needed for anything else. */
  private readonly begun: Config;
  private readonly log: Log;
  private reloading: Promise<unknown> = Promise.resolve();

  constructor(config: Config, log: Log) {
    this.config = config;
    this.begun = config;
    this.log = log;
  }

  /**
   * Reads and takes another configuration; one after another.
   * @param apply is given what was read, before it counts
   * @throws ConfigError, and nothing has changed; whatever `apply` throws
   */
  reload(load: () => Config, apply: (config: Config) => Promise<void>): Promise<ReloadReport> {
    const next = this.reloading.then(() => this.reloadNow(load, apply));
    this.reloading = next.catch(() => {});
    return next;
  }

  private async reloadNow(load: () => Config, apply: (config: Config) => Promise<void>): Promise<ReloadReport> {
    const config = await readWhole(load);
    const applied = diff(this.config, config).filter(({ restart }) => !restart);
    // also what earlier reloads have left to a restart
    const restart = diff(this.begun, config).filter((change) => change.restart);
    await apply(config);
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
