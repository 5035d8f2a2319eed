// The cluster that a server is part of: of one node, or of all that one Redis joins.
import { createHash } from 'node:crypto';
import { type Clock, systemClock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { ProtocolMismatch } from '../cluster/redis/protocol.ts';
import { createSolo } from '../cluster/solo.ts';
import type { Config } from '../config/server.ts';
import { type RedisTarget, redisDatabase } from '../net/redis-target.ts';
import type { Driver } from '../storage/ports.ts';
import { isOnRedis } from './measures.ts';

/** How long the start waits for Redis, in milliseconds: it may be starting, too. */
const REDIS_START = 10_000;

/**
 * @param name what this node is called, where it is one of several on this machine
 * @throws Error with a message for the operator
 */
export async function openCluster(
  config: Config,
  name: string | undefined,
  log: Logger,
  clock: Clock,
): Promise<Cluster> {
  const { redis, cluster } = config;
  if (redis === null) return createSolo();
  // ioredis is read only where it is needed
  const { createRedisCluster } = await import('../cluster/redis/redis.ts');
  const { UnfitRedis } = await import('../cluster/redis/fitness.ts');
  const own = name ?? cluster.name ?? undefined;
  try {
    return await createRedisCluster({
      target: redis,
      log: log.child({ part: 'cluster' }),
      clock,
      startTimeout: REDIS_START,
      // two machines may have the same host name; what the operator has named is the only one of that name
      isNameOurs: cluster.name !== null,
      ...(own === undefined ? {} : { name: own }),
      ...prefixOf(redis),
    });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const isTold = error instanceof ProtocolMismatch || error instanceof UnfitRedis;
    const remedy = isTold ? '' : '. Correct "redis", or start what it names';
    throw new Error(`the cluster cannot be joined: ${why}${remedy}`, { cause: error });
  }
}

/** The names of the nodes that live, asked by somebody who is none; nothing where Redis does not answer, or there is none. */
export async function livingNodes({ redis }: Pick<Config, 'redis'>): Promise<readonly string[]> {
  if (redis === null) return [];
  const { lookForNodes } = await import('../cluster/redis/look.ts');
  try {
    return await lookForNodes(redis, prefixOf(redis).prefix);
  } catch {
    // nodes without Redis would hardly be there
    return [];
  }
}

/** All nodes have one time: whatever their machines' clocks say, what they write down is in one order. */
export function clockOf(cluster: Cluster): Clock {
  return isOnRedis(cluster) ? { now: () => cluster.now(), after: systemClock.after } : systemClock;
}

/** Published messages know no databases: the number has to be in their names. */
export function prefixOf(redis: RedisTarget): { readonly prefix?: string } {
  if (typeof redis !== 'string') return {};
  const database = Number(redisDatabase(redis));
  return database === 0 ? {} : { prefix: `parley.${database}:` };
}

/** This node writes in the name of its life, so that the others can end that when they hold it for dead. */
export async function writeAs(cluster: Cluster, driver: Driver, log: Logger): Promise<void> {
  await driver.identify(cluster.self);
  cluster.leases.onFence((life) => driver.fence(life));
  cluster.onExpelled(() => {
    driver.identify(cluster.self).catch((err: unknown) => log.error({ err }, 'this node cannot write in its new life'));
  });
}

export const databaseCall = 'admin.database';

/** Tells one database from another, and nothing else; from a secret that is in it. */
export function fingerprintOf(secret: string): string {
  return createHash('sha256').update(`database ${secret}`).digest('base64url');
}

/**
 * Makes sure that the other nodes have the same database.
 * @throws Error with a message for the operator
 */
export async function checkDatabase(cluster: Cluster, fingerprint: string): Promise<void> {
  const others = [...cluster.nodes].filter((node) => node !== cluster.self);
  const answers = others.map(async (node) => {
    // one that is starting or ending does not answer, and asks or has asked itself
    const answer = await cluster.call(node, databaseCall, undefined).catch(() => fingerprint);
    return { node, isSame: answer === fingerprint };
  });
  const other = (await Promise.all(answers)).find(({ isSame }) => !isSame);
  if (other === undefined) return;
  throw new Error(
    `node ${other.node}, which "redis" joins this one to, has another database: all nodes of a cluster share one. ` +
      'Give both the same "database" (postgres://...), or this one a Redis of its own',
  );
}
