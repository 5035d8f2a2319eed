// Sessions that the directory has as a node's, and that this node does not have: a Redis that took the place of another one may have
// missed that they ended.
import type { RedisConnection } from '../../net/redis.ts';
import { Jid } from '../../xmpp/jid.ts';
import type { NodeId } from '../cluster.ts';
import { indexKey } from './directory-sweep.ts';

export interface StrayParts {
  readonly redis: RedisConnection;
  readonly self: NodeId;
  /** The parts of the directory that are looked into. */
  readonly meant: readonly number[];
  /** Whether a session is this node's, or is seen to already. */
  isOurs(jid: Jid, sid: string): boolean;
  /** Takes a session out. */
  clear(jid: Jid, sid: string, index: string): Promise<void>;
  mayGoOn(): boolean;
}

/** @throws Error where Redis does not answer */
export async function clearStrays({ redis, self, meant, isOurs, clear, mayGoOn }: StrayParts): Promise<void> {
  for (const shard of meant) {
    if (!mayGoOn()) return;
    const index = indexKey(redis, shard, self);
    const lines = (await redis.command('HGETALL', index)) as readonly string[];
    const strays: Promise<void>[] = [];
    for (let i = 0; i + 1 < lines.length; i += 2) {
      const jid = Jid.parse(lines[i]!);
      const sid = lines[i + 1]!;
      if (jid !== undefined && !isOurs(jid, sid)) strays.push(clear(jid, sid, index));
    }
    await Promise.all(strays);
  }
}
