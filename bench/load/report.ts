// The figures a profile ends with, and how they are printed for people and for machines.

import type { Probe, Spent } from './probe.ts';
import type { Tally } from './tally.ts';

export interface Figure {
  /** The name in `--json`, with its unit. */
  readonly key: string;
  readonly label: string;
  readonly value: number;
  readonly unit: string;
}

export interface Report {
  readonly figures: readonly Figure[];
  /** Why the run does not count; empty when all went well. */
  readonly failures: readonly string[];
}

export class ReportBuilder {
  private readonly figures: Figure[] = [];
  private readonly failures: string[] = [];

  add(key: string, label: string, value: number | undefined, unit = ''): this {
    if (value !== undefined && Number.isFinite(value)) this.figures.push({ key, label, value, unit });
    return this;
  }

  /** The p50, p95, p99 and largest of a histogram, in milliseconds; `key` is what they are called in `--json`. */
  latency(tally: Tally, name: string, label = name, key = name): this {
    const histogram = tally.times[name];
    if (!histogram || histogram.count === 0) return this;
    for (const percent of [50, 95, 99]) {
      this.add(`${key}_p${percent}_ms`, `${label} p${percent}`, histogram.quantile(percent / 100) / 1000, 'ms');
    }
    return this.add(`${key}_max_ms`, `${label} max`, histogram.max / 1000, 'ms');
  }

  /** What the server's processes spent on `n` pieces of work, called `work` (a delivery, a login). */
  cpu(spent: Spent, n: number, work: string): this {
    if (spent.server === undefined || n === 0) return this;
    this.add('cpu_seconds', 'server CPU', spent.server, 's');
    this.add('cpu_busy_percent', 'server CPU, of one core', (100 * spent.server) / spent.seconds, '%');
    this.add(`cpu_s_per_1000_${plural(work)}`, `server CPU per 1000 ${plural(work)}`, (1000 * spent.server) / n, 's');
    this.add(`cpu_us_per_${work}`, `server CPU per ${work}`, (1e6 * spent.server) / n, 'us');
    if (spent.database !== undefined) {
      this.add(`database_cpu_us_per_${work}`, `database CPU per ${work}`, (1e6 * spent.database) / n, 'us');
    }
    return this;
  }

  /** What one kind of work took, where a profile has several. */
  cost(key: string, label: string, { server, database }: Spent, n: number, work: string): this {
    if (server === undefined || n === 0) return this;
    this.add(`${key}_cpu_us_per_${work}`, `${label}: server CPU per ${work}`, (1e6 * server) / n, 'us');
    if (database === undefined) return this;
    const spent = (1e6 * database) / n;
    return this.add(`${key}_database_cpu_us_per_${work}`, `${label}: database CPU per ${work}`, spent, 'us');
  }

  memory(probe: Probe): this {
    const usage = probe.memory();
    if (!usage) return this;
    this.add('rss_mib', 'server memory, RSS', usage.server.rss / 2 ** 20, 'MiB');
    this.add('pss_mib', 'server memory, PSS', usage.server.pss / 2 ** 20, 'MiB');
    if (usage.database) this.add('database_pss_mib', 'database memory, PSS', usage.database.pss / 2 ** 20, 'MiB');
    return this;
  }

  /** How busy the busiest worker was: near 100 % the generator is what was measured. `key` and `label` are of the load, where there are several. */
  generator(tally: Tally, workers: number, seconds: number, key?: string, label?: string): this {
    const percent = tally.get('generator_cpu_us') / 1e4 / seconds / workers;
    const name = `${key === undefined ? '' : `${key}_`}generator_busy_percent`;
    return this.add(name, `${label === undefined ? '' : `${label}: `}load generator, CPU per worker`, percent, '%');
  }

  fail(what: string): this {
    this.failures.push(what);
    return this;
  }

  failuresOf(tally: Tally): this {
    const n = tally.get('failures');
    if (n > 0) this.fail(`${n} failures, of which: ${[...new Set(tally.failures)].join(' | ')}`);
    return this;
  }

  done(): Report {
    return { figures: this.figures, failures: this.failures };
  }
}

export function printReport(title: string, report: Report): void {
  const width = Math.max(...report.figures.map((figure) => figure.label.length), 10);
  console.log(`\n${title}`);
  for (const { label, value, unit } of report.figures) {
    console.log(`  ${label.padEnd(width)}  ${formatNumber(value).padStart(10)} ${unit}`);
  }
  for (const failure of report.failures) console.log(`  FAILED: ${failure}`);
}

export function reportToJson(report: Report): Record<string, unknown> {
  const figures = Object.fromEntries(report.figures.map(({ key, value }) => [key, Number(value.toPrecision(6))]));
  return { ...figures, failures: report.failures };
}

export function formatNumber(value: number): string {
  const digits = Math.abs(value) >= 1000 ? 0 : Math.abs(value) >= 100 ? 1 : Math.abs(value) >= 1 ? 2 : 3;
  return value.toFixed(digits);
}

function plural(work: string): string {
  return work.endsWith('y') ? `${work.slice(0, -1)}ies` : `${work}s`;
}
