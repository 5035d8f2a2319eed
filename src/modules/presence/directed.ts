// Directed presence (RFC 6121 4.6): whom a resource told of itself beside its subscribers, and has to tell when it leaves. In a
// cluster the nodes share it, so that another one can tell them when the resource's own has died.
import { andThen, isPromise, type MaybePromise } from '../../base/maybe.ts';
import type { SessionEntry } from '../../cluster/cluster.ts';
import { defineSlot, type Session } from '../../core/sessions.ts';
import type { EphemeralStore } from '../../storage/ports.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import type { Presence } from '../../xmpp/stanza.ts';
import type { BlockList } from '../blocking/index.ts';
import { isFrom, type Roster } from '../roster/index.ts';

const directed = defineSlot<Map<string, Jid>>('directed', {
  kept: {
    save: (told) => [...told.keys()],
    restore: (saved: readonly string[]) => new Map(saved.flatMap((full) => entryOf(full))),
  },
});

function entryOf(full: string): [string, Jid][] {
  const jid = Jid.parse(full);
  return jid === undefined ? [] : [[full, jid]];
}

/** For so long what is shared counts, in milliseconds; it is said again before. */
const SHARED_FOR = 24 * 3_600_000;
export const SHARE_AGAIN = SHARED_FOR / 4;
/** So many addresses of a session are shared. */
const MOST_SHARED = 200;

export interface DirectedParts {
  readonly roster: Roster;
  /** Addresses that one session may send presence to. */
  readonly limit: number;
  /** What the nodes share: full JIDs, by localpart and sid. */
  readonly store: EphemeralStore<readonly string[]>;
  /** Whether there is anybody to share it with. */
  readonly isShared: () => boolean;
}

export class Directed {
  private readonly parts: DirectedParts;

  constructor(parts: DirectedParts) {
    this.parts = parts;
  }

  /**
   * Notes whom a directed presence reaches.
   * @throws StanzaError `resource-constraint` when there are too many already
   */
  track(session: Session, stanza: Presence): MaybePromise<void> {
    const { to } = stanza;
    if (stanza.type === 'unavailable') {
      if (session.get(directed)?.delete(to.full)) this.share(session);
      return;
    }
    if (stanza.type !== 'available') return;
    // 4.6.3: whoever gets the broadcasts is not noted; but a resource that is not available broadcasts nothing
    if (!session.available) return this.note(session, to);
    if (to.bare === session.jid.bare) return;
    return andThen(this.parts.roster.get(session.jid.local, to.bare), (item) => {
      if (item === undefined || !isFrom(item)) this.note(session, to);
    });
  }

  /** Everybody who was told. */
  toldBy(session: Session): readonly Jid[] {
    return [...(session.get(directed)?.values() ?? [])];
  }

  /** Everybody who was told, once: they are forgotten. */
  take(session: Session): readonly Jid[] {
    const told = session.get(directed);
    if (told === undefined || told.size === 0) return [];
    void session.set(directed, undefined);
    this.share(session);
    return [...told.values()];
  }

  /** Those of them who are blocked now. */
  takeFrom(session: Session, blocked: BlockList): readonly Jid[] {
    const told = session.get(directed);
    if (told === undefined) return [];
    const taken = [...told.values()].filter((to) => blocked.has(to));
    for (const to of taken) told.delete(to.full);
    if (taken.length > 0) this.share(session);
    return taken;
  }

  /** Tells the other nodes whom a session of this one has told. */
  share(session: Session): void {
    if (!this.parts.isShared()) return;
    const told = [...(session.get(directed)?.keys() ?? [])].slice(-MOST_SHARED);
    this.write(session, told.length === 0 ? undefined : told);
  }

  /** Says again what is shared of a session, before it expires. */
  shareAgain(session: Session): void {
    if ((session.get(directed)?.size ?? 0) > 0) this.share(session);
  }

  /**
   * Whom a session had told that has gone with its node; they are forgotten.
   * @param successor who has its full JID now, and may have told some of them, too: those are left out
   */
  async inherit(entry: SessionEntry, successor: SessionEntry | undefined): Promise<readonly Jid[]> {
    const { store } = this.parts;
    const { local } = entry.jid;
    const told = (await store.get(local, entry.sid)) ?? [];
    if (told.length === 0) return [];
    const left = await this.untold(
      told.flatMap((full) => Jid.parse(full) ?? []),
      successor,
    );
    await store.set(local, entry.sid, undefined, 0);
    return left;
  }

  /** Those whom a session has not told of itself that has come under the full JID of another one. */
  async untold(told: readonly Jid[], successor: SessionEntry | undefined): Promise<readonly Jid[]> {
    if (told.length === 0 || successor === undefined) return told;
    const again = await this.parts.store.get(successor.jid.local, successor.sid);
    return told.filter(({ full }) => again?.includes(full) !== true);
  }

  private note(session: Session, to: Jid): void {
    const { limit } = this.parts;
    let told = session.get(directed);
    if (told === undefined) {
      told = new Map();
      void session.set(directed, told);
    }
    const isNew = !told.has(to.full);
    if (told.size >= limit && isNew) {
      throw new StanzaError('resource-constraint', `directed presence goes to at most ${limit} addresses`);
    }
    told.set(to.full, to);
    if (isNew) this.share(session);
  }

  private write({ jid, sid }: Session, told: readonly string[] | undefined): void {
    const written = this.parts.store.set(jid.local, sid, told, SHARED_FOR);
    // Redis is away: said again in time
    if (isPromise(written)) written.catch(() => {});
  }
}
