// Changes and lookups of the directory on their way to Redis. Where one has just gone, those of the next two milliseconds go together, as one
// call: one for Redis to run, one answer here, and one word of it for all nodes. In a Redis Cluster they go at the same moment,
// each to its slot.
import type { RedisConnection } from '../../net/redis.ts';
import { changesScript } from './directory-scripts.ts';

/** For so many milliseconds they gather. */
const GATHER_MS = 2;
/** So many go with one call at the most: other nodes' calls wait for it. */
const MOST = 64;

/** As {@link changesScript} has them. */
export interface Change {
  /** Account, clock, index. */
  readonly keys: readonly [string, string, string];
  readonly what: 'look' | 'take' | 'keep' | 'drop';
  readonly user: string;
  readonly resource: string;
  readonly sid: string;
  readonly value: string;
  readonly full: string;
}

interface Waiting {
  readonly change: Change;
  resolve(answer: unknown): void;
  reject(error: Error): void;
}

export class Changes {
  private readonly redis: RedisConnection;
  private readonly channel: string;
  private waiting: Waiting[] = [];
  private sentAt = Number.NEGATIVE_INFINITY;

  /** @param channel where changes are told to all nodes, as Redis knows it */
  constructor(redis: RedisConnection, channel: string) {
    this.redis = redis;
    this.channel = channel;
  }

  /** What Redis answers to this one. @throws Error where it does not, and nobody knows whether it was done */
  run(change: Change): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ change, resolve, reject });
      if (this.waiting.length > 1) return;
      const wait = this.sentAt + GATHER_MS - performance.now();
      if (wait <= 0) setImmediate(() => this.sendAll());
      else setTimeout(() => this.sendAll(), wait);
    });
  }

  private sendAll(): void {
    this.sentAt = performance.now();
    const all = this.waiting;
    this.waiting = [];
    const most = this.redis.isToCluster ? 1 : MOST;
    for (let i = 0; i < all.length; i += most) void this.send(all.slice(i, i + most));
  }

  private async send(batch: readonly Waiting[]): Promise<void> {
    const keys: string[] = [];
    const args: string[] = [this.channel];
    for (const { change } of batch) {
      keys.push(...change.keys);
      args.push(change.what, change.user, change.resource, change.sid, change.value, change.full);
    }
    try {
      const answers = (await this.redis.run(changesScript, keys, args)) as readonly unknown[];
      for (const [i, { resolve }] of batch.entries()) resolve(answers[i]);
    } catch (error) {
      for (const { reject } of batch) reject(error as Error);
    }
  }
}
