import { expect, test } from 'vitest';
import { Hibernation } from '../../../src/c2s/hibernation.ts';
import type { ManagedSession } from '../../../src/c2s/sm-session.ts';

interface Sleeper {
  queue: { size: number; length: number };
}
const sleeper = (size: number): Sleeper => ({ queue: { size, length: 1 } });
const asManaged = (one: Sleeper): ManagedSession => one as unknown as ManagedSession;

function make(limit: number): { hibernation: Hibernation; ended: ManagedSession[]; count(one: Sleeper): void } {
  const ended: ManagedSession[] = [];
  const hibernation = new Hibernation(
    () => limit,
    (managed) => ended.push(managed),
  );
  return { hibernation, ended, count: (one) => hibernation.count(asManaged(one)) };
}

test('the largest goes when there is too much, and no more than have to', () => {
  const { ended, count } = make(1_000_000);
  const [small, large, late] = [sleeper(100_000), sleeper(600_000), sleeper(290_000)];
  for (const one of [small, large]) count(one);
  expect(ended).toEqual([]);
  count(late);
  expect(ended).toEqual([large]);
});

test('a session that grows counts once', () => {
  const { ended, count } = make(1_000_000);
  const one = sleeper(0);
  for (let size = 0; size < 900_000; size += 1_000) {
    one.queue.size = size;
    count(one);
  }
  expect(ended).toEqual([]);
  one.queue.size = 1_000_000;
  count(one);
  expect(ended).toEqual([one]);
});

test('who came back counts no more', () => {
  const { hibernation, ended, count } = make(1_000_000);
  const one = sleeper(900_000);
  count(one);
  hibernation.forget(asManaged(one));
  count(sleeper(900_000));
  expect(ended).toEqual([]);
});

test('sessions that have nothing to say count too, and of equals the oldest goes', () => {
  const { ended, count } = make(1_000_000);
  const all = Array.from({ length: 300 }, () => sleeper(0));
  for (const one of all) count(one);
  expect(ended.length).toBeGreaterThan(0);
  expect(ended.length).toBeLessThan(150);
  expect(ended[0]).toBe(all[0]);
});

test('there is room for sessions of others as long as nobody would have to go soon', () => {
  const { hibernation, ended, count } = make(1_000_000);
  expect(hibernation.hasRoom).toBe(true);
  const one = sleeper(950_000);
  count(one);
  expect(hibernation.hasRoom).toBe(false);
  expect(ended).toEqual([]);
  hibernation.forget(asManaged(one));
  expect(hibernation.hasRoom).toBe(true);
});
