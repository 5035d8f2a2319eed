// How many requests may come in how short a time, by whom: beyond that they are refused, and told when to come again.
import { networkOf } from '../../auth/throttle.ts';
import type { Clock } from '../../base/clock.ts';
import { LruCache } from '../../base/lru.ts';
import { TokenBucket } from '../../base/token-bucket.ts';
import { Problem } from './problems.ts';

/** How many of those who ask are remembered. */
const REMEMBERED = 20_000;

export class Rates {
  private readonly buckets = new LruCache<string, TokenBucket>(REMEMBERED);
  private readonly clock: Clock;
  private readonly perMinute: number;

  constructor(clock: Clock, perMinute: number) {
    this.clock = clock;
    this.perMinute = perMinute;
  }

  /** @throws Problem 429 */
  takeAddress(address: string): void {
    this.take(`address ${networkOf(address)}`);
  }

  /** @throws Problem 429 */
  takeToken(id: string): void {
    this.take(`token ${id}`);
  }

  private take(who: string): void {
    const now = this.clock.now();
    let bucket = this.buckets.get(who);
    if (bucket === undefined) {
      bucket = new TokenBucket({ rate: this.perMinute / 60, burst: this.perMinute }, now);
      this.buckets.set(who, bucket);
    }
    if (bucket.tryTake(1, now)) return;
    const wait = Math.max(1, Math.ceil(60 / this.perMinute));
    throw new Problem(429, 'too-many', 'There are too many requests.', { 'retry-after': String(wait) });
  }
}
