import { describe, expect, it } from 'vitest';
import { TokenBucket } from '../../../src/base/token-bucket.ts';

describe('a token bucket', () => {
  it('lets a burst through, and then asks for a wait that pays for what came too much', () => {
    const bucket = new TokenBucket({ rate: 100, burst: 1000 }, 0);
    expect(bucket.take(1000, 0)).toBe(0);
    expect(bucket.take(50, 0)).toBe(500);
    expect(bucket.take(0, 500)).toBe(0);
  });

  it('fills up to its burst and no further', () => {
    const bucket = new TokenBucket({ rate: 100, burst: 10 }, 0);
    expect(bucket.take(10, 60_000)).toBe(0);
    expect(bucket.take(1, 60_000)).toBe(10);
  });

  it('neither earns nor owes when the clock steps back', () => {
    const bucket = new TokenBucket({ rate: 100, burst: 10 }, 10_000);
    expect(bucket.take(10, 10_000)).toBe(0);
    expect(bucket.take(0, 0)).toBe(0);
    expect(bucket.take(5, 50)).toBe(0);
  });

  it('takes what is there, and of what is not there neither takes nor owes anything', () => {
    const bucket = new TokenBucket({ rate: 1, burst: 2 }, 0);
    expect([bucket.tryTake(1, 0), bucket.tryTake(1, 0), bucket.tryTake(1, 0), bucket.tryTake(1, 0)]).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(bucket.tryTake(1, 1000)).toBe(true);
  });
});
