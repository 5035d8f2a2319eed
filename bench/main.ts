// npm run bench: load tests of an XMPP server over real sockets. docs/benchmarks.md says how to read the figures.

import { writeFileSync } from 'node:fs';
import { comparePeers, describePeersCommand } from './compare-peers.ts';
import type { OptionValues, Profile } from './load/profile.ts';
import { printReport, type Report, reportToJson } from './load/report.ts';
import { type CommonOptions, describeCommonOptions, describeOptions, parseOptions, UsageError } from './options.ts';
import { parley } from './peers/parley.ts';
import { temporaryDirectory } from './peers/peer.ts';
import { startFor } from './peers/start.ts';
import { profileNamed, profiles } from './profiles/index.ts';
import { type Place, registerUsers, runProfile } from './run.ts';
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
  if (common.host !== undefined && profile.partnership) throw new UsageError(`${name} starts its servers by itself`);
  const report = await withServer(profile, own, common, async (place) => {
    if (common.register) await registerUsers(place.target, users);
    return runProfile(name, { ...place, users, workers: common.workers, options: own });
  });
  if (common.json)
    console.log(JSON.stringify({ profile: name, tls: target.tls, sasl: target.sasl, users, ...reportToJson(report) }));
  else printReport(`${name}: ${users} users, TLS ${target.tls}, SASL ${target.sasl}`, report);
  return report.failures.length === 0 ? 0 : 1;
}

/** Starts a Parley of our own unless a host was given. */
async function withServer(
  profile: Profile,
  options: OptionValues,
  common: CommonOptions,
  work: (place: Place & { readonly partner?: Place }) => Promise<Report>,
): Promise<Report> {
  const { target, pids, databasePids } = common;
  if (common.host !== undefined) return work({ target, pids, databasePids });
  if ((await parley.version()) === undefined) throw new UsageError('there is no Parley to start here; give --host');
  const server = await startFor(profile, options, parley, temporaryDirectory(), common.users, common);
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
