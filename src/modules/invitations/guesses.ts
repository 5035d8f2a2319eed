// Slows down those who try tokens: 120 bits are not guessed, but looking for them costs the database something.
import { networkOf } from '../../auth/throttle.ts';
import type { Clock } from '../../base/clock.ts';
import { LruCache } from '../../base/lru.ts';
import { TokenBucket } from '../../base/token-bucket.ts';

/** Tokens that are none, from one network address: at once, and a second in the long run. Each node counts for itself. */
const RATE = { burst: 30, rate: 0.2 };
const REMEMBERED_NETWORKS = 10_000;

export class Guesses {
  private readonly clock: Clock;
  private readonly buckets = new LruCache<string, TokenBucket>(REMEMBERED_NETWORKS);

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Whether somebody there has guessed too often to be answered now. */
  isSpent(address: string): boolean {
    const bucket = this.buckets.get(networkOf(address));
    return bucket !== undefined && bucket.take(0, this.clock.now()) > 0;
  }

  /** Somebody there came with a token that is none. */
  missed(address: string): void {
    const network = networkOf(address);
    const now = this.clock.now();
    const bucket = this.buckets.get(network) ?? new TokenBucket(RATE, now);
    this.buckets.set(network, bucket);
    bucket.take(1, now);
  }
}
