// Questions to those who have announced something that nobody knows yet: one for each hash, however many announce it, and another one to
// somebody else where who was asked does not answer, or lies (XEP-0115 5.4, 3.9). Whoever makes up hash after hash is not asked for long.
import type { Clock } from '../../base/clock.ts';
import { LruCache } from '../../base/lru.ts';
import { type Rate, TokenBucket } from '../../base/token-bucket.ts';
import type { Host } from '../../core/host.ts';
import type { Router } from '../../core/router.ts';
import { el } from '../../xml/element.ts';
import { flatten } from '../../xml/flatten.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { type Iq, stanzaOf } from '../../xmpp/stanza.ts';
import type { Announced } from './announced.ts';
import { featuresIn } from './answer.ts';

/** Somebody who has announced a hash. */
export interface Asker {
  /** The account of ours in whose name he is asked. */
  readonly account: Jid;
  readonly jid: Jid;
  /** Is told what he can do, undefined where that cannot be known; unless he has announced the same again before that. */
  told(features: readonly string[] | undefined): void;
}

interface Inquiry {
  readonly announced: Announced;
  /** Those who were not asked yet, and those who were, by account and full JID. */
  readonly untried: Map<string, Asker>;
  readonly tried: Map<string, Asker>;
  /** Questions without an answer. */
  asked: number;
  /** The last one is not answered as soon as a client does that; whoever comes now may be asked, too. */
  isSlow: boolean;
  isOver: boolean;
}

/** Before somebody is taken not to answer, in milliseconds; and before somebody else is asked meanwhile. */
const TIMEOUT = 20_000;
const SLOW = 3000;
/** Of those who announce the same. */
const MOST_TRIED = 20;
const MOST_OPEN = 1000;
const MOST_WAITING = 100_000;
/** For so long nobody is asked again for what he did not prove. */
const FORGIVEN_AFTER = 10 * 60_000;
/** New hashes of one account, and of all accounts of another domain. */
const perAccount: Rate = { rate: 1 / 6, burst: 20 };
const perDomain: Rate = { rate: 2, burst: 200 };
const REMEMBERED = 10_000;

export interface InquiryParts {
  readonly host: Host;
  readonly router: Router;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly background: (work: Promise<unknown>, what: string) => void;
  /** Counts questions, and answers that prove nothing. */
  readonly counted: (what: 'asked' | 'refused') => void;
}

export class Inquiries {
  private readonly parts: InquiryParts;
  private readonly open = new Map<string, Inquiry>();
  private waiting = 0;
  /** When somebody did not prove what he announced. */
  private readonly failed = new LruCache<string, number>(REMEMBERED);
  private readonly budgets = new LruCache<string, TokenBucket>(REMEMBERED);

  constructor(parts: InquiryParts) {
    this.parts = parts;
  }

  /** Finds out what somebody can do who has announced a hash; he is told when that is known. */
  ask(announced: Announced, asker: Asker): void {
    const { jid, account } = asker;
    // of what cannot be verified everybody is asked for himself
    const key = keyOf(announced, jid);
    const name = `${account.local} ${jid.full}`;
    const open = this.open.get(key);
    if (this.isRefused(announced, jid, open !== undefined)) asker.told(undefined);
    else if (open !== undefined) this.join(open, key, name, asker);
    else {
      const flat = {
        ...announced,
        key: flatten(announced.key),
        hash: flatten(announced.hash),
        node: announced.node && flatten(announced.node),
      };
      const untried = new Map([[name, asker]]);
      const inquiry: Inquiry = { announced: flat, untried, tried: new Map(), asked: 0, isSlow: false, isOver: false };
      this.waiting++;
      this.open.set(key, inquiry);
      this.next(key, inquiry);
    }
  }

  private isRefused(announced: Announced, jid: Jid, isOpen: boolean): boolean {
    const now = this.parts.clock.now();
    const before = this.failed.get(`${announced.key} ${jid.full}`);
    if ((before !== undefined && before + FORGIVEN_AFTER > now) || this.waiting >= MOST_WAITING) return true;
    return !isOpen && (this.open.size >= MOST_OPEN || !this.mayAsk(jid, now));
  }

  private join(inquiry: Inquiry, key: string, name: string, asker: Asker): void {
    if (inquiry.tried.has(name)) {
      inquiry.tried.set(name, asker);
      return;
    }
    if (!inquiry.untried.has(name)) this.waiting++;
    inquiry.untried.set(name, asker);
    if (inquiry.isSlow) this.next(key, inquiry);
  }

  private mayAsk({ bare, domain }: Jid, now: number): boolean {
    if (domain !== this.parts.host.domain && !this.take(domain, perDomain, now)) return false;
    return this.take(bare, perAccount, now);
  }

  private take(whom: string, rate: Rate, now: number): boolean {
    let bucket = this.budgets.get(whom);
    if (bucket === undefined) {
      bucket = new TokenBucket(rate, now);
      this.budgets.set(whom, bucket);
    }
    return bucket.tryTake(1, now);
  }

  /** Asks one more, if there is one; where there is none and nobody is being asked, it is over. */
  private next(key: string, inquiry: Inquiry): void {
    const asker = inquiry.tried.size < MOST_TRIED ? this.choose(inquiry) : undefined;
    if (asker === undefined) {
      inquiry.isSlow = inquiry.tried.size < MOST_TRIED;
      if (inquiry.asked === 0) this.end(key, inquiry, undefined);
      return;
    }
    inquiry.isSlow = false;
    inquiry.asked++;
    this.parts.background(this.question(key, inquiry, asker), 'asking for capabilities');
  }

  /** One of ours, if there is one; else anybody, so that nobody can be sure to be asked. */
  private choose({ untried, tried }: Inquiry): Asker | undefined {
    const all = [...untried];
    const ours = all.find(([, { jid }]) => jid.domain === this.parts.host.domain);
    const chosen = ours ?? all[Math.floor(Math.random() * all.length)];
    if (chosen === undefined) return undefined;
    const [name, asker] = chosen;
    untried.delete(name);
    tried.set(name, asker);
    return asker;
  }

  private async question(key: string, inquiry: Inquiry, asker: Asker): Promise<void> {
    const { host, router, clock, signal, counted } = this.parts;
    const { announced } = inquiry;
    const stopWaiting = clock.after(SLOW, () => {
      if (!inquiry.isOver) this.next(key, inquiry);
    });
    counted('asked');
    const answer = await router.request(host, (id) => questionFor(announced, asker, id), { timeout: TIMEOUT, signal });
    stopWaiting();
    inquiry.asked--;
    if (inquiry.isOver) return;
    const { payload, type, el: element } = answer;
    const features =
      type === 'result' && payload !== undefined
        ? featuresIn(payload, announced, element.attrs['xml:lang'])
        : undefined;
    if (features !== undefined) return this.end(key, inquiry, features);
    if (signal.aborted) return;
    counted('refused');
    this.failed.set(`${announced.key} ${asker.jid.full}`, clock.now());
    this.next(key, inquiry);
  }

  private end(key: string, inquiry: Inquiry, features: readonly string[] | undefined): void {
    inquiry.isOver = true;
    this.open.delete(key);
    const all = [...inquiry.tried.values(), ...inquiry.untried.values()];
    this.waiting -= all.length;
    for (const asker of all) asker.told(features);
  }
}

function keyOf({ key, isVerifiable }: Announced, { full }: Jid): string {
  return isVerifiable ? key : `${key} ${full}`;
}

/** XEP-0115 6.2, XEP-0390 5.5: to the full JID, from the account's address. */
function questionFor({ node }: Announced, { account, jid }: Asker, id: string): Iq {
  const attrs = { type: 'get', id, from: account.bare, to: jid.full };
  return stanzaOf(el('iq', null, attrs, el('query', NS.discoInfo, { node })), account, jid) as Iq;
}
