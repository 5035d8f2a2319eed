// Keeps those at bay who try tokens, or look at pages all the time: 120 bits are not guessed, but looking for them costs something.
import { networkOf } from '../../auth/throttle.ts';
import type { Clock } from '../../base/clock.ts';
import { LruCache } from '../../base/lru.ts';
import { type Rate, TokenBucket } from '../../base/token-bucket.ts';

const REMEMBERED_NETWORKS = 10_000;

/** What each network may have of something. Each node counts for itself. */
export class Allowance {
  private readonly rate: Rate;
  private readonly clock: Clock;
  private readonly buckets = new LruCache<string, TokenBucket>(REMEMBERED_NETWORKS);

  constructor(rate: Rate, clock: Clock) {
    this.rate = rate;
    this.clock = clock;
  }

  /** Whether a network has had all it may have for now. */
  isSpent(address: string): boolean {
    const bucket = this.buckets.get(networkOf(address));
    return bucket !== undefined && bucket.take(0, this.clock.now()) > 0;
  }

  /** It has had one more. */
  take(address: string): void {
    const network = networkOf(address);
    const now = this.clock.now();
    const bucket = this.buckets.get(network) ?? new TokenBucket(this.rate, now);
    this.buckets.set(network, bucket);
    bucket.take(1, now);
  }
}

/** Tokens that are none. */
export const GUESSES: Rate = { burst: 30, rate: 0.2 };
/** Pages; a school may have one address. */
export const PAGES: Rate = { burst: 200, rate: 2 };
