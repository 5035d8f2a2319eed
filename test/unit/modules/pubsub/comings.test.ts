import { expect, test } from 'vitest';
import { Comings } from '../../../../src/modules/pubsub/comings.ts';
import { jid } from '../../../kit/pubsub-shelf.ts';

/** Tells slowly: each time when `next` is called. */
function slow() {
  const told: string[] = [];
  const waiting: (() => void)[] = [];
  const work: Promise<unknown>[] = [];
  const comings = new Comings({
    tell: (who, is) => {
      told.push(`${who.resource} ${is}`);
      return new Promise((resolve) => waiting.push(resolve));
    },
    background: (done) => void work.push(done),
  });
  const next = async (): Promise<void> => {
    waiting.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  };
  const say = (resource: string, type: 'available' | 'unavailable' | 'subscribe'): void =>
    comings.take({ from: jid(`juliet@v.test/${resource}`), type });
  return { told, next, say, work };
}

test('one thing is told of a resource at a time, and of what comes meanwhile the last', async () => {
  const { told, next, say, work } = slow();
  say('a', 'available');
  for (let i = 0; i < 100; i++) {
    say('a', 'unavailable');
    say('a', 'available');
  }
  say('a', 'unavailable');
  say('b', 'available');
  say('c', 'subscribe');
  expect(told).toEqual(['a coming', 'b coming']);
  await next();
  expect(told).toEqual(['a coming', 'b coming', 'a going']);
  expect(work).toHaveLength(2);
  await next();
  await next();
  await Promise.all(work);
  say('a', 'available');
  expect(told.at(-1)).toBe('a coming');
});
