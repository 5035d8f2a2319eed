// Profile `federation`: users of one server write to users of another, over a stream with TLS between the two. The same messages
// between users of one server, in turns with them, say what a message costs more for going further.

import { Chatter, chatOptions, reportFailures } from '../load/chatter.ts';
import { Client } from '../load/client.ts';
import { numberOption, type Profile, type Share, type Steps } from '../load/profile.ts';
import { ReportBuilder } from '../load/report.ts';
import { Tally } from '../load/tally.ts';
import { cpuPerDelivery, describe, middleOf, type Part } from '../load/turns.ts';

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
