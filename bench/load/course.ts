// What happens to a server in a run, one step after the other, and what is said of it in the end.

import type { Spent } from './probe.ts';
import { type Bench, numberOption } from './profile.ts';
import { ReportBuilder } from './report.ts';
import type { Tally } from './tally.ts';

/** What came of some seconds of load. */
export interface Loaded {
  /** Of the step itself. */
  readonly tally: Tally;
  /** Of what came afterwards; `delivered` is of both. */
  readonly rest: Tally;
  readonly spent: Spent;
}

export class Course {
  readonly report = new ReportBuilder();
  protected readonly bench: Bench;

  constructor(bench: Bench) {
    this.bench = bench;
  }

  async run(step: string, seconds = 0): Promise<Tally> {
    const tally = await this.bench.crew.run(step, seconds);
    this.report.failuresOf(tally);
    return tally;
  }

  /** Full load, to warm up: nothing of it is reported. */
  async warmUp(): Promise<void> {
    const seconds = numberOption(this.bench.options, 'warmup');
    if (seconds === 0) return;
    await this.run('window', seconds);
    await this.run('settle', 1);
  }

  /** Load for `--seconds`; says what each delivery cost and how long it took. */
  protected async loaded(step: 'window' | 'pace', key: string, label: string): Promise<Loaded> {
    const { report, bench } = this;
    const stop = bench.probe.start();
    const tally = await this.run(step, numberOption(bench.options, 'seconds'));
    const spent = stop();
    const rest = await this.run('settle', 1);
    const delivered = rest.get('delivered');
    report
      .add(`${key}_deliveries_per_s`, `${label}: deliveries per second`, delivered / spent.seconds, '/s')
      .cost(key, label, spent, delivered, 'delivery')
      .latency(tally, 'latency', `${label}: latency`, `${key}_latency`)
      .generator(tally, bench.crew.size, spent.seconds, key, label);
    return { tally, rest, spent };
  }
}
