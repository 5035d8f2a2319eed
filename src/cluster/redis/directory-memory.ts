// What a node remembers of the directory: the sessions it holds itself, and of accounts that it asked about the last state it heard.
// States come in any order, as answers and as published changes; the version says which one is younger. After a break, where changes
// may have been missed, nothing counts that was heard before: that is a new generation.
import type { Clock } from '../../base/clock.ts';
import { LruCache } from '../../base/lru.ts';
import type { BareJid, Jid } from '../../xmpp/jid.ts';
import type { NodeId, SessionEntry } from '../cluster.ts';
import { entriesOf, nobody, type StoredState, shardOf } from './directory-entries.ts';

/** So long what Redis has lost is presumed to be there still, in milliseconds: until every node has put what it holds again. */
const presumedFor = 10_000;
const askAgainAfter = 1000;

/** An account, as this node knows it. */
export interface Known {
  readonly user: BareJid;
  /** What to answer: what Redis had, and what this node knows better. */
  readonly list: readonly SessionEntry[];
  readonly version: number;
  /** In which it was heard last; -1: never. */
  readonly generation: number;
}

interface Account extends Known {
  birth: number;
  list: readonly SessionEntry[];
  version: number;
  generation: number;
  /** When it was heard last, in milliseconds since 1970. */
  at: number;
  stored: readonly SessionEntry[];
  /** What Redis had before it lost everything, until other nodes had the time to put it again. */
  presumed: readonly SessionEntry[];
  /** So many wait for an answer. */
  asking: number;
}

/** An account with sessions on this node: never forgotten. */
interface Home {
  readonly account: Account;
  /** By resource. */
  readonly own: Map<string, SessionEntry>;
}

export interface MemoryOptions {
  readonly clock: Clock;
  /** How many accounts without sessions here are remembered; perhaps up to twice as many. */
  readonly capacity: number;
  /** For how long what was heard is believed, in milliseconds. */
  readonly maxAge: number;
  /** A session of this node has lost its full JID to another one, of another node. */
  onConflict(entry: SessionEntry): void;
  /** Whether a node is there, or may be. */
  isAlive(node: NodeId): boolean;
  /** Redis has lost what it had. */
  onLoss(): void;
}

export class DirectoryMemory {
  private readonly options: MemoryOptions;
  private readonly homes = new Map<BareJid, Home>();
  private readonly asked = new Map<BareJid, Account>();
  private readonly others: LruCache<BareJid, Account>;
  private readonly gone = new Map<string, Jid>();
  /** Nodes that are no more, whatever was heard of that elsewhere. */
  private readonly over = new Set<NodeId>();
  /** When each part of the directory was begun. */
  private readonly births = new Map<number, number>();
  private current = 0;
  private held = 0;
  private doubtAt = Number.NEGATIVE_INFINITY;

  constructor(options: MemoryOptions) {
    this.options = options;
    this.others = new LruCache(options.capacity);
  }

  get generation(): number {
    return this.current;
  }

  /** Sessions that this node holds. */
  get ownCount(): number {
    return this.held;
  }

  /** Accounts that are remembered. */
  get size(): number {
    return this.homes.size + this.others.size;
  }

  /** What was heard before may be wrong from now on. */
  startGeneration(): void {
    this.current++;
    this.doubtAt = this.options.clock.now();
  }

  /** Redis may have lost what it had, and other nodes may not have put it again yet. */
  get isInDoubt(): boolean {
    return this.options.clock.now() - this.doubtAt < presumedFor;
  }

  /** What is known for certain, but for changes on their way. */
  find(user: BareJid): Known | undefined {
    const account = this.accountOf(user);
    if (account === undefined || account.generation !== this.current) return undefined;
    return this.options.clock.now() - account.at < this.options.maxAge ? account : undefined;
  }

  /** What is known, however old it is. */
  recall(user: BareJid): Known | undefined {
    const account = this.accountOf(user);
    return account !== undefined && (account.generation >= 0 || account.list.length > 0) ? account : undefined;
  }

  /** From now on changes of the account are taken in, until `end` was called as often. */
  begin(user: BareJid): Known {
    const account = this.accountOf(user) ?? this.asked.get(user) ?? newAccount(user);
    account.asking++;
    this.asked.set(user, account);
    return account;
  }

  end(user: BareJid): void {
    const account = this.asked.get(user);
    if (account === undefined || --account.asking > 0) return;
    this.asked.delete(user);
    if (account.generation >= 0 && !this.homes.has(user)) this.others.set(user, account);
  }

  /** A change was published. It says nothing of what was missed before: what is in doubt stays so. */
  hear(state: StoredState): void {
    const account = this.asked.get(state.user) ?? this.accountOf(state.user);
    this.checkBirth(state);
    if (account !== undefined && (account.generation === this.current || account.asking > 0)) {
      this.take(account, state, this.current);
    }
  }

  /**
   * Redis has answered a question that was asked in this generation.
   * @param before the version that was known when it was asked: Redis cannot have less, unless it has lost what it had
   */
  learn(state: StoredState, generation: number, before?: number): void {
    const account = this.asked.get(state.user) ?? this.accountOf(state.user);
    this.checkBirth(state);
    if (account === undefined || generation < account.generation) return;
    const isLoss = account.version === before && state.version < before && state.birth !== account.birth;
    if (isLoss) this.noticeLoss();
    this.take(account, state, generation, isLoss);
  }

  private take(account: Account, state: StoredState, generation: number, isLoss = false): void {
    const isSame = generation === account.generation;
    if (isSame && state.version < account.version && !isLoss) return;
    const now = this.options.clock.now();
    const had = account.presumed;
    if (!this.isInDoubt) account.presumed = nobody;
    else if (account.birth !== 0 && account.birth !== state.birth) account.presumed = account.stored;
    // what is only presumed has to be asked for again soon
    account.at = account.presumed.length === 0 ? now : now - this.options.maxAge + askAgainAfter;
    // (what is presumed of a node that has died meanwhile is not any more)
    if (isSame && state.version === account.version && had.length + account.presumed.length === 0) return;
    account.version = state.version;
    account.birth = state.birth;
    account.generation = generation;
    account.stored = entriesOf(state);
    this.refresh(account);
    this.reportConflicts(account);
  }

  /** The session of this node that has the full JID. */
  ownOf(jid: Jid): SessionEntry | undefined {
    return this.homes.get(jid.bare)?.own.get(jid.resource);
  }

  *own(): IterableIterator<SessionEntry> {
    for (const home of this.homes.values()) yield* home.own.values();
  }

  /** A session of this node is there, or has changed. */
  add(entry: SessionEntry): void {
    const { bare, resource } = entry.jid;
    let home = this.homes.get(bare);
    if (home === undefined) {
      home = { account: this.accountOf(bare) ?? this.asked.get(bare) ?? newAccount(bare), own: new Map() };
      this.homes.set(bare, home);
      this.others.delete(bare);
    }
    const old = home.own.get(resource);
    if (old === undefined) this.held++;
    home.own.set(resource, entry);
    if (old !== entry) this.refresh(home.account);
  }

  /** A session is over, whatever Redis says, until `forgetGone` is called. */
  remove(jid: Jid, sid: string): void {
    this.gone.set(sid, jid);
    this.release(jid, sid);
  }

  /** A session is not this node's any more. */
  release(jid: Jid, sid: string): void {
    const home = this.homes.get(jid.bare);
    if (home?.own.get(jid.resource)?.sid === sid) {
      home.own.delete(jid.resource);
      this.held--;
      if (home.own.size === 0) {
        this.homes.delete(jid.bare);
        if (home.account.generation >= 0) this.others.set(jid.bare, home.account);
      }
    }
    const account = home?.account ?? this.asked.get(jid.bare) ?? this.accountOf(jid.bare);
    if (account !== undefined) this.refresh(account);
  }

  /** A node is no more, and nothing is presumed of it when its accounts are looked up again. */
  bury(node: NodeId): void {
    this.over.add(node);
  }

  isGone(sid: string): boolean {
    return this.gone.has(sid);
  }

  /** Sessions that are over, and perhaps still in Redis. */
  goneOnes(): IterableIterator<[sid: string, jid: Jid]> {
    return this.gone.entries();
  }

  get goneCount(): number {
    return this.gone.size;
  }

  /** Redis knows it, too. */
  forgetGone(sid: string): void {
    this.gone.delete(sid);
  }

  private checkBirth({ user, birth }: StoredState): void {
    const shard = shardOf(user);
    const old = this.births.get(shard) ?? 0;
    if (birth <= old) return;
    this.births.set(shard, birth);
    if (old !== 0) this.noticeLoss();
  }

  private noticeLoss(): void {
    if (this.isInDoubt) return;
    this.doubtAt = this.options.clock.now();
    this.options.onLoss();
  }

  private accountOf(user: BareJid): Account | undefined {
    return this.homes.get(user)?.account ?? this.others.get(user);
  }

  private refresh(account: Account): void {
    const own = this.homes.get(account.user)?.own;
    const isPlain = own === undefined && this.gone.size === 0 && account.presumed.length === 0;
    account.list = isPlain ? account.stored : this.merge(account, own);
  }

  /** Own sessions count as they are here, even where Redis has lost them; but not those that another one took the place of. */
  private merge(
    { stored, presumed }: Account,
    own: ReadonlyMap<string, SessionEntry> | undefined,
  ): readonly SessionEntry[] {
    const list: SessionEntry[] = [];
    let found = 0;
    for (const entry of stored) {
      if (this.gone.has(entry.sid)) continue;
      const mine = own?.get(entry.jid.resource);
      if (mine !== undefined) found++;
      list.push(mine?.sid === entry.sid ? mine : entry);
    }
    const add = (entry: SessionEntry): void => {
      if (!list.some(({ jid }) => jid.resource === entry.jid.resource)) list.push(entry);
    };
    // an account may have hundreds
    if (own !== undefined && found < own.size) for (const mine of own.values()) add(mine);
    for (const entry of presumed) {
      const { node, sid } = entry;
      if (this.options.isAlive(node) && !this.over.has(node) && !this.gone.has(sid)) add(entry);
    }
    return list.length === 0 ? nobody : list;
  }

  private reportConflicts(account: Account): void {
    const own = this.homes.get(account.user)?.own;
    if (own === undefined) return;
    for (const { jid, sid, node } of account.stored) {
      const mine = own.get(jid.resource);
      if (mine !== undefined && mine.sid !== sid && mine.node !== node) this.options.onConflict(mine);
    }
  }
}

function newAccount(user: BareJid): Account {
  return {
    user,
    list: nobody,
    version: -1,
    birth: 0,
    generation: -1,
    at: 0,
    stored: nobody,
    presumed: nobody,
    asking: 0,
  };
}
