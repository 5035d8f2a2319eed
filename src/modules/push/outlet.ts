// The way to app servers: one notification at a time for each registration, so many a second for each app server, the latest news in the
// place of what waited; and what becomes of a registration whose app server refuses, fails or is silent (XEP-0357 7.1).
//
// What waits is written down until it has been published: when a node dies over it, another one goes on.
import type { Clock } from '../../base/clock.ts';
import { pause } from '../../base/clock.ts';
import { LruCache } from '../../base/lru.ts';
import type { MaybePromise } from '../../base/maybe.ts';
import { type Rate, TokenBucket } from '../../base/token-bucket.ts';
import type { EphemeralStore } from '../../storage/ports.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Iq } from '../../xmpp/stanza.ts';
import type { Summary } from './notification.ts';
import type { Failing, Registration } from './registration.ts';
import type { News } from './worth.ts';

/** What waits to be published, as JSON. */
export interface Waiting {
  readonly user: string;
  readonly id: string;
  readonly news: News;
}

export interface OutletParts {
  readonly waiting: EphemeralStore<Waiting>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Between two notifications for one registration, in milliseconds. */
  readonly interval: number;
  readonly rate: Rate;
  readonly maxErrors: number;
  /** Whose is what waits here: this life of this node. */
  self(): string;
  find(user: string, id: string): MaybePromise<Registration | undefined>;
  /** How much there is to tell; undefined where somebody has looked at the client since. */
  summaryOf(user: string, id: string): Promise<Summary | undefined>;
  /** Publishes, and waits for the answer. */
  publish(registration: Registration, news: News, summary: Summary): Promise<Iq>;
  /** Publishes without a care for the answer. */
  tell(registration: Registration, news: News, summary: Summary): void;
  /** Writes down how its app server fails; undefined: it does not. */
  fails(user: string, registration: Registration, failing: Failing | undefined): Promise<void>;
  /** Forgets a registration, unless it was made anew since. */
  remove(user: string, registration: Registration): Promise<void>;
  background(work: Promise<unknown>, what: string): void;
}

/** One registration, as long as there is something to send, or may soon be. */
interface Line {
  readonly user: string;
  readonly id: string;
  /** What is to be sent next. */
  news: News | undefined;
  /** It could not be counted: that nothing was counted does not mean that it was read. */
  isUncounted: boolean;
  isBusy: boolean;
  /** Nothing but a call is sent before, in milliseconds since 1970. */
  from: number;
  /** Nor is that: its app server fails. */
  isHeld: boolean;
  cancel: (() => void) | undefined;
}

/** What waits is remembered for so long, in milliseconds. */
const KEPT = 86_400_000;
/** After the first failure, and at most, in milliseconds. */
const FIRST_PAUSE = 60_000;
const LONGEST_PAUSE = 6 * 3_600_000;
/** After a failure of our own. */
const SHORT_PAUSE = 5_000;
/** App servers of which is known how much they were sent of late. */
const MOST_SERVERS = 1024;

/** Errors that may be over soon, whatever type they are given: a server that is away is answered for by others. */
const passing: ReadonlySet<string> = new Set([
  'internal-server-error',
  'recipient-unavailable',
  'remote-server-not-found',
  'remote-server-timeout',
  'resource-constraint',
  'service-unavailable',
]);

export class Outlet {
  private readonly parts: OutletParts;
  private readonly lines = new Map<string, Line>();
  private readonly buckets = new LruCache<string, TokenBucket>(MOST_SERVERS);

  constructor(parts: OutletParts) {
    this.parts = parts;
  }

  /**
   * Has something told. Resolves when it is written down, or is known not to be.
   * @param isCounted whether the ledger has it
   */
  async push(user: string, id: string, news: News, isCounted: boolean): Promise<void> {
    const { waiting } = this.parts;
    const line = this.lineOf(user, id);
    // what comes just behind a call does not silence it: it rings, and the rest is counted
    if (line.news?.kind !== 'call' || news.kind === 'call' || line.isHeld) line.news = news;
    line.isUncounted ||= !isCounted;
    try {
      await waiting.set(this.parts.self(), keyOf(line), { user, id, news: line.news }, KEPT);
    } catch {
      // without Redis: it is sent all the same, if this node lives
    }
    this.arrange(line);
  }

  /** A registration is to be told nothing of what waits. */
  drop(user: string, id: string): void {
    const line = this.lines.get(`${user} ${id}`);
    if (line === undefined) return;
    line.news = undefined;
    line.from = 0;
    line.isHeld = false;
    this.arrange(line);
  }

  /** Goes on with what another life has left. */
  async adopt(life: string): Promise<void> {
    const { waiting } = this.parts;
    for (const [key, { user, id, news }] of await waiting.all(life)) {
      await this.push(user, id, news, true);
      if (life !== this.parts.self()) await waiting.set(life, key, undefined, 0);
    }
  }

  /** Sends what waits for its time, before nobody does. */
  async flush(): Promise<void> {
    const { parts } = this;
    await Promise.all(
      [...this.lines.values()].map(async (line) => {
        line.cancel?.();
        const { news, user, id } = line;
        if (news === undefined || line.isBusy) return;
        const registration = await parts.find(user, id);
        if (registration === undefined || registration.failing !== undefined) return;
        const summary = await this.summaryOf(line);
        if (summary !== undefined) parts.tell(registration, news, summary);
        await this.done(line);
      }),
    );
  }

  private lineOf(user: string, id: string): Line {
    const key = `${user} ${id}`;
    const known = this.lines.get(key);
    if (known !== undefined) return known;
    const line: Line = {
      user,
      id,
      news: undefined,
      isUncounted: false,
      isBusy: false,
      from: 0,
      isHeld: false,
      cancel: undefined,
    };
    this.lines.set(key, line);
    return line;
  }

  /** Sends what is to be sent when it may be. */
  private arrange(line: Line): void {
    const { clock, signal } = this.parts;
    if (line.isBusy || signal.aborted) return;
    line.cancel?.();
    line.cancel = undefined;
    const wait = line.from - clock.now();
    if (line.news !== undefined && (wait <= 0 || (line.news.kind === 'call' && !line.isHeld))) {
      line.isBusy = true;
      this.parts.background(this.send(line), 'a push notification');
    } else if (wait > 0) {
      line.cancel = clock.after(wait, () => this.arrange(line));
    } else this.lines.delete(keyOf(line));
  }

  private async send(line: Line): Promise<void> {
    try {
      await this.attempt(line);
    } catch (error) {
      // nobody knows where to send it while the database is away
      hold(line, Math.max(line.from, this.parts.clock.now() + SHORT_PAUSE));
      throw error;
    } finally {
      line.isBusy = false;
      this.arrange(line);
    }
  }

  private async attempt(line: Line): Promise<void> {
    const { parts } = this;
    const { user, id } = line;
    const registration = await parts.find(user, id);
    if (registration === undefined) return this.nothing(line);
    const { failing } = registration;
    if (failing !== undefined && failing.until > parts.clock.now()) return hold(line, failing.until);
    if (!(await this.turn(registration))) return;
    const summary = await this.summaryOf(line);
    const { news } = line;
    if (news === undefined || summary === undefined) return this.nothing(line);
    line.news = undefined;
    const answer = await parts.publish(registration, news, summary);
    // what was asked when this is to stop may have been done, or not
    if (parts.signal.aborted) return;
    if (answer.type !== 'error') return this.published(line, registration);
    const times = (failing?.times ?? 0) + 1;
    if (!isPassing(answer) || times >= parts.maxErrors) {
      await parts.remove(user, registration);
      return this.nothing(line);
    }
    const until = parts.clock.now() + Math.min(FIRST_PAUSE * 2 ** (times - 1), LONGEST_PAUSE);
    line.news ??= news.kind === 'call' ? missed(news) : news;
    hold(line, until);
    await parts.fails(user, registration, { times, until });
  }

  private async published(line: Line, registration: Registration): Promise<void> {
    const { clock, interval, fails } = this.parts;
    line.from = clock.now() + interval;
    line.isHeld = false;
    if (line.news === undefined) await this.done(line);
    if (registration.failing !== undefined) await fails(line.user, registration, undefined);
  }

  /** Waits until its app server may be sent one more. Resolves to false where all is to stop before. */
  private async turn({ jid }: Registration): Promise<boolean> {
    const { clock, rate, signal } = this.parts;
    const domain = Jid.parse(jid)?.domain ?? jid;
    let bucket = this.buckets.get(domain);
    if (bucket === undefined) {
      bucket = new TokenBucket(rate, clock.now());
      this.buckets.set(domain, bucket);
    }
    const wait = bucket.take(1, clock.now());
    return wait === 0 || pause(clock, wait, signal);
  }

  private async summaryOf({ user, id, isUncounted }: Line): Promise<Summary | undefined> {
    try {
      const summary = await this.parts.summaryOf(user, id);
      return summary ?? (isUncounted ? { messages: 1, requests: 0 } : undefined);
    } catch {
      return { messages: 1, requests: 0 };
    }
  }

  private async nothing(line: Line): Promise<void> {
    line.news = undefined;
    line.from = 0;
    line.isHeld = false;
    await this.done(line);
  }

  private async done(line: Line): Promise<void> {
    line.isUncounted = false;
    try {
      await this.parts.waiting.set(this.parts.self(), keyOf(line), undefined, 0);
    } catch {
      // it is forgotten in time; told twice does no harm
    }
  }
}

/** By the time that an app server is there again nobody calls any more: no phone is to ring. */
function missed({ from, key }: News): News {
  return { kind: 'chat', from, key };
}

function hold(line: Line, until: number): void {
  line.from = until;
  line.isHeld = true;
}

function keyOf({ user, id }: Pick<Line, 'user' | 'id'>): string {
  return `${user} ${id}`;
}

/** XEP-0357 7.1: "if the error is deemed recoverable or transient". */
function isPassing({ el: iq }: Iq): boolean {
  const error = iq.getChild('error');
  return (
    error?.attrs.type === 'wait' ||
    error?.elements().some(({ ns, name }) => ns === NS.stanzas && passing.has(name)) === true
  );
}
