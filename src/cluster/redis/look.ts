// Which nodes there are, for somebody who is none: the command line, beside a server that is stopped.
import { systemClock } from '../../base/clock.ts';
import { silent } from '../../base/log.ts';
import { openRedis } from '../../net/redis.ts';
import type { RedisTarget } from '../../net/redis-target.ts';
import type { NodeId } from '../cluster.ts';
import { membersScript, runOnNodes } from './membership-scripts.ts';

const PATIENCE = 3_000;

/** The names of the nodes that live. @throws Error when Redis does not answer */
export async function lookForNodes(target: RedisTarget, prefix?: string): Promise<readonly string[]> {
  const redis = await openRedis({
    target,
    log: silent,
    clock: systemClock,
    ...(prefix === undefined ? {} : { prefix }),
  });
  try {
    await redis.whenUp(PATIENCE);
    const [nodes, , , overdue] = (await runOnNodes(redis, membersScript)) as [NodeId[], string[], NodeId[], NodeId[]];
    return nodes.filter((node) => !overdue.includes(node)).map((node) => node.slice(0, node.lastIndexOf(':')));
  } finally {
    redis.close();
  }
}
