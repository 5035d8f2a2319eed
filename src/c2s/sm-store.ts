// Where sessions that can be resumed wait while the server is down: an orderly stop writes them to the store, the next start
// brings them back.
import type { SavedSession } from '../core/sessions.ts';
import type { KvStore } from '../storage/ports.ts';
import { kv } from '../storage/specs.ts';
import type { SavedStream } from './sm-session.ts';

/** A session as it is stored, with all that belongs to it. */
export interface StoredSession {
  /** The node that held it, and will. */
  readonly node: string;
  readonly session: SavedSession;
  readonly stream: SavedStream;
}

/** By account. */
export const sessionStores = { suspended: kv<readonly StoredSession[]>() };

// Accounts that are read or written at the same time.
const TOGETHER = 64;

/** Writes down the sessions of a host, beside those of other nodes. */
export async function storeSessions(
  store: KvStore<readonly StoredSession[]>,
  sessions: readonly StoredSession[],
  userOf: (stored: StoredSession) => string,
): Promise<void> {
  const byUser = new Map<string, StoredSession[]>();
  for (const stored of sessions) {
    const user = userOf(stored);
    const list = byUser.get(user);
    if (list === undefined) byUser.set(user, [stored]);
    else list.push(stored);
  }
  await inBatches([...byUser], async ([user, list]) => {
    await store.update(user, (old = []) => [...old, ...list]);
  });
}

/** Takes the sessions of a node out of the store. They are gone from it when this resolves. */
export async function takeSessions(
  store: KvStore<readonly StoredSession[]>,
  node: string,
  restore: (stored: StoredSession) => Promise<void>,
): Promise<void> {
  for (let after: string | undefined; ; ) {
    const users = await store.owners(after, 1000);
    if (users.length === 0) return;
    await inBatches(users, async (user) => {
      const own = ((await store.get(user)) ?? []).filter((stored) => stored.node === node);
      if (own.length === 0) return;
      for (const stored of own) await restore(stored);
      await store.update(user, (all = []) => {
        const rest = all.filter((stored) => stored.node !== node);
        return rest.length === 0 ? undefined : rest;
      });
    });
    after = users.at(-1);
  }
}

async function inBatches<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let i = 0; i < items.length; i += TOGETHER) await Promise.all(items.slice(i, i + TOGETHER).map(work));
}
