// What a worker counted and timed in one step, and how the sums of several workers are made.

import { Histogram, type HistogramData } from './histogram.ts';

const KEPT_FAILURES = 5;

export class Tally {
  readonly counts: Record<string, number> = {};
  readonly times: Record<string, Histogram> = {};
  /** The first few failures in words; `counts.failures` has their number. */
  readonly failures: string[] = [];

  count(name: string, n = 1): void {
    this.counts[name] = (this.counts[name] ?? 0) + n;
  }

  get(name: string): number {
    return this.counts[name] ?? 0;
  }

  /** The histogram of that name, in microseconds. */
  time(name: string): Histogram {
    this.times[name] ??= new Histogram();
    return this.times[name];
  }

  fail(what: unknown, n = 1): void {
    this.count('failures', n);
    if (this.failures.length < KEPT_FAILURES) this.failures.push(what instanceof Error ? what.message : String(what));
  }

  add(data: TallyData): void {
    for (const [name, n] of Object.entries(data.counts)) this.count(name, n);
    for (const [name, histogram] of Object.entries(data.times)) this.time(name).add(histogram);
    for (const failure of data.failures) if (this.failures.length < KEPT_FAILURES) this.failures.push(failure);
  }

  toData(): TallyData {
    const times: Record<string, HistogramData> = {};
    for (const [name, histogram] of Object.entries(this.times)) times[name] = histogram.toData();
    return { counts: this.counts, times, failures: this.failures };
  }
}

export interface TallyData {
  readonly counts: Readonly<Record<string, number>>;
  readonly times: Readonly<Record<string, HistogramData>>;
  readonly failures: readonly string[];
}
