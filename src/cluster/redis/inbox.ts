// What other nodes have sent to this one: a stream in Redis, read in order, and cut off behind what was handled. What takes long to
// handle is set aside in Redis meanwhile (`set-aside.ts`), so that what came after it is cut off all the same. The stream is always
// read from its start when a connection begins; what was seen already is known by its sender and number. Nothing is handled while
// this node may have been declared dead: then its inbox may be another one's.
import type { Logger } from '../../base/log.ts';
import { isPromise, type MaybePromise } from '../../base/maybe.ts';
import { defineScript, type RedisConnection, type RedisReader } from '../../net/redis.ts';
import type { NodeId } from '../cluster.ts';
import { type Content, readBatch, readItems } from './frames.ts';
import { Work } from './set-aside.ts';

export interface InboxOptions {
  readonly redis: RedisConnection;
  readonly log: Logger;
  readonly self: NodeId;
  /** Handles what has arrived; handled is what has resolved. */
  readonly handle: (content: Content, from: NodeId) => MaybePromise<void>;
  /** Whether this node is a member for certain; `sure` waits until that is known, and says whether its life goes on. */
  readonly isSure: () => boolean;
  readonly sure: () => Promise<boolean>;
  /** The inbox is not there though this node has not closed it. */
  readonly onGone: () => void;
  /** By Redis' clock. */
  readonly redisNow: () => number;
}

/** So many entries are read at once, and so many may be waiting to be handled before more are read. */
const READ = 32;
const PENDING = 2000;
/** Handled is told once in so many milliseconds, or when there is so much: what a node that dies has not told is dealt with again. */
const TELL_MS = 5;
const TELL_AT_ONCE = 64;
/** What is handled waits so many milliseconds at most to be cut off, because of what is not and came before it. */
const HOLD_MS = 500;
/** So many lives of nodes are known by what they have sent. */
const SENDERS = 4096;
/** How long Redis waits for something to arrive, in milliseconds: shorter than a connection may be silent. */
const BLOCK_MS = 1500;
const RETRY_MS = 250;

/**
 * Makes sure that there is an inbox; one that Redis has lost is there again with what its senders need to know. Keys: inbox, closing
 * report, positions, what is set aside. Arguments: how many of the first kind follow, senders and numbers, names and items. Returns 0 where it was closed for ever.
 */
const openScript = defineScript(`
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
if redis.call('EXISTS', KEYS[1]) == 0 then
  local id = redis.call('XADD', KEYS[1], '*', 'b', '')
  redis.call('XDEL', KEYS[1], id)
  for i = 2, ARGV[1] + 1, 2 do redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
  for i = ARGV[1] + 2, #ARGV, 2 do redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 1]) end
end
return 1
`);

/**
 * Cuts off what was handled or is set aside. Keys: inbox, positions, what is set aside. Arguments: the first entry that stays, how many
 * of the next kind follow, senders and numbers, names and items.
 */
const handledScript = defineScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('XTRIM', KEYS[1], 'MINID', ARGV[1])
local last = ARGV[2] + 2
if last > 2 then redis.call('HSET', KEYS[2], unpack(ARGV, 3, last)) end
if #ARGV > last then redis.call('HSET', KEYS[3], unpack(ARGV, last + 1)) end
return 1
`);

interface Pending {
  readonly id: string;
  readonly from: NodeId;
  /** Of the batch; 0 for one that changes nothing. */
  readonly number: number;
  /** What of it is not handled yet. */
  work: Work | undefined;
}

export class Inbox {
  private readonly options: InboxOptions;
  private readonly key: string;
  private readonly handledKey: string;
  private readonly closedKey: string;
  private readonly asideKey: string;
  private readonly reader: RedisReader;
  /** The last batch from each sender. */
  private readonly seen = new Map<NodeId, number>();
  /** The last batch from each sender that is handled, with all before it. */
  private readonly handled = new Map<NodeId, number>();
  private readonly works = new Set<Work>();
  private pending: Pending[] = [];
  /** What takes long, and is in Redis beside the inbox; by name. */
  private readonly aside = new Map<string, Work>();
  private lastName = 0;
  /** Names of what was set aside and is handled, for Redis to forget. */
  private ended: string[] = [];
  /** What is handled has waited long enough for what came before it. */
  private isOverdue = false;
  private holding: NodeJS.Timeout | undefined;
  private isTelling = false;
  private telling: Promise<void> = Promise.resolve();
  private isClosed = false;
  private running: Promise<void> = Promise.resolve();
  /** How long what was read last had waited, in milliseconds. */
  lag = 0;

  constructor(options: InboxOptions) {
    this.options = options;
    const { redis, self } = options;
    this.key = redis.key(self, 'inbox');
    this.handledKey = redis.key(self, 'handled');
    this.closedKey = redis.key(self, 'closed');
    this.asideKey = redis.key(self, 'aside');
    this.reader = redis.openReader();
  }

  /** Makes sure that others can send; resolves to false where this life is over. */
  async open(): Promise<boolean> {
    this.note(this.pending.slice(0, this.firstOpen()));
    const positions = [...this.handled].flat();
    const keys = [this.key, this.closedKey, this.handledKey, this.asideKey];
    const args = [positions.length, ...positions, ...written(this.aside.values())];
    return (await this.options.redis.run(openScript, keys, args)) === 1;
  }

  /** Begins to read. */
  start(): void {
    this.running = this.read();
  }

  /** Reads no more; resolves when what was read is handled. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.reader.close();
    await this.running;
    await Promise.all([...this.works].map(({ done }) => done));
    await this.tell();
    clearTimeout(this.holding);
  }

  private async read(): Promise<void> {
    let last = '0-0';
    while (!this.isClosed) {
      try {
        const reply = await this.reader.command('XREAD', 'COUNT', READ, 'BLOCK', BLOCK_MS, 'STREAMS', this.key, last);
        for (const [id, fields] of entriesOf(reply)) {
          if (!this.options.isSure() && !(await this.options.sure())) return;
          last = id;
          this.take(id, fields[1] ?? '');
        }
        while (this.pending.length + this.aside.size > PENDING && !this.isClosed) await pause(RETRY_MS);
      } catch (err) {
        if (this.isClosed) return;
        if (this.reader.isUp) this.options.log.debug({ err }, 'the inbox cannot be read');
        last = '0-0';
        await this.up();
      }
    }
  }

  private take(id: string, text: string): void {
    const { log, redisNow } = this.options;
    this.lag = Math.max(0, redisNow() - Number(id.slice(0, id.indexOf('-'))));
    try {
      const { from, number, items } = readBatch(text);
      const isNext = this.isNext(from, number);
      const pending: Pending = { id, from, number: isNext ? number : 0, work: undefined };
      this.pending.push(pending);
      if (isNext) this.handle(items, pending);
    } catch (err) {
      log.error({ err }, 'what another node has sent cannot be read');
      if (this.pending.at(-1)?.id !== id) this.pending.push({ id, from: '' as NodeId, number: 0, work: undefined });
    }
    void this.tell();
  }

  /** Whether a batch is new, and none before it is missing: that one would be sent again, with those after it. */
  private isNext(from: NodeId, number: number): boolean {
    if (number !== (this.seen.get(from) ?? 0) + 1) return false;
    // those that have been silent for longest come first, and are forgotten first
    this.seen.delete(from);
    this.seen.set(from, number);
    if (this.seen.size > SENDERS) {
      const [oldest] = this.seen.keys();
      this.seen.delete(oldest!);
      this.handled.delete(oldest!);
    }
    return true;
  }

  private handle(items: string, pending: Pending): void {
    const { handle, log } = this.options;
    const { from } = pending;
    const onBad = (err: unknown): void =>
      log.error({ err, node: from }, 'what another node has sent cannot be handled');
    const step = (content: Content): void => {
      try {
        const work = handle(content, from);
        if (isPromise(work)) this.workOf(pending).add(content, work.catch(onBad));
      } catch (err) {
        onBad(err);
      }
    };
    readItems(items, step, onBad);
  }

  private workOf(pending: Pending): Work {
    if (pending.work !== undefined) return pending.work;
    const work = new Work(pending.from, pending.number);
    pending.work = work;
    this.works.add(work);
    void work.done.then(() => {
      this.works.delete(work);
      pending.work = undefined;
      const { name } = work;
      if (name !== undefined) {
        this.aside.delete(name);
        this.ended.push(name);
      }
      void this.tell();
    });
    return work;
  }

  /** Tells Redis, and through it the senders, up to where all is handled, or set aside. What fails is told with the next call. */
  tell(): Promise<void> {
    if (!this.isTelling) this.telling = this.tellAll();
    return this.telling;
  }

  private async tellAll(): Promise<void> {
    this.isTelling = true;
    try {
      while (this.isOverdue || this.ended.length > 0 || (this.pending.length > 0 && this.firstOpen() > 0)) {
        // what else is handled shortly goes with it
        if (!this.isClosed && this.pending.length < TELL_AT_ONCE) await pause(TELL_MS);
        await this.cutOff();
        await this.forget();
      }
      // what comes behind the first of them is not to wait for it
      if (this.pending.length > 1) this.holding ??= setTimeout(() => this.overdue(), HOLD_MS);
    } catch (err) {
      this.options.log.debug({ err }, 'what was handled cannot be cut off the inbox');
    } finally {
      this.isTelling = false;
    }
  }

  private overdue(): void {
    this.holding = undefined;
    this.isOverdue = true;
    void this.tell();
  }

  private async cutOff(): Promise<void> {
    const isHandled = ({ work }: Pending): boolean => work === undefined;
    const done = this.pending.slice(0, this.isOverdue ? this.pending.findLastIndex(isHandled) + 1 : this.firstOpen());
    this.isOverdue = false;
    clearTimeout(this.holding);
    this.holding = undefined;
    const last = done.at(-1);
    if (last === undefined) return;
    const late = done.flatMap(({ work }) => work ?? []);
    for (const work of late) work.name ??= String(++this.lastName);
    const positions = [...this.note(done)].flat();
    const { redis, onGone } = this.options;
    const keys = [this.key, this.handledKey, this.asideKey];
    const args = [after(last.id), positions.length, ...positions, ...written(late)];
    const found = await redis.run(handledScript, keys, args);
    this.pending.splice(0, done.length);
    for (const work of late) if (!work.isDone) this.aside.set(work.name!, work);
    if (found === 0 && !this.isClosed) onGone();
  }

  /** What was set aside and is handled need not be there any more. */
  private async forget(): Promise<void> {
    const names = [...this.ended];
    if (names.length === 0) return;
    await this.options.redis.command('HDEL', this.asideKey, ...names);
    this.ended.splice(0, names.length);
  }

  /** The place of the first that is not handled. */
  private firstOpen(): number {
    const open = this.pending.findIndex(({ work }) => work !== undefined);
    return open < 0 ? this.pending.length : open;
  }

  /** Remembers up to where all is handled, or set aside; returns that of the senders of these. */
  private note(done: readonly Pending[]): ReadonlyMap<NodeId, number> {
    const positions = new Map<NodeId, number>();
    for (const { from, number } of done) {
      if (number > 0) this.handled.set(from, number);
      const handled = this.handled.get(from);
      if (handled !== undefined) positions.set(from, handled);
    }
    return positions;
  }

  private async up(): Promise<void> {
    if (this.reader.isUp) {
      await pause(RETRY_MS);
      return;
    }
    await new Promise<void>((resolve) => {
      const stop = this.reader.onUp(done);
      const timer = setTimeout(done, 1000);
      function done(): void {
        stop();
        clearTimeout(timer);
        resolve();
      }
    });
  }
}

/** What waits in the inbox of a node to be handled, in batches. */
export async function depthOf(redis: RedisConnection, node: NodeId): Promise<number> {
  const [waiting, aside] = await Promise.all([
    redis.command('XLEN', redis.key(node, 'inbox')),
    redis.command('HLEN', redis.key(node, 'aside')),
  ]);
  return Number(waiting) + Number(aside);
}

/** The smallest name of an entry that comes after this one. */
function after(id: string): string {
  const dash = id.indexOf('-');
  return `${id.slice(0, dash)}-${Number(id.slice(dash + 1)) + 1}`;
}

/** Names and batches, one after the other. */
function written(works: Iterable<Work>): string[] {
  return [...works].flatMap((work) => [work.name ?? '', work.write()]);
}

type Entry = readonly [id: string, fields: readonly string[]];

/** What XREAD answers for one stream. */
function entriesOf(reply: unknown): readonly Entry[] {
  return (reply as readonly [string, readonly Entry[]][] | null)?.[0]?.[1] ?? [];
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
