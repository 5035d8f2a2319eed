// Profile `chat`: pairs of users send each other messages of some 350 bytes, at a set rate or as fast as a window allows.

import { Chatter, chatOptions, reportFailures } from '../load/chatter.ts';
import { Client } from '../load/client.ts';
import { numberOption, type Profile } from '../load/profile.ts';
import { ReportBuilder } from '../load/report.ts';

export const chat: Profile = {
  summary: 'pairs of users exchange messages at a set rate (--rate) or as fast as a window allows (--window)',
  options: chatOptions,
  defaultUsers: (options) => 2 * numberOption(options, 'pairs'),
  work: (share) =>
    new Chatter(share, Math.floor(share.users / 2), (pair) => [
      new Client(share.target, 2 * pair + 1),
      new Client(share.target, 2 * pair + 2),
    ]).steps(),

  async conduct({ options, crew, probe }) {
    const report = new ReportBuilder();
    const opened = await crew.run('open');
    const warm = await crew.run('chat', numberOption(options, 'warmup'));
    const stop = probe.start();
    const tally = await crew.run('chat', numberOption(options, 'seconds'));
    const spent = stop();
    const delivered = tally.get('delivered');
    report
      .add('pairs', 'pairs', opened.get('pairs'))
      .add('deliveries', 'messages delivered', delivered)
      .add('deliveries_per_s', 'messages delivered per second', delivered / spent.seconds, '/s')
      .latency(tally, 'latency', 'latency')
      .latency(tally, 'acknowledged', 'acknowledged')
      .cpu(spent, delivered, 'delivery')
      .memory(probe)
      .generator(tally, crew.size, spent.seconds);
    reportFailures(report, [opened, warm], [tally]);
    await crew.run('close');
    return report.done();
  },
};
