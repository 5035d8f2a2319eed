// Starts a server as the options say, with a database of the machine's own if that is wanted.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Target } from '../load/client.ts';
import type { OptionValues, Partnership, Profile } from '../load/profile.ts';
import { type CommonOptions, UsageError } from '../options.ts';
import type { Place } from '../run.ts';
import { startNames } from './names.ts';
import { freePort, makeAuthority, makeCertificate, type Peer, type PeerOptions, type RunningPeer } from './peer.ts';
import { startPostgres } from './postgres.ts';
import { startRedis } from './redis.ts';

/** The port of a server that was started for the way in that is to be measured. Throws UsageError when there is none. */
function portOf(server: RunningPeer, { tls, transport }: Target): number {
  const isDirect = tls === 'direct';
  if (transport === 'tcp') return isDirect ? server.directTlsPort : server.port;
  const port = isDirect ? server.secureWebPort : server.webPort;
  if (port === undefined) throw new UsageError('this server is started without WebSockets');
  return port;
}

/** What was started, as a profile takes it. */
export interface Started extends Place {
  readonly partner?: Place;
  readonly nodes?: readonly Target[];
  readonly redis?: string;
  stop(): Promise<void>;
}

/** Starts what a profile needs: a server, or two that talk to each other. */
export async function startFor(
  profile: Profile,
  options: OptionValues,
  peer: Peer,
  dir: string,
  users: number,
  common: CommonOptions,
): Promise<Started> {
  const partnership = profile.partnership?.(options);
  if (partnership !== undefined) return startPair(partnership, peer, dir, users, common);
  const nodes = profile.nodes?.(options);
  if (nodes !== undefined) return startCluster(nodes, peer, dir, users, common);
  const server = await startPeer(peer, dir, users, common, { areFriends: profile.hasFriends === true });
  return { ...placeOf(server, common.target), stop: () => server.stop() };
}

/** Nodes on one Redis and one database, and beside them a server without Redis, on a database of its own. */
async function startCluster(
  count: number,
  peer: Peer,
  dir: string,
  users: number,
  common: CommonOptions,
): Promise<Started> {
  const { domain, userPrefix, password } = common.target;
  const stops: (() => Promise<void>)[] = [];
  const stop = async (): Promise<void> => {
    for (const end of stops.splice(0).reverse()) await end();
  };
  try {
    mkdirSync(dir, { recursive: true });
    const redis = await startRedis(join(dir, 'redis'));
    stops.push(() => redis.stop());
    const { address, stop: stopDatabase } = await startPostgres(join(dir, 'database'));
    stops.push(stopDatabase);
    const running: RunningPeer[] = [];
    for (let i = 0; i < count; i++) {
      const home = join(dir, `node${i + 1}`);
      mkdirSync(home, { recursive: true });
      const node = await peer.start({
        dir: home,
        domain,
        userPrefix,
        password,
        // they share one database
        users: i === 0 ? users : 0,
        isFull: common.isFull,
        database: address,
        cluster: { redis: redis.url, name: `node${i + 1}` },
      });
      running.push(node);
      stops.push(() => node.stop());
    }
    const home = join(dir, 'alone');
    mkdirSync(home, { recursive: true });
    const alone = await startPeer(peer, home, users, common);
    stops.push(() => alone.stop());
    const targets = running.map((node) => placeOf(node, common.target).target);
    const pids = [...running.flatMap((node) => node.pids), redis.pid];
    return {
      target: targets[0]!,
      nodes: targets,
      pids,
      redis: redis.url,
      partner: placeOf(alone, common.target),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startPair(
  { domain, isDialback }: Partnership,
  peer: Peer,
  dir: string,
  users: number,
  common: CommonOptions,
): Promise<Started> {
  const domains = [common.target.domain, domain] as const;
  if (domains[0] === domains[1]) throw new UsageError('two servers need two domains');
  const ports = new Map<string, number>();
  for (const name of domains) ports.set(name, await freePort());
  mkdirSync(dir, { recursive: true });
  const authority = await makeAuthority(dir);
  const names = await startNames(join(dir, 'names'), ports);
  const running: RunningPeer[] = [];
  const stop = async () => {
    await Promise.all(running.map((server) => server.stop()));
    await names.stop();
  };
  try {
    for (const name of domains) {
      const home = join(dir, name);
      const certificates = join(home, 'certificates');
      mkdirSync(certificates, { recursive: true });
      const certificate = await makeCertificate(certificates, name, isDialback ? undefined : authority);
      const federation = {
        port: ports.get(name)!,
        dnsPort: names.port,
        certificate,
        authority: authority.cert,
        isDialback,
      };
      running.push(await startPeer(peer, home, users, withDomain(common, name), { federation }));
    }
    const [first, second] = running as [RunningPeer, RunningPeer];
    return {
      ...placeOf(first, common.target),
      partner: placeOf(second, withDomain(common, domain).target),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function withDomain(common: CommonOptions, domain: string): CommonOptions {
  return { ...common, target: { ...common.target, domain } };
}

function placeOf(server: RunningPeer, target: Target): Place {
  const { host, pids, databasePids = [] } = server;
  return { target: { ...target, host, port: portOf(server, target) }, pids, databasePids };
}

/** Started a second time in the same `dir`, it finds its users and its data again. */
async function startPeer(
  peer: Peer,
  dir: string,
  users: number,
  common: CommonOptions,
  { areFriends = false, federation }: Partial<Pick<PeerOptions, 'areFriends' | 'federation'>> = {},
): Promise<RunningPeer> {
  const { domain, userPrefix, password } = common.target;
  const postgres = common.onPostgres ? await startPostgres(join(dir, 'database')) : undefined;
  const options = {
    dir,
    domain,
    userPrefix,
    password,
    users,
    isFull: common.isFull,
    areFriends,
    database: postgres?.address,
    federation,
  };
  try {
    const server = await peer.start(options);
    return {
      ...server,
      databasePids: postgres ? [postgres.pid] : [],
      async stop() {
        await server.stop();
        await postgres?.stop();
      },
    };
  } catch (error) {
    await postgres?.stop();
    throw error;
  }
}
