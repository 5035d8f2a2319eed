// What the session directory in Redis is given, and what it tells of itself.
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { RedisConnection } from '../../net/redis.ts';
import type { NodeId, SessionEntry } from '../cluster.ts';

export interface RedisDirectoryOptions {
  readonly redis: RedisConnection;
  readonly self: NodeId;
  readonly clock: Clock;
  readonly log: Logger;
  /** How many accounts without sessions here are remembered; 50,000 unless said otherwise. */
  readonly capacity?: number;
  /** For how long what was heard is believed without being asked for again, in milliseconds; five minutes unless said otherwise. */
  readonly maxAge?: number;
  /** The nodes that are there, or may be; if this cannot be told, all are. */
  nodes?(): ReadonlySet<NodeId>;
  /** Whether this life goes on: nothing is put again before that is known. Yes, unless said otherwise. */
  sure?(): Promise<boolean>;
  /** The other nodes hold this life of the node for dead: nothing can be put any more. */
  onOver?(): void;
  /** A session of this node has lost its full JID to another one, and whoever put that has not said so. */
  onDisplaced?(entry: SessionEntry): void;
}

/** How the memory has served. */
export interface DirectoryFigures {
  /** Lookups answered from memory. */
  readonly hits: number;
  /** Lookups that Redis was asked for. */
  readonly misses: number;
  /** Lookups answered with what might be old, because Redis could not be asked. */
  readonly stale: number;
  /** Accounts that are remembered. */
  readonly size: number;
  /** Sessions of this node that Redis has to be told of yet, there or gone. */
  readonly unsaved: number;
  /** How long Redis took to answer lately, on the average, in milliseconds. */
  readonly latency: number;
}
