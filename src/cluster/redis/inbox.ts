// What other nodes have sent to this one: a stream in Redis, read in order, and cut off behind what was handled. It is always read
// from its start when a connection begins; what was seen already is known by its sender and number. Nothing is handled while this
// node may have been declared dead: then its inbox may be another one's.
import type { Logger } from '../../base/log.ts';
import { isPromise, type MaybePromise } from '../../base/maybe.ts';
import { defineScript, type RedisConnection, type RedisReader } from '../../net/redis.ts';
import type { NodeId } from '../cluster.ts';
import { type Content, readBatch, readItems } from './frames.ts';

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
/** So many lives of nodes are known by what they have sent. */
const SENDERS = 4096;
/** How long Redis waits for something to arrive, in milliseconds: shorter than a connection may be silent. */
const BLOCK_MS = 1500;
const RETRY_MS = 250;

/** Makes sure that there is an inbox. Keys: inbox, closing report. Returns 0 where it was closed for ever. */
const openScript = defineScript(`
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
if redis.call('EXISTS', KEYS[1]) == 0 then
  local id = redis.call('XADD', KEYS[1], '*', 'b', '')
  redis.call('XDEL', KEYS[1], id)
end
return 1
`);

/** Cuts off what was handled. Keys: inbox, positions. Arguments: the first entry that stays; senders and numbers. */
const handledScript = defineScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('XTRIM', KEYS[1], 'MINID', ARGV[1])
if #ARGV > 1 then redis.call('HSET', KEYS[2], unpack(ARGV, 2)) end
return 1
`);

interface Pending {
  readonly id: string;
  readonly from: NodeId;
  /** Of the batch; 0 for one that changes nothing. */
  readonly number: number;
  isHandled: boolean;
}

export class Inbox {
  private readonly options: InboxOptions;
  private readonly key: string;
  private readonly handledKey: string;
  private readonly closedKey: string;
  private readonly reader: RedisReader;
  /** The last batch from each sender. */
  private readonly seen = new Map<NodeId, number>();
  /** The last batch from each sender that is handled, with all before it. */
  private readonly handled = new Map<NodeId, number>();
  private readonly works = new Set<Promise<unknown>>();
  private pending: Pending[] = [];
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
    this.reader = redis.openReader();
  }

  /** Makes sure that others can send; resolves to false where this life is over. */
  async open(): Promise<boolean> {
    return (await this.options.redis.run(openScript, [this.key, this.closedKey], [])) === 1;
  }

  /** Begins to read. */
  start(): void {
    this.running = this.read();
  }

  /** What waits to be read, in batches. */
  async depth(): Promise<number> {
    return Number(await this.options.redis.command('XLEN', this.key));
  }

  /** Reads no more; resolves when what was read is handled. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.reader.close();
    await this.running;
    await Promise.all(this.works);
    await this.tell();
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
        while (this.pending.length > PENDING && !this.isClosed) await pause(RETRY_MS);
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
      const pending: Pending = { id, from, number: isNext ? number : 0, isHandled: true };
      this.pending.push(pending);
      const work = isNext ? this.handle(items, from) : undefined;
      if (work !== undefined) this.await(work, pending);
    } catch (err) {
      log.error({ err }, 'what another node has sent cannot be read');
      if (this.pending.at(-1)?.id !== id) this.pending.push({ id, from: '' as NodeId, number: 0, isHandled: true });
    }
    void this.tell();
  }

  private await(work: Promise<unknown>, pending: Pending): void {
    pending.isHandled = false;
    this.works.add(work);
    void work.then(() => {
      this.works.delete(work);
      pending.isHandled = true;
      void this.tell();
    });
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

  private handle(items: string, from: NodeId): Promise<unknown> | undefined {
    const { handle, log } = this.options;
    const works: Promise<void>[] = [];
    const onBad = (err: unknown): void =>
      log.error({ err, node: from }, 'what another node has sent cannot be handled');
    const step = (content: Content): void => {
      try {
        const work = handle(content, from);
        if (isPromise(work)) works.push(work.catch(onBad));
      } catch (err) {
        onBad(err);
      }
    };
    readItems(items, step, onBad);
    return works.length === 0 ? undefined : Promise.all(works);
  }

  /** Tells Redis, and through it the senders, up to where all is handled. What fails is told with the next call. */
  tell(): Promise<void> {
    if (!this.isTelling) this.telling = this.tellAll();
    return this.telling;
  }

  private async tellAll(): Promise<void> {
    this.isTelling = true;
    try {
      while (this.pending[0]?.isHandled) {
        // what else is handled shortly goes with it
        if (!this.isClosed && this.pending.length < TELL_AT_ONCE) await pause(TELL_MS);
        const open = this.pending.findIndex(({ isHandled }) => !isHandled);
        const done = this.pending.slice(0, open < 0 ? undefined : open);
        const positions = this.positions(done);
        const { redis, onGone } = this.options;
        const first = after(done.at(-1)!.id);
        const found = await redis.run(handledScript, [this.key, this.handledKey], [first, ...[...positions].flat()]);
        this.pending.splice(0, done.length);
        if (found === 0 && !this.isClosed) onGone();
      }
    } catch (err) {
      this.options.log.debug({ err }, 'what was handled cannot be cut off the inbox');
    } finally {
      this.isTelling = false;
    }
  }

  private positions(done: readonly Pending[]): ReadonlyMap<NodeId, number> {
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

/** The smallest name of an entry that comes after this one. */
function after(id: string): string {
  const dash = id.indexOf('-');
  return `${id.slice(0, dash)}-${Number(id.slice(dash + 1)) + 1}`;
}

type Entry = readonly [id: string, fields: readonly string[]];

/** What XREAD answers for one stream. */
function entriesOf(reply: unknown): readonly Entry[] {
  return (reply as readonly [string, readonly Entry[]][] | null)?.[0]?.[1] ?? [];
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
