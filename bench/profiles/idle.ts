// Profile `idle`: many users are logged in and silent. What does each cost in memory, and what does their silence cost in CPU time?

import { Client } from '../load/client.ts';
import { eachLimited, numberOption, type Profile, type Share, type Steps, sleep, usersOf } from '../load/profile.ts';
import { ReportBuilder } from '../load/report.ts';
import { Tally } from '../load/tally.ts';

const LOGINS_AT_ONCE = 32;
const WARMUP_USERS = 100;

export const idle: Profile = {
  summary: 'memory per connection and CPU time while --users connections are idle',
  options: {
    settle: { value: 10, help: 'seconds between the last login and the measurement, for the server to tidy up' },
    seconds: { value: 10, help: 'how long to measure the CPU time of silence' },
  },
  defaultUsers: () => 2000,
  work: idleWorker,

  async conduct({ users, options, crew, probe }) {
    const report = new ReportBuilder();
    const settle = numberOption(options, 'settle');
    // The first logins load code and grow pools: they belong to the server, not to a connection.
    report.failuresOf(await crew.run('warm'));
    await sleep(Math.min(settle, 5));
    const empty = probe.memory();
    const stopLogins = probe.start();
    const opened = await crew.run('open');
    const logins = stopLogins();
    await sleep(settle);
    const full = probe.memory();
    const stopIdle = probe.start();
    await sleep(numberOption(options, 'seconds'));
    const silence = stopIdle();
    const n = opened.get('open');
    report
      .add('connections', 'connections', n)
      .add('logins_per_s', 'logins per second while opening', n / logins.seconds, '/s');
    if (empty && full && n > 0) {
      report
        .add(
          'rss_kib_per_connection',
          'memory per connection, RSS',
          (full.server.rss - empty.server.rss) / n / 1024,
          'KiB',
        )
        .add(
          'pss_kib_per_connection',
          'memory per connection, PSS',
          (full.server.pss - empty.server.pss) / n / 1024,
          'KiB',
        )
        .add('empty_rss_mib', 'server memory without connections, RSS', empty.server.rss / 2 ** 20, 'MiB');
    }
    report.memory(probe);
    if (silence.server !== undefined) {
      report.add(
        'idle_cpu_percent',
        'server CPU while idle, of one core',
        (100 * silence.server) / silence.seconds,
        '%',
      );
    }
    const closed = await crew.run('close');
    await sleep(settle);
    const after = probe.memory();
    report.add('after_rss_mib', 'server memory after all have left, RSS', after && after.server.rss / 2 ** 20, 'MiB');
    if (n < users) report.fail(`only ${n} of ${users} connections were made`);
    return report.failuresOf(opened).failuresOf(closed).done();
  },
};

function idleWorker(share: Share): Steps {
  const clients = new Set<Client>();
  let lost = new Tally();
  const open = async (numbers: readonly number[]): Promise<Tally> => {
    const tally = new Tally();
    await eachLimited(numbers, LOGINS_AT_ONCE / share.workers, async (number) => {
      const client = new Client(share.target, number);
      client.onLost = (why) => lost.fail(`${client.user}: ${why}`);
      try {
        await client.login({ roster: true });
        clients.add(client);
        client.onChunk = () => undefined;
        tally.count('open');
      } catch (error) {
        tally.fail(error);
      }
    });
    return tally;
  };
  const close = async (): Promise<Tally> => {
    await eachLimited([...clients], LOGINS_AT_ONCE, (client) => client.close());
    clients.clear();
    const tally = lost;
    lost = new Tally();
    return tally;
  };
  const users = usersOf(share);
  return {
    async warm() {
      const tally = await open(users.slice(0, Math.ceil(WARMUP_USERS / share.workers)));
      tally.add((await close()).toData());
      return tally;
    },
    open: () => open(users),
    close,
  };
}
