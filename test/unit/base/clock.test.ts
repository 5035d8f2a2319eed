import { expect, test } from 'vitest';
import { pause } from '../../../src/base/clock.ts';
import { FakeClock, turn } from '../../kit/clock.ts';

test('a pause lasts as long as it was asked for', async () => {
  const clock = new FakeClock();
  let outcome: boolean | undefined;
  void pause(clock, 100, new AbortController().signal).then((goesOn) => {
    outcome = goesOn;
  });
  await clock.advance(99);
  expect(outcome).toBeUndefined();
  await clock.advance(1);
  expect(outcome).toBe(true);
});

test('a pause is over at once when there is no time for it any more, and leaves no timer', async () => {
  const clock = new FakeClock();
  const aborter = new AbortController();
  const outcome = pause(clock, 100, aborter.signal);
  await turn();
  aborter.abort();
  expect(await outcome).toBe(false);
  expect(await pause(clock, 100, aborter.signal)).toBe(false);
  expect(clock.pending).toBe(0);
});
