import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Histogram } from '../../../bench/load/histogram.ts';

const durations = fc.array(fc.integer({ min: 0, max: 0x7fffffff }), { minLength: 1, maxLength: 200 });
const PERCENTS = [0.5, 0.95, 0.99, 1];

function histogramOf(values: readonly number[]): Histogram {
  const histogram = new Histogram();
  for (const value of values) histogram.record(value);
  return histogram;
}

test('a quantile is within 1.6 % of the exact one', () => {
  fc.assert(
    fc.property(durations, (values) => {
      const histogram = histogramOf(values);
      const sorted = [...values].sort((a, b) => a - b);
      for (const share of PERCENTS) {
        const exact = sorted[Math.ceil(share * sorted.length) - 1]!;
        expect(Math.abs(histogram.quantile(share) - exact)).toBeLessThanOrEqual(0.016 * exact + 0.5);
      }
    }),
  );
});

test('the sum of two histograms has the quantiles of all their records', () => {
  fc.assert(
    fc.property(durations, durations, (a, b) => {
      const sum = new Histogram();
      sum.add(histogramOf(a).toData());
      sum.add(histogramOf(b).toData());
      const together = histogramOf([...a, ...b]);
      expect(sum.count).toBe(together.count);
      expect(sum.quantile(0.5)).toBe(together.quantile(0.5));
    }),
  );
});

test('an empty histogram has quantiles of zero', () => {
  expect(new Histogram().quantile(0.99)).toBe(0);
});
