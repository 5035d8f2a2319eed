// Nodes in one process that can be stopped in order, killed, frozen and joined by others; with one store and one clock for all.
import type { Clock } from '../../src/base/clock.ts';
import type { NodeId } from '../../src/cluster/cluster.ts';
import type { ConfigInput } from '../../src/config/server.ts';
import { createMemoryDriver } from '../../src/storage/memory.ts';
import type { Driver } from '../../src/storage/ports.ts';
import { FakeClock, turn } from './clock.ts';
import { createNodes, type Nodes } from './cluster-pair.ts';
import { type LogLine, TestServer } from './test-server.ts';

export interface GroupOptions {
  readonly nodes?: number;
  /** Whether nodes learn late of one another's sessions. */
  readonly isLate?: boolean;
  /** How long calls between nodes wait for an answer, in milliseconds. */
  readonly timeout?: number;
  /** Puts something before the store. */
  readonly wrap?: (driver: Driver) => Driver;
}

/** A node, as long as it is there. */
export interface GroupNode {
  readonly id: NodeId;
  readonly server: TestServer;
}

/** Of a process: with it end its timers. */
class MortalClock implements Clock {
  isDead = false;
  private readonly clock: Clock;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  now(): number {
    return this.clock.now();
  }

  after(ms: number, fn: () => void): () => void {
    return this.clock.after(ms, () => {
      if (!this.isDead) fn();
    });
  }
}

export class NodeGroup {
  readonly clock = new FakeClock();
  readonly driver: Driver;
  /** Those that are there. */
  readonly nodes: GroupNode[] = [];
  readonly bus: Nodes;
  private readonly settings: ConfigInput;
  private readonly clocks = new Map<NodeId, MortalClock>();
  private readonly dead: TestServer[] = [];
  private readonly past: LogLine[] = [];
  private names = 0;

  private constructor(settings: ConfigInput, options: GroupOptions) {
    this.settings = settings;
    const driver = createMemoryDriver(this.clock);
    this.driver = options.wrap?.(driver) ?? driver;
    this.bus = createNodes([], options.timeout, options.isLate);
  }

  static async start(settings: ConfigInput, options: GroupOptions = {}): Promise<NodeGroup> {
    const group = new NodeGroup(settings, options);
    for (let i = 0; i < (options.nodes ?? 2); i++) await group.join();
    return group;
  }

  /** One more node starts. */
  async join(): Promise<GroupNode> {
    const cluster = this.bus.add(`node${++this.names}`);
    const clock = new MortalClock(this.clock);
    const server = await TestServer.start(this.settings, { clock, driver: this.driver, cluster });
    const node = { id: cluster.self, server };
    this.clocks.set(node.id, clock);
    this.nodes.push(node);
    return node;
  }

  /** A node stops in good order. */
  async leave(node: GroupNode): Promise<void> {
    this.nodes.splice(this.nodes.indexOf(node), 1);
    await node.server.stop();
    this.past.push(...node.server.errors);
  }

  /** A node dies. Its clients' connections are theirs to end. */
  kill(node: GroupNode): void {
    this.nodes.splice(this.nodes.indexOf(node), 1);
    this.clocks.get(node.id)!.isDead = true;
    this.bus.kill(node.id);
    this.dead.push(node.server);
  }

  /** Resolves when nothing is under way. */
  async settle(): Promise<void> {
    for (let round = 0; round < 3; round++) {
      await turn();
      await this.bus.idle();
      await turn();
    }
  }

  /** Of all but those that were killed. */
  get errors(): readonly LogLine[] {
    return [...this.past, ...this.nodes.flatMap(({ server }) => server.errors)];
  }

  async stop(): Promise<void> {
    for (const { server } of [...this.nodes]) await server.stop();
    for (const server of this.dead) await server.stop();
  }
}
