// A short chaos run, of what breaks most often: `npm run test:chaos` is the long one, of everything.
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { run } from './run.ts';

// Beside all other tests a machine may stand still for longer than a node may be silent, which the books know nothing of: tried again.
test('nodes are killed and told to stop, and connections break: nothing is lost or doubled, and all agree', {
  retry: 2,
  timeout: 300_000,
}, async () => {
  const outcome = await run({
    nodes: 3,
    clients: 12,
    minutes: 0.25,
    seed: 4,
    pace: 400,
    plan: { kinds: ['kill', 'stop', 'cuts'], longest: 2_000, interval: 3_000 },
    logs: join(tmpdir(), 'parley-chaos-test'),
  });
  expect(outcome.problems).toEqual([]);
  expect([...outcome.counts.values()].reduce((a, b) => a + b, 0)).toBeGreaterThan(2);
  expect(outcome.account.acknowledged).toBeGreaterThan(100);
  expect(outcome.rooms.acknowledged).toBeGreaterThan(30);
  expect(outcome.fortunes.resumed).toBeGreaterThan(0);
});
