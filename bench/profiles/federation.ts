// Profile `federation`: users of one server write to users of another, over a stream with TLS between the two. The same messages
// between users of one server, in turns with them, say what a message costs more for going further.

import { Chatter, chatOptions, reportFailures } from '../load/chatter.ts';
import { Client } from '../load/client.ts';
import type { Spent } from '../load/probe.ts';
import { numberOption, type Profile, type Share, type Steps } from '../load/profile.ts';
import { ReportBuilder } from '../load/report.ts';
import { Tally } from '../load/tally.ts';

/** One kind of load in one turn. */
interface Part {
  readonly tally: Tally;
  /** Of each server that took part. */
  readonly spent: readonly Spent[];
}

export const federation: Profile = {
  summary:
    'pairs of users chat across two servers (--rate or --window), in turns with as many on one: what distance costs',
  options: {
    ...chatOptions,
    seconds: { value: 6, help: 'how long to measure each of the two in each turn' },
    turns: { value: 3, help: 'how often each is measured; the ratio is the median of the turns' },
    'other-domain': { value: 'example.net', help: 'the domain of the second server' },
    dialback: { value: false, help: 'the servers know each other by dialback, instead of SASL EXTERNAL' },
  },
  partnership: (options) => ({
    domain: String(options['other-domain']),
    isDialback: options.dialback === true,
  }),
  // one pair in two is local
  defaultUsers: (options) => 4 * numberOption(options, 'pairs'),
  work,

  async conduct({ options, crew, probe, partnerProbe }) {
    const report = new ReportBuilder();
    const opened = await crew.run('open');
    const warm: Tally[] = [opened];
    for (const kind of ['local', 'across']) warm.push(await crew.run(kind, numberOption(options, 'warmup')));
    const measure = async (kind: string): Promise<Part> => {
      const stops = [probe, ...(kind === 'local' ? [] : [partnerProbe])].map((one) => one.start());
      const tally = await crew.run(kind, numberOption(options, 'seconds'));
      return { tally, spent: stops.map((stop) => stop()) };
    };
    const local: Part[] = [];
    const across: Part[] = [];
    for (let turn = 0; turn < numberOption(options, 'turns'); turn++) {
      local.push(await measure('local'));
      across.push(await measure('across'));
    }
    report.add('pairs', 'pairs of either kind', opened.get('pairs') / 2);
    describe(report, 'local', 'local', local);
    describe(report, 'across', 'across', across);
    const ratios = across.map((part, i) => cpuPerDelivery(part) / cpuPerDelivery(local[i]!)).sort((a, b) => a - b);
    report
      .add('ratio', 'CPU of both servers across to that of one, median', middleOf(ratios))
      .add('ratio_least', 'the same, least', ratios[0])
      .add('ratio_most', 'the same, most', ratios.at(-1));
    const all = new Tally();
    for (const { tally } of [...local, ...across]) all.add(tally.toData());
    const seconds = [...local, ...across].reduce((sum, { spent }) => sum + spent[0]!.seconds, 0);
    report.generator(all, crew.size, seconds);
    reportFailures(
      report,
      warm,
      [...local, ...across].map(({ tally }) => tally),
    );
    await crew.run('close');
    return report.done();
  },
};

function work(share: Share): Steps {
  const { target, partner, users } = share;
  if (partner === undefined) throw new Error('there is no second server');
  const pairs = Math.floor(users / 4);
  const local = new Chatter(share, pairs, (pair) => [
    new Client(target, 2 * pair + 1),
    new Client(target, 2 * pair + 2),
  ]).steps();
  const across = new Chatter(share, pairs, (pair) => [
    new Client(target, 2 * (pairs + pair) + 1),
    new Client(partner, 2 * (pairs + pair) + 2),
  ]).steps();
  const both = async (step: 'open' | 'close'): Promise<Tally> => {
    const tally = new Tally();
    for (const steps of [local, across]) tally.add((await steps[step](0)).toData());
    return tally;
  };
  return { open: () => both('open'), local: local.chat, across: across.chat, close: () => both('close') };
}

function describe(report: ReportBuilder, key: string, label: string, parts: readonly Part[]): void {
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
function cpuPerDelivery({ tally, spent }: Part): number {
  return (1e6 * spent.reduce((sum, { server }) => sum + (server ?? Number.NaN), 0)) / tally.get('delivered');
}

function middleOf(sorted: readonly number[]): number | undefined {
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1]! + sorted[half]!) / 2;
}
