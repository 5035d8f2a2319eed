// What this life of a node owns. A lease is never renewed: it is good for as long as the life is, which the node knows from its beats. But
// what Redis has forgotten another life may be given. So after each break of the connection, and each loss of Redis' memory, all leases
// are in doubt until Redis has been told of them anew; and for as long as others need to do so, nobody is given what seems to be free.
import { performance } from 'node:perf_hooks';
import type { Logger } from '../../base/log.ts';
import type { MaybePromise } from '../../base/maybe.ts';
import type { RedisConnection } from '../../net/redis.ts';
import type { Lease, Leases, NodeId } from '../cluster.ts';
import {
  announceScript,
  claimLeaseScript,
  fencedScript,
  releaseLeaseScript,
  takeLeaseScript,
} from './lease-scripts.ts';
import type { Membership } from './membership.ts';
import { runOnNodes } from './membership-scripts.ts';

export interface RedisLeasesOptions {
  readonly redis: RedisConnection;
  readonly log: Logger;
  readonly membership: Membership;
  /** Between two signs of life, in milliseconds. */
  readonly beat: number;
  /** How long it takes until no life can hold itself for alive that Redis has not heard of, in milliseconds. */
  readonly grace: number;
  /** Keeps a life that is over from writing. */
  readonly fence: (life: NodeId) => Promise<unknown>;
}

/** So many are told of at once. */
const PAGE = 500;
/** Between two looks at a key that may be had later, at the most, in milliseconds. */
const LONGEST_WAIT = 1000;

export class RedisLeases implements Omit<Leases, 'onFence'> {
  private readonly options: RedisLeasesOptions;
  private readonly own = new Map<string, OwnLease>();
  /** What Redis could not be told was given up unfinished: it may be this life's still. */
  private readonly unfinished = new Set<string>();
  private readonly fencing = new Map<NodeId, Promise<void>>();
  private readonly stop: () => void;
  private doubters: (() => void)[] = [];
  /** Redis knows of all leases, as far as can be told from here. */
  private isAnnounced = true;
  private announcing: Promise<void> | undefined;
  private reconnectedAt = Number.NEGATIVE_INFINITY;
  private doubts = 0;
  private isOver = false;

  constructor(options: RedisLeasesOptions) {
    this.options = options;
    this.stop = options.redis.onReconnected(() => {
      this.reconnectedAt = performance.now();
      this.doubt();
    });
  }

  async claim(key: string): Promise<Lease | { readonly holder: NodeId }> {
    const { membership, grace, beat } = this.options;
    for (;;) {
      this.check();
      const isCalm = performance.now() - this.reconnectedAt > grace;
      const reply = (await this.run(claimLeaseScript, key, grace, isCalm ? 1 : 0)) as readonly string[];
      this.check();
      switch (reply[0]) {
        case 'held':
          this.unfinished.delete(key);
          return { holder: reply[1] as NodeId };
        case 'wait':
          await pause(Math.min(Number(reply[1]), LONGEST_WAIT));
          break;
        case 'had':
          return this.had(
            key,
            Number(reply[1]),
            this.unfinished.delete(key) || reply[2] === '1',
            reply.slice(3) as NodeId[],
          );
        default:
          // Redis has lost this node, or it is dead: soon that is known
          await membership.refresh();
          if (!(await membership.sure())) throw new Error('this node is not a member');
          await pause(beat);
      }
    }
  }

  async take(key: string, from: NodeId, token: number): Promise<Lease | undefined> {
    const reply = (await this.run(takeLeaseScript, key, from, token)) as string | null;
    return reply === null ? undefined : this.keep(key, Number(reply), false);
  }

  async orphans(): Promise<readonly string[]> {
    const { redis, membership } = this.options;
    await membership.refresh();
    const found: string[] = [];
    let cursor = '0';
    do {
      const [next, pairs] = (await redis.command(
        'HSCAN',
        redis.key('nodes', 'leases'),
        cursor,
        'COUNT',
        PAGE,
      )) as readonly [string, readonly string[]];
      cursor = next;
      for (let i = 0; i + 1 < pairs.length; i += 2) {
        const holder = pairs[i + 1]!.slice(pairs[i + 1]!.indexOf(' ') + 1) as NodeId;
        if (!membership.nodes.has(holder)) found.push(pairs[i]!);
      }
    } while (cursor !== '0');
    return found;
  }

  /** Sees to it that a life which is over cannot write, unless it has left in good order. Rejects where that is not certain. */
  async fence(life: NodeId): Promise<void> {
    const { redis } = this.options;
    if ((await redis.command('SISMEMBER', redis.key('nodes', 'unfenced'), life)) === 1) await this.fenceOne(life);
  }

  /** What it has is not given up: whoever takes it must see to it that this life cannot write. */
  get isHolding(): boolean {
    return this.own.size > 0;
  }

  /** Redis has lost its memory. */
  forgotten(): void {
    this.doubt();
  }

  /** With every beat: tells Redis what it may have forgotten, where that has not come through yet. */
  tend(): void {
    if (!this.isAnnounced) void this.announce();
  }

  /** This life is over, or the node stops. */
  close(): void {
    this.isOver = true;
    this.stop();
    this.settle();
  }

  isGood(lease: OwnLease): boolean {
    return lease.isHeld && this.isAnnounced && !this.isOver && this.options.membership.isSure;
  }

  async confirm(lease: OwnLease): Promise<boolean> {
    for (;;) {
      if (this.isGood(lease)) return true;
      if (this.isOver || !lease.isHeld) return false;
      if (!this.isAnnounced) {
        await new Promise<void>((resolve) => this.doubters.push(resolve));
      } else if (!(await this.options.membership.sure())) return false;
    }
  }

  async release(lease: OwnLease, isUnfinished: boolean): Promise<void> {
    this.forget(lease);
    if (isUnfinished) this.unfinished.add(lease.key);
    if (this.isOver) return;
    await this.run(releaseLeaseScript, lease.key, lease.token, isUnfinished ? 1 : 0);
    this.unfinished.delete(lease.key);
  }

  private async had(key: string, token: number, isAfterDeath: boolean, lives: readonly NodeId[]): Promise<Lease> {
    const lease = this.keep(key, token, isAfterDeath);
    try {
      // whoever remembers what others have written hears that one of them is dead before it reads
      if (isAfterDeath) await this.options.membership.refresh();
      await Promise.all(lives.map((life) => this.fenceOne(life)));
    } catch (err) {
      // where Redis is away, too, it is this node's for as long as it lives, and may be claimed here again
      await this.release(lease, isAfterDeath).catch(() => {});
      throw err;
    }
    return lease;
  }

  private keep(key: string, token: number, isAfterDeath: boolean): OwnLease {
    const lease = new OwnLease(this, key, token, isAfterDeath);
    const before = this.own.get(key);
    if (before !== undefined) before.isHeld = false;
    this.own.set(key, lease);
    return lease;
  }

  private forget(lease: OwnLease): void {
    lease.isHeld = false;
    if (this.own.get(lease.key) === lease) this.own.delete(lease.key);
  }

  private fenceOne(life: NodeId): Promise<void> {
    let work = this.fencing.get(life);
    if (work === undefined) {
      work = this.doFence(life).finally(() => this.fencing.delete(life));
      this.fencing.set(life, work);
    }
    return work;
  }

  private async doFence(life: NodeId): Promise<void> {
    await this.options.fence(life);
    await runOnNodes(this.options.redis, fencedScript, life);
  }

  private doubt(): void {
    this.doubts++;
    this.isAnnounced = false;
    void this.announce();
  }

  private announce(): Promise<void> {
    this.announcing ??= this.tell().finally(() => {
      this.announcing = undefined;
    });
    return this.announcing;
  }

  private async tell(): Promise<void> {
    const { membership, grace, log, redis } = this.options;
    try {
      let doubts: number;
      do {
        doubts = this.doubts;
        await membership.refresh();
        const leases = [...this.own.values()];
        for (let i = 0; i === 0 || i < leases.length; i += PAGE) {
          const page = leases.slice(i, i + PAGE);
          const pairs = page.flatMap(({ key, token }) => [key, token]);
          const reply = await this.run(announceScript, grace, membership.nodes.size, ...membership.nodes, ...pairs);
          // with the next beat it will be a member again, or known to be dead
          if (reply === null || this.isOver) return;
          for (const [n, isOurs] of (reply as readonly number[]).entries()) if (isOurs === 0) this.lose(page[n]!);
        }
      } while (doubts !== this.doubts);
      this.isAnnounced = true;
      this.settle();
    } catch (err) {
      if (redis.isUp) log.debug({ err }, 'Redis could not be told what this node owns');
    }
  }

  private lose(lease: OwnLease): void {
    this.forget(lease);
    this.options.log.warn({ key: lease.key }, 'another node owns what this one has owned');
  }

  private settle(): void {
    for (const resolve of this.doubters.splice(0)) resolve();
  }

  private check(): void {
    if (this.isOver) throw new Error('this life of the node is over');
  }

  private run(which: Parameters<typeof runOnNodes>[1], ...args: readonly (string | number)[]): Promise<unknown> {
    return runOnNodes(this.options.redis, which, this.options.membership.self, ...args);
  }
}

class OwnLease implements Lease {
  readonly key: string;
  readonly token: number;
  readonly isAfterDeath: boolean;
  /** No other one has taken its place here. */
  isHeld = true;
  private readonly leases: RedisLeases;

  constructor(leases: RedisLeases, key: string, token: number, isAfterDeath: boolean) {
    this.leases = leases;
    this.key = key;
    this.token = token;
    this.isAfterDeath = isAfterDeath;
  }

  get isValid(): boolean {
    return this.leases.isGood(this);
  }

  confirm(): Promise<boolean> {
    return this.leases.confirm(this);
  }

  release(isUnfinished = false): MaybePromise<void> {
    return this.leases.release(this, isUnfinished);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
