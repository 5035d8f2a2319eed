// The primary: forks the nodes of this machine, watches and replaces them, passes on what they are told. It holds nothing of XMPP, so
// that nothing of XMPP can harm it. The nodes share the listening sockets, which are the primary's (node:cluster).
import cluster from 'node:cluster';
import { createServer } from 'node:net';
import { hostname } from 'node:os';
import type { Config, ListenerName } from '../config/server.ts';
import { type AnyCommand, CommandError, type ReloadReport } from '../core/commands.ts';
import type { Log } from '../core/log.ts';
import { createEmbedded, type Embedded } from '../storage/postgres/embedded.ts';
import { type AdminServer, openAdminServer } from './admin-server.ts';
import type { StartFacts } from './banner.ts';
import { Ending, STOP_LIMIT } from './ending.ts';
import type { NodeFigures, Plan } from './node.ts';
import { NodeProcess } from './node-process.ts';
import { Settings, withDiffering } from './settings.ts';

/** A node that lived for so long was a good one: should it end, it is replaced at once. In milliseconds. */
const LONG_LIFE = 60_000;
/** Before the second of several that end soon after their start, and at most. In milliseconds. */
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 30_000;
/** How long a node has to stop, after which it is killed: less than the whole stop may take. In milliseconds. */
const NODE_STOP = STOP_LIMIT - 2_000;
/** How long each may take to tell the other nodes that it is about to stop, in milliseconds. */
const RETIRE = 1_000;
/** How long a new one may take until it serves, in a rolling restart. In milliseconds. */
const NODE_START = 120_000;
/** How long one is given to hand over what it has, in a rolling restart. In milliseconds. */
const NODE_DRAIN = 120_000;
/**
 * How often a node is asked whether it is there, and how long it may take to say so, in milliseconds; and how often in a row it may
 * fail to. Not by a clock, which runs on while the whole machine sleeps.
 */
const GUARD = 10_000;
const UNANSWERED = 5;
/** What a node is asked for its figures must come in, in milliseconds. */
const FIGURES = 2_000;
/** How long one may take to say that it is there, when somebody waits for it, in milliseconds. */
const WAKE = 1_000;
/** How long a node may take to look at the others' settings, or to tell them of one that has ended, in milliseconds. */
const LOOK = 5_000;

export class Primary {
  private readonly settings: Settings;
  private readonly load: () => Config;
  private readonly log: Log;
  private readonly processes: number;
  private readonly ending: Ending;
  private readonly nodes = new Set<NodeProcess>();
  private readonly name: string;
  /** What the configuration's file said when it was last found right. */
  private text: string | undefined;
  private ports: Plan['ports'] = {};
  private admin: AdminServer | undefined;
  private embedded: Embedded | undefined;
  private restarting: Promise<unknown> | undefined;
  /** How many nodes had to be replaced. */
  private replaced = 0;
  /** How many nodes in a row ended soon. */
  private shortLives = 0;
  private readonly pauses = new Set<NodeJS.Timeout>();
  /** Lives whose processes have ended, which no other node was told yet. */
  private readonly mourned = new Set<string>();

  constructor(config: Config, load: () => Config, log: Log, processes: number) {
    this.settings = new Settings(config, log);
    this.load = load;
    this.log = log;
    this.processes = processes;
    this.name = nodeName(config);
    this.text = config.source.text;
    this.ending = new Ending(log, () => this.finish());
  }

  /** Resolves with the exit code. */
  get ended(): Promise<number> {
    return this.ending.ended;
  }

  /**
   * Starts the nodes; resolves when all of them serve.
   * @throws AlreadyRunningError, NodeStartError, EmbeddedError: each with a message for the operator
   */
  async begin(): Promise<StartFacts> {
    const { config } = this.settings;
    this.admin = await openAdminServer(config.data, this.log, (command, args) => this.run(command, args));
    this.ending.attend(() => this.reload());
    try {
      this.ports = await pickPorts(config);
      if (config.database === 'embedded') {
        const log = this.log.child({ part: 'storage' });
        this.embedded = await createEmbedded({ dataFolder: config.data, log, nodes: this.processes + 1 });
      }
      // each node takes connections by itself: one that is stuck keeps nobody waiting
      cluster.schedulingPolicy = cluster.SCHED_NONE;
      const [script = ''] = process.argv.slice(1);
      cluster.setupPrimary({ exec: script, args: ['node', ...configArguments(config)], silent: true });
      // the first one alone: it makes the tables and the certificates, and what is wrong is said once
      const facts = await this.forkFirst();
      await Promise.all(Array.from({ length: this.processes - 1 }, () => this.forkFirst()));
      this.ending.started();
      return facts;
    } catch (error) {
      await this.finish();
      throw error;
    }
  }

  private fork(): NodeProcess {
    const { log } = this.settings.config;
    const names = new Set([...this.nodes].map(({ name }) => name));
    let number = 1;
    while (names.has(`${this.name}-${number}`)) number++;
    const isTerminal = process.stdout.isTTY === true;
    const node = new NodeProcess({
      plan: {
        name: `${this.name}-${number}`,
        number,
        ...(this.text === undefined ? {} : { text: this.text }),
        ...(this.embedded === undefined ? {} : { database: this.embedded.url }),
        ports: this.ports,
        log: {
          format: log.format === 'auto' ? (isTerminal ? 'pretty' : 'json') : log.format,
          colors: isTerminal && !process.env.NO_COLOR,
        },
      },
      write: (lines) => void process.stdout.write(lines),
      answers: {
        figures: () => this.figures(),
        reload: () => this.reload(),
        stop: () => void setImmediate(() => this.ending.stopOnce('command')),
      },
    });
    this.nodes.add(node);
    void node.ended.then(() => {
      this.nodes.delete(node);
      if (node.life === undefined || this.ending.isStopping) return;
      this.mourned.add(node.life);
      void this.tellOfEnds();
    });
    node.ready.then(
      () => this.tellOfEnds(),
      () => {},
    );
    return node;
  }

  /**
   * The others would find out by its silence, seconds later; here its end was seen. One that has left in order is no member any more,
   * and nothing is done then. Where no node serves, the next one is told.
   */
  private async tellOfEnds(): Promise<void> {
    const [heir] = this.serving;
    if (heir === undefined) return;
    for (const life of this.mourned) {
      this.mourned.delete(life);
      // (should that one end over it, the silence tells)
      await heir.ask('ended', life, LOOK).catch((error: unknown) => {
        this.log.debug({ err: error, life }, 'the others are not told that a node has ended');
      });
    }
  }

  /** A node of the first ones: that it does not start is told by whoever waits for it. */
  private async forkFirst(): Promise<StartFacts> {
    const node = this.fork();
    const facts = await node.ready;
    this.watch(node);
    return facts;
  }

  /** Ends a node that does nothing any more, whatever holds it up: it is replaced then. */
  private async guard(node: NodeProcess): Promise<void> {
    for (let unanswered = 0; node.isReady && unanswered < UNANSWERED; ) {
      await new Promise((done) => setTimeout(done, GUARD).unref());
      unanswered = await node.ask('alive', undefined, GUARD).then(
        () => 0,
        () => unanswered + 1,
      );
    }
    if (!node.isReady) return;
    this.log.error({ node: node.name, pid: node.pid }, 'a node does nothing any more; it is ended');
    node.kill();
  }

  /** Replaces a node that ends although nobody told it to. */
  private watch(node: NodeProcess): void {
    void node.ready.then(() => this.guard(node)).catch(() => {});
    void node.ended.then((how) => {
      if (this.ending.isStopping || node.isStopping) return;
      this.replaced++;
      this.shortLives = Date.now() - node.started < LONG_LIFE ? this.shortLives + 1 : 0;
      const pause = this.shortLives < 2 ? 0 : Math.min(FIRST_PAUSE * 2 ** (this.shortLives - 2), LONGEST_PAUSE);
      this.log.error({ node: node.name, pid: node.pid, how, pause }, 'a node has ended; another one takes its place');
      const timer = setTimeout(() => {
        this.pauses.delete(timer);
        if (!this.ending.isStopping) this.watchStart(this.fork());
      }, pause);
      this.pauses.add(timer);
    });
  }

  private watchStart(node: NodeProcess): void {
    node.ready.then(
      () => this.log.info({ node: node.name, pid: node.pid }, 'a node has taken the place of another'),
      (error: unknown) => this.log.error({ node: node.name, err: error }, 'a node does not start'),
    );
    this.watch(node);
  }

  private get serving(): NodeProcess[] {
    return [...this.nodes].filter(({ isReady, isStopping }) => isReady && !isStopping);
  }

  private async run(command: AnyCommand, args: unknown): Promise<object> {
    switch (command.name) {
      case 'stop':
        setImmediate(() => this.ending.stop('command'));
        return { stopping: true, pid: process.pid };
      case 'reload':
        return this.reload();
      case 'restart':
        return this.restart();
      case 'drain':
        return this.drain(args as { readonly state?: string; readonly node?: string });
      default: {
        const result = await (await this.anyNode()).command(command.name, args);
        return command.name === 'status' ? { ...result, pid: process.pid, processes: this.processes } : result;
      }
    }
  }

  /** One that answers: whoever gives a command is not to wait for one that stands still. */
  private async anyNode(): Promise<NodeProcess> {
    const { serving } = this;
    for (const node of serving) {
      const isThere = node.ask('alive', undefined, WAKE).then(
        () => true,
        () => false,
      );
      if (await isThere) return node;
    }
    const [node] = serving;
    if (node === undefined) throw new CommandError('not-running', 'no node serves just now; try again');
    throw new CommandError(
      'failed',
      'no process of this machine answers; one that stands still is replaced after a while',
    );
  }

  /** Where no node is named, all of this machine. */
  private async drain(args: { readonly state?: string; readonly node?: string }): Promise<object> {
    // (those of this machine need not be asked through Redis)
    const own = this.serving.filter(({ life }) => args.node === undefined || life?.startsWith(`${args.node}:`));
    if (own.length === 0 && args.node !== undefined) return (await this.anyNode()).command('drain', args);
    const results = await Promise.all(own.map((node) => node.command('drain', { state: args.state })));
    return { nodes: results.flatMap((result) => (result as { readonly nodes: readonly object[] }).nodes) };
  }

  private async reload(): Promise<ReloadReport> {
    const report = await this.settings.reload(this.load, async (config) => {
      const { text } = config.source;
      await Promise.all(this.serving.map((node) => node.ask('reload', text, Number.POSITIVE_INFINITY)));
      this.text = text;
    });
    return withDiffering(
      report,
      async () => (await (await this.anyNode()).ask('differing', undefined, LOOK)) as readonly string[],
    );
  }

  /** Replaces the nodes one after another: the new one serves before the old one goes. */
  private async restart(): Promise<object> {
    if (this.restarting !== undefined) throw new CommandError('refused', 'a restart is under way');
    const restarting = this.restartAll();
    this.restarting = restarting.catch(() => {});
    try {
      return await restarting;
    } finally {
      this.restarting = undefined;
    }
  }

  private async restartAll(): Promise<object> {
    await this.reload();
    const replaced: { readonly node: string; readonly by: string }[] = [];
    for (const old of this.serving) {
      if (this.ending.isStopping) break;
      // (it has ended of itself: another one has its place, or will)
      if (!this.nodes.has(old)) continue;
      const next = this.fork();
      const timer = setTimeout(() => next.kill(), NODE_START);
      try {
        await next.ready;
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        throw new CommandError('failed', `the new node does not start, and the old ones go on: ${why}`);
      } finally {
        clearTimeout(timer);
      }
      if (this.ending.isStopping) break;
      if (!this.nodes.has(old)) {
        await next.stop(NODE_STOP);
        continue;
      }
      this.watch(next);
      this.log.info({ node: old.name, by: next.name }, 'a node is being replaced');
      old.isStopping = true;
      await old.ask('drain', {}, NODE_DRAIN).catch((error: unknown) => {
        this.log.warn({ node: old.name, err: error }, 'a node could not hand over all it has');
      });
      await old.stop(NODE_STOP);
      replaced.push({ node: old.name, by: next.name });
    }
    return { replaced };
  }

  private async figures(): Promise<readonly NodeFigures[]> {
    const asked = this.serving.map(async (node): Promise<NodeFigures[]> => {
      try {
        return [
          { node: node.name, figures: (await node.ask('figures', undefined, FIGURES)) as NodeFigures['figures'] },
        ];
      } catch {
        // one that is stuck must not hide the others
        return [];
      }
    });
    return [...(await Promise.all(asked)).flat(), { node: 'primary', figures: this.ownFigures() }];
  }

  private ownFigures(): NodeFigures['figures'] {
    const help = 'Nodes of this machine that ended although nobody told them to';
    return [
      { name: 'parley_nodes_replaced_total', help, type: 'counter', values: [{ value: this.replaced, labels: {} }] },
    ];
  }

  private async finish(): Promise<void> {
    for (const timer of this.pauses) clearTimeout(timer);
    // all of them go: what can be handed over goes to other machines, and not from one to the next here
    await Promise.allSettled(this.serving.map((node) => node.ask('retire', undefined, RETIRE)));
    await Promise.all([...this.nodes].map((node) => node.stop(NODE_STOP)));
    await this.embedded?.stop();
    await this.admin?.close();
  }
}

/** The name of this machine's node. */
export function nodeName({ cluster: { name } }: Pick<Config, 'cluster'>): string {
  return (
    name ??
    (hostname()
      .split('.')[0]!
      .replace(/[^A-Za-z0-9_-]/g, '-')
      .slice(0, 40) ||
      'node')
  );
}

function configArguments({ source }: Config): string[] {
  return source.file === undefined ? [] : ['--config', source.file];
}

/** A port for each listener that takes any: the same for all nodes. */
async function pickPorts({ listen }: Config): Promise<Plan['ports']> {
  const ports: Partial<Record<ListenerName, number>> = {};
  const holders: { close(): void }[] = [];
  try {
    for (const [name, { port, address }] of Object.entries(listen) as [
      ListenerName,
      Config['listen'][ListenerName],
    ][]) {
      if (port !== 0 || name === 'proxy65') continue;
      const server = createServer();
      // held until all are picked, so that they differ
      holders.push(server);
      ports[name] = await new Promise<number>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ host: address[0], port: 0 }, () =>
          resolve((server.address() as { readonly port: number }).port),
        );
      });
    }
  } finally {
    for (const holder of holders) holder.close();
  }
  return ports;
}
