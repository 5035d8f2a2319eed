// Where sessions that can be resumed wait while there is no node to have them: the last one that stops in order writes them to the
// store, and those that start later take them, each of them one. A row stays until its client has come back, or the session is over:
// should the node that took it die before that, what waited goes through the rules of delivery, on another node or at the next start.
// Such a session cannot go on, as nobody knows what else it was sent.
import type { Logger } from '../base/log.ts';
import type { Cluster, NodeId } from '../cluster/cluster.ts';
import type { SavedSession } from '../core/sessions.ts';
import { StorageUnavailable } from '../storage/errors.ts';
import type { KvStore } from '../storage/ports.ts';
import { kv } from '../storage/specs.ts';
import { Jid } from '../xmpp/jid.ts';
import type { SavedStream } from './sm-session.ts';

/** All that a process needs to go on with a session. */
export interface SessionState {
  readonly session: SavedSession;
  readonly stream: SavedStream;
}

/** As it is stored. */
export interface StoredSession extends SessionState {
  /** The node that wrote it, or took it. */
  readonly node: string;
  /** It was taken, by a node that has not written it down again. */
  readonly isTaken?: true;
}

/** How a stored session goes on. */
export interface Comeback {
  readonly restore: (state: SessionState) => Promise<void>;
  /** Of one that cannot go on: what waited for it goes by the rules of delivery. */
  readonly giveBack: (state: SessionState) => Promise<void>;
}

/** By account. */
export const sessionStores = { suspended: kv<readonly StoredSession[]>() };

// Accounts that are read or written at the same time.
const TOGETHER = 64;

/** The stored sessions of a host. */
export class StoredSessions {
  private readonly store: KvStore<readonly StoredSession[]>;
  private readonly cluster: Cluster;
  private readonly log: Logger;
  /** Sessions that this process took, and whose rows are there still: the account, by SM-ID. */
  private readonly taken = new Map<string, string>();

  constructor(store: KvStore<readonly StoredSession[]>, cluster: Cluster, log: Logger) {
    this.store = store;
    this.cluster = cluster;
    this.log = log;
  }

  /**
   * Takes what waits for anybody, and what nodes that are no more had taken.
   * @param restore goes on with a session
   * @returns what cannot go on, to be given back
   */
  async takeAll(restore: (state: SessionState) => Promise<unknown>): Promise<StoredSession[]> {
    const lost: StoredSession[] = [];
    for (let after: string | undefined; ; ) {
      const users = await this.store.owners(after, 1000);
      if (users.length === 0) return lost;
      await inBatches(users, async (user) => {
        for (const stored of await this.take(user)) {
          if (stored.isTaken) lost.push(stored);
          else {
            await restore(stored).catch((error: unknown) => {
              this.log.warn({ err: error, user }, 'a stored session could not be brought back');
              lost.push(stored);
            });
          }
        }
      });
      after = users.at(-1);
    }
  }

  /** Brings back one session, if it waits for anybody. One that cannot go on now waits on. */
  async takeOne(user: string, id: string, { restore, giveBack }: Comeback): Promise<void> {
    const all = await this.store.get(user);
    if (!Array.isArray(all) || !all.some((one) => one?.stream?.id === id)) return;
    const [stored] = await this.take(user, (one) => one.stream.id === id && one.isTaken === undefined);
    if (stored === undefined) return;
    try {
      await restore(stored);
    } catch (error) {
      this.log.warn({ err: error, user }, 'a stored session could not be brought back');
      if (!(error instanceof StorageUnavailable)) return this.giveBack([stored], giveBack);
      await this.remove(user, ({ stream }) => stream.id !== id, [stored]);
      this.taken.delete(id);
    }
  }

  /** Makes those rows of an account this process's own that are nobody's; each is as it was before. */
  private async take(user: string, isMeant: (stored: StoredSession) => boolean = () => true): Promise<StoredSession[]> {
    let took: StoredSession[] = [];
    await this.store.update(user, (all) => {
      // (it may be tried again)
      took = [];
      if (!Array.isArray(all)) return all;
      const rest = all.filter((one) => isWhole(one));
      if (rest.length < all.length) this.log.error({ user }, 'a stored session cannot be read: it is given up');
      const marked = rest.map((one) => {
        if (!this.isFree(one) || !isMeant(one)) return one;
        took.push(one);
        return { ...one, node: this.cluster.self, isTaken: true as const };
      });
      return marked.length === 0 ? undefined : marked;
    });
    for (const { stream } of took) this.taken.set(stream.id, user);
    return took;
  }

  /** Whether nobody has it: it was left, or whoever took it is no more. */
  private isFree({ node, isTaken, stream }: StoredSession): boolean {
    if (isTaken === undefined) return true;
    // one process after another may have the same name
    return node === this.cluster.self ? !this.taken.has(stream.id) : !this.cluster.nodes.has(node as NodeId);
  }

  /** Gives back what waited for those that cannot go on. When all sessions are back, as they may have it. */
  async giveBack(lost: readonly StoredSession[], work: (state: SessionState) => Promise<void>): Promise<void> {
    await inBatches(lost, async (stored) => {
      await work(stored).catch((error: unknown) =>
        this.log.error({ err: error, jid: stored.session.jid }, 'what waited for a stored session is lost'),
      );
      await this.forget(stored.stream.id);
    });
  }

  /** A session was resumed, or is over. Where that cannot be written down, an orderly stop will. */
  async forget(id: string): Promise<void> {
    const user = this.taken.get(id);
    if (user === undefined) return;
    await this.remove(user, ({ stream }) => stream.id !== id);
    this.taken.delete(id);
  }

  /** Writes down the sessions as they are now, instead of those that were taken, and beside those of other nodes. */
  async keep(sessions: readonly SessionState[]): Promise<void> {
    const byUser = new Map<string, StoredSession[]>();
    for (const user of this.taken.values()) byUser.set(user, []);
    for (const { session, stream } of sessions) {
      const user = Jid.parse(session.jid)!.local;
      const stored: StoredSession = { node: this.cluster.self, session, stream };
      const list = byUser.get(user);
      if (list === undefined) byUser.set(user, [stored]);
      else list.push(stored);
    }
    const ids = new Set([...this.taken.keys(), ...sessions.map(({ stream }) => stream.id)]);
    await inBatches([...byUser], ([user, list]) => this.remove(user, (one) => !ids.has(one.stream.id), list));
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
function isWhole(stored: StoredSession | null): boolean {
  const { session, stream } = stored ?? {};
  return typeof session?.jid === 'string' && typeof stream?.id === 'string' && Array.isArray(stream?.waiting);
}

async function inBatches<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let i = 0; i < items.length; i += TOGETHER) await Promise.all(items.slice(i, i + TOGETHER).map(work));
}
