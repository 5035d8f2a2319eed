// One time for all nodes.
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { RedisTime } from '../../../../src/cluster/redis/time.ts';

describe('the time of Redis', () => {
  test('is known to a millisecond where one answer came quickly, whatever the others took', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            there: fc.double({ min: 0, max: 400, noNaN: true }),
            back: fc.double({ min: 0, max: 400, noNaN: true }),
          }),
          {
            maxLength: 12,
          },
        ),
        fc.nat(12),
        (answers, at) => {
          const time = new RedisTime();
          const zero = 1_800_000_000_000 - performance.now();
          const all = [...answers];
          all.splice(Math.min(at, all.length), 0, { there: 0.3, back: 0.3 });
          // all of this second: answers to beats that were long on their way
          const start = performance.now() - 1000;
          for (const { there, back } of all) {
            time.observe(Math.floor(zero + start + there), start, start + there + back);
          }
          expect(Math.abs(time.now() - (zero + performance.now()))).toBeLessThan(3);
        },
      ),
    );
  });

  test('does not follow this machine when its clock is set', () => {
    const time = new RedisTime();
    const now = performance.now();
    time.observe(1_800_000_000_000, now, now + 0.5);
    const before = time.now();
    const wall = vi.spyOn(Date, 'now').mockReturnValue(60_000);
    expect(time.now() - before).toBeLessThan(1000);
    wall.mockRestore();
  });

  test('is followed when it is set, or this machine has slept', () => {
    const time = new RedisTime();
    const now = performance.now();
    time.observe(1_800_000_000_000, now, now + 0.5);
    time.observe(1_800_000_090_000, now + 1, now + 2);
    expect(Math.abs(time.now() - 1_800_000_090_000)).toBeLessThan(1000);
  });
});
