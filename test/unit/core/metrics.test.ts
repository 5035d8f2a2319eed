// The figures of several nodes in one text.
import { expect, test } from 'vitest';
import { type Figures, histogram, joinFigures, Metrics } from '../../../src/core/metrics.ts';

async function figuresOf(sessions: number, seconds: number): Promise<Figures> {
  const metrics = new Metrics();
  metrics.observe('sessions', 'Sessions', ['host'], (gauge) => gauge.set({ host: 'verona.test' }, sessions));
  metrics.open('x', { took: histogram('Time', [1, 10]) }, { host: 'verona.test' }).took.observe(seconds);
  // as they travel between processes
  return JSON.parse(JSON.stringify(await metrics.figures()));
}

test('the figures of several nodes are told once each, with the node', async () => {
  const text = await joinFigures([
    { node: 'one', figures: await figuresOf(3, 0.5) },
    { node: 'two', figures: await figuresOf(4, 5) },
  ]);
  expect(text.match(/# TYPE parley_sessions gauge/g)).toHaveLength(1);
  expect(text).toContain('parley_sessions{host="verona.test",node="one"} 3\n');
  expect(text).toContain('parley_sessions{host="verona.test",node="two"} 4\n');
  expect(text).toMatch(/parley_x_took_bucket\{(?=.*le="1")(?=.*node="one").*\} 1\n/);
  expect(text).toMatch(/parley_x_took_bucket\{(?=.*le="1")(?=.*node="two").*\} 0\n/);
  expect(text).toMatch(/parley_x_took_sum\{.*node="two".*\} 5\n/);
});
