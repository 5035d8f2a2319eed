import { expect, test } from 'vitest';
import { Room } from '../../../src/base/room.ts';

const few = { count: 3, size: 100 };
const one = { count: 2, size: 60 };

test('one who asks takes no more places than one may', () => {
  const room = new Room(few, one);
  expect([room.enter('a', 1), room.enter('a', 1), room.enter('a', 1), room.enter('b', 1)]).toEqual([
    true,
    true,
    false,
    true,
  ]);
});

test('all together take no more than there are', () => {
  const room = new Room(few, one);
  for (const who of ['a', 'b', 'c']) expect(room.enter(who, 1)).toBe(true);
  expect(room.enter('d', 1)).toBe(false);
  expect(room.count).toBe(3);
});

test('what is large takes more room', () => {
  const room = new Room(few, one);
  expect(room.enter('a', 61)).toBe(false);
  expect(room.enter('a', 60)).toBe(true);
  expect(room.enter('b', 41)).toBe(false);
  expect(room.enter('b', 40)).toBe(true);
});

test('a place that is given back is free', () => {
  const room = new Room({ count: 1, size: 10 }, { count: 1, size: 10 });
  expect(room.enter('a', 10)).toBe(true);
  room.leave('a', 10);
  expect(room.enter('b', 10)).toBe(true);
  // nobody gives back what was never taken
  room.leave('a', 10);
  expect(room.count).toBe(1);
});
