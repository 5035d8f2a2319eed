// Profile `cluster`: users of one node write to users of another, through Redis. The same messages between users of one node, and on
// a server that has no Redis, in turns with them, say what distance costs; so do logins. Redis counts to the nodes that use it.

import { Redis } from 'ioredis';
import { Chatter, chatOptions, reportFailures } from '../load/chatter.ts';
import { Client, type Target } from '../load/client.ts';
import type { Probe, Spent } from '../load/probe.ts';
import { numberOption, type Profile, type Share, type Steps, sleep } from '../load/profile.ts';
import { ReportBuilder } from '../load/report.ts';
import { Tally } from '../load/tally.ts';
import { cpuPerDelivery, describe, middleOf, type Part } from '../load/turns.ts';
import { logIn } from './login.ts';

/** On a server without Redis, on one node, from one node to the next. */
const kinds = ['alone', 'local', 'across'] as const;
type Kind = (typeof kinds)[number];

export const cluster: Profile = {
  summary:
    'pairs of users chat across the nodes of a cluster, in turns with as many on one node and on none: what Redis costs',
  options: {
    ...chatOptions,
    seconds: { value: 6, help: 'how long to measure each kind in each turn' },
    turns: { value: 3, help: 'how often each is measured; ratios are medians of the turns' },
    nodes: { value: 2, help: 'how many nodes there are' },
    concurrency: { value: 20, help: 'logins under way at a time' },
    roster: { value: true, help: 'logins ask for the roster, too' },
  },
  nodes: (options) => numberOption(options, 'nodes'),
  // one pair of each kind
  defaultUsers: (options) => 2 * kinds.length * numberOption(options, 'pairs'),
  work,

  async conduct({ options, crew, probe, partnerProbe, redis }) {
    const report = new ReportBuilder();
    const before = await memoryOf(redis!);
    const opened = await crew.run('open');
    // what is published of them is gone by then
    await sleep(2);
    const sessions = (2 * (2 * opened.get('pairs'))) / kinds.length;
    report
      .add('pairs', 'pairs of each kind', opened.get('pairs') / kinds.length)
      .add(
        'redis_bytes_per_session',
        'memory of Redis per session',
        ((await memoryOf(redis!)) - before) / sessions,
        'B',
      );
    const probes = { alone: partnerProbe, local: probe, across: probe };
    const parts: Record<Kind, Part[]> = { alone: [], local: [], across: [] };
    const warm: Tally[] = [opened];
    for (const kind of kinds) warm.push(await crew.run(kind, numberOption(options, 'warmup')));
    for (let turn = 0; turn < numberOption(options, 'turns'); turn++) {
      for (const kind of kinds) {
        const stop = probes[kind].start();
        const tally = await crew.run(kind, numberOption(options, 'seconds'));
        parts[kind].push({ tally, spent: [withRedis(kind, stop())] });
      }
    }
    for (const kind of kinds) describe(report, kind, kind, parts[kind]);
    for (const base of ['alone', 'local'] as const) {
      const ratios = parts.across.map((part, i) => cpuPerDelivery(part) / cpuPerDelivery(parts[base][i]!));
      ratios.sort((a, b) => a - b);
      report
        .add(`ratio_to_${base}`, `CPU across, Redis included, to ${base}: median`, middleOf(ratios))
        .add(`ratio_to_${base}_least`, 'the same, least', ratios[0])
        .add(`ratio_to_${base}_most`, 'the same, most', ratios.at(-1));
    }
    await crew.run('close');
    const logins = await measureLogins(report, crew, { alone: partnerProbe, cluster: probe }, options);
    const measured = kinds.flatMap((kind) => parts[kind].map(({ tally }) => tally));
    reportFailures(report, [...warm, ...logins], measured);
    return report.done();
  },
};

type Conducted = Parameters<Profile['conduct']>[0];

async function measureLogins(
  report: ReportBuilder,
  crew: Conducted['crew'],
  probes: Readonly<Record<'alone' | 'cluster', Probe>>,
  options: Conducted['options'],
): Promise<Tally[]> {
  const costs = { alone: [] as number[], cluster: [] as number[] };
  const ofRedis: number[] = [];
  const tallies: Tally[] = [];
  for (const kind of ['alone', 'cluster'] as const) {
    tallies.push(await crew.run(`login ${kind}`, numberOption(options, 'warmup')));
  }
  for (let turn = 0; turn < numberOption(options, 'turns'); turn++) {
    for (const kind of ['alone', 'cluster'] as const) {
      const stop = probes[kind].start();
      const tally = await crew.run(`login ${kind}`, numberOption(options, 'seconds'));
      const { server, database } = withRedis(kind === 'alone' ? 'alone' : 'local', stop());
      const n = tally.time('login').count;
      costs[kind].push((1e6 * (server ?? Number.NaN)) / n);
      if (kind === 'cluster') ofRedis.push((1e6 * (database ?? 0)) / n);
      tallies.push(tally);
    }
  }
  const added = costs.cluster.map((cost, turn) => cost - costs.alone[turn]!).sort((a, b) => a - b);
  for (const kind of ['alone', 'cluster'] as const) {
    const label = `login and logout, ${kind}: server CPU, Redis included, median`;
    report.add(`login_${kind}_cpu_us`, label, middleOf(costs[kind].sort((a, b) => a - b)), 'us');
  }
  report
    .add('login_redis_cpu_us', 'of which Redis, median', middleOf(ofRedis.sort((a, b) => a - b)), 'us')
    .add(
      'login_added_cpu_us',
      'what the cluster adds to a login and logout: median of the turns',
      middleOf(added),
      'us',
    )
    .add('login_added_cpu_us_least', 'the same, least', added[0], 'us')
    .add('login_added_cpu_us_most', 'the same, most', added.at(-1), 'us');
  return tallies;
}

/** Redis is the only database in the tree of the nodes: their Postgres is not looked at, it has nothing to do with a message. */
function withRedis(kind: Kind, spent: Spent): Spent {
  if (kind === 'alone') return { ...spent, database: undefined };
  return { ...spent, server: spent.server === undefined ? undefined : spent.server + (spent.database ?? 0) };
}

async function memoryOf(url: string): Promise<number> {
  const redis = new Redis(url);
  try {
    return Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
  } finally {
    redis.disconnect();
  }
}

function work(share: Share): Steps {
  const { partner, nodes, users } = share;
  if (partner === undefined || nodes === undefined) throw new Error('there is no cluster');
  const pairs = Math.floor(users / (2 * kinds.length));
  const node = (i: number): Target => nodes[i % nodes.length]!;
  const seats: Record<Kind, (pair: number) => readonly [Target, Target]> = {
    alone: () => [partner, partner],
    local: (pair) => [node(pair), node(pair)],
    across: (pair) => [node(pair), node(pair + 1)],
  };
  const steps: Record<string, Steps[string]> = {};
  const chatters = kinds.map((kind, i) => {
    const first = 2 * i * pairs;
    const chatter = new Chatter(share, pairs, (pair) => {
      const [a, b] = seats[kind](pair);
      return [new Client(a, first + 2 * pair + 1), new Client(b, first + 2 * pair + 2)];
    }).steps();
    steps[kind] = chatter.chat;
    return chatter;
  });
  for (const step of ['open', 'close'] as const) {
    steps[step] = async () => {
      const tally = new Tally();
      for (const chatter of chatters) tally.add((await chatter[step](0)).toData());
      return tally;
    };
  }
  let next = 0;
  const nextUser = (): number => 1 + (next++ % users);
  steps['login alone'] = (seconds) => logIn({ ...share, target: partner }, nextUser, seconds);
  steps['login cluster'] = (seconds) => logIn({ ...share, target: nodes[0]! }, nextUser, seconds);
  return steps;
}
