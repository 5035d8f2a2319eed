// npm run bench: load tests of an XMPP server over real sockets. docs/benchmarks.md says how to read the figures.

import { writeFileSync } from 'node:fs';
import { comparePeers, describePeersCommand } from './compare-peers.ts';
import { printReport, type Report, reportToJson } from './load/report.ts';
import { type CommonOptions, describeCommonOptions, describeOptions, parseOptions, UsageError } from './options.ts';
import { parley } from './peers/parley.ts';
import { type RunningPeer, temporaryDirectory } from './peers/peer.ts';
import { portOf, startPeer } from './peers/start.ts';
import { profileNamed, profiles } from './profiles/index.ts';
import { registerUsers, runProfile } from './run.ts';
import { userBatch } from './users.ts';

async function main(): Promise<number> {
  const [name, ...args] = process.argv.slice(2);
  if (name === undefined || name === '--help' || name === 'help') {
    console.log(usage());
    return name === undefined ? 2 : 0;
  }
  if (name === 'peers') return comparePeers(args);
  if (!Object.hasOwn(profiles, name)) {
    throw new UsageError(`no profile ${name}; there are: ${Object.keys(profiles).join(', ')}, peers`);
  }
  if (args.includes('--help')) {
    console.log(
      `npm run bench -- ${name} [options]\n\n${describeOptions(profileNamed(name).options)}\n\n${describeCommonOptions()}`,
    );
    return 0;
  }
  return benchmark(name, args);
}

async function benchmark(name: string, args: readonly string[]): Promise<number> {
  const profile = profileNamed(name);
  const { common: asked, own } = parseOptions(args, profile.options, (options) => profile.defaultUsers(options));
  const common = { ...asked, isFull: asked.isFull || profile.needsFull === true };
  const { target, users } = common;
  if (common.makeUsers !== undefined) {
    const { domain, userPrefix, password } = target;
    writeFileSync(common.makeUsers, userBatch(common.userFormat, { domain, userPrefix, password, users }));
    return 0;
  }
  const report = await withServer(common, async (server) => {
    const reached = server ? { ...target, port: portOf(server, target) } : target;
    if (common.register) await registerUsers(reached, users);
    const pids = server?.pids ?? common.pids;
    const databasePids = server?.databasePids ?? common.databasePids;
    return runProfile(name, { target: reached, users, workers: common.workers, pids, databasePids, options: own });
  });
  if (common.json)
    console.log(JSON.stringify({ profile: name, tls: target.tls, sasl: target.sasl, users, ...reportToJson(report) }));
  else printReport(`${name}: ${users} users, TLS ${target.tls}, SASL ${target.sasl}`, report);
  return report.failures.length === 0 ? 0 : 1;
}

/** Starts a Parley of our own unless a host was given. */
async function withServer(
  common: CommonOptions,
  work: (server: RunningPeer | undefined) => Promise<Report>,
): Promise<Report> {
  if (common.host !== undefined) return work(undefined);
  if ((await parley.version()) === undefined) throw new UsageError('there is no Parley to start here; give --host');
  const server = await startPeer(parley, temporaryDirectory(), common.users, common);
  try {
    return await work(server);
  } finally {
    await server.stop();
  }
}

function usage(): string {
  const list = Object.entries(profiles).map(([name, { summary }]) => `  ${name.padEnd(10)} ${summary}`);
  return [
    'npm run bench -- PROFILE [options]     drive a server; --help after the profile lists its options',
    'npm run bench -- peers [options]       compare Parley with other servers installed on this machine',
    '',
    ...list,
    '',
    describeCommonOptions(),
    '',
    describePeersCommand(),
  ].join('\n');
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    console.error(error instanceof UsageError ? error.message : error);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  },
);
