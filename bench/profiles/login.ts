// Profile `login`: users log in and out over and over: TCP, TLS, SASL, bind, roster and presence, as a client does on its start.

import { Client } from '../load/client.ts';
import { numberOption, type Profile, type Share, type Steps, sleep, usersOf } from '../load/profile.ts';
import { ReportBuilder } from '../load/report.ts';
import { Tally } from '../load/tally.ts';

export const login: Profile = {
  summary: 'complete logins per second: TCP, TLS, SASL, bind, roster, presence and its reflection',
  options: {
    concurrency: { value: 20, help: 'logins under way at a time' },
    seconds: { value: 10, help: 'how long to measure' },
    warmup: { value: 3, help: 'seconds of the same load before measuring' },
    roster: { value: true, help: 'ask for the roster, too' },
  },
  defaultUsers: () => 200,
  work: (share) => {
    const users = usersOf(share);
    let next = 0;
    const nextUser = () => users[next++ % users.length]!;
    return { login: (seconds) => logIn(share, nextUser, seconds) } satisfies Steps;
  },

  async conduct({ options, crew, probe }) {
    const warm = await crew.run('login', numberOption(options, 'warmup'));
    const stop = probe.start();
    const tally = await crew.run('login', numberOption(options, 'seconds'));
    const spent = stop();
    const logins = tally.time('login').count;
    return new ReportBuilder()
      .add('logins', 'logins', logins)
      .add('logins_per_s', 'logins per second', logins / spent.seconds, '/s')
      .latency(tally, 'login', 'login')
      .latency(tally, 'connect', 'of which TCP and TLS')
      .latency(tally, 'authenticate', 'of which SASL')
      .latency(tally, 'bind', 'of which bind to presence')
      .cpu(spent, logins, 'login')
      .memory(probe)
      .generator(tally, crew.size, spent.seconds)
      .failuresOf(warm)
      .failuresOf(tally)
      .done();
  },
};

/** Logs in and out, over and over, as somebody else each time. */
export async function logIn(share: Share, nextUser: () => number, seconds: number): Promise<Tally> {
  const tally = new Tally();
  const roster = share.options.roster === true;
  let isOver = false;
  let turn = 0;
  const slot = async () => {
    while (!isOver) {
      const client = new Client(share.target, nextUser());
      try {
        // A resource of its own, lest a login meets the one before it on its way out.
        const times = await client.login({ roster, resource: `bench${++turn}` });
        tally.time('login').record(times.total);
        tally.time('connect').record(times.connect);
        tally.time('authenticate').record(times.authenticate);
        tally.time('bind').record(times.bind);
        await client.close();
      } catch (error) {
        tally.fail(error);
        await sleep(0.1); // no storm of refused connections
      }
    }
  };
  const concurrency = Math.max(1, Math.round(numberOption(share.options, 'concurrency') / share.workers));
  const slots = Array.from({ length: concurrency }, slot);
  await sleep(seconds);
  isOver = true;
  await Promise.all(slots);
  return tally;
}
