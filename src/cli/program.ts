// The command line: what may be typed, and what becomes of it. Exit codes: 0 done, 1 refused or failed, 2 wrong usage or
// configuration.
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { openOffline } from '../admin.ts';
import { silent } from '../base/log.ts';
import { softwareVersion } from '../base/software.ts';
import type { DatabaseRoom } from '../composition/database-room.ts';
import type { RedisState } from '../composition/redis-state.ts';
import { describe } from '../config/describe.ts';
import { findDataFolder, type LoadOptions, loadConfig } from '../config/load.ts';
import { ConfigError, formatOrigin, formatPath, formatProblem } from '../config/problems.ts';
import type { Config } from '../config/server.ts';
import { localCommands } from '../core/admin-commands.ts';
import { type AnyCommand, CommandError, type ReachReport, type ServerStatus } from '../core/commands.ts';
import { prepareDomain } from '../xmpp/jid.ts';
import { type BatchResult, runBatch } from './batch.ts';
import { type Check, renderChecks } from './check.ts';
import type { Common } from './common.ts';
import { examine, systemDns } from './doctor.ts';
import { addInviteCommands } from './invite.ts';
import { askPassword, type Io, readLine } from './io.ts';
import { openLive, openRemote, type Remote } from './remote.ts';
import { type AdminOptions, addPeople, addSubjects, type Cli, type PassedOn } from './subjects.ts';
import { addTransferCommands } from './transfer-commands.ts';
import { bind, relay } from './turn.ts';
import { addTurnCommands } from './turn-commands.ts';

/** Runs what was typed (without `node` and the script); resolves with the exit code. */
export async function runCli(argv: readonly string[], io: Io): Promise<number> {
  const session = new CommandLine(io, argv.includes('--json'));
  try {
    await session.program().parseAsync(helpLast(argv), { from: 'user' });
    return session.code;
  } catch (error) {
    return session.fail(error);
  }
}

/** `help user add` as `user add --help`: Commander's own `help` looks at one word only. */
function helpLast(argv: readonly string[]): string[] {
  const [first, ...rest] = argv;
  return first === 'help' && rest.length > 1 ? [...rest, '--help'] : [...argv];
}

class CommandLine {
  code = 0;
  private readonly io: Io;
  /** Known before the arguments are understood, for errors in them. */
  private readonly json: boolean;

  constructor(io: Io, json: boolean) {
    this.io = io;
    this.json = json;
  }

  private readonly passing: Cli = {
    common: (command) => this.common(command),
    admin: (parent, usage, name, args) => this.admin(parent, usage, name, args),
  };

  program(): Command {
    const program = this.common(new Command('parley'))
      .description('Parley, an XMPP server')
      .version(softwareVersion(), '-V, --version')
      .showHelpAfterError('(add --help for what may be given)');
    this.addServerCommands(program);
    this.addUserCommands(this.common(program.command('user').description('Accounts')));
    addSubjects(program, this.passing);
    addTransferCommands(program, this);
    addInviteCommands(program, {
      find,
      common: (command) => this.common(command),
      run: (name, args, options, render) => this.runAdmin(name, args, options, render),
    });
    const log = this.common(program.command('log').description('What is logged'));
    this.common(log.command('level <module> <level>').description(find('log level').summary))
      .option('--for <duration>', 'how long, such as 10m; otherwise until the next start')
      .action((module: string, level: string, _: unknown, command: Command) => {
        const options = command.optsWithGlobals<Common & { for?: string }>();
        return this.runAdmin('log level', { module, level, for: options.for }, options);
      });
    addTurnCommands(this.common(program.command('turn').description('Relays for calls')), this);
    this.addConfigCommands(this.common(program.command('config').description('The configuration')));
    const doctor = this.common(
      program.command('doctor').description('Look at configuration, certificates, DNS, database and ports'),
    ).action((_: unknown, command: Command) => this.doctor(command.optsWithGlobals()));
    this.common(doctor.command('s2s <domain>').description(find('s2s test').summary))
      .option('--host <domain>', 'the domain of ours that asks')
      .action((domain: string, _: unknown, command: Command) => {
        const options = command.optsWithGlobals<Common & { host?: string }>();
        return this.reach(domain, options);
      });
    return program;
  }

  common(command: Command): Command {
    return command
      .exitOverride()
      .configureOutput({
        writeOut: (text) => this.io.out(text.replace(/\n$/, '')),
        writeErr: (text) => this.usage(text),
      })
      .option('-c, --config <file>', 'the configuration (default: ./parley.yaml if it is there)')
      .option('--json', 'answer in JSON');
  }

  private usage(text: string): void {
    if (!this.json) this.io.error(text.replace(/\n$/, ''));
  }

  private addServerCommands(program: Command): void {
    this.common(program.command('start').description('Run the server in the foreground')).action(
      async (_: unknown, command: Command) => {
        const options = command.optsWithGlobals<Common>();
        // the whole server is loaded only here: other commands are quicker without it
        const { start } = await import('./start.ts');
        this.code = await start(() => this.load(options), options.config, this.io);
      },
    );
    this.common(program.command('node', { hidden: true })).action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<Common>();
      const { runNode } = await import('./node.ts');
      this.code = await runNode((text) => this.load(options, text));
    });
    this.admin(program, 'restart', 'restart', () => ({})).option(
      '--rolling',
      'one after another, as it is done in any case',
    );
    // `drain NODE` is what people type, too
    this.admin(program, 'drain [state] [node]', 'drain', (state, _, node) =>
      state === undefined || state === 'on' || state === 'off' || node !== undefined
        ? { state, node }
        : { node: state },
    );
    const cluster = this.common(program.command('cluster').description('The nodes that are one server'));
    this.common(cluster.command('status').description(find('cluster status').summary)).action(
      async (_: unknown, command: Command) => {
        const options = command.optsWithGlobals<Common>();
        const status = find('cluster status');
        const result = await this.withRemote(options, false, (remote) => remote.run(status, {}));
        if (!(result as { readonly ok: boolean }).ok) this.code = 1;
        this.answer(options, result, () => status.render(result));
      },
    );
    for (const name of ['reload', 'status']) this.admin(program, name, name, () => ({}));
    this.common(program.command('stop').description(find('stop').summary)).action((_: unknown, command: Command) =>
      this.stop(command.optsWithGlobals()),
    );
  }

  private addUserCommands(user: Command): void {
    this.withPassword(this.common(user.command('add [jid]').description(find('user add').summary)))
      .addOption(
        new Option('--batch <file>', 'make many: one "JID password" a line ("-": standard input)').conflicts([
          'generate',
          'passwordStdin',
        ]),
      )
      .option('--role <role>', 'what it may do: admin, moderator, member, limited, or one of the configuration')
      .action(async (jid: string | undefined, _: unknown, command: Command) => {
        const options = command.optsWithGlobals<PasswordOptions & { batch?: string; role?: string }>();
        if (options.batch !== undefined) {
          if (jid !== undefined) throw new CommandError('bad-arguments', 'give a JID or --batch, not both');
          return this.batch(options.batch, options);
        }
        if (jid === undefined)
          throw new CommandError('bad-arguments', 'which account? Try: parley user add alice@localhost');
        return this.setPassword('user add', jid, options, options.role === undefined ? {} : { role: options.role });
      });
    this.withPassword(this.common(user.command('passwd <jid>').description(find('user passwd').summary))).action(
      (jid: string, _: unknown, command: Command) => this.setPassword('user passwd', jid, command.optsWithGlobals()),
    );
    for (const name of ['rm', 'show', 'disable', 'enable']) {
      this.admin(user, `${name} <jid>`, `user ${name}`, (jid) => ({ jid }));
    }
    addPeople(this.passing, user);
    this.admin(user, 'role <jid> [role]', 'user role', (jid, _, role) => ({ jid, role }));
    this.admin(user, 'move <jid> <to>', 'user move', (jid, _, to) => ({ jid, to }));
  }

  private addConfigCommands(config: Command): void {
    this.common(config.command('check').description('Look for mistakes')).action(
      async (_: unknown, command: Command) => {
        const options = command.optsWithGlobals<Common>();
        const loaded = await this.loadWhole(options);
        const { file, warnings } = loaded.source;
        for (const warning of warnings) this.usage(`warning: ${formatProblem(warning)}`);
        const hosts = Object.keys(loaded.hosts);
        this.answer(options, { ok: true, file: file ?? null, hosts, warnings: warnings.map(formatProblem) }, () =>
          file === undefined ? 'there is no file; defaults and environment are right' : `${file} is right`,
        );
      },
    );
    this.common(config.command('show').description('The settings that hold, and where each was said; secrets masked'))
      .option('--host <domain>', 'those of one host', (given) => {
        const domain = prepareDomain(given);
        if (domain === undefined) throw new InvalidArgumentError('it is not a domain');
        return domain;
      })
      .action((_: unknown, command: Command) => {
        const options = command.optsWithGlobals<Common & { host?: string }>();
        const loaded = this.load(options);
        if (options.host !== undefined && !Object.hasOwn(loaded.hosts, options.host)) {
          throw new CommandError(
            'not-found',
            `${options.host} is not served; the domains are: ${Object.keys(loaded.hosts).join(', ')}`,
          );
        }
        const settings = describe(loaded, options.host);
        this.answer(options, { settings }, () =>
          settings
            .map(({ path, value, origin }) => `${`${path}: ${JSON.stringify(value)}`.padEnd(56)} # ${origin}`)
            .join('\n'),
        );
      });
  }

  private withPassword(command: Command): Command {
    return command
      .addOption(new Option('--password-stdin', 'read the password from standard input').conflicts('generate'))
      .option('--generate', 'make up a password, and print it');
  }

  /** A command that is passed on as it is. */
  private admin(parent: Command, usage: string, name: string, args: PassedOn): Command {
    const takes = usage.match(/[<[]/g)?.length ?? 0;
    const word = (given: readonly unknown[], i: number): string | undefined =>
      i < takes ? (given[i] as string | undefined) : undefined;
    return this.common(parent.command(usage).description(find(name).summary)).action((...given: unknown[]) => {
      const options = (given.at(-1) as Command).optsWithGlobals<Common & AdminOptions>();
      return this.runAdmin(name, args(word(given, 0), options, word(given, 1)), options);
    });
  }

  private source(options: Common): LoadOptions {
    return { file: options.config, folder: this.io.folder, environment: this.io.environment };
  }

  /** @param text what the file says, where it was read already */
  load(options: Common, text?: string): Config {
    return loadConfig({ ...this.source(options), text });
  }

  /** Mistakes that somebody is just making in the file do not keep a running server from being asked or stopped. */
  private dataFolder(options: Common): string {
    try {
      return this.load(options).data;
    } catch (error) {
      const data = error instanceof ConfigError ? findDataFolder(this.source(options)) : undefined;
      if (data === undefined) throw error;
      this.usage('the configuration has mistakes (see "parley config check")');
      return data;
    }
  }

  private async loadWhole(options: Common): Promise<Config> {
    const { readWhole } = await import('./settings.ts');
    return readWhole(() => this.load(options));
  }

  answer(options: Common, result: object, render: () => string): void {
    this.io.out(options.json ? JSON.stringify(result) : render());
  }

  private async withRemote<T>(options: Common, offline: boolean, work: (remote: Remote) => Promise<T>): Promise<T> {
    const remote = await (offline ? openRemote(this.load(options), openOffline) : openLive(this.dataFolder(options)));
    try {
      if (!remote.live) this.usage('the server is not running; working on its store');
      return await work(remote);
    } finally {
      await remote.close();
    }
  }

  /** Runs a command on the server, or on one that is started for it where nobody can reach it. */
  async runAnywhere(name: string, args: object, options: Common): Promise<void> {
    const command = find(name);
    const result = await this.withRemote(options, false, (remote) => remote.run(command, args)).catch(async (error) => {
      if (!(error instanceof CommandError) || error.code !== 'not-running') throw error;
      this.usage('the server is not running; working on its store');
      // the whole server is loaded only here: other commands are quicker without it
      const { runQuietly } = await import('./quiet.ts');
      return runQuietly(await this.loadWhole(options), command, args);
    });
    this.answer(options, result, () => command.render(result));
  }

  private async runAdmin(name: string, given: object, options: Common, render?: AnyCommand['render']): Promise<void> {
    const command = find(name);
    const args = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
    // what is wrong with the arguments is known before anybody is asked
    const checked = command.args.safeParse(args);
    if (!checked.success)
      throw new CommandError('bad-arguments', checked.error.issues.map(({ message }) => message).join('; '));
    const result = await this.withRemote(options, command.offline, (remote) => remote.run(command, args));
    this.answer(options, result, () => (render ?? command.render)(result));
  }

  private async setPassword(name: string, jid: string, options: PasswordOptions, more: object = {}): Promise<void> {
    const account = find(name).args.safeParse({ jid, generate: true });
    if (!account.success)
      throw new CommandError('bad-arguments', account.error.issues.map(({ message }) => message).join('; '));
    if (options.generate) return this.runAdmin(name, { jid, generate: true, ...more }, options);
    let password: string;
    if (options.passwordStdin) password = await readLine(this.io.stdin);
    else if (this.io.stdin.isTTY) password = await askPassword(jid, this.io);
    else
      throw new CommandError(
        'bad-arguments',
        'no terminal to ask for the password; give --password-stdin or --generate',
      );
    if (password === '') throw new CommandError('bad-arguments', 'the password is empty');
    return this.runAdmin(name, { jid, password, ...more }, options);
  }

  private async batch(file: string, options: Common): Promise<void> {
    const command = find('user batch');
    const result: BatchResult = await this.withRemote(options, true, (remote) => runBatch(file, remote, command));
    if (result.failed.length > 0) this.code = 1;
    if (!options.json) for (const { line, message } of result.failed) this.io.error(`${file}:${line}: ${message}`);
    this.answer(options, result, () => `${result.created} accounts made, ${result.failed.length} failed`);
  }

  /** Waits until the server is gone. */
  private async stop(options: Common): Promise<void> {
    const result = await this.withRemote(options, false, async (remote) => {
      const { pid } = (await remote.run(find('stop'), {})) as { pid: number };
      const timeout = new Promise<false>((done) => setTimeout(() => done(false), STOP_WAIT).unref());
      const gone = await Promise.race([remote.closed.then(() => goneWithin(pid, STOP_WAIT)), timeout]);
      if (!gone) throw new CommandError('failed', `process ${pid} is still stopping`);
      return { stopped: true, pid };
    });
    this.answer(options, result, () => 'stopped');
  }

  private async doctor(options: Common): Promise<void> {
    let checks: readonly Check[];
    try {
      const config = await this.loadWhole(options);
      const status = await this.liveStatus(config);
      const ping = async (): Promise<void> => {
        await (await openOffline(config)).close();
      };
      const redis = async (): Promise<RedisState> => {
        const { examineRedis } = await import('../composition/redis-state.ts');
        return examineRedis(config.redis!, silent);
      };
      const room = async (): Promise<DatabaseRoom> => {
        const { examineRoom } = await import('../composition/database-room.ts');
        const { countProcesses } = await import('./start.ts');
        return examineRoom(config, countProcesses(config));
      };
      const dns = systemDns(config.dns.servers);
      checks = await examine(config, { status, ping, room, redis, dns, turn: { bind, relay }, now: Date.now() });
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      checks = error.problems.map((problem) => ({
        state: 'fail',
        subject: 'config',
        message: formatProblem(problem),
        fix: 'correct the configuration',
      }));
    }
    this.tell(checks, options);
  }

  tell(checks: readonly Check[], options: Common): void {
    if (checks.some(({ state }) => state === 'fail')) this.code = 1;
    this.answer(options, { checks }, () => renderChecks(checks));
  }

  private async reach(domain: string, options: Common & { readonly host?: string }): Promise<void> {
    const args = options.host === undefined ? { domain } : { domain, host: options.host };
    const command = find('s2s test');
    const report = (await this.withRemote(options, false, (remote) => remote.run(command, args))) as ReachReport;
    if (!report.reached) this.code = 1;
    this.answer(options, report, () => command.render(report));
  }

  private async liveStatus(config: Config): Promise<ServerStatus | undefined> {
    try {
      const remote = await openLive(config.data);
      try {
        const status = (await remote.run(find('status'), {})) as unknown as RenderedStatus;
        const certificates = status.certificates.map(({ expires, ...rest }) => ({
          ...rest,
          expires: Date.parse(expires),
        }));
        return { ...status, certificates } as unknown as ServerStatus;
      } finally {
        await remote.close();
      }
    } catch (error) {
      if (error instanceof CommandError && error.code === 'not-running') return undefined;
      throw error;
    }
  }

  /** Says what went wrong; returns the exit code. */
  fail(error: unknown): number {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0;
      // npm takes options for its own, and leaves their values
      const byNpm = this.io.environment.npm_lifecycle_event === 'start';
      if (byNpm && error.code === 'commander.excessArguments')
        this.usage('(options for Parley stand behind "--": npm start -- --config FILE)');
      if (this.json)
        this.io.out(JSON.stringify({ error: { code: 'usage', message: error.message.replace(/^error: /, '') } }));
      return 2;
    }
    if (error instanceof ConfigError) {
      const problems = error.problems.map((problem) => ({
        place: formatOrigin(problem.origin, problem.atKey),
        path: formatPath(problem.path),
        message: problem.message,
      }));
      if (this.json)
        this.io.out(JSON.stringify({ error: { code: 'config', message: 'the configuration is wrong', problems } }));
      else this.io.error(error.message);
      return 2;
    }
    const code = error instanceof CommandError ? error.code : 'failed';
    const message = error instanceof Error ? error.message : String(error);
    if (this.json) this.io.out(JSON.stringify({ error: { code, message } }));
    else this.io.error(`parley: ${message}`);
    return code === 'bad-arguments' ? 2 : 1;
  }
}

interface PasswordOptions extends Common {
  readonly passwordStdin?: boolean;
  readonly generate?: boolean;
}
/** A status as the command gives it: its times are text. */
interface RenderedStatus extends Omit<ServerStatus, 'certificates'> {
  readonly certificates: readonly { readonly host: string; readonly issuer: string; readonly expires: string }[];
}

const STOP_WAIT = 20_000;

async function goneWithin(pid: number, ms: number): Promise<boolean> {
  for (const until = Date.now() + ms; Date.now() < until; ) {
    try {
      process.kill(pid, 0);
    } catch (error) {
      // EPERM: it is there, and somebody else's
      if ((error as NodeJS.ErrnoException).code !== 'EPERM') return true;
    }
    await new Promise((done) => setTimeout(done, 20));
  }
  return false;
}

function find(name: string): AnyCommand {
  const command = localCommands.find((one) => one.name === name);
  if (!command) throw new Error(`there is no command ${name}`);
  return command;
}
