// Servers that are nodes of one cluster, in this process: joined by the pair's own bus, or by a real Redis.

import type { Cluster, NodeId } from '../../src/cluster/cluster.ts';
import type { RedisClusterOptions } from '../../src/cluster/redis/options.ts';
import type { ConfigInput } from '../../src/config/server.ts';
import { createMemoryDriver } from '../../src/storage/memory.ts';
import type { StreamClient } from './client.ts';
import { FakeClock } from './clock.ts';
import { createNodes } from './cluster-pair.ts';
import { logIn } from './login.ts';
import { startRedisNodes } from './redis-nodes.ts';
import { mergeSettings, TestServer, type TestServerOptions } from './test-server.ts';

export const DOMAIN = 'verona.test';
/** For an answer of another node, in milliseconds: on a busy machine none is to be given up. */
const PATIENCE = 5_000;

export interface Joined {
  readonly servers: readonly TestServer[];
  readonly clusters: readonly Cluster[];
  readonly clock: FakeClock;
  /** What all keys in Redis start with. */
  readonly prefix: string;
  /** The node of a server dies. */
  kill(at: number): void;
  /** One more node of that name starts, on Redis. */
  join(name: string, more?: Partial<RedisClusterOptions>): Promise<void>;
  /** A client of a new or known account, with a session at one of the servers. */
  enter(at: number, user: string, resource: string): Promise<StreamClient>;
  stop(): Promise<void>;
}

/** @param redis where the Redis is that joins them; the pair's own bus unless said */
export async function joinServers(
  redis: string | undefined,
  names: readonly string[],
  settings: ConfigInput = {},
  options: TestServerOptions = {},
  nodeOptions: Partial<RedisClusterOptions> = {},
): Promise<Joined> {
  const clock = new FakeClock();
  const driver = createMemoryDriver(clock);
  const nodes =
    redis === undefined
      ? createNodes(names)
      : await startRedisNodes(redis, names, { callTimeout: PATIENCE, ...nodeOptions });
  const clusters: Cluster[] = [];
  const servers: TestServer[] = [];
  const all = mergeSettings({ hosts: { [DOMAIN]: {} } }, settings);
  const serve = async (cluster: Cluster): Promise<void> => {
    clusters.push(cluster);
    servers.push(await TestServer.start(all, { clock, cluster, driver, ...options }));
  };
  for (const cluster of nodes.clusters) await serve(cluster);
  const known = new Set<string>();
  const clients: StreamClient[] = [];
  return {
    servers,
    clusters,
    clock,
    prefix: 'prefix' in nodes ? nodes.prefix : '',
    kill: (at) => nodes.kill(clusters[at]!.self as NodeId),
    join: async (name, more) => serve(await nodes.add(name, more)),
    async enter(at, user, resource) {
      if (!known.has(user)) await servers[at]!.server.accounts.create(`${user}@${DOMAIN}`, 'secret');
      known.add(user);
      const { client } = await logIn(servers[at]!.c2s, { domain: DOMAIN, user, password: 'secret', resource });
      clients.push(client);
      return client;
    },
    async stop() {
      await Promise.all(clients.map((client) => client.destroy()));
      await Promise.all(servers.map((server) => server.stop()));
      if ('close' in nodes) await nodes.close();
    },
  };
}

/** Everything that a client has heard and not read, as text; what matches is waited for, in order. */
export async function hears(client: StreamClient, ...patterns: readonly RegExp[]): Promise<readonly string[]> {
  const passed: string[] = [];
  for (const pattern of patterns) {
    for (;;) {
      const item = await client.next(8_000);
      if (item === undefined) throw new Error(`${pattern} never came; this did:\n${passed.join('\n')}`);
      const text = item.kind === 'element' ? String(item.element) : item.kind;
      passed.push(text);
      if (pattern.test(text)) break;
    }
  }
  return passed;
}

/** What a client has heard and not read. */
export const unread = (client: StreamClient): readonly string[] =>
  client.inbox.map((item) => (item.kind === 'element' ? String(item.element) : item.kind));

/** Two people who see each other's presence, by what their clients say. */
export async function befriend(joined: Joined, one: string, other: string): Promise<void> {
  const first = await joined.enter(0, one, 'setup');
  const second = await joined.enter(0, other, 'setup');
  first.write(`<presence/><presence type='subscribe' to='${other}@${DOMAIN}'/>`);
  second.write(
    `<presence/><presence type='subscribed' to='${one}@${DOMAIN}'/><presence type='subscribe' to='${one}@${DOMAIN}'/>`,
  );
  await hears(first, /type="subscribe"/);
  first.write(`<presence type='subscribed' to='${other}@${DOMAIN}'/>`);
  await hears(second, here(`${one}@${DOMAIN}/setup`));
  await first.destroy();
  await second.destroy();
}

/** Presence from a full JID that is not available any more; and from one that is. */
export const gone = (who: string): RegExp =>
  new RegExp(`<presence[^>]*(type="unavailable"[^>]*from="${who}"|from="${who}"[^>]*type="unavailable")`);
export const here = (who: string): RegExp => new RegExp(`<presence(?![^>]*type=)[^>]*from="${who}"`);
