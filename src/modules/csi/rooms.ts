// The rooms that a client is in, and what it is called there, as far as its own presence tells (XEP-0045 7.2, 7.6, 7.14).
import { defineSlot, type Session } from '../../core/sessions.ts';
import type { BareJid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Presence } from '../../xmpp/stanza.ts';

/** More rooms than that are not remembered. */
const MAX_ROOMS = 500;

const rooms = defineSlot<Map<BareJid, string>>('csi-rooms', {
  kept: { save: (known) => [...known], restore: (saved: readonly [BareJid, string][]) => new Map(saved) },
});

/** Takes note of a presence that a client sends to an occupant's address. */
export function noteRoom(session: Session, { to, type, el }: Presence): void {
  if (to.resource === '') return;
  const known = session.get(rooms);
  if (type === 'unavailable') {
    known?.delete(to.bare);
    return;
  }
  // with <x/> it enters; without, in a room, it changes its name
  if (type !== 'available' || (known?.has(to.bare) !== true && el.getChild('x', NS.muc) === undefined)) return;
  if (known === undefined) void session.set(rooms, new Map([[to.bare, to.resource]]));
  else if (known.size < MAX_ROOMS || known.has(to.bare)) known.set(to.bare, to.resource);
}

/** What the client is called in a room; undefined where it is in none. */
export function nickIn(session: Session, room: BareJid): string | undefined {
  return session.get(rooms)?.get(room);
}
