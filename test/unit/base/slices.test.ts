import { expect, test } from 'vitest';
import { Slices } from '../../../src/base/slices.ts';

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

test('a short list is gone through at once', () => {
  const seen: number[] = [];
  expect(new Slices(3).run([1, 2, 3], (piece) => void seen.push(...piece))).toBeUndefined();
  expect(seen).toEqual([1, 2, 3]);
});

test('a long one is gone through in order, a piece in each turn of the event loop, and lists take turns', async () => {
  const slices = new Slices(2);
  let turn = 0;
  let isOn = true;
  const count = (): void => {
    turn++;
    if (isOn) setImmediate(count);
  };
  setImmediate(count);
  const seen: string[] = [];
  const turns: number[] = [];
  const run = (name: string, length: number) =>
    slices.run(numbers(length), (piece) => {
      seen.push(...piece.map((one) => `${name}${one}`));
      turns.push(turn);
    });
  await Promise.all([run('a', 5), run('b', 4)]);
  isOn = false;
  expect(seen).toEqual(['a0', 'a1', 'b0', 'b1', 'a2', 'a3', 'b2', 'b3', 'a4']);
  // both begin at once; from then on one piece a turn
  expect(new Set(turns.slice(1)).size).toBe(turns.length - 1);
});

test('what the steps return is waited for, and a failure is told', async () => {
  const done: number[] = [];
  const slow = (piece: readonly number[]): Promise<void> =>
    new Promise((resolve) =>
      setTimeout(() => {
        done.push(...piece);
        resolve();
      }, 2),
    );
  await new Slices(2).run(numbers(5), slow);
  expect(done).toEqual([0, 1, 2, 3, 4]);
  await expect(new Slices(2).run(numbers(3), () => Promise.reject(new Error('no')))).rejects.toThrow('no');
});
