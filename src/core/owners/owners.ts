// Things that have one owner in the whole cluster. Each lives on the node that was asked for it first (by rendezvous hashing, so that all
// ask the same one), under a lease; it moves when its node drains or stops, and when another node should have it; it is made anew from the
// stores when its node has died. Knows nothing of XMPP beyond its errors.
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { MaybePromise } from '../../base/maybe.ts';
import type { Cluster, NodeId } from '../../cluster/cluster.ts';
import { counter, type Metrics } from '../metrics.ts';
import { Asker, answerOf, askMethod, type Envelope } from './asker.ts';
import { defaultLimits, type Event, type OwnerLimits, type OwnersContext } from './context.ts';
import { Keeper } from './keeper.ts';
import type { Kind, Owned } from './kind.ts';
import { elsewhere, type Reply } from './reply.ts';
import type { Thing } from './thing.ts';
import { Travel } from './travel.ts';

export interface OwnersParts {
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly limits?: Partial<OwnerLimits>;
}

/** How things stand on this node. */
export interface OwnerFigures extends Readonly<Record<Event, number>> {
  /** How many it owns, by kind. */
  readonly owned: Readonly<Record<string, number>>;
  readonly queued: number;
}

const measures = {
  thawed: counter('Things with one owner that were brought to life, or came from another node'),
  rebuilt: counter('Things with one owner that were made from what is stored, since their owner had died'),
  moved: counter('Things with one owner that went to another node'),
  lost: counter('Things with one owner that were dropped, since another node owns them'),
  turnedAway: counter('Requests to things with one owner that were refused since too many wait'),
};

/** So many things move at once when a node drains. */
const CONCURRENT = 8;
const FAREWELL = 'owners.farewell';
const TICK = 1000;
/** Between two attempts to bring to life what a dead node has left, in milliseconds. */
const REBUILD_AGAIN = 5000;
/** So many things are looked at in one turn, for one that should be elsewhere. */
const LOOKED_AT = 200;

export class Owners {
  private readonly parts: OwnersParts;
  private readonly context: OwnersContext;
  private readonly kinds = new Map<string, { readonly keeper: Keeper; readonly asker: Asker }>();
  private readonly totals: Record<Event, number> = { thawed: 0, rebuilt: 0, moved: 0, lost: 0, turnedAway: 0 };
  private readonly stops: (() => void)[];
  private lastNumber = 0;
  private changedAt: number;
  private movedAt = 0;
  private round: Iterator<Thing> | undefined;
  private isTicking = false;
  private rebuilding: Promise<void> | undefined;

  constructor(parts: OwnersParts) {
    this.parts = parts;
    const { cluster, clock, log, metrics } = parts;
    const limits = { ...defaultLimits, ...parts.limits };
    const receive = async (
      { kind, key, token, handed }: { kind: string; key: string; token: number; handed: unknown },
      from: NodeId,
    ): Promise<boolean> => {
      const lives = (await this.kinds.get(kind)?.keeper.receive(key, from, token, handed)) ?? false;
      this.schedule();
      return lives;
    };
    this.context = {
      cluster,
      clock,
      log,
      limits,
      carrier: new Travel({ cluster, clock, log, limits, receive }),
      queued: 0,
      asked: 0,
      claims: new Map(),
      leaving: new Set(),
      isDraining: false,
      isClosed: false,
      count: (kind, event) => {
        this.totals[event]++;
        metrics.open('owners', measures, { kind })[event].inc();
      },
    };
    this.changedAt = clock.now();
    metrics.observe('owned', 'Things that this node owns', ['kind'], (gauge) => {
      for (const [kind, count] of Object.entries(this.figures().owned)) gauge.set({ kind }, count);
    });
    metrics.observe('owners_queued', 'Requests that wait for things with one owner', [], (gauge) =>
      gauge.set(this.context.queued),
    );
    this.stops = [
      cluster.answer(askMethod, (body, from) => this.asked(body as Envelope, from)),
      cluster.answer(FAREWELL, (_body, from) => {
        this.context.leaving.add(from);
        for (const { asker } of this.kinds.values()) asker.leave(from);
      }),
      cluster.onNode((node, isUp) => {
        this.context.leaving.delete(node);
        this.noticed(isUp);
      }),
      cluster.onExpelled(() => {
        for (const thing of [...this.things()]) thing.lose();
      }),
    ];
  }

  /**
   * Declares a kind. Where it is declared already, as by a module that is about to be replaced, its things are made anew by this
   * definition; and by the one before when this one is withdrawn.
   * @param kind unique on a host
   */
  declare<T, Q, A>(host: string, kind: string, definition: Kind<T, Q, A>): Owned<Q, A> & { withdraw(): Promise<void> } {
    const name = `${host}/${kind}`;
    let found = this.kinds.get(name);
    if (found === undefined) {
      const keeper = new Keeper(name, kind, this.context);
      found = { keeper, asker: new Asker(this.context, keeper, () => ++this.lastNumber) };
      this.kinds.set(name, found);
    }
    const { keeper, asker } = found;
    keeper
      .declare(definition)
      .catch((err: unknown) => this.parts.log.error({ err, name }, 'a kind could not be replaced'));
    return {
      call: (key, body) => this.ask(asker, key, body, false) as MaybePromise<A>,
      send: (key, body) => this.ask(asker, key, body, true) as MaybePromise<void>,
      isHere: (key) => keeper.things.get(key)?.isReady ?? false,
      withdraw: () => keeper.withdraw(definition),
    };
  }

  figures(): OwnerFigures {
    const owned: Record<string, number> = {};
    for (const { keeper } of this.kinds.values()) owned[keeper.label] = (owned[keeper.label] ?? 0) + keeper.things.size;
    return { owned, queued: this.context.queued, ...this.totals };
  }

  /**
   * Gives all that it owns to other nodes, and takes nothing new as long as there are others; for so many milliseconds at most. What is
   * on its way then, or does not come to rest, is not waited for.
   */
  async drain(deadline: number): Promise<void> {
    const { context } = this;
    context.isDraining = true;
    let isLate = false;
    let cancel = (): void => {};
    const late = new Promise<void>((resolve) => {
      cancel = context.clock.after(deadline, () => {
        isLate = true;
        resolve();
      });
    });
    await Promise.race([this.moveAll(() => context.isDraining && !isLate), late]);
    cancel();
  }

  private async moveAll(goesOn: () => boolean): Promise<void> {
    const { cluster } = this.context;
    const tried = new Set<Thing>();
    const next = (): Thing | undefined => {
      if (!goesOn()) return undefined;
      for (const thing of this.things()) {
        if (tried.has(thing) || cluster.owner(thing.full) === cluster.self) continue;
        tried.add(thing);
        return thing;
      }
      return undefined;
    };
    // one that could not move may where another node is asked
    for (let attempt = 0; attempt < 3; attempt++) {
      tried.clear();
      const workers = Array.from({ length: CONCURRENT }, async () => {
        for (let thing = next(); thing !== undefined; thing = next()) await thing.move(cluster.owner(thing.full));
      });
      await Promise.all(workers);
    }
  }

  /** Undoes {@link drain}. */
  serveAgain(): void {
    this.context.isDraining = false;
  }

  /**
   * Lets go of all that it owns, for so many milliseconds at most: what does not come to rest stays this life's, and its next owner
   * will see to it that this one cannot write any more. What other nodes were asked they may answer until then: who has no answer after that
   * is told that nobody knows what was done. Others can be asked still.
   */
  async stop(deadline: number): Promise<void> {
    this.context.isClosed = true;
    let cancel: () => void = () => {};
    const late = new Promise<void>((resolve) => {
      cancel = this.context.clock.after(deadline, resolve);
    });
    const over = Promise.all([...this.things()].map((thing) => thing.letGo())).then(() => this.sayFarewell());
    await Promise.race([over, late]);
    cancel();
    for (const stop of this.stops) stop();
    for (const { asker } of this.kinds.values()) asker.giveUp();
    const left = [...this.things()].length;
    if (left > 0) this.parts.log.error({ left }, 'things that this node owns could not be let go');
  }

  /**
   * What other nodes have asked by the first word comes before its answer, and they ask nothing more; the answers to that are with them when
   * they answer the second one. So nobody is left with a question to a node that is gone.
   */
  private async sayFarewell(): Promise<void> {
    const { cluster } = this.context;
    const others = [...cluster.nodes].filter((node) => node !== cluster.self);
    for (let word = 1; word <= 2; word++) {
      await Promise.all(others.map((node) => cluster.call(node, FAREWELL, word).catch(() => {})));
    }
  }

  private ask(asker: Asker, key: string, body: unknown, isMute: boolean): MaybePromise<unknown> {
    this.schedule();
    return asker.call(key, body, isMute);
  }

  private asked({ kind, key, epoch, number, id, isMute, body }: Envelope, from: NodeId): MaybePromise<Reply> {
    const found = this.kinds.get(kind);
    // whoever asks has that kind
    if (found?.keeper.kind === undefined) return this.context.isClosed ? elsewhere : { is: 'elsewhere', node: from };
    this.schedule();
    return answerOf(found.keeper.take(key, { body, id }, { from, epoch, number }), isMute);
  }

  private *things(): Generator<Thing> {
    for (const { keeper } of this.kinds.values()) yield* keeper.things.values();
  }

  private noticed(isUp: boolean): void {
    this.changedAt = this.context.clock.now();
    if (!isUp) void this.rebuild();
  }

  /** What dead nodes have left, as far as this node should have it. */
  private rebuild(): Promise<void> {
    this.rebuilding ??= this.rebuildAll().finally(() => {
      this.rebuilding = undefined;
    });
    return this.rebuilding;
  }

  private async rebuildAll(): Promise<void> {
    const { cluster, clock, log } = this.context;
    const isEager = (): boolean => [...this.kinds.values()].some(({ keeper }) => keeper.kind?.rebuild === 'eager');
    while (isEager() && !this.context.isClosed && !this.context.isDraining) {
      let isLeft = true;
      try {
        const left = (await cluster.leases.orphans()).filter((full) => this.isOursToRebuild(full));
        isLeft = left.length > 0;
        for (const full of left) {
          const { name, key } = partsOf(full);
          await this.kinds.get(name)?.keeper.wake(key);
          this.schedule();
        }
      } catch (err) {
        log.debug({ err }, 'it cannot be told what dead nodes have left');
      }
      if (!isLeft) return;
      // until nothing is left, for what has failed may not fail again
      await new Promise<void>((resolve) => void clock.after(REBUILD_AGAIN, resolve));
    }
  }

  private isOursToRebuild(full: string): boolean {
    const keeper = this.kinds.get(partsOf(full).name)?.keeper;
    return keeper?.kind?.rebuild === 'eager' && this.context.cluster.owner(full) === this.context.cluster.self;
  }

  /** A timer runs only while something is owned. */
  private schedule(): void {
    if (this.isTicking || this.context.isClosed) return;
    this.isTicking = true;
    this.context.clock.after(TICK, () => {
      this.isTicking = false;
      if (this.things().next().done) return;
      this.tick();
      this.schedule();
    });
  }

  private tick(): void {
    const { clock, isDraining, limits, cluster } = this.context;
    const now = clock.now();
    for (const thing of [...this.things()]) {
      thing.look();
      if (thing.isIdle(now)) void thing.letGo();
    }
    const isCalm = now - this.changedAt >= limits.settled && now - this.movedAt >= limits.pace;
    if (!isDraining && isCalm && cluster.nodes.size > 1) this.balance(now);
  }

  /** One thing at a time goes to where it belongs by the ring: a node that comes gets its share little by little. */
  private balance(now: number): void {
    const { cluster } = this.context;
    for (let i = 0; i < LOOKED_AT; i++) {
      this.round ??= this.things();
      const { value: thing, done } = this.round.next();
      if (done) {
        this.round = undefined;
        return;
      }
      const owner = cluster.owner(thing.full);
      if (owner === cluster.self || !thing.isReady) continue;
      this.movedAt = now;
      void thing.move(owner);
      return;
    }
  }
}

function partsOf(full: string): { readonly name: string; readonly key: string } {
  const blank = full.indexOf(' ');
  return { name: full.slice(0, blank), key: full.slice(blank + 1) };
}
