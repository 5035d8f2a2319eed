import { beforeEach, expect, test } from 'vitest';
import { type OwnRetention, Retention, removeBefore } from '../../../../src/modules/mam/retention.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import type { ArchiveStore, KvStore } from '../../../../src/storage/ports.ts';
import { archive, kv } from '../../../../src/storage/specs.ts';
import { FakeClock } from '../../../kit/clock.ts';

let store: ArchiveStore;
let own: KvStore<OwnRetention>;
let clock: FakeClock;

beforeEach(async () => {
  clock = new FakeClock();
  const opened = await createMemoryDriver(clock).open('verona.test', 'mam', {
    messages: archive(),
    retention: kv(),
  });
  store = opened.messages as ArchiveStore;
  own = opened.retention as KvStore<OwnRetention>;
});

function fill(owner: string, count: number): void {
  for (let n = 0; n < count; n++) {
    store.append(owner, { with: 'juliet@verona.test', resource: '', xml: `<message id='${n}'/>` });
  }
}
const kept = (ms: number, messages = store) => new Retention({ messages, retention: own, default: ms });
const always = () => true;
const countOf = (owner: string) => store.count(owner, {}, 10_000);

test('what is older goes, in every archive, and what is as old stays', async () => {
  const owners = Array.from({ length: 1200 }, (_, n) => `owner-${String(n).padStart(4, '0')}`);
  for (const owner of owners) fill(owner, 2);
  await clock.advance(1000);
  for (const owner of owners) fill(owner, 1);
  expect(await kept(1).prune(clock.now() + 1, always)).toBe(2400);
  for (const owner of owners) expect(await countOf(owner)).toBe(1);
  expect(await kept(1).prune(clock.now() + 1, always)).toBe(0);
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
  expect(await kept(0, watched).prune(clock.now(), always)).toBe(2600);
  expect(steps.length).toBeGreaterThanOrEqual(6);
  expect(Math.max(...steps)).toBeLessThanOrEqual(500);
  expect(await countOf('romeo')).toBe(0);
});

test('it stops between two steps when it is told to, and goes on the next time', async () => {
  fill('romeo', 2600);
  await clock.advance(1000);
  let steps = 0;
  expect(await removeBefore(store, 'romeo', clock.now(), () => steps++ < 2)).toBe(1000);
  expect(await countOf('romeo')).toBe(1600);
  expect(await kept(0).prune(clock.now(), always)).toBe(1600);
});

test.each([
  ['for a while', 1000],
  ['forever', Number.POSITIVE_INFINITY],
])('an account has its own retention where others are kept %s', async (_what, usual) => {
  const retention = kept(usual);
  await retention.set('brief', 500);
  await retention.set('lasting', Number.POSITIVE_INFINITY);
  await retention.set('usual', 1);
  await retention.set('usual', undefined);
  expect(await retention.of('brief')).toEqual({ ms: 500, isOwn: true });
  expect(await retention.of('lasting')).toEqual({ ms: Number.POSITIVE_INFINITY, isOwn: true });
  expect(await retention.of('usual')).toEqual({ ms: usual, isOwn: false });
  for (const owner of ['brief', 'lasting', 'usual']) fill(owner, 1);
  await clock.advance(501);
  expect(await retention.prune(clock.now(), always)).toBe(1);
  expect(await countOf('brief')).toBe(0);
  await clock.advance(500);
  expect(await retention.prune(clock.now(), always)).toBe(Number.isFinite(usual) ? 1 : 0);
  expect(await countOf('lasting')).toBe(1);
});

test('of very many retentions of their own each is heeded', async () => {
  const retention = kept(Number.POSITIVE_INFINITY);
  const owners = Array.from({ length: 1200 }, (_, n) => `owner-${n}`);
  for (const owner of owners) await retention.set(owner, 100);
  for (const owner of owners) fill(owner, 1);
  await clock.advance(101);
  expect(await retention.prune(clock.now(), always)).toBe(1200);
});
