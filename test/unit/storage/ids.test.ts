// Ids of log entries rise, whatever the clock does.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createIds, idBounds, idFloor, idTime } from '../../../src/storage/ids.ts';

test('ids rise in bytes and in JavaScript, whatever the clock does', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 4e12 }), { minLength: 2, maxLength: 50 }), (times) => {
      let now = 0;
      const mint = createIds({ now: () => now });
      const ids = times.map((time) => {
        now = time;
        return mint();
      });
      for (let i = 1; i < ids.length; i++) {
        expect(ids[i]! > ids[i - 1]!).toBe(true);
        expect(Buffer.compare(Buffer.from(ids[i]!), Buffer.from(ids[i - 1]!))).toBe(1);
        expect(idTime(ids[i]!)).toBe(Math.max(...times.slice(0, i + 1)));
      }
    }),
  );
});

test('more ids in one millisecond than the counter holds run ahead of the clock', () => {
  const mint = createIds({ now: () => 1_000_000 });
  let last = '';
  for (let i = 0; i < 70_000; i++) {
    const id = mint();
    if (id <= last) throw new Error(`${id} after ${last}`);
    last = id;
  }
  expect(idTime(last)).toBe(1_000_002);
});

test('two processes do not mint the same id', () => {
  const clock = { now: () => 5 };
  const [one, other] = [createIds(clock), createIds(clock)];
  const ids = new Set(Array.from({ length: 1000 }, () => [one(), other()]).flat());
  expect(ids.size).toBe(2000);
});

test('the bounds of a time hold its ids and no others', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4e12 }), (time) => {
      const id = createIds({ now: () => time })();
      const holds = (range: Parameters<typeof idBounds>[0]): boolean => {
        const [above, below] = idBounds(range);
        return id > above && id < below;
      };
      expect(holds({ start: time, end: time })).toBe(true);
      expect(holds({ start: time - 0.5 })).toBe(true);
      expect(holds({ start: time + 0.5 })).toBe(false);
      expect(holds({ start: time + 1 })).toBe(false);
      expect(holds({ end: time - 1 })).toBe(false);
      expect(holds({ after: id })).toBe(false);
      expect(holds({ before: id })).toBe(false);
    }),
  );
});

test('times beyond what an id can hold bound everything', () => {
  expect(idFloor(Number.POSITIVE_INFINITY)).toBe('~');
  expect(idFloor(Number.NEGATIVE_INFINITY)).toBe('');
  expect(idFloor(Number.NaN)).toBe('');
});

test('ids of a given time rise while the times do, and leave those of now alone', () => {
  const mint = createIds({ now: () => 5_000 });
  const now = mint();
  const past = [mint(1_000), mint(1_000), mint(1_001), mint(4_000)];
  expect([...past].sort()).toEqual(past);
  expect(past.map(idTime)).toEqual([1_000, 1_000, 1_001, 4_000]);
  expect(idTime(mint(0))).toBe(1);
  const next = mint();
  expect(next > now).toBe(true);
  expect(idTime(next)).toBe(5_000);
  let last = '';
  for (let i = 0; i < 40_000; i++) {
    const id = mint(2_000);
    if (id <= last) throw new Error(`${id} after ${last}`);
    last = id;
  }
});
