// Kinds of load that are measured in turns, so that what changes on the machine meanwhile meets all of them alike.

import type { Spent } from './probe.ts';
import type { ReportBuilder } from './report.ts';
import { Tally } from './tally.ts';

/** One kind of load in one turn. */
export interface Part {
  readonly tally: Tally;
  /** Of each server that took part. */
  readonly spent: readonly Spent[];
}

/** The figures of one kind of load. */
export function describe(report: ReportBuilder, key: string, label: string, parts: readonly Part[]): void {
  const sum = new Tally();
  for (const { tally } of parts) {
    sum.add(tally.toData());
    for (const name of ['latency', 'acknowledged']) {
      const times = tally.times[name];
      if (times !== undefined) sum.time(`${key}_${name}`).add(times.toData());
    }
  }
  const delivered = sum.get('delivered');
  const seconds = parts.reduce((total, { spent }) => total + spent[0]!.seconds, 0);
  report.add(`${key}_deliveries_per_s`, `${label}: messages delivered per second`, delivered / seconds, '/s');
  report
    .latency(sum, `${key}_latency`, `${label}: latency`)
    .latency(sum, `${key}_acknowledged`, `${label}: acknowledged`);
  const costs = parts.map(cpuPerDelivery).sort((a, b) => a - b);
  report
    .add(`${key}_cpu_us_per_delivery`, `${label}: server CPU per delivery, median`, middleOf(costs), 'us')
    .add(`${key}_cpu_us_per_delivery_least`, `${label}: the same, least`, costs[0], 'us')
    .add(`${key}_cpu_us_per_delivery_most`, `${label}: the same, most`, costs.at(-1), 'us');
  const database = parts.flatMap(({ spent }) => spent.map((one) => one.database ?? 0)).reduce((a, b) => a + b, 0);
  if (database > 0 && delivered > 0) {
    report.add(
      `${key}_database_cpu_us_per_delivery`,
      `${label}: database CPU per delivery`,
      (1e6 * database) / delivered,
      'us',
    );
  }
}

/** In microseconds, of all servers together. */
export function cpuPerDelivery({ tally, spent }: Part): number {
  return (1e6 * spent.reduce((sum, { server }) => sum + (server ?? Number.NaN), 0)) / tally.get('delivered');
}

export function middleOf(sorted: readonly number[]): number | undefined {
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1]! + sorted[half]!) / 2;
}
