// Who was given a message, and who gave it back (XEP-0198 4): it is delivered again when the last of those that it was delivered
// to has given it back, and never to a session that was given it. Each message has a home, the node that delivered it; what other
// nodes' sessions give back comes there, so that one place counts; where that node is no more, those that live agree on another. A
// session that acknowledged the message gives nothing back: it holds it for ever, wherever it was and whether it is there still. That
// it has done so is told to the nodes of the others, so that they know should its own node die.
import { randomBytes } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { LruCache } from '../base/lru.ts';
import type { Cluster, NodeId, SessionEntry } from '../cluster/cluster.ts';
import type { Holders, Reach } from '../xmpp/stanza.ts';
import { type Moves, nodeIn } from './moves.ts';

/** Stands among those that a message was delivered to for the storage of messages for people who are away. */
export const STORE = 'store';

/** So many messages that came back are remembered; and so many that were acknowledged elsewhere, or twice as many. */
const REMEMBERED = 16_384;
/** Other nodes hear of what was acknowledged within so many milliseconds. */
const TELL_MS = 500;
const HAD = 'message.had';

/** Messages, by their homes. */
type Acknowledged = Record<string, number[]>;

/** Whether a session was given a message, or a copy. */
export function wasGiven({ to, copied }: Holders, sid: string): boolean {
  return to.includes(sid) || copied.includes(sid);
}

/** As other nodes are told of it. */
export function holdersOf({ home, id, to, copied }: Holders): Holders {
  return { home, id, to, copied };
}

export class Reaches {
  private readonly cluster: Cluster;
  private readonly moves: Moves;
  private readonly clock: Clock;
  /** This node, in this life: what it counted before a crash is lost. */
  private home: string;
  private lastId = 0;
  /** Those that came back, by home and id, where there are other nodes that may have a part in them. */
  private readonly known = new Map<string, Reach>();
  /** Some were forgotten, none of them younger. */
  private forgotten = 0;
  /** Those that were acknowledged on other nodes, by home and id. */
  private readonly hadElsewhere = new LruCache<string, true>(REMEMBERED);
  /** Those that were acknowledged here, and that the other nodes are to hear of. */
  private news: Reach[] = [];

  constructor(cluster: Cluster, moves: Moves, clock: Clock) {
    this.cluster = cluster;
    this.moves = moves;
    this.clock = clock;
    cluster.answer(HAD, (body) => this.learnHad(body as Acknowledged));
    this.home = this.settle();
    cluster.onExpelled(() => {
      this.home = this.settle();
    });
  }

  private settle(): string {
    return `${randomBytes(6).toString('base64url')}.${this.cluster.self}`;
  }

  /** For a message that is about to be delivered; or one that had been delivered to this session only. */
  create(sid?: string): Reach {
    return { home: this.home, id: ++this.lastId, to: sid === undefined ? [] : [sid], copied: [], back: [] };
  }

  /** The node that decides: the message's home; where that is no more, one that all who live agree on. */
  deciderOf(reach: Holders): NodeId {
    const home = nodeIn(reach.home);
    return this.cluster.nodes.has(home) ? home : this.cluster.owner(`reach ${keyOf(reach)}`);
  }

  /**
   * Of a message that comes back the one that counts. Where that is forgotten, it is made anew by who is there still.
   * @param entries the sessions of the account
   */
  find(reach: Reach, entries: readonly SessionEntry[]): Reach {
    for (const entry of entries) if (wasGiven(reach, entry.sid)) this.moves.learn(entry);
    const known = this.known.get(keyOf(reach));
    if (known !== undefined) {
      if (known !== reach) known.back.push(...reach.back.filter((sid) => !known.back.includes(sid)));
      return known;
    }
    const all = [...reach.to, ...reach.copied].filter((sid) => sid !== STORE);
    const isShared = reach.home === this.home && all.every((sid) => this.moves.nodeOf(sid) === this.cluster.self);
    if (!isShared && (reach.home !== this.home || reach.id <= this.forgotten)) {
      reach.back.push(...all.filter((sid) => !entries.some((entry) => entry.sid === sid)));
    }
    return reach;
  }

  /** Keeps a message that came back in mind: sessions of other nodes may have it, or be given it next. */
  remember(reach: Reach): void {
    if (this.cluster.nodes.size > 1 || reach.home !== this.home) this.keep(reach);
  }

  private keep(reach: Reach): void {
    this.known.set(keyOf(reach), reach);
    if (this.known.size <= REMEMBERED) return;
    const [key, { home, id }] = this.known.entries().next().value!;
    this.known.delete(key);
    if (home === this.home) this.forgotten = Math.max(this.forgotten, id);
  }

  /** What another process wrote down is shared again by all sessions here that were given the message. */
  adopt(reach: Reach): Reach {
    const known = this.known.get(keyOf(reach));
    if (known !== undefined) {
      known.isHad ||= reach.isHad === true;
      return known;
    }
    // (stores give what nobody may change)
    const { home, id, to, copied, back, isHad = false } = reach;
    const own: Reach = { home, id, to: [...to], copied: [...copied], back: [...back], isHad };
    if (this.deciderOf(own) === this.cluster.self) this.keep(own);
    return own;
  }

  /** One of those that the message was delivered to has acknowledged it. */
  had(reach: Reach): void {
    if (reach.isHad) return;
    reach.isHad = true;
    if (this.cluster.nodes.size === 1 || reach.to.length + reach.copied.length < 2) return;
    if (this.news.length === 0) this.clock.after(TELL_MS, () => this.tellHad());
    this.news.push(reach);
  }

  isHad(reach: Reach): boolean {
    return reach.isHad === true || (this.hadElsewhere.size > 0 && this.hadElsewhere.get(keyOf(reach)) === true);
  }

  /** Whoever else may give it back, or decide of it, is told; unless they have said so themselves. */
  private tellHad(): void {
    const { cluster, moves } = this;
    const told = new Map<NodeId, Acknowledged>();
    for (const reach of this.news.splice(0)) {
      if (this.hadElsewhere.get(keyOf(reach)) === true) continue;
      const { home, id, to, copied } = reach;
      const nodes = new Set([
        nodeIn(home),
        ...to.map((sid) => moves.nodeOf(sid)),
        ...copied.map((sid) => moves.nodeOf(sid)),
      ]);
      for (const node of nodes) {
        if (node === cluster.self || !cluster.nodes.has(node)) continue;
        const acknowledged = told.get(node) ?? {};
        acknowledged[home] ??= [];
        acknowledged[home].push(id);
        told.set(node, acknowledged);
      }
    }
    // where it is not heard, what is given back is delivered again, should this node die
    for (const [node, acknowledged] of told) cluster.call(node, HAD, acknowledged).catch(() => {});
  }

  private learnHad(acknowledged: Acknowledged): void {
    for (const [home, ids] of Object.entries(acknowledged)) {
      for (const id of ids) this.hadElsewhere.set(keyOf({ home, id }), true);
    }
  }

  /** Whether any of these sessions has the message, or may have it yet. What was on a node that is no more is lost. */
  isHeld({ back }: Reach, sids: readonly string[]): boolean {
    return sids.some((sid) => !back.includes(sid) && (sid === STORE || this.cluster.nodes.has(this.moves.nodeOf(sid))));
  }
}

function keyOf({ home, id }: Pick<Holders, 'home' | 'id'>): string {
  return `${home} ${id}`;
}
