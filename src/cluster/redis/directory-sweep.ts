// Takes the sessions of a dead node out of the directory, through the indexes that it left. Any node may do so, also several at once,
// and again after one that died over it: a session stays in the index until it is said that its page was dealt with.
import type { RedisConnection } from '../../net/redis.ts';
import { Jid } from '../../xmpp/jid.ts';
import type { NodeId, SessionEntry } from '../cluster.ts';
import { decodeEntry, shardOf, shards } from './directory-entries.ts';
import { buryScript, takeScript } from './directory-scripts.ts';

/** For so long it is remembered that a life of a node is over, in seconds: a frozen one may wake up. */
const buriedFor = 24 * 3600;
/** So many sessions are taken out at once. */
const pageSize = 100;

/** Where a node's sessions in one part of the directory are listed. */
export function indexKey(redis: RedisConnection, shard: number, node: NodeId): string {
  return redis.key(String(shard), `n:${node}`);
}

export class Sweeper {
  private readonly redis: RedisConnection;
  private readonly channel: string;
  private readonly onState: (packed: string) => void;

  /** @param onState is given the state of each account that a session was taken out of */
  constructor(redis: RedisConnection, channel: string, onState: (packed: string) => void) {
    this.redis = redis;
    this.channel = channel;
    this.onState = onState;
  }

  async *sweep(node: NodeId): AsyncIterableIterator<readonly SessionEntry[]> {
    const all = Array.from({ length: shards }, (_, shard) => indexKey(this.redis, shard, node));
    const lengths = await Promise.all(all.map((key) => this.redis.run(buryScript, [key], [buriedFor])));
    for (const [shard, key] of all.entries()) {
      // (what it was buried with is one)
      if (Number(lengths[shard]) > 1) yield* this.sweepIndex(shard, key, node);
    }
  }

  private async *sweepIndex(shard: number, key: string, node: NodeId): AsyncIterableIterator<readonly SessionEntry[]> {
    let cursor = '0';
    do {
      const reply = await this.redis.command('HSCAN', key, cursor, 'COUNT', pageSize);
      const [next, pairs] = reply as [string, readonly string[]];
      cursor = next;
      const names = pairs.filter((name, i) => i % 2 === 0 && name !== '');
      // a small index comes as a whole
      for (let i = 0; i < names.length; i += pageSize) {
        yield* this.takeOut(shard, key, node, names.slice(i, i + pageSize));
      }
    } while (cursor !== '0');
  }

  private async *takeOut(
    shard: number,
    key: string,
    node: NodeId,
    names: readonly string[],
  ): AsyncIterableIterator<readonly SessionEntry[]> {
    const taken = await Promise.all(names.map((full) => this.takeOne(shard, key, node, full)));
    const page = taken.filter((entry) => entry !== undefined);
    if (page.length > 0) yield page;
    await this.redis.command('HDEL', key, ...names);
  }

  private async takeOne(shard: number, key: string, node: NodeId, full: string): Promise<SessionEntry | undefined> {
    const jid = Jid.parse(full);
    if (jid === undefined || shardOf(jid.bare) !== shard) return undefined;
    const { redis } = this;
    const tag = String(shard);
    const [state, value] = (await redis.run(
      takeScript,
      [redis.key(tag, `u:${jid.bare}`), redis.key(tag, 'version'), key],
      [jid.bare, this.channel, jid.resource, full, node],
    )) as [string, string?];
    this.onState(state);
    return value === undefined ? undefined : decodeEntry(jid, value);
  }
}
