// npm run bench -- peers: the same loads on Parley, Prosody and ejabberd in alternating rounds on this machine, and the ratios.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { OptionValues } from './load/profile.ts';
import { formatNumber, type Report } from './load/report.ts';
import { type CommonOptions, describeCommonOptions, describeOptions, parseOptions, UsageError } from './options.ts';
import { ejabberd } from './peers/ejabberd.ts';
import { parley } from './peers/parley.ts';
import { type Peer, temporaryDirectory } from './peers/peer.ts';
import { prosody } from './peers/prosody.ts';
import { relay } from './peers/relay.ts';
import { startFor } from './peers/start.ts';
import { profileNamed, profiles } from './profiles/index.ts';
import { runProfile } from './run.ts';

const PEERS: readonly Peer[] = [parley, prosody, ejabberd, relay];

const specs = {
  servers: {
    value: 'parley,prosody,ejabberd',
    help: 'which, and in this order; the first one installed is the unit of the ratios',
  },
  profiles: {
    value: 'chat,login,idle',
    help: 'the loads; further options are passed to those profiles that have them',
  },
  rounds: { value: 3, help: 'how often each server is started and measured; the median counts' },
} as const;

interface Load {
  readonly name: string;
  readonly options: OptionValues;
  readonly users: number;
}

interface Series {
  readonly label: string;
  readonly unit: string;
  readonly values: number[];
}
/** Per profile and server, the figures by key. */
type Results = Map<string, Map<string, Map<string, Series>>>;

export function describePeersCommand(): string {
  return `peers:\n${describeOptions(specs)}`;
}

/** Returns the exit code: 1 when a run failed. Throws UsageError. */
export async function comparePeers(args: readonly string[]): Promise<number> {
  if (args.includes('--help')) {
    console.log(`npm run bench -- peers [options]\n\n${describeOptions(specs)}\n\n${describeCommonOptions()}`);
    return 0;
  }
  const all = Object.assign({}, specs, ...Object.values(profiles).map((profile) => profile.options)) as typeof specs;
  const given = new Set(
    args.filter((arg) => arg.startsWith('--')).map((arg) => arg.replace(/^--(no-)?/, '').split('=')[0]!),
  );
  const { common: asked, own } = parseOptions(args, all, () => 0);
  const names = String(own.profiles).split(',');
  const common = { ...asked, isFull: asked.isFull || names.some((name) => profileNamed(name).needsFull === true) };
  const loads = names.map((name) =>
    loadOf(name, common.users, (option) => (given.has(option) ? own[option] : undefined)),
  );
  const peers = await installed(String(own.servers).split(','), common.json);
  const users = Math.max(...loads.map((load) => load.users));
  const base = temporaryDirectory();
  const results: Results = new Map();
  const failures: string[] = [];
  for (let round = 1; round <= Number(own.rounds); round++) {
    for (const peer of peers) {
      for (const load of loads) {
        if (profileNamed(load.name).partnership && !peer.canFederate) continue;
        const report = await measure(peer, join(base, peer.name), load, users, common);
        record(results, load.name, peer.name, report);
        for (const failure of report.failures) failures.push(`${peer.name} ${load.name}, round ${round}: ${failure}`);
        if (!common.json) console.error(`round ${round}: ${peer.name} ${load.name} done`);
      }
    }
  }
  const servers = peers.map((peer) => peer.name);
  if (common.json) console.log(JSON.stringify(toJson(results, failures)));
  else printResults(results, servers, failures);
  return failures.length === 0 ? 0 : 1;
}

function loadOf(name: string, users: number, given: (option: string) => OptionValues[string] | undefined): Load {
  const profile = profileNamed(name);
  const options = Object.fromEntries(
    Object.entries(profile.options).map(([option, { value }]) => [option, given(option) ?? value]),
  );
  return { name, options, users: users || profile.defaultUsers(options) };
}

/** One load on a fresh process: what one leaves behind is not to colour the next. */
async function measure(peer: Peer, dir: string, load: Load, users: number, common: CommonOptions): Promise<Report> {
  const { name, options } = load;
  // two servers that talk to each other are set up otherwise
  const home = profileNamed(name).partnership ? join(dir, name) : dir;
  mkdirSync(home, { recursive: true });
  const server = await startFor(profileNamed(name), options, peer, home, users, common);
  try {
    return await runProfile(name, { ...server, users: load.users, workers: common.workers, options });
  } finally {
    await server.stop();
  }
}

async function installed(names: readonly string[], isQuiet: boolean): Promise<Peer[]> {
  const found: Peer[] = [];
  for (const name of names) {
    const peer = PEERS.find((candidate) => candidate.name === name);
    if (!peer)
      throw new UsageError(`no server ${name}; there are: ${PEERS.map((candidate) => candidate.name).join(', ')}`);
    const version = await peer.version();
    if (version !== undefined) found.push(peer);
    if (!isQuiet) console.error(`${name}: ${version ?? 'not installed, left out'}`);
  }
  if (found.length === 0) throw new UsageError('none of these servers is installed');
  return found;
}

function record(results: Results, profile: string, peer: string, report: Report): void {
  const byPeer = results.get(profile) ?? new Map<string, Map<string, Series>>();
  results.set(profile, byPeer);
  const byKey = byPeer.get(peer) ?? new Map<string, Series>();
  byPeer.set(peer, byKey);
  for (const { key, label, unit, value } of report.figures) {
    const series = byKey.get(key) ?? { label, unit, values: [] };
    byKey.set(key, series);
    series.values.push(value);
  }
}

function printResults(results: Results, peers: readonly string[], failures: readonly string[]): void {
  const unitPeer = peers[0]!;
  for (const [profile, byPeer] of results) {
    console.log(`\n${profile} (median of the rounds, lowest to highest; x: times ${unitPeer})`);
    const keys = new Map<string, Series>();
    for (const byKey of byPeer.values()) for (const [key, series] of byKey) keys.set(key, keys.get(key) ?? series);
    const width = Math.max(...[...keys.values()].map(({ label, unit }) => label.length + unit.length + 3));
    console.log(`  ${''.padEnd(width)}${peers.map((peer) => peer.padStart(34)).join('')}`);
    for (const [key, { label, unit }] of keys) {
      const reference = median(byPeer.get(unitPeer)?.get(key)?.values ?? []);
      const cells = peers.map((peer) =>
        cell(byPeer.get(peer)?.get(key)?.values ?? [], peer === unitPeer ? undefined : reference),
      );
      console.log(
        `  ${`${label}${unit ? ` (${unit})` : ''}`.padEnd(width)}${cells.map((text) => text.padStart(34)).join('')}`,
      );
    }
  }
  for (const failure of failures) console.log(`FAILED: ${failure}`);
}

function cell(values: readonly number[], reference: number | undefined): string {
  if (values.length === 0) return '-';
  const middle = median(values);
  const spread = values.length > 1 ? ` ${formatNumber(Math.min(...values))}..${formatNumber(Math.max(...values))}` : '';
  const ratio = reference ? ` x${(middle / reference).toFixed(2)}` : '';
  return `${formatNumber(middle)}${spread}${ratio}`;
}

function toJson(results: Results, failures: readonly string[]): Record<string, unknown> {
  const json: Record<string, Record<string, Record<string, readonly number[]>>> = {};
  for (const [profile, byPeer] of results) {
    json[profile] = {};
    for (const [peer, byKey] of byPeer) {
      json[profile][peer] = Object.fromEntries([...byKey].map(([key, { values }]) => [key, values]));
    }
  }
  return { ...json, failures };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
