// How Redis is, as somebody finds who comes to it anew: for `parley cluster status` and `parley doctor`.
import { performance } from 'node:perf_hooks';
import { systemClock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Fitness } from '../cluster/redis/fitness.ts';
import type { RedisTarget } from '../net/redis-target.ts';
import { prefixOf } from './cluster.ts';

export interface RedisState extends Partial<Pick<Fitness, 'version' | 'eviction' | 'persists'>> {
  /** It answers, and does what nodes need. */
  readonly ok: boolean;
  readonly problem?: string;
  /** What to do about the problem; absent where it does not answer. */
  readonly fix?: string;
  /** Of one round trip, in milliseconds. */
  readonly latency?: number;
}

/** Longer than it takes to find that nobody is there, in milliseconds. */
const PATIENCE = 4_000;

/** Never rejects. */
export async function examineRedis(target: RedisTarget, log: Logger): Promise<RedisState> {
  const { openRedis } = await import('../net/redis.ts');
  const { examineFitness } = await import('../cluster/redis/fitness.ts');
  const redis = await openRedis({ target, log, clock: systemClock, ...prefixOf(target) });
  try {
    await redis.whenUp(PATIENCE);
    const start = performance.now();
    await redis.command('PING');
    const latency = Math.round((performance.now() - start) * 10) / 10;
    const { problem, ...fitness } = await examineFitness(redis);
    return {
      ok: problem === undefined,
      ...(problem && { problem: problem.what, fix: problem.fix }),
      latency,
      ...fitness,
    };
  } catch (error) {
    return { ok: false, problem: error instanceof Error ? error.message : String(error) };
  } finally {
    redis.close();
  }
}
