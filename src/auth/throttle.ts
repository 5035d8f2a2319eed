// Slows down those who guess passwords: by account and address, and by address. An account is never locked for everybody:
// its owner gets in from elsewhere, and also from an address that others guess from, once known there. Nodes tell one another of what
// failed and who got in, so that guesses count wherever they are made; only those under way are counted by each node for itself: at
// the worst, as many more than the limit are verified as are under way on the other nodes. Cut off, a node counts what it sees. One that
// comes, or that may have missed something, asks another for what it knows: whoever guesses cannot wait for a restart.
import { isIPv6 } from 'node:net';
import type { Clock } from '../base/clock.ts';
import type { Cluster } from '../cluster/cluster.ts';

interface Rule {
  /** Failures that cost nothing: people mistype. */
  readonly free: number;
  /** Milliseconds after the first failure that is not free; twice as many after each one more. */
  readonly delay: number;
  readonly maxDelay: number;
  /** Failures after which nothing is verified any more, until there was none for the time of `forget`. */
  readonly limit: number;
}

export interface ThrottleOptions {
  readonly perAccount?: Partial<Rule>;
  readonly perAddress?: Partial<Rule>;
  /** Milliseconds. */
  readonly forget?: number;
  /** How many pairs, and how many addresses, are remembered at the most. */
  readonly capacity?: number;
}

/** One attempt to log in, from when it is known who wants in. */
export interface Attempt {
  /** There were too many failures: nothing must be verified. */
  readonly isRefused: boolean;
  succeeded(): void;
  /** The answer has to wait for `delay`; `isLast` when the next attempt would be refused. */
  failed(): { readonly delay: Promise<void>; readonly isLast: boolean };
  /** The attempt is no longer under way; may be called in any case. */
  release(): void;
}

export interface Throttle {
  begin(address: string, account: string): Attempt;
}

/** What nodes tell one another: how an attempt ended. */
interface Ended {
  readonly network: string;
  readonly account: string;
  readonly ok: boolean;
}
const topic = 'auth.attempt';

/** What a node knows of a pair, or of an address, when another asks: how old it is, in milliseconds, not when, since clocks may differ. */
interface Known {
  readonly key: string;
  readonly failures: number;
  readonly age: number;
  readonly isKnown: boolean;
}
interface Tables {
  readonly pairs: readonly Known[];
  readonly addresses: readonly Known[];
}
const tablesCall = 'auth.attempts';
/** The latest of each table are told, so that it fits into one answer. */
const TOLD = 5_000;

interface Entry {
  failures: number;
  /** Attempts under way: guesses in parallel are counted before their results are known. */
  pending: number;
  /** Milliseconds since 1970, of the last failure or success. */
  at: number;
  /** Somebody logged in here lately. */
  isKnown: boolean;
}

const MAX_PENDING = 256;

/** One per server. */
export function createThrottle(
  clock: Clock,
  options: ThrottleOptions = {},
  cluster?: Pick<Cluster, 'answer' | 'call' | 'nodes' | 'onGap' | 'publish' | 'self' | 'subscribe'>,
): Throttle {
  const perAccount: Rule = { free: 2, delay: 500, maxDelay: 16_000, limit: 10, ...options.perAccount };
  const perAddress: Rule = { free: 10, delay: 500, maxDelay: 16_000, limit: 100, ...options.perAddress };
  const forget = options.forget ?? 15 * 60_000;
  const capacity = options.capacity ?? 20_000;
  const pairs = new Map<string, Entry>();
  const addresses = new Map<string, Entry>();

  /** The entry of a key, as the youngest of its table; the oldest goes when there are too many. */
  const touch = (table: Map<string, Entry>, key: string): Entry => {
    let entry = table.get(key);
    if (entry !== undefined) table.delete(key);
    if (entry === undefined || (entry.pending === 0 && clock.now() - entry.at >= forget)) {
      entry = { failures: 0, pending: 0, at: clock.now(), isKnown: false };
    }
    table.set(key, entry);
    if (table.size > capacity) {
      const [oldest] = table.keys();
      if (oldest !== undefined) table.delete(oldest);
    }
    return entry;
  };
  const delayOf = (rule: Rule, { failures }: Entry): number =>
    failures <= rule.free ? 0 : Math.min(rule.maxDelay, rule.delay * 2 ** (failures - rule.free - 1));
  const isSpent = (rule: Rule, { failures, pending }: Entry): boolean =>
    failures >= rule.limit || (failures > 0 && failures + pending >= rule.limit) || pending >= MAX_PENDING;

  const pairOf = (network: string, account: string): Entry => touch(pairs, `${network} ${account}`);
  const succeed = (pair: Entry): void => {
    pair.failures = 0;
    pair.at = clock.now();
    pair.isKnown = true;
  };
  const fail = (pair: Entry, whole: Entry): void => {
    for (const entry of [pair, whole]) {
      entry.failures++;
      entry.at = clock.now();
    }
  };
  const tell = (ended: Ended): void => cluster?.publish(topic, ended);
  cluster?.subscribe(topic, (body) => {
    const { network, account, ok } = body as Ended;
    const pair = pairOf(network, account);
    if (ok) succeed(pair);
    else fail(pair, touch(addresses, network));
  });

  const known = (table: ReadonlyMap<string, Entry>): Known[] => {
    const now = clock.now();
    const all = [...table].filter(([, { failures, isKnown, at }]) => (failures > 0 || isKnown) && now - at < forget);
    return all.slice(-TOLD).map(([key, { failures, at, isKnown }]) => ({ key, failures, age: now - at, isKnown }));
  };
  /** What is worse counts: whatever both know of is not there twice. */
  const learn = (table: Map<string, Entry>, told: readonly Known[]): void => {
    for (const { key, failures, age, isKnown } of told) {
      if (age >= forget) continue;
      const entry = touch(table, key);
      entry.at = entry.failures === 0 && !entry.isKnown ? clock.now() - age : Math.max(entry.at, clock.now() - age);
      entry.failures = Math.max(entry.failures, failures);
      entry.isKnown ||= isKnown;
    }
  };
  const catchUp = async (): Promise<void> => {
    for (const node of cluster?.nodes ?? []) {
      if (node === cluster?.self) continue;
      try {
        const told = (await cluster?.call(node, tablesCall, undefined)) as Tables;
        learn(pairs, told.pairs);
        learn(addresses, told.addresses);
        return;
      } catch {
        // it is dying, or starts itself: the next one knows the same
      }
    }
  };
  cluster?.answer(tablesCall, (): Tables => ({ pairs: known(pairs), addresses: known(addresses) }));
  cluster?.onGap((isOurs) => {
    if (isOurs) void catchUp();
  });
  void catchUp();

  return {
    begin(address, account) {
      const network = networkOf(address);
      const pair = pairOf(network, account);
      const whole = touch(addresses, network);
      if (isSpent(perAccount, pair) || (!pair.isKnown && whole.failures >= perAddress.limit)) {
        const isLast = true;
        return { isRefused: true, succeeded() {}, failed: () => ({ delay: Promise.resolve(), isLast }), release() {} };
      }
      pair.pending++;
      let isOver = false;
      const release = (): void => {
        if (!isOver) pair.pending--;
        isOver = true;
      };
      return {
        isRefused: false,
        release,
        succeeded() {
          release();
          // the others know already, as a rule
          if (pair.failures > 0 || !pair.isKnown) tell({ network, account, ok: true });
          succeed(pair);
        },
        failed() {
          release();
          fail(pair, whole);
          tell({ network, account, ok: false });
          const delay = Math.max(delayOf(perAccount, pair), delayOf(perAddress, whole));
          return {
            delay: delay === 0 ? Promise.resolve() : new Promise((resolve) => void clock.after(delay, resolve)),
            isLast: pair.failures >= perAccount.limit || (!pair.isKnown && whole.failures >= perAddress.limit),
          };
        },
      };
    },
  };
}

/** Who has one IPv6 address has all of its /64. */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped?.[1] !== undefined) return mapped[1];
  const bare = address.replace(/%.*$/, '');
  if (!isIPv6(bare)) return address;
  const [head = '', tail] = bare.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = tail === undefined ? left : [...left, ...Array(8 - left.length - right.length).fill('0'), ...right];
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}
