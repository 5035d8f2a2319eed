import { expect, test } from 'vitest';
import { Unsettled } from '../../../src/c2s/unsettled.ts';
import { settles } from '../../faults/kit.ts';
import { FakeClock } from '../../kit/clock.ts';

function fill(unsettled: Unsettled, n: number) {
  const done: (() => void)[] = [];
  const held = Array.from({ length: n }, () => unsettled.add(new Promise<void>((resolve) => done.push(resolve))));
  return { done, held };
}

test('a client that waits now and then is not held up', async () => {
  const unsettled = new Unsettled(new FakeClock(), { count: 0 });
  for (let i = 0; i < 1_000; i++) {
    expect(unsettled.add(Promise.resolve())).toBeUndefined();
    await null;
  }
});

test('one with too much on its way to the disk is held up until half of it is there', async () => {
  const { done, held } = fill(new Unsettled(new FakeClock(), { count: 0 }), 256);
  expect(held.findIndex((promise) => promise !== undefined)).toBe(255);
  for (const finish of done.slice(0, 127)) finish();
  expect(await settles(held[255]!, 20)).toBe(false);
  done[127]!();
  expect(await settles(held[255]!, 20)).toBe(true);
});

test('nobody is held up for long by a storage that is away, nor again before it is back', async () => {
  const time = new FakeClock();
  const unsettled = new Unsettled(time, { count: 0 });
  const first = fill(unsettled, 256);
  await time.advance(999);
  expect(await settles(first.held[255]!, 20)).toBe(false);
  await time.advance(1);
  expect(await settles(first.held[255]!, 20)).toBe(true);
  const second = fill(unsettled, 500);
  expect(second.held.every((promise) => promise === undefined)).toBe(true);

  for (const finish of [...first.done, ...second.done]) finish();
  await null;
  expect(fill(unsettled, 256).held[255]).toBeDefined();
});

test('where all together have too much on its way, each waits for its own', async () => {
  const total = { count: 0 };
  const clock = new FakeClock();
  const crowd = Array.from({ length: 40 }, () => fill(new Unsettled(clock, total), 200));
  expect(crowd.flatMap(({ held }) => held).filter((promise) => promise !== undefined)).toHaveLength(1);
  const late = new Unsettled(clock, total);
  const { done, held } = fill(late, 1);
  expect(await settles(held[0]!, 20)).toBe(false);
  done[0]!();
  expect(await settles(held[0]!, 20)).toBe(true);
  for (const { done: rest } of crowd) for (const finish of rest) finish();
  await null;
  expect(total.count).toBe(0);
  expect(late.add(Promise.resolve())).toBeUndefined();
});
