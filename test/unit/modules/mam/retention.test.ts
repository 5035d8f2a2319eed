import { beforeEach, expect, test } from 'vitest';
import { prune } from '../../../../src/modules/mam/retention.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import type { ArchiveStore } from '../../../../src/storage/ports.ts';
import { archive } from '../../../../src/storage/specs.ts';
import { FakeClock } from '../../../kit/clock.ts';

let store: ArchiveStore;
let clock: FakeClock;

beforeEach(async () => {
  clock = new FakeClock();
  const opened = await createMemoryDriver(clock).open('verona.test', 'mam', { messages: archive() });
  store = opened.messages as ArchiveStore;
});

function fill(owner: string, count: number): void {
  for (let n = 0; n < count; n++) {
    store.append(owner, { with: 'juliet@verona.test', resource: '', xml: `<message id='${n}'/>` });
  }
}
const countOf = (owner: string) => store.count(owner, {}, 10_000);

test('what is older goes, in every archive, and what is as old stays', async () => {
  const owners = Array.from({ length: 1200 }, (_, n) => `owner-${String(n).padStart(4, '0')}`);
  for (const owner of owners) fill(owner, 2);
  await clock.advance(1000);
  for (const owner of owners) fill(owner, 1);
  const until = clock.now();
  expect(await prune(store, until, () => true)).toBe(2400);
  for (const owner of owners) expect(await countOf(owner)).toBe(1);
  expect(await prune(store, until, () => true)).toBe(0);
});

test('one large archive goes in many small steps', async () => {
  fill('romeo', 2600);
  const steps: number[] = [];
  const watched: ArchiveStore = {
    ...store,
    async remove(owner, range, most) {
      steps.push(most);
      return store.remove(owner, range, most);
    },
  };
  await clock.advance(1000);
  expect(await prune(watched, clock.now(), () => true)).toBe(2600);
  expect(steps.length).toBeGreaterThanOrEqual(6);
  expect(Math.max(...steps)).toBeLessThanOrEqual(500);
  expect(await countOf('romeo')).toBe(0);
});

test('it stops between two steps when it is told to, and goes on the next time', async () => {
  fill('romeo', 2600);
  await clock.advance(1000);
  let steps = 0;
  expect(await prune(store, clock.now(), () => steps++ < 2)).toBe(1000);
  expect(await countOf('romeo')).toBe(1600);
  expect(await prune(store, clock.now(), () => true)).toBe(1600);
});
