// Who is in the cluster. A node says so every second, by Redis' clock; one that has not for five seconds is declared dead by another
// one, in one step for all. A node that could not say so knows from its own clocks that it may be out, before others can think so.
// While Redis is away nobody is declared dead, nor shortly after: all need time to come back.
import { randomUUID } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import type { Logger } from '../../base/log.ts';
import type { RedisConnection } from '../../net/redis.ts';
import type { NodeId } from '../cluster.ts';
import {
  beatScript,
  claimScript,
  declareScript,
  drainScript,
  joinScript,
  leaveScript,
  membersScript,
  mournScript,
  noticeChannel,
  runOnNodes,
  settleScript,
} from './membership-scripts.ts';
import { type NodeInfo, nameOf, readInfo } from './node-info.ts';
import { isUnderstood, ProtocolMismatch } from './protocol.ts';
import { RedisTime } from './time.ts';

export interface MembershipOptions {
  readonly redis: RedisConnection;
  readonly log: Logger;
  /** What the node wants to be called. */
  readonly name: string;
  /** Nobody else should have that name: where it is taken, it is by a former life of this node, unless that is heard of still. */
  readonly isNameOurs?: boolean;
  /** Tells this life from others of the same name. */
  readonly life: string;
  /** Milliseconds between two beats. */
  readonly beat: number;
  readonly info: () => NodeInfo;
  /** Called after each beat that was accepted. */
  readonly onBeat: () => void;
  readonly onNode: (node: NodeId, isUp: boolean) => void;
  /** This life was declared dead: its inbox and its sessions are others' now. */
  readonly onOver: () => void;
  /** Redis has lost its memory; this node is registered again. */
  readonly onLoss: () => void;
  /** Deals with what a dead node has left. Called again, here or elsewhere, until it has resolved once. */
  readonly onEstate: (node: NodeId) => Promise<void>;
}

/** What the scripts show of the cluster. */
interface View {
  /** By Redis' clock. */
  readonly now: number;
  readonly era: string;
  readonly last: string;
  readonly nodes: readonly NodeId[];
  readonly draining: readonly NodeId[];
  readonly overdue: readonly NodeId[];
  readonly wills: number;
}

/** All in beats: when a life is overdue; when it must fear that it is; for how long all must have been well to declare one dead. */
export const OVERDUE = 5;
const UNSURE = 4;
const GRACE = 7;
/** An interruption of the beats, that starts the grace again. */
const GAP = 2.5;
/** What a life has left may not have been dealt with yet when it has been over for less than that, in milliseconds. */
const ESTATE_MS = 60_000;
/** Former members that are kept in mind, to tell a Redis that has lost its memory. */
const DEAD_KEPT = 32;

export class Membership {
  readonly nodes = new Set<NodeId>();
  private readonly options: MembershipOptions;
  private readonly redis: RedisConnection;
  private identity: NodeId | undefined;
  private drains: ReadonlySet<NodeId> = new Set();
  private readonly missing = new Map<NodeId, number>();
  /** Lives that are over, and when that was heard. */
  private readonly dead: { readonly node: NodeId; readonly at: number }[] = [];
  private readonly estates = new Set<NodeId>();
  private era = '';
  private last = '0-0';
  /** When the last beat that was accepted had been sent. */
  private lastBeat: Moment = { steady: 0, wall: 0 };
  /** What it was then by Redis' clock. */
  private lastNow = 0;
  private unbrokenSince = 0;
  /** When this process was last seen to run. */
  private ranAt: Moment = moment();
  /** It stood still, and was sure before that. */
  private isAwaking = false;
  private readonly time = new RedisTime();
  private beating: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private stops: (() => void)[] = [];
  private hopeful: ((isIn: boolean) => void)[] = [];
  private takesPart = false;
  /** Redis answers, and refuses what it is told. */
  isRefused = false;
  private state: 'out' | 'in' | 'over' | 'left' = 'out';

  constructor(options: MembershipOptions) {
    this.options = options;
    this.redis = options.redis;
  }

  /** Known once `join` has resolved. */
  get self(): NodeId {
    return this.identity!;
  }

  /** The others go on without this life. */
  get isOver(): boolean {
    return this.state === 'over';
  }

  /** How long ago its last sign of life was given, in milliseconds. */
  get silence(): number {
    return Math.round(since(this.lastBeat));
  }

  get draining(): ReadonlySet<NodeId> {
    return this.drains;
  }

  /** What time it is by Redis' clock, in milliseconds since 1970. */
  redisNow(): number {
    return this.time.now();
  }

  /**
   * Whether nobody can have declared this node dead yet. By both clocks: the steady one may stand still while a machine sleeps,
   * and the other one may be set back.
   */
  get isSure(): boolean {
    return this.state === 'in' && since(this.lastBeat) < UNSURE * this.options.beat;
  }

  /**
   * Whether this process stood still for so long that its life may be over, which is not known yet. Not while Redis is merely away: a
   * node that ran all the time knows what it does.
   */
  get isDazed(): boolean {
    if (since(this.ranAt) > GAP * this.options.beat) this.awake();
    return this.isAwaking && this.state === 'in' && !this.isSure;
  }

  /** Resolves when it is known whether this life goes on. */
  sure(): Promise<boolean> {
    if (this.isSure) return Promise.resolve(true);
    if (this.state !== 'in') return Promise.resolve(false);
    const answer = new Promise<boolean>((resolve) => this.hopeful.push(resolve));
    void this.refresh();
    return answer;
  }

  /** Resolves when the node is a member, and has heard who the others are. @throws ProtocolMismatch */
  async join(): Promise<void> {
    const { redis, options } = this;
    this.stops.push(
      await redis.subscribe(noticeChannel, () => void this.refresh()),
      redis.onReconnected(() => {
        this.unbrokenSince = performance.now();
        void this.refresh();
      }),
    );
    await this.checkOthers();
    await this.enter(options.name);
    this.schedule();
  }

  /** @throws ProtocolMismatch; whoever is overdue is not there to be talked to */
  private async checkOthers(): Promise<void> {
    const own = this.options.info().protocol;
    for (const { node, info, isOverdue } of await this.members()) {
      if (!isOverdue && !isUnderstood(own, info.protocol)) {
        throw new ProtocolMismatch(nameOf(node), info.version, info.protocol, own);
      }
    }
  }

  /** From now on this node declares others dead, and deals with what they have left. */
  takePart(): void {
    this.takesPart = true;
  }

  /** Asks who is there now, and says once more that this node is. */
  refresh(): Promise<void> {
    if (this.state !== 'in') return Promise.resolve();
    this.beating ??= this.beat().finally(() => {
      this.beating = undefined;
    });
    return this.beating;
  }

  /** Says that this node is about to stop, or is not. */
  async drain(on: boolean): Promise<void> {
    await runOnNodes(this.redis, drainScript, this.self, on ? 1 : 0);
    await this.refresh();
  }

  /** The process of another life is known to have ended: it is declared dead at once, and dealt with. */
  async bury(node: NodeId): Promise<void> {
    if (node === this.self || this.state !== 'in') return;
    if (Number(await runOnNodes(this.redis, declareScript, node, this.self, 'force')) !== 1) return;
    this.options.log.warn({ node }, 'the process of a node has ended, and the node counts as dead');
    await this.refresh();
  }

  /** What every node says of itself, and whether it is about to stop. */
  async members(): Promise<
    readonly {
      readonly node: NodeId;
      readonly info: NodeInfo;
      readonly isDraining: boolean;
      readonly isOverdue: boolean;
    }[]
  > {
    const reply = await runOnNodes(this.redis, membersScript);
    const [nodes, pairs, draining, overdue] = reply as [NodeId[], string[], NodeId[], NodeId[]];
    const infos = new Map<string, string>();
    for (let i = 0; i + 1 < pairs.length; i += 2) infos.set(pairs[i]!, pairs[i + 1]!);
    return nodes.map((node) => ({
      node,
      info: readInfo(infos.get(node)),
      isDraining: draining.includes(node),
      isOverdue: overdue.includes(node),
    }));
  }

  /** Whether what a node left that is no more is still to be dealt with. */
  async isOwed(node: NodeId): Promise<boolean> {
    return (await this.redis.command('HEXISTS', this.redis.key('nodes', 'wills'), node)) === 1;
  }

  /**
   * Leaves the cluster; another node deals with what is left.
   * @param isDone it has nothing under way that nobody else may meet
   */
  async leave(isDone: boolean): Promise<void> {
    const wasIn = this.state === 'in';
    this.stop('left');
    await this.beating;
    if (wasIn && this.redis.isUp) await runOnNodes(this.redis, leaveScript, this.self, isDone ? 1 : 0);
  }

  /** Stops without a word, as if the process had died. */
  abandon(): void {
    this.stop('left');
  }

  private stop(state: 'over' | 'left'): void {
    this.state = state;
    clearTimeout(this.timer);
    for (const stop of this.stops.splice(0)) stop();
    for (const resolve of this.hopeful.splice(0)) resolve(false);
  }

  private async enter(name: string, isNameOurs = this.options.isNameOurs ?? false): Promise<void> {
    const { beat, life, info, log } = this.options;
    const isAgain = this.identity !== undefined;
    const where = isAgain ? 'keep' : isNameOurs ? 'refuse' : 'other';
    const sent = moment();
    const args = [name, life, OVERDUE * beat, JSON.stringify(info()), randomUUID(), where];
    const since = performance.now() - ESTATE_MS;
    const recent = this.dead.filter(({ at }) => at > since).length;
    const dead = this.dead.toReversed().map(({ node }) => node);
    const reply = await runOnNodes(this.redis, joinScript, ...args, recent, ...dead);
    const [node, more] = reply as [NodeId | null, (readonly unknown[] | NodeId)?];
    if (node === null) {
      if (isAgain) return this.over();
      const holder = more as NodeId;
      if (await this.isHeard(holder)) {
        log.error(
          { node: holder },
          'a node that lives has the name of this one, which takes another: see "cluster.name"',
        );
        return this.enter(name, false);
      }
      // its former life is over, whether it looked like it already or not
      await runOnNodes(this.redis, declareScript, holder, '', 'force');
      return this.enter(name);
    }
    if (this.state === 'over' || this.state === 'left') return;
    const view = readView(more as readonly unknown[]);
    const isLoss = isAgain && view.era !== this.era;
    this.identity = node;
    this.era = view.era;
    this.last = view.last;
    this.state = 'in';
    this.accepted(sent, view);
    this.follow(view, []);
    if (isLoss) this.options.onLoss();
  }

  /** Waits to see whether a node says that it lives. */
  private async isHeard(node: NodeId): Promise<boolean> {
    const due = (): Promise<unknown> => this.redis.command('ZSCORE', this.redis.key('nodes', 'beats'), node);
    const before = await due();
    await new Promise((resolve) => setTimeout(resolve, GAP * this.options.beat));
    const after = await due();
    return after !== null && after !== before;
  }

  private schedule(): void {
    if (this.state !== 'in') return;
    this.timer = setTimeout(() => {
      this.awake();
      void this.refresh();
      this.schedule();
    }, this.options.beat).unref();
  }

  /** This process runs: called with every beat, and where it is seen that it did not for a while. */
  private awake(): void {
    const now = moment();
    const stoodStill = since(this.ranAt, now) > GAP * this.options.beat;
    const wasSure = since(this.lastBeat, this.ranAt) < UNSURE * this.options.beat;
    this.ranAt = now;
    if (stoodStill && wasSure && !this.isSure) this.isAwaking = true;
  }

  private async beat(): Promise<void> {
    try {
      const sent = moment();
      const { beat, info } = this.options;
      const reply = await runOnNodes(
        this.redis,
        beatScript,
        this.self,
        OVERDUE * beat,
        JSON.stringify(info()),
        this.last,
      );
      if (this.state !== 'in') return;
      const [status, packed, news] = reply as [string, unknown[], string[]];
      if (this.isRefused) this.options.log.info({}, 'Redis takes writes again');
      this.isRefused = false;
      if (status === 'over') return this.over();
      if (status === 'unknown') return await this.enter(nameOf(this.self));
      const view = readView(packed);
      this.accepted(sent, view);
      this.last = view.last;
      this.follow(view, news);
      this.options.onBeat();
      // an answer that was long on its way tells how it was then
      if (this.takesPart && this.isSure) await this.judge(view);
    } catch (err) {
      // the connection says that Redis is away; anything else is news
      if (this.redis.isUp && this.state === 'in') this.refused(err instanceof Error ? err.message : String(err));
    }
  }

  /** Said once, and again only after Redis took writes in between. */
  private refused(why: string): void {
    if (!this.isRefused && refusals.test(why)) {
      this.isRefused = true;
      const isFull = why.startsWith('OOM');
      const what = isFull ? 'the memory of Redis is full (maxmemory): it' : 'Redis';
      this.options.log.error({ why }, `${what} takes no writes, and nobody can log in until it does`);
    } else this.options.log.debug({ why }, 'a beat was not accepted');
  }

  private over(): void {
    this.stop('over');
    this.options.onOver();
  }

  private accepted(sent: Moment, view: View): void {
    const gap = GAP * this.options.beat;
    // Redis stood still, or its clock was set: then all look overdue
    const jump = Math.abs(view.now - this.lastNow - (sent.steady - this.lastBeat.steady));
    if (jump > gap || since(this.lastBeat, sent) > gap) this.unbrokenSince = sent.steady;
    this.lastBeat = sent;
    this.lastNow = view.now;
    this.time.observe(view.now, sent.steady, performance.now());
    // what has been on its way for too long says nothing of now
    if (!this.isSure) return;
    this.isAwaking = false;
    for (const resolve of this.hopeful.splice(0)) resolve(true);
  }

  /** Comings and goings, in the order of the log; what the log does not tell is seen from who is there. */
  private follow(view: View, news: readonly string[]): void {
    const present = new Set(view.nodes);
    this.drains = new Set(view.draining);
    for (let i = 0; i + 1 < news.length; i += 2) {
      const node = news[i + 1] as NodeId;
      if (news[i] === 'up' && present.has(node)) this.noticeUp(node);
      if (news[i] === 'down' && !present.has(node)) this.noticeDown(node);
    }
    for (const node of present) this.noticeUp(node);
    const now = performance.now();
    for (const node of this.nodes) {
      if (present.has(node)) this.missing.delete(node);
      else if (!this.missing.has(node)) this.missing.set(node, now);
      else {
        // lost with the memory of Redis, and it did not come back although it could
        const since = Math.max(this.missing.get(node)!, this.unbrokenSince);
        if (this.isSure && now - since > GRACE * this.options.beat) void this.mourn(node);
      }
    }
  }

  private async mourn(node: NodeId): Promise<void> {
    try {
      await runOnNodes(this.redis, mournScript, node);
      this.noticeDown(node);
    } catch {
      // once more with the next beat
    }
  }

  private noticeUp(node: NodeId): void {
    if (this.nodes.has(node)) return;
    this.nodes.add(node);
    this.options.onNode(node, true);
  }

  private noticeDown(node: NodeId): void {
    if (node === this.self || !this.nodes.delete(node)) return;
    this.missing.delete(node);
    this.dead.push({ node, at: performance.now() });
    if (this.dead.length > DEAD_KEPT) this.dead.shift();
    this.options.onNode(node, false);
  }

  /** Declares dead who is overdue, and takes on what dead nodes have left. */
  private async judge(view: View): Promise<void> {
    const isCalm = performance.now() - this.unbrokenSince >= GRACE * this.options.beat;
    let wills = view.wills;
    for (const node of isCalm ? view.overdue : []) {
      if (node === this.self) continue;
      if (Number(await runOnNodes(this.redis, declareScript, node, this.self, '')) !== 1) continue;
      this.options.log.warn({ node }, 'a node was not heard of any more, and counts as dead');
      wills++;
    }
    if (wills === 0) return;
    const mine = (await runOnNodes(this.redis, claimScript, this.self)) as NodeId[];
    for (const node of mine) if (!this.estates.has(node)) void this.execute(node);
  }

  private async execute(node: NodeId): Promise<void> {
    this.estates.add(node);
    try {
      // it is seen by everything here that it is gone
      this.noticeDown(node);
      await this.options.onEstate(node);
      await runOnNodes(this.redis, settleScript, node, this.self);
    } catch (err) {
      if (this.state === 'in')
        this.options.log.warn({ err, node }, 'what a dead node left was not dealt with; once more');
    } finally {
      this.estates.delete(node);
    }
  }
}

/** Redis is there and takes no writes: its memory is full, it is a replica, cannot save, or has too few replicas. */
const refusals = /\b(OOM|READONLY|MISCONF|NOREPLICAS)\b/;

/** By the clock that is never set, and by the one that goes on while the machine sleeps. */
interface Moment {
  readonly steady: number;
  readonly wall: number;
}

function moment(): Moment {
  return { steady: performance.now(), wall: Date.now() };
}

function since(start: Moment, end: Moment = moment()): number {
  return Math.max(end.steady - start.steady, end.wall - start.wall);
}

function readView(packed: readonly unknown[]): View {
  const [now, era, last, nodes, draining, overdue, wills] = packed as [
    string,
    string,
    string,
    NodeId[],
    NodeId[],
    NodeId[],
    number,
  ];
  return { now: Number(now), era, last, nodes, draining, overdue, wills };
}
