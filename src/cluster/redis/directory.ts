// The session directory in Redis. A node keeps what it looked up, also that nobody is online, and hears of every change, so that most
// lookups are answered at once from memory (`directory-memory.ts`). What a node has put it answers for: it puts all of it again after a
// break, and some all the time, so that the directory mends itself whatever Redis has lost; the others', if that dies, see to it.
import type { MaybePromise } from '../../base/maybe.ts';
import type { RedisConnection } from '../../net/redis.ts';
import { StorageUnavailable } from '../../storage/errors.ts';
import type { BareJid, Jid } from '../../xmpp/jid.ts';
import type { Directory, NodeId, SessionEntry } from '../cluster.ts';
import { type Change, Changes } from './directory-changes.ts';
import { decodeEntry, encodeEntry, parseState, type StoredState, shardOf, shards } from './directory-entries.ts';
import { DirectoryMemory, type Known } from './directory-memory.ts';
import type { DirectoryFigures, RedisDirectoryOptions } from './directory-options.ts';
import { Register } from './directory-register.ts';
import { BETWEEN, OVER, releaseScript, strayScript } from './directory-scripts.ts';
import { clearStrays } from './directory-strays.ts';
import { indexKey, Sweeper } from './directory-sweep.ts';
import { Tide } from './directory-tide.ts';

const capacity = 50_000;
const maxAge = 5 * 60_000;
/** So many sessions are put again at once, and so long is waited after them, in milliseconds: 25,000 a second at the most. */
const batchSize = 250;
const batchPause = 10;
const repairDelay = 1000;
/** Within so many rounds of so many milliseconds, every session of this node is put again. */
const patrolRounds = 60;
const patrolInterval = 10_000;
/** So long whoever took the place of a session has time to say so itself, in milliseconds. */
const conflictDelay = 5000;
const allShards: readonly number[] = Array.from({ length: shards }, (_, shard) => shard);
/** How many answers the average of their times is taken over, more or less. */
const latencyOver = 50;

export class RedisDirectory implements Directory {
  private readonly redis: RedisConnection;
  private readonly options: RedisDirectoryOptions;
  private readonly memory: DirectoryMemory;
  private readonly sweeper: Sweeper;
  private readonly register: Register;
  private readonly channel: string;
  private readonly changes: Changes;
  /** Sessions of this node that Redis may not know, or not as they are; by sid. */
  private readonly unsaved = new Map<string, Jid>();
  /** Writes under way, by sid. */
  private readonly writing = new Map<string, Promise<unknown>>();
  /** Writes that follow on those, by sid: one is enough, whatever has changed. */
  private readonly following = new Map<string, Promise<undefined>>();
  private readonly asking = new Map<BareJid, Promise<readonly SessionEntry[]>>();
  private readonly cancels = new Set<() => void>();
  private readonly stops: (() => void)[] = [];
  private readonly tide: Tide;
  private patrol: IterableIterator<SessionEntry> | undefined;
  private rounds = 0;
  private isRepairing = false;
  private isRepairDue = false;
  private isOver = false;
  private hits = 0;
  private misses = 0;
  private stale = 0;
  private latency = 0;
  private isClosed = false;

  private constructor(options: RedisDirectoryOptions) {
    this.options = options;
    this.redis = options.redis;
    this.channel = options.redis.key('directory', 'changes');
    this.changes = new Changes(this.redis, this.channel);
    this.tide = new Tide(options.clock);
    this.memory = new DirectoryMemory({
      clock: options.clock,
      capacity: options.capacity ?? capacity,
      maxAge: options.maxAge ?? maxAge,
      isAlive: (node) => options.nodes?.().has(node) ?? true,
      onLoss: () => {
        options.log.warn({}, 'Redis has lost the directory; every node puts its sessions there again');
        this.distrustRedis();
      },
      onConflict: (entry) => this.later(conflictDelay, () => void this.settleConflict(entry)),
    });
    // published it is, too, and perhaps not heard yet
    this.sweeper = new Sweeper(this.redis, this.channel, (packed) => void this.take(packed));
    this.register = new Register({
      redis: this.redis,
      clock: options.clock,
      self: options.self,
      nodes: () => options.nodes?.() ?? [],
      lookUp: (user) => this.stateOf(user),
    });
  }

  /** Resolves when it hears of changes. */
  static async open(options: RedisDirectoryOptions): Promise<RedisDirectory> {
    const directory = new RedisDirectory(options);
    await directory.listen();
    return directory;
  }

  /** Sessions of this node. */
  get ownCount(): number {
    return this.memory.ownCount;
  }

  get figures(): DirectoryFigures {
    const { hits, misses, stale, memory, unsaved, latency } = this;
    return { hits, misses, stale, size: memory.size, unsaved: unsaved.size + memory.goneCount, latency };
  }

  /** @throws StorageUnavailable where Redis does not answer, and nothing is known of the account (or what is known is not enough) */
  sessions(user: BareJid, isFresh = false): MaybePromise<readonly SessionEntry[]> {
    if (isFresh) return this.lookUp(user);
    const known = this.memory.find(user);
    if (known !== undefined) {
      this.hits++;
      return known.list;
    }
    return this.asking.get(user) ?? this.ask(user);
  }

  get isInDoubt(): boolean {
    return this.memory.isInDoubt;
  }

  /** @throws StorageUnavailable for a session that is new, where Redis does not answer; others are put when it does again */
  put(entry: SessionEntry): Promise<SessionEntry | undefined> {
    const { jid, sid } = entry;
    if (this.memory.ownOf(jid)?.sid === sid) {
      this.memory.add(entry);
      const saved = this.saveInTurn(jid, sid);
      // of two that become available at once one has to see the other
      return entry.available ? saved.then(() => this.tide.rise(shardOf(jid.bare))) : saved;
    }
    const under = this.writing.get(sid);
    if (under === undefined) return this.tracked(sid, () => this.announce(entry));
    // it changes while it is announced
    return under.catch(() => {}).then(() => (this.memory.isGone(sid) ? undefined : this.put(entry)));
  }

  release(jid: Jid, sid: string): void {
    this.memory.release(jid, sid);
    this.unsaved.delete(sid);
    // what stays of it in the index of this node is only one line more
    this.redis.run(releaseScript, [this.indexOf(jid.bare)], [jid.full, sid]).catch(() => {});
  }

  /** Where Redis does not answer it is told later. */
  async drop(jid: Jid, sid: string): Promise<void> {
    this.memory.remove(jid, sid);
    // a write that arrived after this would bring it back
    await this.following.get(sid)?.catch(() => {});
    await this.writing.get(sid)?.catch(() => {});
    if (!(await this.bury(jid, sid))) this.repairLater();
  }

  /**
   * Takes the sessions of a node out of the directory that is no more, in pages; nothing more can be put for that life of it. A page
   * counts as dealt with when the next one is asked for: before that, another sweep finds it again.
   */
  sweep(node: NodeId): AsyncIterableIterator<readonly SessionEntry[]> {
    return this.sweeper.sweep(node);
  }

  /** Gives Redis back what it has lost of a dead node's sessions, to be swept. Returns how many there were that nobody else gave. */
  recall(node: NodeId): Promise<number> {
    this.memory.bury(node);
    return this.register.recall(node);
  }

  /** All that a dead node had is dealt with. */
  forget(node: NodeId): void {
    this.register.forget(node);
  }

  /** Nothing is put or dropped any more. */
  close(): void {
    this.isClosed = true;
    for (const stop of this.stops.splice(0)) stop();
    for (const cancel of this.cancels) cancel();
    this.cancels.clear();
    this.tide.close();
  }

  private async listen(): Promise<void> {
    const { redis } = this;
    // (the channel as scripts know it has the prefix already)
    const unsubscribe = await redis.subscribe('{directory}:changes', (message) => this.heard(message));
    this.stops.push(
      unsubscribe,
      redis.onReconnected(() => {
        // changes may have been missed, too
        this.memory.startGeneration();
        this.distrustRedis();
        this.later(repairDelay, () => void this.inspect(allShards));
      }),
    );
    void this.survey(allShards);
    this.later(patrolInterval, () => this.goRound());
  }

  private heard(message: string): void {
    for (const packed of message.split(BETWEEN)) {
      const state = this.take(packed);
      if (state !== undefined) this.tide.hear(shardOf(state.user), state.version);
    }
  }

  private take(packed: string): StoredState | undefined {
    const state = parseState(packed);
    if (state !== undefined) {
      this.memory.hear(state);
      this.register.hear(state);
    }
    return state;
  }

  /** Perhaps what was put is lost. */
  private distrustRedis(): void {
    for (const { sid, jid } of this.memory.own()) this.unsaved.set(sid, jid);
    this.repair();
  }

  /** What Redis says, or what was known before where it says nothing. */
  private ask(user: BareJid): MaybePromise<readonly SessionEntry[]> {
    const known = this.redis.isUp ? undefined : this.memory.recall(user);
    if (known !== undefined) return this.answerStale(known);
    const answer = this.lookUp(user)
      .catch((error: unknown) => {
        const old = this.memory.recall(user);
        if (old === undefined) throw error;
        return this.answerStale(old);
      })
      .finally(() => this.asking.delete(user));
    this.asking.set(user, answer);
    return answer;
  }

  private answerStale(known: Known): readonly SessionEntry[] {
    this.stale++;
    return known.list;
  }

  private async lookUp(user: BareJid): Promise<readonly SessionEntry[]> {
    this.misses++;
    const known = this.memory.begin(user);
    try {
      const [{ generation }, { version }] = [this.memory, known];
      this.memory.learn(await this.stateOf(user), generation, version);
      return known.list;
    } finally {
      this.memory.end(user);
    }
  }

  /** Puts a session that nobody knows of yet. */
  private async announce(entry: SessionEntry): Promise<SessionEntry | undefined> {
    const { jid, sid } = entry;
    this.memory.begin(jid.bare);
    this.memory.forgetGone(sid);
    try {
      const other = await this.write(entry, 'take');
      // it may be over by now
      if (!this.memory.isGone(sid)) this.memory.add(entry);
      return other;
    } catch (error) {
      // nobody knows whether it is there
      this.memory.remove(jid, sid);
      this.repairLater();
      throw error;
    } finally {
      this.memory.end(jid.bare);
    }
  }

  /** Puts a session of this node as it is now; where that fails it is tried again later. */
  private async save(jid: Jid, sid: string): Promise<undefined> {
    this.unsaved.delete(sid);
    const entry = this.memory.ownOf(jid);
    if (entry?.sid !== sid) return;
    try {
      await this.write(entry, 'keep');
    } catch {
      this.unsaved.set(sid, jid);
      this.repairLater();
    }
  }

  /** Saves a session after what is under way for it. */
  private saveInTurn(jid: Jid, sid: string): Promise<undefined> {
    const under = this.writing.get(sid);
    if (under === undefined) return this.tracked(sid, () => this.save(jid, sid));
    let next = this.following.get(sid);
    if (next === undefined) {
      next = under
        .catch(() => {})
        .then(() => {
          this.following.delete(sid);
          return this.tracked(sid, () => this.save(jid, sid));
        });
      this.following.set(sid, next);
    }
    return next;
  }

  private async write(entry: SessionEntry, where: 'take' | 'keep'): Promise<SessionEntry | undefined> {
    const { jid, sid } = entry;
    const { generation } = this.memory;
    const [packed, other] = await this.send(where, jid, sid, encodeEntry(entry));
    const state = readState(packed);
    this.tide.make(shardOf(jid.bare), state.version);
    this.memory.learn(state, generation);
    return where === 'take' && other ? decodeEntry(jid, other) : undefined;
  }

  /** Whether Redis knows that a session is over. */
  private async bury(jid: Jid, sid: string): Promise<boolean> {
    const { generation } = this.memory;
    try {
      const [packed] = await this.send('drop', jid, sid);
      this.memory.learn(readState(packed), generation);
      this.memory.forgetGone(sid);
      return true;
    } catch {
      return false;
    }
  }

  /** One write at a time of a session: they have to arrive in their order. */
  private tracked<T>(sid: string, work: () => Promise<T>): Promise<T> {
    const done = work().finally(() => {
      if (this.writing.get(sid) === done) this.writing.delete(sid);
    });
    this.writing.set(sid, done);
    return done;
  }

  private async settleConflict(entry: SessionEntry): Promise<void> {
    const isThere = (): boolean => this.memory.ownOf(entry.jid)?.sid === entry.sid;
    if (!isThere()) return;
    const entries = await this.lookUp(entry.jid.bare).catch(() => undefined);
    if (entries === undefined || !isThere() || entries.some(({ sid }) => sid === entry.sid)) return;
    this.options.onDisplaced?.(entry);
  }

  private repairLater(): void {
    if (this.isRepairDue) return;
    this.isRepairDue = true;
    this.later(repairDelay, () => {
      this.isRepairDue = false;
      this.repair();
    });
  }

  private repair(): void {
    if (this.isRepairing || this.isClosed || this.isOver) return;
    this.isRepairing = true;
    void this.repairAll().finally(() => {
      this.isRepairing = false;
    });
  }

  /** What ended first, so that nothing is there twice. */
  private async repairAll(): Promise<void> {
    if ((await this.options.sure?.()) === false) return;
    while (this.redis.isUp && !this.isClosed) {
      const gone = [...take(this.memory.goneOnes(), batchSize)];
      const entries = [...take(this.unsaved.entries(), batchSize - gone.length)];
      if (gone.length + entries.length === 0) return;
      const buried = await Promise.all(gone.map(([sid, jid]) => this.writing.has(sid) || this.bury(jid, sid)));
      await Promise.all(entries.map(([sid, jid]) => this.saveInTurn(jid, sid)));
      if (buried.includes(false) || entries.some(([sid]) => this.unsaved.has(sid))) {
        this.repairLater();
        return;
      }
      await new Promise<void>((resolve) => this.later(batchPause, resolve));
    }
  }

  /** A part of the sessions in each round: what was lost without anybody's knowing is found out in the end. */
  private goRound(): void {
    this.patrol ??= this.memory.own();
    const part = [...take(this.patrol, Math.ceil(this.memory.ownCount / patrolRounds))];
    if (part.length === 0) this.patrol = undefined;
    for (const { sid, jid } of part) this.unsaved.set(sid, jid);
    this.repair();
    const round = ++this.rounds % patrolRounds;
    void this.inspect(allShards.filter((shard) => shard % patrolRounds === round));
    this.later(patrolInterval, () => this.goRound());
  }

  /** Looks for what is there and should not be, or was not heard of. What fails is done another time. */
  private async inspect(meant: readonly number[]): Promise<void> {
    this.register.tidy(meant);
    if ((await this.options.sure?.()) === false) return;
    const { redis, memory, writing, unsaved } = this;
    const { self } = this.options;
    const isOurs = (jid: Jid, sid: string): boolean =>
      memory.ownOf(jid)?.sid === sid || writing.has(sid) || unsaved.has(sid) || memory.isGone(sid);
    const clear = async (jid: Jid, sid: string, index: string): Promise<void> => {
      const { generation } = memory;
      const [account, clock] = this.keysOf(jid.bare);
      const args = [jid.bare, this.channel, jid.resource, sid, jid.full, self];
      memory.learn(readState(await redis.run(strayScript, [account, clock, index], args)), generation);
    };
    await clearStrays({ redis, self, meant, isOurs, clear, mayGoOn: this.mayGoOn }).catch(() => {});
    await this.survey(meant);
  }

  /** Learns of other nodes' sessions what was not heard. */
  private survey(meant: readonly number[]): Promise<void> {
    return this.register.survey(meant, this.mayGoOn).catch(() => {});
  }

  private readonly mayGoOn = (): boolean => !this.isClosed && !this.isOver && this.redis.isUp;

  private later(ms: number, fn: () => void): void {
    if (this.isClosed) return;
    const cancel = this.options.clock.after(ms, () => {
      this.cancels.delete(cancel);
      fn();
    });
    this.cancels.add(cancel);
  }

  private indexOf(user: BareJid): string {
    return indexKey(this.redis, shardOf(user), this.options.self);
  }

  /** Account, clock, index. */
  private keysOf(user: BareJid): Change['keys'] {
    const tag = String(shardOf(user));
    const { redis } = this;
    return [redis.key(tag, `u:${user}`), redis.key(tag, 'version'), this.indexOf(user)];
  }

  /** What Redis has of an account. */
  private async stateOf(user: BareJid): Promise<StoredState> {
    const change: Change = { keys: this.keysOf(user), what: 'look', user, resource: '', sid: '', value: '', full: '' };
    const [packed] = await this.ran(change);
    return readState(packed);
  }

  /** Changes a session. Returns the account's state, and the value of another session that it was about. */
  private send(
    what: Change['what'],
    { bare, resource, full }: Jid,
    sid: string,
    value = '',
  ): Promise<readonly string[]> {
    return this.ran({ keys: this.keysOf(bare), what, user: bare, resource, sid, value, full });
  }

  private async ran(change: Change): Promise<readonly string[]> {
    const start = performance.now();
    let answer: unknown;
    try {
      answer = await this.changes.run(change);
    } catch (error) {
      throw new StorageUnavailable(`the directory does not answer: ${(error as Error).message}`, { cause: error });
    }
    this.latency += (performance.now() - start - this.latency) / latencyOver;
    if (Array.isArray(answer)) return answer;
    if (answer === OVER && !this.isOver) {
      this.isOver = true;
      this.options.onOver?.();
    }
    throw new StorageUnavailable(`the directory does not answer: ${answer}`);
  }
}

function readState(packed: unknown): StoredState {
  const state = typeof packed === 'string' ? parseState(packed) : undefined;
  if (state === undefined) throw new StorageUnavailable('the directory does not answer as it should');
  return state;
}

function* take<T>(items: IterableIterator<T>, most: number): IterableIterator<T> {
  for (let i = 0; i < most; i++) {
    const { done, value } = items.next();
    if (done) return;
    yield value;
  }
}
