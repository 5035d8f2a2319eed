// One thing on the node that owns it: claimed, brought to life, asked, and frozen, moved or let go. It acts only while its lease is
// valid; while that is in doubt requests wait, and when it is lost it is dropped without a word.
import { isPromise, type MaybePromise } from '../../base/maybe.ts';
import type { Lease, NodeId } from '../../cluster/cluster.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { OwnersContext } from './context.ts';
import type { AnyKind } from './kind.ts';
import { elsewhere, lost, type Reply, refusalOf, refused, tooLate, tooMuch } from './reply.ts';

export interface Request {
  readonly body: unknown;
  readonly id: string | undefined;
}

interface Waiting extends Request {
  settle(reply: Reply): void;
}

/** What a node asks of a thing, in order. */
interface Flow {
  readonly epoch: number;
  next: number;
}

export interface ThingParts {
  readonly context: OwnersContext;
  /** Its name among things of all kinds, of its kind in metrics, and among those of its kind. */
  readonly full: string;
  readonly label: string;
  readonly key: string;
  readonly kind: AnyKind;
  /** It is not here any more. */
  readonly onEnd: (thing: Thing) => void;
}

/** The lease was lost over a request: nobody knows whether it was done. */
export class Lost extends Error {}

const RETRY_MS = 250;
const nothing = (): void => {};

export class Thing {
  readonly key: string;
  readonly full: string;
  private readonly context: OwnersContext;
  private readonly label: string;
  private readonly onEnd: (thing: Thing) => void;
  private kind: AnyKind;
  private lease: Lease | undefined;
  private value: unknown;
  private state: 'waking' | 'awake' | 'doubtful' | 'leaving' | 'over' = 'waking';
  private readonly queue: Waiting[] = [];
  private readonly flows = new Map<NodeId, Flow>();
  private running = 0;
  private watchers: (() => void)[] = [];
  private usedAt: number;

  constructor({ context, full, label, key, kind, onEnd }: ThingParts) {
    this.context = context;
    this.full = full;
    this.label = label;
    this.key = key;
    this.kind = kind;
    this.onEnd = onEnd;
    this.usedAt = context.clock.now();
  }

  /** It can be asked now, before anybody else. */
  get isReady(): boolean {
    return this.state === 'awake' && this.queue.length === 0 && this.lease!.isValid;
  }

  /** Finds out whether it is owned here still, though nobody asks for it. */
  look(): void {
    if (this.state === 'awake' && this.queue.length === 0 && !this.lease!.isValid) this.doubt();
  }

  /** It may be let go. */
  isIdle(now: number): boolean {
    const { idleAfter = Number.POSITIVE_INFINITY } = this.kind;
    const isUnused = this.isReady && this.running === 0 && now - this.usedAt >= idleAfter;
    return isUnused && (this.kind.isIdle?.(this.value) ?? true);
  }

  /**
   * Whether a request is the next one of those that its node has sent in this order: where one was turned away, those behind it must
   * not overtake it.
   */
  admits(from: NodeId, epoch: number, number: number): boolean {
    const flow = this.flows.get(from);
    if (number === 1 && (flow === undefined || flow.epoch < epoch)) {
      this.flows.set(from, { epoch, next: 2 });
      return true;
    }
    if (flow?.epoch !== epoch || flow.next !== number) return false;
    flow.next++;
    return true;
  }

  /** Asks it, when it is ready. @throws whatever it throws; Lost (as a rejection) where it was not the owner any more at the end */
  direct(body: unknown, id: string | undefined): MaybePromise<unknown> {
    this.usedAt = this.context.clock.now();
    const result = this.kind.handle(this.value, body, id) as MaybePromise<unknown>;
    return isPromise(result) ? this.watch(result) : result;
  }

  /** Asks it when it can be asked, in order. */
  take(request: Request): MaybePromise<Reply> {
    if (this.isReady) return this.run(request);
    if (this.state === 'awake' && this.queue.length === 0) this.doubt();
    const { context } = this;
    if (this.queue.length >= context.limits.perKey || context.queued >= context.limits.perNode) {
      context.count(this.label, 'turnedAway');
      return refused(tooMuch());
    }
    return new Promise((resolve) => {
      const waiting: Waiting = {
        ...request,
        settle: (reply) => {
          context.queued--;
          cancel();
          resolve(reply);
        },
      };
      const cancel = context.clock.after(context.limits.wait, () => {
        this.queue.splice(this.queue.indexOf(waiting), 1);
        waiting.settle(refused(tooLate()));
      });
      context.queued++;
      this.queue.push(waiting);
    });
  }

  /** Claims it and brings it to life. */
  async wake(): Promise<void> {
    const got = await this.claim();
    if (got === undefined) return;
    if ('holder' in got) this.end({ is: 'elsewhere', node: got.holder });
    else await this.live(got, undefined);
  }

  /** Takes it over from a node that hands it over; resolves to whether it lives here. */
  async receive(from: NodeId, token: number, handed: unknown): Promise<boolean> {
    const lease = await Promise.resolve(this.context.cluster.leases.take(this.full, from, token)).catch(
      () => undefined,
    );
    if (lease !== undefined) return this.live(lease, handed);
    this.end({ is: 'elsewhere', node: from });
    return false;
  }

  /** Gives it to another node; resolves to whether it is gone from here. */
  async move(to: NodeId): Promise<boolean> {
    const frozen = await this.freeze(true);
    if (frozen === undefined) return this.isOver;
    const { context, key } = this;
    const { token } = this.lease!;
    const fate = await context.carrier.carry(to, { kind: this.kindName, key, token, handed: frozen.handed });
    if (this.isOver) return true;
    if (fate === 'taken') {
      context.count(this.label, 'moved');
      this.end({ is: 'elsewhere', node: to });
      return true;
    }
    // under another token: the other node may hear of it still, and must not take it then
    const got = await this.claim();
    if (got === undefined) return true;
    if ('token' in got) return !(await this.live(got, frozen.handed));
    this.end({ is: 'elsewhere', node: got.holder });
    return true;
  }

  /** Lets it go: it is brought to life again where it is asked next. */
  async letGo(): Promise<void> {
    if (this.context.isClosed && this.state !== 'leaving' && this.lease?.isValid !== true) {
      // nobody waits for Redis at the end; what is claimed all the same is given up at once
      if (this.lease === undefined) this.end(elsewhere);
      else this.lose();
      return;
    }
    if ((await this.freeze(false)) === undefined) return;
    await this.giveUp(false);
    this.end(elsewhere);
  }

  /** It is to be made anew by another definition of its kind. */
  async refit(kind: AnyKind): Promise<void> {
    const frozen = await this.freeze(false);
    if (frozen === undefined) return;
    this.kind = kind;
    await this.live(this.lease!, frozen.handed);
  }

  /** Another one owns it now. */
  lose(): void {
    if (this.isOver) return;
    this.context.count(this.label, 'lost');
    const { value } = this;
    const wasAlive = value !== undefined;
    this.end(elsewhere);
    try {
      if (wasAlive) this.kind.drop?.(value);
    } catch (err) {
      this.context.log.error({ err, key: this.key }, 'what is owned elsewhere could not be dropped');
    }
  }

  private get isOver(): boolean {
    return this.state === 'over';
  }

  private get kindName(): string {
    return this.full.slice(0, this.full.indexOf(' '));
  }

  private run({ body, id }: Request): MaybePromise<Reply> {
    try {
      const result = this.direct(body, id);
      if (!isPromise(result)) return { is: 'done', answer: result };
      return result.then(
        (answer): Reply => ({ is: 'done', answer }),
        (error: unknown) => this.failed(error),
      );
    } catch (error) {
      return this.failed(error);
    }
  }

  private async watch(result: Promise<unknown>): Promise<unknown> {
    const lease = this.lease!;
    this.running++;
    try {
      const [settled] = await Promise.allSettled([result]);
      if (!lease.isValid && !(await lease.confirm())) throw new Lost();
      if (settled.status === 'rejected') throw settled.reason;
      return settled.value;
    } finally {
      this.running--;
      this.notify();
    }
  }

  private failed(error: unknown): Reply {
    if (error instanceof Lost) return lost;
    return refused(refusalOf(error) ?? this.fault(error));
  }

  private fault(err: unknown): StanzaError {
    this.context.log.error({ err, kind: this.label, key: this.key }, 'what has one owner failed');
    return new StanzaError('internal-server-error');
  }

  /**
   * One after another: a thing that is over may be about to be given what its successor here claims, and would take it away from that one.
   */
  private async claim(): Promise<Lease | { readonly holder: NodeId } | undefined> {
    const { claims } = this.context;
    const before = claims.get(this.full);
    const work = before === undefined ? this.tryClaiming() : before.then(() => this.tryClaiming());
    const settled = work.then(nothing, nothing);
    claims.set(this.full, settled);
    try {
      return await work;
    } finally {
      if (claims.get(this.full) === settled) claims.delete(this.full);
    }
  }

  /** Tries for as long as somebody waits for it. */
  private async tryClaiming(): Promise<Lease | { readonly holder: NodeId } | undefined> {
    if (this.isOver) return undefined;
    const { cluster, clock, log, limits } = this.context;
    for (const since = clock.now(); ; ) {
      try {
        const got = await cluster.leases.claim(this.full);
        if (!this.isOver) return got;
        if ('token' in got) await got.release(got.isAfterDeath);
        return undefined;
      } catch (err) {
        log.debug({ err, key: this.key }, 'nobody can tell who owns it');
        if (this.isOver) return undefined;
        if (clock.now() - since > limits.wait || this.context.isClosed) {
          this.end(refused(tooLate()));
          return undefined;
        }
        await new Promise<void>((resolve) => void clock.after(RETRY_MS, resolve));
      }
    }
  }

  private async live(lease: Lease, handed: unknown): Promise<boolean> {
    this.state = 'waking';
    this.lease = lease;
    this.value = undefined;
    try {
      const value: unknown = await this.kind.thaw(this.key, lease, handed);
      if (this.isOver) {
        this.kind.drop?.(value);
        return false;
      }
      this.value = value;
    } catch (error) {
      const refusal = refusalOf(error) ?? this.fault(error);
      await this.giveUp(lease.isAfterDeath && handed === undefined);
      this.end(refused(refusal));
      return false;
    }
    this.context.count(this.label, lease.isAfterDeath && handed === undefined ? 'rebuilt' : 'thawed');
    this.state = 'awake';
    this.notify();
    this.flush();
    return true;
  }

  /**
   * Undefined where that cannot be done, and the thing goes on or is over. What is not optional takes as long as it takes: nobody else
   * may have the thing while something is under way that may write.
   */
  private async freeze(isOptional: boolean): Promise<{ readonly handed: unknown } | undefined> {
    const { limits, log } = this.context;
    const patience = isOptional ? limits.quiet : undefined;
    if (this.state !== 'awake') await this.until(() => this.state === 'awake' || this.isOver, patience);
    if (this.state !== 'awake') return undefined;
    this.state = 'leaving';
    const isQuiet = await this.until(() => this.running === 0 || this.isOver, patience);
    if (this.isOver) return undefined;
    if (!isQuiet) {
      log.warn({ key: this.key }, 'it does not come to rest, and does not move');
      this.state = 'awake';
      this.notify();
      this.flush();
      return undefined;
    }
    if (!this.lease!.isValid && !(await this.lease!.confirm())) {
      this.lose();
      return undefined;
    }
    try {
      const handed: unknown = await this.kind.freeze(this.value);
      return this.isOver ? undefined : { handed };
    } catch (err) {
      log.error({ err, key: this.key }, 'it could not be frozen; it is brought to life from what is stored');
      await this.giveUp(true);
      this.end(elsewhere);
      return undefined;
    }
  }

  private doubt(): void {
    this.state = 'doubtful';
    void this.lease!.confirm().then((isOurs) => {
      if (this.state !== 'doubtful') return;
      if (!isOurs) return this.lose();
      this.state = 'awake';
      this.notify();
      this.flush();
    });
  }

  private flush(): void {
    while (this.state === 'awake' && this.queue.length > 0) {
      if (!this.lease!.isValid) {
        this.doubt();
        return;
      }
      const waiting = this.queue.shift()!;
      const reply = this.run(waiting);
      if (isPromise(reply)) void reply.then((settled) => waiting.settle(settled));
      else waiting.settle(reply);
    }
  }

  private end(reply: Reply): void {
    if (this.isOver) return;
    this.state = 'over';
    this.onEnd(this);
    for (const waiting of this.queue.splice(0)) waiting.settle(reply);
    this.notify();
  }

  private async giveUp(isUnfinished: boolean): Promise<void> {
    try {
      await this.lease?.release(isUnfinished);
    } catch (err) {
      this.context.log.debug({ err, key: this.key }, 'it is owned here still, and may be claimed here again');
    }
  }

  /** Resolves to whether it holds, at the latest after so many milliseconds. */
  private until(holds: () => boolean, ms = Number.POSITIVE_INFINITY): Promise<boolean> {
    if (holds()) return Promise.resolve(true);
    return new Promise((resolve) => {
      const look = (): void => {
        if (!holds()) return;
        cancel();
        this.watchers = this.watchers.filter((one) => one !== look);
        resolve(true);
      };
      const giveUp = (): void => {
        this.watchers = this.watchers.filter((one) => one !== look);
        resolve(false);
      };
      const cancel = Number.isFinite(ms) ? this.context.clock.after(ms, giveUp) : () => {};
      this.watchers.push(look);
    });
  }

  private notify(): void {
    for (const look of this.watchers) look();
  }
}
