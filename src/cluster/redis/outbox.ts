// What goes from this node to another one: gathered while the batch before it is on its way to the other's inbox, and for a few
// milliseconds where one has just gone, so that batches grow with the load; kept until the other node has handled it, so that what Redis loses is sent again. The other node knows by its
// number what it has had already.
import type { Logger } from '../../base/log.ts';
import { defineScript, type RedisConnection } from '../../net/redis.ts';
import type { NodeId } from '../cluster.ts';
import { readBatch, writeBatch } from './frames.ts';

export interface OutboxOptions {
  readonly redis: RedisConnection;
  readonly log: Logger;
  readonly self: NodeId;
  readonly to: NodeId;
  /** What may wait to be handled by the other node, in UTF-16 units and in items. */
  readonly limit: OutboxLimit;
  /** Whether the other node is a member, asked of Redis. */
  readonly isThere: () => Promise<boolean>;
  /** Of a node that is no member: whether what it left is still to be dealt with. */
  readonly isOwed: () => Promise<boolean>;
  /** Nothing is to be sent for the moment; `wake` is called after that. */
  readonly isHeld: () => boolean;
  /** Items that the other node never had though Redis had them; nobody else has them. */
  readonly onLost: (items: string) => void;
  /** Nothing is left to be said to a node that is no more. */
  readonly onDone: () => void;
}

export interface OutboxLimit {
  readonly size: number;
  readonly items: number;
}

/** The other node's queue is full, or it is no more. */
export class Undeliverable extends Error {}

/** Between two looks for the inbox of a node that is there and has none yet, in milliseconds. */
const PATIENCE_MIN = 20;
const PATIENCE_MAX = 1000;
/** A batch that is longer is not made longer. */
const FULL = 128 * 1024;
/**
 * So many milliseconds after a batch began its way the next one follows, unless somebody waits for an answer, or it is that long. What
 * comes after a pause goes at once. A batch costs both nodes and Redis several system calls each.
 */
const GATHER_MS = 4;
const ENOUGH = 32 * 1024;
const NO_ENTRY = '0-1';

interface Audit {
  readonly handled: number;
  readonly isThere: boolean;
  /** The other node has an inbox. */
  readonly isOpen: boolean;
  readonly taken: number | undefined;
}

class Parcel {
  count = 0;
  /** Of its items, in UTF-16 units. */
  size = 0;
  number = 0;
  /** Somebody waits for an answer to what is in it. */
  isUrgent = false;
  /** Its entry in the inbox, once it is there. */
  entry = '';
  /** It was sent, and nobody knows whether it arrived. */
  isUncertain = false;
  private gathered = '';
  /** As it travels, from the first attempt on: outside the heap, and nothing that its items were made from is kept alive. */
  private packed: Buffer | undefined;
  readonly safe: Promise<void>;
  settle!: () => void;
  fail!: (err: Error) => void;

  constructor() {
    this.safe = new Promise((resolve, reject) => {
      this.settle = resolve;
      this.fail = reject;
    });
    // not everybody waits for it
    this.safe.catch(() => {});
  }

  add(item: string): void {
    this.gathered += item;
    this.size += item.length;
    this.count++;
  }

  pack(from: NodeId): Buffer {
    this.packed ??= Buffer.from(writeBatch(from, this.number, this.gathered));
    this.gathered = '';
    return this.packed;
  }

  get items(): string {
    return this.packed === undefined ? this.gathered : readBatch(this.packed.toString()).items;
  }
}

/**
 * Where a batch is. Keys: inbox, positions, closing report. Arguments: sender, number, entry. Returns the last number that was
 * handled, whether the entry is still there, whether there is an inbox, and after the death of the node, when all was dealt with, the
 * last that was taken over.
 */
const auditScript = defineScript(`
local handled = redis.call('HGET', KEYS[2], ARGV[1]) or '0'
local there = #redis.call('XRANGE', KEYS[1], ARGV[3], ARGV[3])
local taken = false
if redis.call('HEXISTS', KEYS[3], '') == 1 then taken = redis.call('HGET', KEYS[3], ARGV[1]) or '0' end
return {handled, there, redis.call('EXISTS', KEYS[1]), taken}
`);

export class Outbox {
  private readonly options: OutboxOptions;
  private readonly inbox: string;
  /** In the inbox, and not known to be handled. */
  private sent: Parcel[] = [];
  /** To be sent, the last one still open. */
  private waiting: Parcel[] = [];
  private size = 0;
  private count = 0;
  private lastNumber = 0;
  private isBusy = false;
  private isScheduled = false;
  /** When the last batch began its way, in milliseconds. */
  private postedAt = Number.NEGATIVE_INFINITY;
  private gathering: NodeJS.Timeout | undefined;
  private isAuditing = false;
  /** All that was sent and not handled is to be sent again. */
  private mustRewind = false;
  private isClosed = false;
  /** Redis is there and takes nothing, as when its memory is full; that was logged. */
  private isRefused = false;
  private patience = PATIENCE_MIN;
  private timer: NodeJS.Timeout | undefined;

  constructor(options: OutboxOptions) {
    this.options = options;
    this.inbox = options.redis.key(options.to, 'inbox');
  }

  /** What is not known to be handled, in UTF-16 units. */
  get backlog(): number {
    return this.size;
  }

  /**
   * Resolves when Redis has it.
   * @param isUrgent somebody waits for an answer
   * @throws Undeliverable (as a rejection) where too much waits already, and where nobody will have it
   */
  push(item: string, isUrgent = false): Promise<void> {
    const { limit } = this.options;
    if (this.isClosed) return Promise.reject(new Undeliverable(`${this.options.to} is no more`));
    if (this.size + item.length > limit.size || this.count >= limit.items) {
      return Promise.reject(new Undeliverable(`too much waits for ${this.options.to}`));
    }
    let parcel = this.waiting.at(-1);
    // one that was tried has its contents
    if (parcel === undefined || parcel.number > 0 || parcel.size > FULL) {
      parcel = new Parcel();
      this.waiting.push(parcel);
    }
    parcel.add(item);
    if (isUrgent) parcel.isUrgent = true;
    this.size += item.length;
    this.count++;
    if (2 * this.size > limit.size || 2 * this.count > limit.items) void this.audit();
    this.schedule();
    return parcel.safe;
  }

  /** The other node is no more. */
  lose(): void {
    if (this.sent.length + this.waiting.length === 0) this.bury(0);
    else this.wake();
  }

  /** Goes on, where it had stopped because Redis was away. */
  wake(): void {
    this.patience = PATIENCE_MIN;
    this.schedule();
  }

  /** Forgets what was handled, and sends again what was lost. Called now and then. */
  async audit(): Promise<void> {
    const oldest = this.sent[0];
    if (oldest === undefined || this.isAuditing || this.isClosed) return;
    const { redis, to } = this.options;
    this.isAuditing = true;
    try {
      const { handled, isThere, isOpen, taken } = await this.look(oldest.number, oldest.entry);
      if (taken !== undefined) return this.bury(taken);
      this.forget(handled);
      if (handled >= oldest.number || isThere) return;
      // Redis has lost its memory: what is handled is known when the other node has opened its inbox again
      if (!isOpen && (await this.options.isThere())) return;
      this.options.log.info({ node: to }, 'what was sent to a node was lost on its way; it is sent again');
      this.mustRewind = true;
      this.schedule();
    } catch (err) {
      if (redis.isUp) this.options.log.debug({ err, node: to }, 'what another node has handled is not known');
    } finally {
      this.isAuditing = false;
    }
  }

  /** Whatever waits is given up. */
  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
    clearTimeout(this.gathering);
    for (const parcel of this.waiting.splice(0)) parcel.fail(new Undeliverable('the node is stopping'));
  }

  /** Resolves when all is in Redis, or given up. */
  async flushed(): Promise<void> {
    await this.waiting.at(-1)?.safe.catch(() => {});
  }

  private schedule(): void {
    if (this.isScheduled || this.isBusy || this.isClosed || (this.waiting.length === 0 && !this.mustRewind)) return;
    if (this.isGathering()) {
      this.gathering ??= setTimeout(() => this.begin(), this.postedAt + GATHER_MS - performance.now());
      return;
    }
    this.isScheduled = true;
    // what else this round of the event loop has to say goes with it
    setImmediate(() => {
      this.isScheduled = false;
      this.begin();
    });
  }

  /** Whether a batch has just gone, and the next one is to grow. */
  private isGathering(): boolean {
    const next = this.waiting[0];
    if (next === undefined || next.number > 0 || next.isUrgent || next.size > ENOUGH || this.mustRewind) return false;
    return performance.now() - this.postedAt < GATHER_MS - 1;
  }

  private begin(): void {
    clearTimeout(this.gathering);
    this.gathering = undefined;
    if (!this.isBusy) void this.run();
  }

  private async run(): Promise<void> {
    this.isBusy = true;
    try {
      while (!this.isClosed && this.options.redis.isUp && !this.options.isHeld()) {
        if (this.mustRewind) this.waiting.unshift(...this.sent.splice(0));
        this.mustRewind = false;
        const parcel = this.waiting[0];
        if (parcel === undefined || this.isGathering()) return;
        if (parcel.number === 0) parcel.number = ++this.lastNumber;
        if (!(await this.post(parcel))) return;
      }
    } finally {
      this.isBusy = false;
      if (this.isGathering()) this.schedule();
    }
  }

  /** Whether to go on at once. */
  private async post(parcel: Parcel): Promise<boolean> {
    const { redis, self } = this.options;
    let entry: unknown;
    try {
      this.postedAt = performance.now();
      entry = await redis.command('XADD', this.inbox, 'NOMKSTREAM', '*', 'b', parcel.pack(self));
    } catch (err) {
      // it may be there all the same; then the other node will know it by its number
      parcel.isUncertain = true;
      if (redis.isUp && !this.isRefused) {
        this.isRefused = true;
        // not the error itself: the client adds the command to it, and in that is what people write
        const error = err instanceof Error ? err.message : String(err);
        this.options.log.warn({ error, node: this.options.to }, 'Redis does not take what is for another node');
      }
      this.later();
      return false;
    }
    if (typeof entry !== 'string') {
      await this.unopened().catch(() => {});
      this.later();
      return false;
    }
    this.patience = PATIENCE_MIN;
    this.isRefused = false;
    parcel.entry = entry;
    this.waiting.shift();
    this.sent.push(parcel);
    parcel.settle();
    return true;
  }

  /** There is no inbox: not yet, not any more, or Redis has lost it. */
  private async unopened(): Promise<void> {
    if (await this.options.isThere()) return;
    const open = [...this.sent, ...this.waiting.filter((parcel) => parcel.isUncertain || parcel.entry !== '')];
    const taken = open.length === 0 ? 0 : await this.takenOver();
    if (taken !== undefined) return this.bury(taken);
    // what became of the others is known when somebody has taken over
    for (const parcel of this.waiting.filter((one) => !open.includes(one))) this.give(parcel);
    this.waiting = this.waiting.filter((one) => open.includes(one));
  }

  /** Up to where another node has taken over what the dead one had not handled; undefined while it may be at it. */
  private async takenOver(): Promise<number | undefined> {
    const isOwed = await this.options.isOwed();
    // (whoever takes over says so before nothing is owed any more)
    const { taken } = await this.look(0, NO_ENTRY);
    // nobody will: what the dead node left, and who has dealt with it, is lost with the memory of Redis
    return taken ?? (isOwed ? undefined : 0);
  }

  /** Nobody will have it. */
  private give(parcel: Parcel): void {
    this.remove(parcel);
    parcel.fail(new Undeliverable(`${this.options.to} is no more`));
  }

  private async look(number: number, entry: string): Promise<Audit> {
    const { redis, self, to } = this.options;
    const keys = [this.inbox, redis.key(to, 'handled'), redis.key(to, 'closed')];
    const reply = await redis.run(auditScript, keys, [self, number, entry]);
    const [handled, isThere, isOpen, taken] = reply as [string, number, number, string | null];
    return {
      handled: Number(handled),
      isThere: isThere === 1,
      isOpen: isOpen === 1,
      taken: taken === null ? undefined : Number(taken),
    };
  }

  private forget(handled: number): void {
    while (this.sent[0] !== undefined && this.sent[0].number <= handled) this.remove(this.sent.shift()!);
  }

  private remove(parcel: Parcel): void {
    this.size -= parcel.size;
    this.count -= parcel.count;
  }

  /** The other node is no more; up to that number another one has taken over what it had not handled. */
  private bury(taken: number): void {
    this.isClosed = true;
    clearTimeout(this.timer);
    clearTimeout(this.gathering);
    for (const parcel of [...this.sent.splice(0), ...this.waiting.splice(0)]) {
      this.remove(parcel);
      if (parcel.number > 0 && parcel.number <= taken) parcel.settle();
      else if (parcel.entry !== '') this.options.onLost(parcel.items);
      else parcel.fail(new Undeliverable(`${this.options.to} is no more`));
    }
    this.options.onDone();
  }

  private later(): void {
    if (this.isClosed) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.schedule(), this.patience).unref();
    this.patience = Math.min(2 * this.patience, PATIENCE_MAX);
  }
}
