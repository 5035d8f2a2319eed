// What a node of a cluster on Redis is given.
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { RedisTarget } from '../../net/redis-target.ts';
import type { OutboxLimit } from './outbox.ts';
import type { Protocol } from './protocol.ts';

export interface RedisClusterOptions {
  readonly target: RedisTarget;
  readonly log: Logger;
  readonly clock: Clock;
  /** What this node is called; the host name unless said otherwise. Where another node has the name, a number is added. */
  readonly name?: string;
  /** Nobody else has that name at the same time: a node that has it still is a former life of this one, and over. */
  readonly isNameOurs?: boolean;
  /** What all keys in Redis start with; `parley:` unless said otherwise. */
  readonly prefix?: string;
  /** Between two signs of life, in milliseconds; a node that was silent five times as long counts as dead. A second by default. */
  readonly beat?: number;
  /** How long a call waits for its answer, in milliseconds. */
  readonly callTimeout?: number;
  /** What may wait for one other node; 64 Mi characters or 200,000 frames by default. */
  readonly limit?: OutboxLimit;
  /** What versions of the protocol it understands; those of this release unless said otherwise. */
  readonly protocol?: Protocol;
  /** How long Redis may take to answer at the start, in milliseconds. */
  readonly startTimeout?: number;
}
