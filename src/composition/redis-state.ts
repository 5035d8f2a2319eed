// How Redis is, as somebody finds who comes to it anew: for `parley cluster status` and `parley doctor`.
import { performance } from 'node:perf_hooks';
import { systemClock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { defineScript, type RedisCommands, type RedisConnection, type RedisTarget } from '../net/redis.ts';
import { prefixOf } from './cluster.ts';

export interface RedisState {
  /** It answers, and takes what is to be written. */
  readonly ok: boolean;
  readonly problem?: string;
  /** `Redis 7.0.15`, `Valkey 8.0.1`; absent where it does not answer. */
  readonly version?: string;
  /** Of one round trip, in milliseconds. */
  readonly latency?: number;
  /** What it does when its memory is full, how much it may have, and has, in bytes; limit 0: as much as there is. */
  readonly eviction?: { readonly policy: string; readonly limit: number; readonly used?: number };
  /** Whether anything is left of what it holds after a restart. */
  readonly persists?: boolean;
}

const PATIENCE = 3_000;

/** As small as a write can be, and soon gone: with its memory full, and as a replica, Redis answers everything but this. */
const probe = defineScript("return redis.call('SET', KEYS[1], '1', 'PX', 1000)");

/** Never rejects. */
export async function examineRedis(target: RedisTarget, log: Logger): Promise<RedisState> {
  const { openRedis } = await import('../net/redis.ts');
  const redis = await openRedis({ target, log, clock: systemClock, ...prefixOf(target) });
  try {
    await redis.whenUp(PATIENCE);
    const start = performance.now();
    await redis.command('PING');
    const latency = Math.round((performance.now() - start) * 10) / 10;
    const info = parse(String(await redis.command('INFO')));
    const name = info.has('valkey_version') ? 'Valkey' : 'Redis';
    const persists = info.get('aof_enabled') === '1' ? true : await savesNow(redis);
    const problem = await refusal(redis);
    return {
      ok: problem === undefined,
      ...(problem === undefined ? {} : { problem }),
      version: `${name} ${info.get('valkey_version') ?? info.get('redis_version')}`,
      latency,
      eviction: {
        policy: info.get('maxmemory_policy') ?? '',
        limit: Number(info.get('maxmemory') ?? 0),
        used: Number(info.get('used_memory') ?? 0),
      },
      ...(persists === undefined ? {} : { persists }),
    };
  } catch (error) {
    return { ok: false, problem: error instanceof Error ? error.message : String(error) };
  } finally {
    redis.close();
  }
}

/** Why it takes no writes; undefined where it does. */
async function refusal(redis: RedisConnection): Promise<string | undefined> {
  try {
    await redis.run(probe, [redis.key('probe', 'write')], []);
    return undefined;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return `takes no writes, so that nobody can log in: ${why}`;
  }
}

/** Whether it writes itself down from time to time; undefined where it does not tell. */
async function savesNow(redis: RedisCommands): Promise<boolean | undefined> {
  try {
    const [, when] = (await redis.command('CONFIG', 'GET', 'save')) as readonly string[];
    return when === undefined ? undefined : when !== '';
  } catch {
    return undefined;
  }
}

function parse(info: string): ReadonlyMap<string, string> {
  const pairs = info.split(/\r?\n/).filter((line) => line.includes(':'));
  return new Map(pairs.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]));
}
