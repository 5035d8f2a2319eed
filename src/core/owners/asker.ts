// What this node asks of things of one kind, wherever they are. Requests for a thing that is not awake here go through its lane: sent to
// the node that is taken to be the owner, as they come, and answered in whatever order. Where one was turned away, since the thing is
// elsewhere, nothing more is sent before all that was sent has been answered; then what was turned away goes on, in its order, before
// what came after it.
import { LruCache } from '../../base/lru.ts';
import { isPromise, type MaybePromise } from '../../base/maybe.ts';
import { type NodeId, Unanswered } from '../../cluster/cluster.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { OwnersContext } from './context.ts';
import type { Keeper } from './keeper.ts';
import { errorOf, lost, type Reply, tooLate, tooMuch, unknown } from './reply.ts';
import { Lost } from './thing.ts';

/** A request as it goes over the wire. */
export interface Envelope {
  readonly kind: string;
  readonly key: string;
  readonly epoch: number;
  readonly number: number;
  readonly id?: string | undefined;
  /** The answer is of no interest. */
  readonly isMute?: boolean;
  readonly body: unknown;
}
export const askMethod = 'owners.ask';

interface Asked {
  readonly body: unknown;
  readonly id: string | undefined;
  readonly isMute: boolean;
  readonly since: number;
  /** Among those of its lane. */
  readonly order: number;
  resolve(answer: unknown): void;
  reject(error: Error): void;
}

interface Lane {
  readonly key: string;
  readonly outstanding: Set<Asked>;
  waiting: Asked[];
  returned: Asked[];
  target: NodeId | undefined;
  epoch: number;
  sent: number;
  ordered: number;
  /** Something was turned away; `hint`: who the owner is, as far as is known. */
  isHalted: boolean;
  hint: NodeId | undefined;
  /** How often, since something was done last. */
  turns: number;
}

const ROUTES = 20_000;
/** So often somebody is sent on at once, and after that with pauses that grow to a second. */
const QUICK_TURNS = 3;
const PAUSE_MIN = 20;
const PAUSE_MAX = 1000;

export class Asker {
  private readonly context: OwnersContext;
  private readonly keeper: Keeper;
  private readonly lanes = new Map<string, Lane>();
  /** Owners that are not where the ring has them, or are known to be there. */
  private readonly routes = new LruCache<string, NodeId>(ROUTES);
  private readonly number: () => number;

  /** @param number never gives the same number twice in a life of this process, and higher ones later */
  constructor(context: OwnersContext, keeper: Keeper, number: () => number) {
    this.context = context;
    this.keeper = keeper;
    this.number = number;
  }

  call(key: string, body: unknown, isMute: boolean): MaybePromise<unknown> {
    const thing = this.keeper.things.get(key);
    if (thing === undefined || !thing.isReady || (this.lanes.size > 0 && this.lanes.has(key))) {
      return this.enter(key, body, isMute, this.mint());
    }
    const id = this.mint();
    const answer = thing.direct(body, id);
    return isPromise(answer) ? this.secured(answer, key, body, isMute, id) : answer;
  }

  /** An owner that was lost over a request is followed by another one. */
  private async secured(
    answer: Promise<unknown>,
    key: string,
    body: unknown,
    isMute: boolean,
    id: string | undefined,
  ): Promise<unknown> {
    try {
      return await answer;
    } catch (error) {
      if (!(error instanceof Lost)) throw error;
      if (id === undefined) throw unknown();
      return this.enter(key, body, isMute, id);
    }
  }

  private mint(): string | undefined {
    return this.keeper.kind?.repeats ? `${this.context.cluster.self}/${this.number()}` : undefined;
  }

  private enter(key: string, body: unknown, isMute: boolean, id: string | undefined): Promise<unknown> {
    const { context } = this;
    const lane = this.lanes.get(key) ?? this.open(key);
    const size = lane.outstanding.size + lane.waiting.length + lane.returned.length;
    if (size >= context.limits.perKey || context.asked >= context.limits.perNode) {
      context.count(this.keeper.label, 'turnedAway');
      return Promise.reject(tooMuch());
    }
    context.asked++;
    return new Promise((resolve, reject) => {
      const asked = { body, id, isMute, since: context.clock.now(), order: ++lane.ordered, resolve, reject };
      if (lane.isHalted) lane.waiting.push(asked);
      else this.transmit(lane, asked);
    });
  }

  private open(key: string): Lane {
    const lane: Lane = {
      key,
      outstanding: new Set(),
      waiting: [],
      returned: [],
      target: undefined,
      epoch: 0,
      sent: 0,
      ordered: 0,
      isHalted: false,
      hint: undefined,
      turns: 0,
    };
    this.lanes.set(key, lane);
    return lane;
  }

  private transmit(lane: Lane, asked: Asked): void {
    const { cluster } = this.context;
    if (lane.outstanding.size === 0) {
      lane.epoch = this.number();
      lane.sent = 0;
      lane.target = this.targetOf(lane);
    }
    lane.outstanding.add(asked);
    const target = lane.target!;
    const number = ++lane.sent;
    const { body, id, isMute } = asked;
    if (target === cluster.self) {
      const place = { from: cluster.self, epoch: lane.epoch, number };
      const reply = this.keeper.take(lane.key, { body, id }, place);
      void Promise.resolve(reply).then((settled) => this.settle(lane, asked, target, settled));
      return;
    }
    const envelope: Envelope = {
      kind: this.keeper.name,
      key: lane.key,
      epoch: lane.epoch,
      number,
      ...(id !== undefined && { id }),
      ...(isMute && { isMute }),
      body,
    };
    cluster.call(target, askMethod, envelope).then(
      (reply) => this.settle(lane, asked, target, reply as Reply),
      (error: unknown) => {
        this.routes.delete(lane.key);
        // a node that does not know of such things leaves them to those that do
        const reply: Reply = error instanceof Unanswered ? { is: 'elsewhere', node: cluster.self } : lost;
        this.settle(lane, asked, target, reply);
      },
    );
  }

  /** That node is about to be no more: what it was asked it answers still, and nothing else. */
  leave(node: NodeId): void {
    for (const lane of this.lanes.values()) {
      if (lane.target === node && lane.outstanding.size > 0) this.halt(lane, undefined);
    }
  }

  private targetOf({ key, hint }: Lane): NodeId {
    const { cluster, leaving } = this.context;
    const isThere = (node: NodeId): boolean => cluster.nodes.has(node) && !leaving.has(node);
    if (hint !== undefined && isThere(hint)) return hint;
    if (this.keeper.things.has(key)) return cluster.self;
    const route = this.routes.get(key);
    if (route !== undefined && isThere(route)) return route;
    const owner = cluster.owner(this.keeper.fullOf(key));
    return isThere(owner) ? owner : cluster.self;
  }

  /** This node is about to be no more: whoever waits for an answer still will not have it. */
  giveUp(): void {
    for (const lane of [...this.lanes.values()]) {
      const undone = [...lane.returned, ...lane.waiting];
      const open = [...lane.outstanding];
      this.lanes.delete(lane.key);
      lane.outstanding.clear();
      lane.returned = [];
      lane.waiting = [];
      for (const asked of open) this.done(asked).reject(unknown());
      for (const asked of undone) this.done(asked).reject(tooLate());
    }
  }

  private settle(lane: Lane, asked: Asked, target: NodeId, reply: Reply): void {
    if (!lane.outstanding.delete(asked)) return;
    switch (reply.is) {
      case 'done':
        this.arrived(lane, target);
        this.done(asked).resolve(reply.answer);
        break;
      case 'refused':
        this.arrived(lane, target);
        this.done(asked).reject(errorOf(reply.error));
        break;
      case 'elsewhere':
        this.halt(lane, reply.node);
        lane.returned.push(asked);
        break;
      default:
        this.halt(lane, undefined);
        if (asked.id === undefined) this.done(asked).reject(unknown());
        else lane.returned.push(asked);
    }
    if (lane.outstanding.size > 0) return;
    if (lane.isHalted) this.resume(lane);
    else if (lane.waiting.length === 0) this.lanes.delete(lane.key);
  }

  private arrived(lane: Lane, target: NodeId): void {
    lane.turns = 0;
    if (!lane.isHalted && target !== this.context.cluster.self) this.routes.set(lane.key, target);
  }

  private halt(lane: Lane, hint: NodeId | undefined): void {
    if (!lane.isHalted) {
      lane.isHalted = true;
      lane.hint = undefined;
      lane.turns++;
      this.routes.delete(lane.key);
    }
    lane.hint = hint ?? lane.hint;
  }

  /** All that was sent has been answered: goes on with what was turned away. */
  private resume(lane: Lane): void {
    const { turns } = lane;
    const pause = Math.min(PAUSE_MIN * 2 ** (turns - QUICK_TURNS), PAUSE_MAX);
    if (turns <= QUICK_TURNS) this.proceed(lane);
    // (by the real clock: the pause spares the other nodes)
    else setTimeout(() => this.proceed(lane), pause).unref();
  }

  private proceed(lane: Lane): void {
    const { context, keeper } = this;
    const next = [...lane.returned.sort((a, b) => a.order - b.order), ...lane.waiting];
    lane.returned = [];
    lane.waiting = [];
    lane.isHalted = false;
    const now = context.clock.now();
    for (const [i, asked] of next.entries()) {
      if (now - asked.since > context.limits.patience) this.done(asked).reject(tooLate());
      else if (keeper.kind === undefined) this.done(asked).reject(new StanzaError('service-unavailable'));
      else if (lane.isHalted) {
        lane.waiting.push(...next.slice(i));
        break;
      } else this.transmit(lane, asked);
    }
    lane.hint = undefined;
    if (lane.outstanding.size === 0 && lane.waiting.length === 0) this.lanes.delete(lane.key);
  }

  private done(asked: Asked): Asked {
    this.context.asked--;
    return asked;
  }
}

/** What an owner answers to a request that came over the wire. */
export function answerOf(reply: MaybePromise<Reply>, isMute: boolean | undefined): MaybePromise<Reply> {
  if (!isMute) return reply;
  const mute = (settled: Reply): Reply => (settled.is === 'done' ? { is: 'done' } : settled);
  return isPromise(reply) ? reply.then(mute) : mute(reply);
}
