// Directed presence (RFC 6121 4.6): whom a resource told of itself beside its subscribers, and has to tell when it leaves.
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import { defineSlot, type Session } from '../../core/sessions.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import type { Presence } from '../../xmpp/stanza.ts';
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

/**
 * Notes whom a directed presence reaches.
 * @throws StanzaError `resource-constraint` when there are too many already
 */
export function track(session: Session, stanza: Presence, roster: Roster, limit: number): MaybePromise<void> {
  const { to } = stanza;
  if (stanza.type === 'unavailable') {
    session.get(directed)?.delete(to.full);
    return;
  }
  if (stanza.type !== 'available') return;
  // 4.6.3: whoever gets the broadcasts is not noted; but a resource that is not available broadcasts nothing
  if (!session.available) return note(session, to, limit);
  if (to.bare === session.jid.bare) return;
  return andThen(roster.get(session.jid.local, to.bare), (item) => {
    if (item === undefined || !isFrom(item)) note(session, to, limit);
  });
}

/** Everybody who was told, once: they are forgotten. */
export function takeDirected(session: Session): readonly Jid[] {
  const told = session.get(directed);
  if (told === undefined || told.size === 0) return [];
  void session.set(directed, undefined);
  return [...told.values()];
}

function note(session: Session, to: Jid, limit: number): void {
  let told = session.get(directed);
  if (told === undefined) {
    told = new Map();
    void session.set(directed, told);
  }
  if (told.size >= limit && !told.has(to.full)) {
    throw new StanzaError('resource-constraint', `directed presence goes to at most ${limit} addresses`);
  }
  told.set(to.full, to);
}
