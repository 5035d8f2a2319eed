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
/** So many addresses of a session are shared in one piece, in the order in which it told them: only what changes is written anew. */
const PAGE = 200;

export interface DirectedParts {
  readonly roster: Roster;
  /** Addresses that one session may send presence to. */
  readonly limit: number;
  /** What the nodes share: full JIDs, by localpart, and sid and page. */
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
      this.forget(session, to);
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
    this.share(session, 0, told.size);
    return [...told.values()];
  }

  /** Those of them who are blocked now. */
  takeFrom(session: Session, blocked: BlockList): readonly Jid[] {
    const told = session.get(directed);
    if (told === undefined) return [];
    const taken = [...told.values()].filter((to) => blocked.has(to));
    const before = told.size;
    for (const to of taken) told.delete(to.full);
    if (taken.length > 0) this.share(session, 0, before);
    return taken;
  }

  /** Says again what is shared of a session, before it expires. */
  shareAgain(session: Session): void {
    this.share(session, 0, 0);
  }

  private forget(session: Session, { full }: Jid): void {
    const told = session.get(directed);
    if (!told?.has(full)) return;
    const at = [...told.keys()].indexOf(full);
    told.delete(full);
    this.share(session, at, told.size + 1);
  }

  /**
   * Tells the other nodes whom a session of this one has told.
   * @param at where in their order something has changed first
   * @param before how many there were: what is not filled any more is removed
   */
  private share(session: Session, at: number, before: number): void {
    if (!this.parts.isShared()) return;
    const told = [...(session.get(directed)?.keys() ?? [])];
    for (let page = Math.floor(at / PAGE); page * PAGE < Math.max(told.length, before); page++) {
      const some = told.slice(page * PAGE, (page + 1) * PAGE);
      this.write(session, page, some.length === 0 ? undefined : some);
    }
  }

  /** All that a session has told, as the nodes share it. */
  private async sharedBy({ jid, sid }: SessionEntry): Promise<readonly string[]> {
    const all: string[] = [];
    for (let page = 0; ; page++) {
      const some = (await this.parts.store.get(jid.local, pageKey(sid, page))) ?? [];
      all.push(...some);
      if (some.length < PAGE) return all;
    }
  }

  /**
   * Whom a session had told that has gone with its node; they are forgotten.
   * @param successor who has its full JID now, and may have told some of them, too: those are left out
   */
  async inherit(entry: SessionEntry, successor: SessionEntry | undefined): Promise<readonly Jid[]> {
    const { store } = this.parts;
    const told = await this.sharedBy(entry);
    if (told.length === 0) return [];
    const left = await this.untold(
      told.flatMap((full) => Jid.parse(full) ?? []),
      successor,
    );
    for (let page = 0; page * PAGE < told.length; page++) {
      await store.set(entry.jid.local, pageKey(entry.sid, page), undefined, 0);
    }
    return left;
  }

  /** Those whom a session has not told of itself that has come under the full JID of another one. */
  async untold(told: readonly Jid[], successor: SessionEntry | undefined): Promise<readonly Jid[]> {
    if (told.length === 0 || successor === undefined) return told;
    const again = new Set(await this.sharedBy(successor));
    return told.filter(({ full }) => !again.has(full));
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
    if (isNew) this.share(session, told.size - 1, told.size);
  }

  private write({ jid, sid }: Session, page: number, told: readonly string[] | undefined): void {
    const written = this.parts.store.set(jid.local, pageKey(sid, page), told, SHARED_FOR);
    // Redis is away: said again in time
    if (isPromise(written)) written.catch(() => {});
  }
}

/** No sid has a blank in it. */
function pageKey(sid: string, page: number): string {
  return page === 0 ? sid : `${sid} ${page}`;
}
