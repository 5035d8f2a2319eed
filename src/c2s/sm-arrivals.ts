// Sessions that can be resumed come from other nodes: because their clients have come back here, or because their nodes stop.
import type { Logger } from '../base/log.ts';
import { LruCache } from '../base/lru.ts';
import { CallTimeout, type Cluster, type NodeId } from '../cluster/cluster.ts';
import type { Host } from '../core/host.ts';
import { nodeIn } from '../core/moves.ts';
import type { Router } from '../core/router.ts';
import type { Session, Sessions } from '../core/sessions.ts';
import { type BareJid, Jid } from '../xmpp/jid.ts';
import { HeldStanzas } from './held-stanzas.ts';
import {
  type FreezeAnswer,
  type HoldsAnswer,
  type Move,
  moveCalls,
  type TakeAnswer,
  type TakeRequest,
  type Wanted,
} from './sm-move.ts';
import type { ManagedSession, SavedStream } from './sm-session.ts';
import type { SessionState } from './sm-store.ts';

export interface ArrivalParts {
  readonly cluster: Cluster;
  readonly hosts: ReadonlyMap<string, Host>;
  readonly sessions: Sessions;
  readonly router: Router;
  readonly log: Logger;
  /** Whether this node is a good place for sessions whose own node wants to be rid of them. */
  readonly mayAdopt: () => boolean;
  find(id: string): ManagedSession | undefined;
  /** A session goes on here. */
  admit(session: Session, stream: SavedStream): ManagedSession;
  giveBack(host: Host, state: SessionState): Promise<void>;
}

/** What became of the wish to have a session here; `h` is what was handled of one that is over, where that is known. */
export interface Brought {
  readonly managed?: ManagedSession;
  readonly h?: number;
}

/** How often a node is asked for the same. */
const ATTEMPTS = 3;
/** So many moves are remembered, for the nodes that sessions came from. */
const REMEMBERED = 32_768;

export class Arrivals {
  private readonly parts: ArrivalParts;
  /** By SM-ID. */
  private readonly underWay = new Map<string, Promise<Brought>>();
  /** Tokens of moves that are complete. */
  private readonly complete = new LruCache<string, true>(REMEMBERED);
  private isClosed = false;

  constructor(parts: ArrivalParts) {
    this.parts = parts;
    const { cluster } = parts;
    cluster.answer(moveCalls.adopt, async (body, from) => {
      const { id, account } = body as Wanted;
      if (!parts.mayAdopt()) return false;
      return (await this.bring(id, account as BareJid, from)).managed !== undefined;
    });
    cluster.answer(moveCalls.holds, (body) => this.holds(body as Move));
  }

  /** A session that is on its way here. */
  of(id: string): Promise<Brought> | undefined {
    return this.underWay.get(id);
  }

  /**
   * Brings a session of the account here, if another node has it.
   * @param from the node that is known to have it
   */
  async bring(id: string, account: BareJid, from?: NodeId): Promise<Brought> {
    const before = this.underWay.get(id);
    if (before !== undefined) return before;
    // where it could not go on it is not asked for: its node would hold it up for nothing
    if (this.isClosed || !this.parts.hosts.has(Jid.parse(account)?.domain ?? '')) return {};
    const work = this.search(id, account, from);
    this.underWay.set(id, work);
    try {
      return await work;
    } finally {
      this.underWay.delete(id);
    }
  }

  /** None comes any more; resolves when those that are on their way have come, or not. */
  async close(): Promise<void> {
    this.isClosed = true;
    await Promise.allSettled(this.underWay.values());
  }

  private async search(id: string, account: BareJid, from: NodeId | undefined): Promise<Brought> {
    const { cluster, log } = this.parts;
    const places = from === undefined ? await this.placesOf(id, account) : [from];
    const asked = new Set([cluster.self]);
    const silent: NodeId[] = [];
    let h: number | undefined;
    for (let node = places.shift(); node !== undefined; node = places.shift()) {
      if (asked.has(node) || !cluster.nodes.has(node)) continue;
      asked.add(node);
      try {
        const answer = (await cluster.call(node, moveCalls.freeze, { id, account } satisfies Wanted)) as FreezeAnswer;
        if (answer.kind === 'frozen') return await this.fetch(node, { id, token: answer.token }, account, answer);
        h ??= answer.h;
        if (answer.at !== undefined) places.unshift(answer.at);
      } catch (error) {
        log.warn({ err: error, node }, 'a session could not be brought here');
        if (error instanceof CallTimeout) silent.push(node);
      }
    }
    if (from === undefined) this.forsake(silent, { id, account });
    return h === undefined ? {} : { h };
  }

  /** Its client is told that there is no such session, and begins another: what waits for it is for that one, not to be lost with its node. */
  private forsake(silent: readonly NodeId[], wanted: Wanted): void {
    const { cluster } = this.parts;
    for (const node of silent)
      if (cluster.nodes.has(node)) cluster.call(node, moveCalls.forsake, wanted).catch(() => {});
  }

  /** The node that the session was first on, and all where the account has sessions, as far as that can be told now. */
  private async placesOf(id: string, account: BareJid): Promise<NodeId[]> {
    const { cluster, log } = this.parts;
    try {
      const entries = await cluster.directory.sessions(account, true);
      return [nodeIn(id), ...entries.map(({ node }) => node)];
    } catch (error) {
      log.warn({ err: error }, 'the sessions of an account cannot be told');
      return [nodeIn(id)];
    }
  }

  private async fetch(
    node: NodeId,
    move: Move,
    account: BareJid,
    { session: saved, handled }: Extract<FreezeAnswer, { kind: 'frozen' }>,
  ): Promise<Brought> {
    const { sessions, router, hosts, log } = this.parts;
    const jid = Jid.parse(saved.jid);
    const host = jid?.bare === account ? hosts.get(jid.domain) : undefined;
    if (host === undefined) return {};
    const held = new HeldStanzas(router);
    const session = await sessions.restore(host, saved, (one) => held.holdFor(one));
    if (session === undefined) return {};
    let stream: SavedStream | 'over' | 'stays';
    try {
      stream = await this.download(node, move);
    } catch (error) {
      log.warn({ err: error, node }, 'what waited for a session could not be brought here');
      await sessions.close(session);
      return { h: handled };
    }
    if (stream === 'stays') {
      sessions.depart(session, node);
      held.giveBack();
      return {};
    }
    if (stream === 'over') {
      await sessions.discard(session);
      return { h: handled };
    }
    this.complete.set(move.token, true);
    // where this is not heard, the other node asks
    this.parts.cluster.call(node, moveCalls.done, move).catch(() => {});
    if (session.isOver) {
      await this.parts.giveBack(host, { session: saved, stream });
      return { h: handled };
    }
    held.letGo();
    const managed = this.parts.admit(session, stream);
    held.release();
    return { managed };
  }

  private async download(node: NodeId, move: Move): Promise<SavedStream | 'over' | 'stays'> {
    const waiting: SavedStream['waiting'][number][] = [];
    for (;;) {
      const answer = await this.ask(node, { ...move, from: waiting.length });
      if (answer.kind !== 'part') return answer.kind;
      waiting.push(...answer.waiting);
      if (answer.isLast) return { ...answer.stream, waiting };
    }
  }

  private async ask(node: NodeId, request: TakeRequest): Promise<TakeAnswer> {
    const { cluster } = this.parts;
    for (let attempt = 1; ; attempt++) {
      try {
        return (await cluster.call(node, moveCalls.take, request)) as TakeAnswer;
      } catch (error) {
        if (attempt === ATTEMPTS || !cluster.nodes.has(node)) throw error;
      }
    }
  }

  private holds({ id, token }: Move): HoldsAnswer {
    if (this.complete.get(token) === true) return 'yes';
    return this.underWay.has(id) ? 'not yet' : 'no';
  }
}
