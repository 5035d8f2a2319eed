// The cluster of a server with Redis: membership, directory and bus of one life of this node after another. A life ends when the
// others have declared it dead: then its sessions are not in the directory any more, and what was sent to it is dealt with elsewhere;
// the node drops its sessions and begins a new life.
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { Gate } from '../../base/gate.ts';
import type { Logger } from '../../base/log.ts';
import type { MaybePromise } from '../../base/maybe.ts';
import { Ring } from '../../base/ring.ts';
import { softwareVersion } from '../../base/software.ts';
import { openRedis, type RedisConnection } from '../../net/redis.ts';
import type { Cluster, Directory, Frame, Leases, Member, NodeId, SessionEntry } from '../cluster.ts';
import { Bus } from './bus.ts';
import { Calls } from './calls.ts';
import { RedisDirectory } from './directory.ts';
import type { DirectoryFigures } from './directory-options.ts';
import { checkFitness } from './fitness.ts';
import { depthOf } from './inbox.ts';
import { Estates, FORGET, RECALL } from './inheritance.ts';
import { RedisLeases } from './leases.ts';
import { Membership, OVERDUE } from './membership.ts';
import { nameOf } from './node-info.ts';
import type { RedisClusterOptions } from './options.ts';
import { ownProtocol } from './protocol.ts';

/** What only this adapter has. */
export interface RedisCluster extends Cluster {
  /** For others that use Redis. */
  readonly redis: RedisConnection;
  /** Whether Redis can be reached. */
  readonly isUp: boolean;
  /** Redis is there, and refuses to be written to: its memory is full, for example. */
  readonly isRefused: boolean;
  /** What other nodes have not handled yet of what was sent from here, in characters. */
  readonly backlog: number;
  /** What time it is, in milliseconds since 1970: the same for all nodes, whatever their machines believe. */
  now(): number;
  /** How the directory's memory has served. */
  readonly directoryFigures: DirectoryFigures;
  /** Tells the others what tells this node's settings from other ones; resolves when Redis has it, or cannot be told. */
  announce(settings: string): Promise<void>;
  /** The process of another life has ended, without doubt: what it left is dealt with at once. */
  bury(node: NodeId): Promise<void>;
  /** Ends at once, as if the process had died: nobody is told. For tests. */
  abandon(): void;
}

const defaults = {
  beat: 1000,
  callTimeout: 10_000,
  startTimeout: 30_000,
  limit: { size: 64 * 1024 * 1024, items: 200_000 },
};
/** So long a node that closes waits until what it has to say is said, in milliseconds. */
const LAST_WORDS = 5000;
const REBIRTH_MS = 1000;

/**
 * Joins the cluster.
 * @throws Error where Redis cannot be reached in time; UnfitRedis where it does not do; ProtocolMismatch where a node is there that this one could not talk to
 */
export async function createRedisCluster(options: RedisClusterOptions): Promise<RedisCluster> {
  const { target, log, clock, prefix, startTimeout = defaults.startTimeout } = options;
  const redis = await openRedis({ target, log, clock, ...(prefix !== undefined && { prefix }) });
  try {
    await redis.whenUp(startTimeout);
    await checkFitness(redis, log);
    const node = new RedisNode(redis, options);
    await node.start();
    return node;
  } catch (err) {
    redis.close();
    throw err;
  }
}

/** What of a node ends with its life. */
interface Life {
  readonly membership: Membership;
  readonly bus: Bus;
  readonly directory: RedisDirectory;
  readonly leases: RedisLeases;
}

type Receiver = (frame: Frame, from: NodeId) => MaybePromise<void>;

class RedisNode implements RedisCluster {
  readonly redis: RedisConnection;
  private readonly options: RedisClusterOptions;
  private readonly log: Logger;
  private readonly calls: Calls;
  private readonly started = Date.now();
  private readonly version = softwareVersion();
  private readonly topics = new Map<string, Set<(body: unknown, from: NodeId) => void>>();
  private readonly watchers = new Set<(node: NodeId, up: boolean) => void>();
  private readonly heirs = new Set<(sessions: readonly SessionEntry[]) => MaybePromise<void>>();
  private readonly losers = new Set<() => void>();
  private readonly doubters = new Set<(isOurs: boolean) => void>();
  private readonly displaced = new Set<(session: SessionEntry) => void>();
  private readonly fencers = new Set<(life: NodeId) => MaybePromise<void>>();
  /** Those of this life. */
  readonly leases: Leases = {
    claim: (key) => this.life.leases.claim(key),
    take: (key, from, token) => this.life.leases.take(key, from, token),
    orphans: () => this.life.leases.orphans(),
    onFence: (fn) => {
      this.fencers.add(fn);
      return () => this.fencers.delete(fn);
    },
  };
  readonly gate: Gate;
  private readonly receiving: Promise<Receiver>;
  private receiver: Receiver | undefined;
  private setReceiver!: (fn: Receiver) => void;
  /** From `start` on. */
  private life!: Life;
  private ring: Ring<NodeId> | undefined;
  private ringOf: unknown;
  private known: readonly Member[] = [];
  private settings: string | undefined;
  /** It is about to stop, whatever life it is in. */
  private isDraining = false;
  private isClosed = false;
  /** From the end of one life until all here have heard of the next. */
  private rebirth: Promise<void> | undefined;
  private readonly estates = new Estates();

  constructor(redis: RedisConnection, options: RedisClusterOptions) {
    this.redis = redis;
    this.options = options;
    this.log = options.log;
    this.calls = new Calls(options.clock, options.callTimeout ?? defaults.callTimeout);
    const isOpen = (): boolean => this.rebirth === undefined && !this.life.membership.isDazed;
    this.calls.answer(RECALL, (node) => this.life?.directory.recall(node as NodeId) ?? 0);
    this.subscribe(FORGET, (node) => this.life?.directory.forget(node as NodeId));
    this.gate = {
      get isOpen() {
        return isOpen();
      },
      opened: async () => {
        while (!isOpen()) await (this.rebirth ?? this.life.membership.sure());
      },
    };
    this.receiving = new Promise((resolve) => {
      this.setReceiver = resolve;
    });
  }

  get self(): NodeId {
    return this.life.membership.self;
  }

  get nodes(): ReadonlySet<NodeId> {
    return this.life.membership.nodes;
  }

  get directory(): Directory {
    return this.life.directory;
  }

  get isUp(): boolean {
    return this.redis.isUp;
  }

  get isRefused(): boolean {
    return this.life.membership.isRefused;
  }

  get isSure(): boolean {
    return this.rebirth === undefined && this.life.membership.isSure;
  }

  get backlog(): number {
    return this.life.bus.backlog;
  }

  get directoryFigures(): DirectoryFigures {
    return this.life.directory.figures;
  }

  now(): number {
    return this.life.membership.redisNow();
  }

  /** Begins a life. */
  async start(): Promise<void> {
    const life = await this.begin();
    if (life.membership.isOver) {
      end(life);
      throw new Error('the new life is over already');
    }
    this.life = life;
    // for when Redis is away
    void this.members().catch(() => {});
  }

  send(node: NodeId, frame: Frame): Promise<void> {
    return this.life.bus.send(node, frame);
  }

  receive(fn: Receiver): void {
    this.receiver = fn;
    this.setReceiver(fn);
  }

  call(node: NodeId, method: string, body: unknown): Promise<unknown> {
    if (node === this.self) return this.calls.ask(method, body, node);
    return this.life.bus.call(node, method, body);
  }

  answer(method: string, fn: (body: unknown, from: NodeId) => MaybePromise<unknown>): () => void {
    return this.calls.answer(method, fn);
  }

  publish(topic: string, body: unknown): void {
    this.life.bus.publish(topic, body);
  }

  subscribe(topic: string, fn: (body: unknown, from: NodeId) => void): () => void {
    const subscribers = this.topics.get(topic) ?? new Set();
    this.topics.set(topic, subscribers.add(fn));
    return () => subscribers.delete(fn);
  }

  owner(key: string): NodeId {
    if (this.ring === undefined || this.ringOf !== this.life.membership.draining) {
      const { nodes, draining } = this.life.membership;
      const staying = [...nodes].filter((node) => !draining.has(node));
      this.ring = new Ring(staying.length === 0 ? nodes : staying, nameOf);
      this.ringOf = draining;
    }
    return this.ring.owner(key);
  }

  onNode(fn: (node: NodeId, up: boolean) => void): () => void {
    this.watchers.add(fn);
    return () => this.watchers.delete(fn);
  }

  onOrphans(fn: (sessions: readonly SessionEntry[]) => MaybePromise<void>): () => void {
    this.heirs.add(fn);
    return () => this.heirs.delete(fn);
  }

  onDisplaced(fn: (session: SessionEntry) => void): () => void {
    this.displaced.add(fn);
    return () => this.displaced.delete(fn);
  }

  onGap(fn: (isOurs: boolean) => void): () => void {
    this.doubters.add(fn);
    return () => this.doubters.delete(fn);
  }

  onExpelled(fn: () => void): () => void {
    this.losers.add(fn);
    return () => this.losers.delete(fn);
  }

  async members(): Promise<readonly Member[]> {
    try {
      this.known = await this.ask();
    } catch (err) {
      // while Redis is away, what was known before
      if (this.redis.isUp) throw err;
    }
    return this.known.filter(({ node }) => this.nodes.has(node));
  }

  private async ask(): Promise<readonly Member[]> {
    const members = await this.life.membership.members();
    const depths = await Promise.all(members.map(({ node }) => depthOf(this.redis, node)));
    return members.map(({ node, info, isDraining }, i) => ({
      node,
      name: nameOf(node),
      ...info,
      inbox: depths[i]!,
      isDraining,
    }));
  }

  drain(on: boolean): Promise<void> {
    this.isDraining = on;
    return this.life.membership.drain(on);
  }

  announce(settings: string): Promise<void> {
    this.settings = settings;
    return this.life.membership.refresh();
  }

  bury(node: NodeId): Promise<void> {
    return this.life.membership.bury(node);
  }

  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    const { bus, directory, leases, membership } = this.life;
    await this.estates.leave(LAST_WORDS);
    await bus.close(LAST_WORDS);
    leases.close();
    await directory.close();
    await membership
      .leave(!leases.isHolding)
      .catch((err: unknown) => this.log.warn({ err }, 'the other nodes are not told that this one leaves'));
    this.redis.close();
  }

  abandon(): void {
    this.isClosed = true;
    end(this.life);
    this.redis.close();
  }

  private async begin(): Promise<Life> {
    const { redis, log, options } = this;
    const { beat = defaults.beat } = options;
    let life: Life | undefined;
    const membership = new Membership({
      redis,
      log,
      name: nameFor(options.name ?? hostname()),
      // another one may have taken the place of a node that was given up
      isNameOurs: this.life === undefined && (options.isNameOurs ?? false),
      life: randomBytes(6).toString('base64url'),
      beat,
      info: () => ({
        version: this.version,
        started: this.started,
        sessions: life?.directory.ownCount ?? 0,
        lag: life?.bus.lag ?? 0,
        protocol: options.protocol ?? ownProtocol,
        ...(this.settings === undefined ? {} : { settings: this.settings }),
      }),
      onBeat: () => {
        life?.bus.tend();
        life?.leases.tend();
      },
      onNode: (node, isUp) => this.noticed(node, isUp, life),
      onOver: () => {
        // one that is over before it has begun is seen by who began it
        if (life !== undefined && this.life === life) this.expelled();
      },
      onLoss: () => {
        life?.leases.forgotten();
        void life?.bus.reopen();
        if (this.isDraining) membership.drain(true).catch(() => {});
        this.doubt(true);
      },
      onEstate: (node) => this.inherit(node, life!),
    });
    try {
      await membership.join();
      life = await this.equip(membership);
      if (this.isDraining) await membership.drain(true);
    } catch (err) {
      membership.abandon();
      if (life !== undefined) end(life);
      throw err;
    }
    membership.takePart();
    // until the next beat of each there may be nodes that have not heard of this one, and do not tell it what they publish
    if (membership.nodes.size > 1) await new Promise((resolve) => setTimeout(resolve, 1.5 * beat));
    return life;
  }

  private async equip(membership: Membership): Promise<Life> {
    const { redis, log, options } = this;
    const bus = new Bus({
      redis,
      log,
      membership,
      calls: this.calls,
      limit: options.limit ?? defaults.limit,
      onFrame: (frame, from) => this.arrived(frame, from),
      onTopic: (topic, body, from) => {
        this.tellAll(this.topics.get(topic) ?? [], body, from);
      },
      onMissed: () => this.doubt(true),
    });
    const onOver = (): void => void membership.refresh();
    const opening = RedisDirectory.open({
      redis,
      self: membership.self,
      clock: options.clock,
      log,
      nodes: () => membership.nodes,
      sure: () => membership.sure(),
      onOver,
      onDisplaced: (session) => {
        this.tellAll(this.displaced, session);
      },
    });
    const { beat = defaults.beat } = options;
    const fence = (node: NodeId): Promise<unknown> => Promise.all([...this.fencers].map((fn) => fn(node)));
    const leases = new RedisLeases({ redis, log, membership, beat, grace: OVERDUE * beat, fence });
    try {
      const life: Life = { membership, bus, directory: await opening, leases };
      await bus.open();
      return life;
    } catch (err) {
      bus.abandon();
      leases.close();
      void opening.then(
        (directory) => directory.close(),
        () => {},
      );
      throw err;
    }
  }

  private noticed(node: NodeId, isUp: boolean, life: Life | undefined): void {
    this.ring = undefined;
    if (!isUp) life?.bus.lose(node);
    // at the start everybody is there already
    if (life === undefined) return;
    this.tellAll(this.watchers, node, isUp);
    // what it had to say last was perhaps not said
    if (!isUp) this.doubt(false);
  }

  private doubt(isOurs: boolean): void {
    this.tellAll(this.doubters, isOurs);
  }

  /** What one of them throws is not to keep the others from hearing it, nor the node from going on. */
  private tellAll<A extends unknown[]>(listeners: Iterable<(...args: A) => void>, ...args: A): void {
    for (const fn of listeners) {
      try {
        fn(...args);
      } catch (err) {
        this.log.error({ err }, 'news of the cluster could not be dealt with');
      }
    }
  }

  private arrived(frame: Frame, from: NodeId): MaybePromise<void> {
    // what arrives while the server starts waits for it
    return this.receiver === undefined ? this.receiving.then((fn) => fn(frame, from)) : this.receiver(frame, from);
  }

  private async inherit(node: NodeId, life: Life): Promise<void> {
    // a server that starts is not ready to deal with anything
    if (this.receiver === undefined) await this.receiving;
    await this.estates.inherit({ ...life, node, log: this.log, heirs: this.heirs });
  }

  /** The others go on without this node. What comes from outside waits until all here know of it. */
  private expelled(): void {
    const rebirth = this.beginAgain().finally(() => {
      if (this.rebirth === rebirth) this.rebirth = undefined;
    });
    this.rebirth = rebirth;
  }

  private async beginAgain(): Promise<void> {
    if (this.isClosed) return;
    const old = this.life;
    const fields = { node: this.self, silence: old.membership.silence };
    this.log.error(fields, 'the other nodes hold this one for dead; its sessions end, and it joins again');
    old.bus.retire();
    old.leases.close();
    old.directory.close();
    while (!this.isClosed) {
      try {
        await this.redis.whenUp(REBIRTH_MS);
        await this.start();
        break;
      } catch (err) {
        this.log.warn({ err }, 'the cluster cannot be joined yet');
        await new Promise((resolve) => setTimeout(resolve, REBIRTH_MS));
      }
    }
    if (this.isClosed) return this.abandon();
    this.ring = undefined;
    // what its people have said meanwhile is known to be on its way: whoever it is for shall have it, before all that is said from now on
    this.life.bus.follow(old.bus.finish(this.nodes, LAST_WORDS));
    this.tellAll(this.losers);
    const { self, nodes } = this;
    const before = [...old.membership.nodes].filter((node) => node !== old.membership.self);
    for (const node of before) if (!nodes.has(node)) this.tellAll(this.watchers, node, false);
    for (const node of nodes) if (node !== self && !before.includes(node)) this.tellAll(this.watchers, node, true);
    this.doubt(true);
  }
}

/** Without a word to anybody. */
function end({ membership, bus, directory, leases }: Life): void {
  bus.abandon();
  leases.close();
  membership.abandon();
  directory.close();
}

/** Names of nodes stand in names of sessions and of keys. */
function nameFor(text: string): string {
  return text.replace(/[^A-Za-z0-9._-]/g, '-') || 'node';
}
