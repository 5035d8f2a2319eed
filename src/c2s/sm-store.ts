// Where sessions that can be resumed wait while the server is down: an orderly stop writes them to the store, the next start
// brings them back. A row stays until its client has come back, or the session is over: should this process die before that,
// what waited goes through the rules of delivery at the start after it. Such a session cannot go on, as nobody knows what else
// it was sent.
import type { Logger } from '../base/log.ts';
import type { SavedSession } from '../core/sessions.ts';
import type { KvStore } from '../storage/ports.ts';
import { kv } from '../storage/specs.ts';
import { Jid } from '../xmpp/jid.ts';
import type { SavedStream } from './sm-session.ts';

/** A session as it is stored, with all that belongs to it. */
export interface StoredSession {
  /** The node that held it, and will. */
  readonly node: string;
  readonly session: SavedSession;
  readonly stream: SavedStream;
  /** It was brought back, by a process that has not written it down again. */
  readonly isTaken?: true;
}

/** By account. */
export const sessionStores = { suspended: kv<readonly StoredSession[]>() };

// Accounts that are read or written at the same time.
const TOGETHER = 64;

/** The stored sessions of a host, of one node. */
export class StoredSessions {
  private readonly store: KvStore<readonly StoredSession[]>;
  private readonly node: string;
  private readonly log: Logger;
  /** Sessions that were brought back, and whose rows are there still: the account, by SM-ID. */
  private readonly taken = new Map<string, string>();
  /** Sessions of a process that died, or that could not be brought back. */
  private readonly lost: StoredSession[] = [];

  constructor(store: KvStore<readonly StoredSession[]>, node: string, log: Logger) {
    this.store = store;
    this.node = node;
    this.log = log;
  }

  /** Brings back what was stored by an orderly stop. */
  async bringBack(restore: (stored: StoredSession) => Promise<void>): Promise<void> {
    for (let after: string | undefined; ; ) {
      const users = await this.store.owners(after, 1000);
      if (users.length === 0) return;
      await inBatches(users, (user) => this.bringBackFor(user, restore));
      after = users.at(-1);
    }
  }

  private async bringBackFor(user: string, restore: (stored: StoredSession) => Promise<void>): Promise<void> {
    const all = await this.store.get(user);
    if (!Array.isArray(all)) return;
    for (const stored of all.filter((one) => this.isOwn(one))) {
      if (!isWhole(stored)) {
        this.log.error({ user }, 'a stored session cannot be read: it is given up');
        await this.remove(user, (one) => isWhole(one));
        continue;
      }
      this.taken.set(stored.stream.id, user);
      if (stored.isTaken) this.lost.push(stored);
      else {
        await restore(stored).catch((error: unknown) => {
          this.log.error({ err: error, user }, 'a stored session could not be brought back');
          this.lost.push(stored);
        });
      }
    }
  }

  /** Gives back what waited for those that cannot go on. When all sessions are back, as they may have it. */
  async giveBackLost(giveBack: (stored: StoredSession) => Promise<void>): Promise<void> {
    await inBatches(this.lost.splice(0), async (stored) => {
      await giveBack(stored).catch((error: unknown) =>
        this.log.error({ err: error, jid: stored.session.jid }, 'what waited for a stored session is lost'),
      );
      await this.forget(stored.stream.id);
    });
  }

  /** From here on clients may come back: whoever starts next is to know that this process had the sessions. */
  async markTaken(): Promise<void> {
    await inBatches([...new Set(this.taken.values())], async (user) => {
      await this.store.update(user, (all = []) =>
        all.map((one) => (this.isOwn(one) ? { ...one, isTaken: true as const } : one)),
      );
    });
  }

  /** A session was resumed, or is over. Where that cannot be written down, an orderly stop will. */
  async forget(id: string): Promise<void> {
    const user = this.taken.get(id);
    if (user === undefined) return;
    await this.remove(user, ({ stream }) => stream.id !== id);
    this.taken.delete(id);
  }

  /** Writes down the sessions as they are now, instead of those that were brought back, and beside those of other nodes. */
  async keep(sessions: readonly StoredSession[]): Promise<void> {
    const byUser = new Map<string, StoredSession[]>();
    for (const user of this.taken.values()) byUser.set(user, []);
    for (const stored of sessions) {
      const user = Jid.parse(stored.session.jid)!.local;
      const list = byUser.get(user);
      if (list === undefined) byUser.set(user, [stored]);
      else list.push(stored);
    }
    const ids = new Set([...this.taken.keys(), ...sessions.map(({ stream }) => stream.id)]);
    await inBatches([...byUser], ([user, list]) =>
      this.remove(user, (one) => !this.isOwn(one) || !ids.has(one.stream.id), list),
    );
  }

  private isOwn(stored: StoredSession | null): boolean {
    return stored?.node === this.node;
  }

  private async remove(
    user: string,
    keeps: (stored: StoredSession) => boolean,
    more: readonly StoredSession[] = [],
  ): Promise<void> {
    await this.store.update(user, (all = []) => {
      const rest = [...all.filter(keeps), ...more];
      return rest.length === 0 ? undefined : rest;
    });
  }
}

/** Whether it has what is needed to tell whose it was, and what waited. */
function isWhole({ session, stream }: StoredSession): boolean {
  return typeof session?.jid === 'string' && typeof stream?.id === 'string' && Array.isArray(stream.waiting);
}

async function inBatches<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let i = 0; i < items.length; i += TOGETHER) await Promise.all(items.slice(i, i + TOGETHER).map(work));
}
