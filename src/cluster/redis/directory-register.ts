// What a node keeps of the sessions on other nodes, for the day that Redis forgets them and their node with them: then nobody else
// knows who was there. Every change is published to all, so each node has all of it: of an account what was said of it last, as it
// was written. When a node is dead, those that live give back to Redis what it has lost of that node's sessions, and these are dealt
// with like all that a dead node leaves.
import type { Clock } from '../../base/clock.ts';
import type { RedisConnection } from '../../net/redis.ts';
import { flatten } from '../../xml/flatten.ts';
import { type BareJid, Jid } from '../../xmpp/jid.ts';
import type { NodeId } from '../cluster.ts';
import { nodeOf, packState, parseState, type StoredState, shardOf, shards, sidOf } from './directory-entries.ts';
import { indexKey } from './directory-sweep.ts';

export interface RegisterOptions {
  readonly redis: RedisConnection;
  readonly clock: Clock;
  readonly self: NodeId;
  /** How many accounts with sessions on other nodes are kept; half a million unless said otherwise. */
  readonly capacity?: number;
  /** The nodes that live. */
  nodes(): Iterable<NodeId>;
  /** What Redis has of an account. */
  lookUp(user: BareJid): Promise<StoredState>;
}

const capacity = 500_000;
/** For so long what Redis has lost, and nobody has put again, may belong to a node that is not known to be dead yet, in milliseconds. */
const doubtfulFor = 10 * 60_000;
/** So many questions are asked at once. */
const pageSize = 100;

/** One part of the directory. */
interface Part {
  /** When it was begun, by what was heard last; and when that was heard first. */
  birth: number;
  since: number;
  /** By account, as Redis has packed it. */
  readonly states: Map<BareJid, string>;
}

/** Sessions of a node that were put before Redis lost everything, and not again when their account was: by full JID. */
interface Lost {
  readonly since: number;
  readonly values: Map<string, string>;
}

export class Register {
  private readonly options: RegisterOptions;
  private readonly parts: readonly Part[] = Array.from({ length: shards }, () => ({
    birth: 0,
    since: 0,
    states: new Map<BareJid, string>(),
  }));
  private readonly lost = new Map<NodeId, Lost>();
  private count = 0;

  constructor(options: RegisterOptions) {
    this.options = options;
  }

  /** Accounts that are kept. */
  get size(): number {
    return this.count;
  }

  /** What Redis has said of an account, in any order. */
  hear(state: StoredState): void {
    const { user, birth } = state;
    const part = this.parts[shardOf(user)]!;
    if (birth > part.birth) {
      part.birth = birth;
      part.since = this.options.clock.now();
    }
    const had = part.states.get(user);
    const old = had === undefined ? undefined : parseState(had);
    if (old !== undefined) {
      if (old.version >= state.version) return;
      if (old.birth < birth) this.lose(old, state);
    }
    if (this.lost.size > 0)
      for (const [full, , node] of this.elsewhere(state)) this.lost.get(node)?.values.delete(full);
    this.set(part, state, had !== undefined);
  }

  /** What is there of other nodes' sessions that was not heard of, as before this node began: in these parts of the directory. */
  async survey(meant: readonly number[], mayGoOn: () => boolean): Promise<void> {
    const { redis, self, nodes, lookUp } = this.options;
    for (const shard of meant) {
      const { states } = this.parts[shard]!;
      const unknown = new Set<BareJid>();
      for (const node of nodes()) {
        if (node === self || !mayGoOn()) continue;
        const lines = (await redis.command('HGETALL', indexKey(redis, shard, node))) as readonly string[];
        for (let i = 0; i + 1 < lines.length; i += 2) {
          const bare = lines[i] === '' ? undefined : Jid.parse(lines[i]!)?.bare;
          if (bare !== undefined && !states.get(bare)?.includes(`\0${lines[i + 1]!} `)) unknown.add(bare);
        }
      }
      for (const page of pagesOf(unknown)) {
        if (!mayGoOn()) return;
        for (const state of await Promise.all(page.map(lookUp))) this.hear(state);
      }
    }
  }

  /** Forgets what Redis had lost so long ago that those who have it must have put it again. */
  tidy(meant: readonly number[]): void {
    const oldest = this.options.clock.now() - doubtfulFor;
    for (const [node, { since }] of this.lost) if (since < oldest) this.lost.delete(node);
    for (const shard of meant) {
      const { birth, since, states } = this.parts[shard]!;
      if (since > oldest) continue;
      for (const [user, packed] of states) {
        if (birthOf(packed) < birth && states.delete(user)) this.count--;
      }
    }
  }

  /**
   * Gives Redis back what it has lost of a dead node's sessions, to be found by whoever goes through them. Returns how many there
   * were that nobody else had given back.
   */
  async recall(node: NodeId): Promise<number> {
    let restored = 0;
    for (const [shard, { states }] of this.parts.entries()) {
      const suspects = [...states.values()].filter((packed) => packed.includes(node));
      if (suspects.length === 0) continue;
      const { redis } = this.options;
      // (a part that nobody has put anything into since has no birth)
      const birth = Number(await redis.command('HGET', redis.key(String(shard), 'version'), 'birth'));
      for (const packed of suspects) {
        const state = birthOf(packed) === birth ? undefined : parseState(packed);
        if (state !== undefined) this.lose(state);
      }
    }
    for (const page of pagesOf(this.lost.get(node)?.values ?? [])) {
      const given = await Promise.all(page.map(([full, value]) => this.restore(node, full, value)));
      for (const isNew of given) if (isNew) restored++;
    }
    return restored;
  }

  /** All that a dead node had is dealt with. */
  forget(node: NodeId): void {
    this.lost.delete(node);
    for (const part of this.parts) {
      for (const packed of part.states.values()) {
        const state = packed.includes(node) ? parseState(packed) : undefined;
        if (state === undefined) continue;
        const fields = state.fields.filter((_, i) => nodeOf(state.fields[i - (i % 2) + 1]!) !== node);
        this.set(part, { ...state, fields, packed: packState(state, fields) }, true);
      }
    }
  }

  private set({ states }: Part, state: StoredState, isKnown: boolean): void {
    const { user, packed } = state;
    for (const _session of this.elsewhere(state)) {
      if (!isKnown && this.count >= (this.options.capacity ?? capacity)) return;
      if (!isKnown) this.count++;
      // (the name is a piece of what was heard first)
      states.set(isKnown ? user : (flatten(user) as BareJid), packed);
      return;
    }
    if (isKnown && states.delete(user)) this.count--;
  }

  /** Keeps the sessions that Redis has lost and that are not put again yet. */
  private lose(old: StoredState, now?: StoredState): void {
    for (const [full, value, node] of this.elsewhere(old)) {
      if (now?.fields.some((field) => sidOf(field) === sidOf(value))) continue;
      let lost = this.lost.get(node);
      if (lost === undefined) {
        lost = { since: this.options.clock.now(), values: new Map() };
        this.lost.set(node, lost);
      }
      lost.values.set(full, value);
    }
  }

  /** The sessions of a state that other nodes have: full JID, value, node. */
  private *elsewhere({ user, fields }: StoredState): IterableIterator<readonly [string, string, NodeId]> {
    for (let i = 0; i + 1 < fields.length; i += 2) {
      const value = fields[i + 1]!;
      const node = nodeOf(value);
      if (node !== undefined && node !== this.options.self) yield [`${user}/${fields[i]!}`, value, node];
    }
  }

  /** As a session stands in the index that was taken out of its account already. */
  private async restore(node: NodeId, full: string, value: string): Promise<boolean> {
    const { redis } = this.options;
    const bare = Jid.parse(full)?.bare;
    if (bare === undefined) return false;
    return (await redis.command('HSETNX', indexKey(redis, shardOf(bare), node), full, value)) === 1;
  }
}

const birthOf = (packed: string): number => Number(packed.slice(0, packed.indexOf('\0')));

function* pagesOf<T>(items: Iterable<T>): IterableIterator<T[]> {
  let page: T[] = [];
  for (const item of items) {
    page.push(item);
    if (page.length < pageSize) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}
