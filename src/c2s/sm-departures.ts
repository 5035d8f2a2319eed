// Sessions that can be resumed go to other nodes: because their clients have come back there, or because this node stops.
import { randomBytes } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { LruCache } from '../base/lru.ts';
import type { Cluster, NodeId } from '../cluster/cluster.ts';
import type { Host } from '../core/host.ts';
import type { Router } from '../core/router.ts';
import type { Session, Sessions } from '../core/sessions.ts';
import { StorageUnavailable } from '../storage/errors.ts';
import { StreamError } from '../xmpp/errors.ts';
import {
  type FreezeAnswer,
  type HoldsAnswer,
  type Move,
  moveCalls,
  partOf,
  type TakeAnswer,
  type TakeRequest,
  type Wanted,
} from './sm-move.ts';
import type { ManagedSession } from './sm-session.ts';
import type { SessionState } from './sm-store.ts';

export interface DepartureParts {
  readonly cluster: Cluster;
  readonly sessions: Sessions;
  readonly router: Router;
  readonly clock: Clock;
  readonly log: Logger;
  find(id: string): ManagedSession | undefined;
  /** What was handled of a session of the account that is over; when that is certain. */
  handledOf(id: string, account: string): Promise<number | undefined>;
  /** Resolves when a session that is on its way here has come, or not. */
  arrival(id: string): Promise<unknown> | undefined;
  /** The connection of a session is gone. */
  lost(managed: ManagedSession): void;
  /** A session is managed here no more, and is not over. */
  release(managed: ManagedSession): void;
  /** A session is in good hands, or over, and need not be kept in the store. */
  forget(managed: ManagedSession): Promise<void>;
  giveBack(host: Host, state: SessionState): Promise<void>;
  end(managed: ManagedSession): void;
}

/** A session that waits to be taken. */
interface Leaving extends Move {
  readonly managed: ManagedSession;
  readonly to: NodeId;
  readonly release: () => void;
  readonly cancel: () => void;
}

/** A session that was taken, as long as it is not certain that it has arrived. */
interface Left extends Move {
  readonly managed: ManagedSession;
  readonly to: NodeId;
  readonly state: SessionState;
  /** Resolves when it is certain where the session is. */
  readonly settled: Promise<void>;
  readonly settle: () => void;
  /** The other node was given the last part. */
  isGiven: boolean;
  cancel: () => void;
}

/** What a session was that nobody took, although it was given away. */
export interface LeftBehind {
  readonly host: Host;
  readonly state: SessionState;
}

/** So long a session waits to be taken, in milliseconds; then it stays. */
const PATIENCE = 15_000;
/** After so long the other node is asked whether it has everything. */
const DOUBT = 30_000;
/** Between two attempts to have one back in the directory. */
const AGAIN = 1_000;
/** So many sessions go at the same time. */
const TOGETHER = 64;
/** So many nodes are asked to have a session. */
const NODES = 3;
/** Where so many sessions have gone is remembered, for who asks after them. */
const REMEMBERED = 10_000;

const nothing = (): void => {};

export class Departures {
  private readonly parts: DepartureParts;
  private readonly leaving = new Map<string, Leaving>();
  private readonly left = new Map<string, Left>();
  private readonly gone = new LruCache<string, NodeId>(REMEMBERED);
  /** None goes any more: resolves when what is here is in the store. */
  private closed: Promise<void> | undefined;
  private isStored: () => void = nothing;

  constructor(parts: DepartureParts) {
    this.parts = parts;
    const { cluster } = parts;
    cluster.answer(moveCalls.freeze, (body, from) => this.freeze(body as Wanted, from));
    cluster.answer(moveCalls.take, (body) => this.take(body as TakeRequest));
    cluster.answer(moveCalls.done, (body) => this.done(body as Move));
    cluster.answer(moveCalls.forsake, (body, from) => this.forsake(body as Wanted, from));
    cluster.onNode((node, isUp) => {
      if (!isUp) this.withoutNode(node);
    });
  }

  /**
   * Takes every session that can be resumed to one of the other nodes, whose connection ends as if the network had gone: its client
   * comes back, and goes on wherever it arrives. Returns how many have gone, and how many are here still after `deadline` milliseconds.
   * @param goesOn whether the node is to be rid of them still
   */
  async handOver(
    sessions: readonly ManagedSession[],
    deadline: number,
    goesOn: () => boolean,
  ): Promise<{ readonly moved: number; readonly left: number }> {
    const loads = await this.targets();
    let moved = 0;
    if (loads.length > 0) {
      let isLate = false;
      const rest = [...sessions].reverse();
      const work = async (): Promise<void> => {
        for (let managed = rest.pop(); managed !== undefined && !isLate && goesOn(); managed = rest.pop()) {
          if (await this.send(managed, loads)) moved++;
        }
      };
      let cancel = nothing;
      const late = new Promise<void>((resolve) => {
        cancel = this.parts.clock.after(deadline, () => {
          isLate = true;
          resolve();
        });
      });
      await Promise.race([late, Promise.all(Array.from({ length: TOGETHER }, work))]);
      cancel();
    }
    return { moved, left: sessions.length - moved };
  }

  private async send(managed: ManagedSession, loads: Load[]): Promise<boolean> {
    const { id, session, carrier } = managed;
    if (session.isOver) return false;
    if (carrier !== undefined) {
      managed.sendAck();
      await carrier.detach(undefined);
      this.parts.lost(managed);
    }
    const wanted: Wanted = { id: id ?? '', account: session.jid.bare };
    const asked = new Set<Load>();
    // (it may have gone with its client meanwhile, or be over)
    while (asked.size < NODES && !session.isOver) {
      const rest = loads.filter((load) => !load.isSilent && !asked.has(load));
      if (rest.length === 0) break;
      const load = rest.reduce((least, one) => (one.sessions < least.sessions ? one : least));
      asked.add(load);
      load.sessions++;
      try {
        if ((await this.parts.cluster.call(load.node, moveCalls.adopt, wanted)) === true) return true;
      } catch (error) {
        load.isSilent = true;
        this.parts.log.warn({ err: error, node: load.node }, 'a session could not be handed over');
      }
      load.sessions--;
    }
    return managed.hasLeft;
  }

  /** The nodes that sessions can go to, with how many they have. */
  private async targets(): Promise<Load[]> {
    const { cluster } = this.parts;
    if (cluster.nodes.size < 2) return [];
    const members = await cluster.members();
    return members
      .filter(({ node, isDraining }) => node !== cluster.self && !isDraining && cluster.nodes.has(node))
      .map(({ node, sessions }) => ({ node, sessions, isSilent: false }));
  }

  private async freeze({ id, account }: Wanted, from: NodeId): Promise<FreezeAnswer> {
    const { parts } = this;
    await parts.arrival(id);
    if (this.closed !== undefined) {
      await this.closed;
      return this.unknown(id, account);
    }
    const managed = parts.find(id);
    if (managed === undefined || managed.session.jid.bare !== account) return this.unknown(id, account);
    // a node that asks again has given up asking before
    const former = this.leaving.get(id);
    if (former?.to === from) this.letStay(former);
    const before = managed.resuming;
    let release = nothing;
    const turn = new Promise<void>((resolve) => {
      release = () => {
        if (managed.resuming === turn) managed.resuming = undefined;
        resolve();
      };
    });
    managed.resuming = turn;
    try {
      await before?.catch(nothing);
      if (parts.find(id) === managed) {
        await managed.carrier?.detach(new StreamError('conflict', 'the session goes on over another connection'));
        parts.lost(managed);
        await managed.inbound.idle();
      }
    } catch (error) {
      release();
      throw error;
    }
    const hasMissed = this.closed;
    if (hasMissed !== undefined || parts.find(id) !== managed || managed.session.isOver) {
      release();
      await hasMissed;
      return this.unknown(id, account);
    }
    const token = randomBytes(9).toString('base64url');
    const leaving: Leaving = {
      id,
      token,
      managed,
      to: from,
      release,
      cancel: parts.clock.after(PATIENCE, () => this.letStay(leaving)),
    };
    this.leaving.set(id, leaving);
    return { kind: 'frozen', token, handled: managed.inbound.h, session: managed.session.save() };
  }

  private async unknown(id: string, account: string): Promise<FreezeAnswer> {
    const h = await this.parts.handledOf(id, account);
    const at = this.gone.get(id);
    return { kind: 'unknown', ...(h === undefined ? {} : { h }), ...(at === undefined ? {} : { at }) };
  }

  private take({ id, token, from }: TakeRequest): TakeAnswer {
    const leaving = this.leaving.get(id);
    if (leaving?.token === token) this.depart(leaving);
    const left = this.left.get(id);
    if (left?.token === token) {
      const part = partOf(left.state.stream, from);
      left.isGiven ||= part.kind === 'part' && part.isLast;
      return part;
    }
    const managed = this.parts.find(id);
    if (managed === undefined) return { kind: 'over' };
    this.reclaim(managed.session);
    return { kind: 'stays' };
  }

  private depart(leaving: Leaving): void {
    const { id, token, managed, to } = leaving;
    const { session } = managed;
    const { sessions, router, clock } = this.parts;
    const state = { session: session.save(), stream: managed.save() };
    this.end(leaving);
    this.parts.release(managed);
    sessions.depart(session, to);
    const { jid, sid, available, priority, shared } = session;
    const there = { jid, sid, node: to, available, priority, shared };
    // whoever knows it still means the one that it has become
    session.outbox = { write: (stanza) => router.delivery.write(stanza, [there]), handled() {}, giveBack() {} };
    this.gone.set(id, to);
    let settle = nothing;
    const settled = new Promise<void>((resolve) => {
      settle = resolve;
    });
    const left: Left = { id, token, managed, to, state, settled, settle, isGiven: false, cancel: nothing };
    left.cancel = clock.after(DOUBT, () => this.verify(left));
    this.left.set(id, left);
    leaving.release();
  }

  /** It was not taken in time, or is wanted by nobody any more. */
  private letStay(leaving: Leaving): void {
    if (this.leaving.get(leaving.id) !== leaving) return;
    this.end(leaving);
    this.reclaim(leaving.managed.session);
    leaving.release();
  }

  /** This node was too slow to answer: the client was told that there is no such session. Unless it has come back to it somewhere since. */
  private forsake({ id, account }: Wanted, from: NodeId): void {
    const managed = this.parts.find(id);
    if (this.closed !== undefined || managed === undefined || managed.session.jid.bare !== account) return;
    const to = this.leaving.get(id)?.to ?? from;
    if (to === from && managed.carrier?.isOpen !== true) this.parts.end(managed);
  }

  /** A session is over, whoever waits for it. */
  over(id: string): void {
    const leaving = this.leaving.get(id);
    if (leaving === undefined) return;
    this.end(leaving);
    leaving.release();
  }

  private end({ id, cancel }: Leaving): void {
    cancel();
    this.leaving.delete(id);
  }

  /** The other node may have put it under its name. Where the directory does not answer that is said later, as long as it is here. */
  private reclaim(session: Session): void {
    const { sessions, clock, log } = this.parts;
    sessions.keep(session).catch((error: unknown) => {
      if (error instanceof StorageUnavailable) clock.after(AGAIN, () => this.reclaim(session));
      else log.error({ err: error }, 'a session could not be put back');
    });
  }

  private done({ id, token }: Move): void {
    const left = this.left.get(id);
    if (left?.token === token) this.settle(left);
  }

  private settle(left: Left): void {
    if (this.left.get(left.id) !== left) return;
    left.cancel();
    left.settle();
    this.left.delete(left.id);
    void this.parts.forget(left.managed);
  }

  /** The other node has not said that it has everything. */
  private verify(left: Left): void {
    const { cluster, clock } = this.parts;
    const { id, token, to } = left;
    const again = (): void => {
      if (this.left.get(id) === left) left.cancel = clock.after(DOUBT, () => this.verify(left));
    };
    if (!cluster.nodes.has(to)) this.giveBack(left);
    else {
      cluster.call(to, moveCalls.holds, { id, token } satisfies Move).then((answer) => {
        if ((answer as HoldsAnswer) === 'yes') this.settle(left);
        else if ((answer as HoldsAnswer) === 'no') this.giveBack(left);
        else again();
      }, again);
    }
  }

  private giveBack(left: Left): void {
    if (this.left.get(left.id) !== left) return;
    const { managed, state } = left;
    left.cancel();
    void this.parts
      .giveBack(managed.session.host, state)
      .catch((error: unknown) => this.parts.log.error({ err: error }, 'what waited for a session is lost'))
      .then(() => this.settle(left));
  }

  private withoutNode(node: NodeId): void {
    for (const leaving of [...this.leaving.values()]) if (leaving.to === node) this.letStay(leaving);
    for (const left of [...this.left.values()]) if (left.to === node) this.giveBack(left);
  }

  /**
   * None goes any more: what is here is about to be written down, until {@link stored} is called. Who asks for one meanwhile is
   * answered then, and finds it in the store.
   * @param deadline how long those that are being taken may take, in milliseconds
   * @returns those of which it is certain that nobody has them: what they were is to be written down, too
   */
  async close(deadline: number): Promise<readonly LeftBehind[]> {
    this.closed = new Promise((resolve) => {
      this.isStored = resolve;
    });
    for (const leaving of [...this.leaving.values()]) this.letStay(leaving);
    const lefts = [...this.left.values()];
    if (lefts.length > 0) {
      let cancel = nothing;
      const late = new Promise<void>((resolve) => {
        cancel = this.parts.clock.after(deadline, resolve);
      });
      await Promise.race([Promise.all(lefts.map(({ settled }) => settled)), late]);
      cancel();
    }
    const ours: LeftBehind[] = [];
    for (const { id, managed, state, isGiven, cancel } of [...this.left.values()]) {
      cancel();
      // whoever asks for the rest is told that there is nothing
      this.left.delete(id);
      if (!isGiven) ours.push({ host: managed.session.host, state });
    }
    return ours;
  }

  /** Everything is in the store. */
  stored(): void {
    this.isStored();
  }
}

interface Load {
  readonly node: NodeId;
  sessions: number;
  /** It did not answer. */
  isSilent: boolean;
}
