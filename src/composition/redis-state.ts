// How Redis is, as somebody finds who comes to it anew: for `parley cluster status` and `parley doctor`.
import { performance } from 'node:perf_hooks';
import { systemClock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { RedisCommands, RedisTarget } from '../net/redis.ts';

export interface RedisState {
  readonly ok: boolean;
  readonly problem?: string;
  /** `Redis 7.0.15`, `Valkey 8.0.1` */
  readonly version?: string;
  /** Of one round trip, in milliseconds. */
  readonly latency?: number;
  /** What it does when its memory is full, and how much it may have in bytes; 0: as much as there is. */
  readonly eviction?: { readonly policy: string; readonly limit: number };
  /** Whether anything is left of what it holds after a restart. */
  readonly persists?: boolean;
}

const PATIENCE = 3_000;

/** Never rejects. */
export async function examineRedis(target: RedisTarget, log: Logger): Promise<RedisState> {
  const { openRedis } = await import('../net/redis.ts');
  const redis = await openRedis({ target, log, clock: systemClock });
  try {
    await redis.whenUp(PATIENCE);
    const start = performance.now();
    await redis.command('PING');
    const latency = Math.round((performance.now() - start) * 10) / 10;
    const info = parse(String(await redis.command('INFO')));
    const name = info.has('valkey_version') ? 'Valkey' : 'Redis';
    const persists = info.get('aof_enabled') === '1' ? true : await savesNow(redis);
    return {
      ok: true,
      version: `${name} ${info.get('valkey_version') ?? info.get('redis_version')}`,
      latency,
      eviction: { policy: info.get('maxmemory_policy') ?? '', limit: Number(info.get('maxmemory') ?? 0) },
      ...(persists === undefined ? {} : { persists }),
    };
  } catch (error) {
    return { ok: false, problem: error instanceof Error ? error.message : String(error) };
  } finally {
    redis.close();
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
