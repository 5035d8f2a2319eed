// The end of a room by its owner's will (XEP-0045 10.9): everybody is told once, and where a room goes on elsewhere, who comes later is too.
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { endRoom, evictAll } from './exit.ts';
import type { Room } from './room.ts';
import type { GoneRow } from './rows.ts';

export interface Destruction {
  /** Where people may go instead. */
  readonly venue?: Jid | undefined;
  /** What that room asks for on entry. */
  readonly password?: string | undefined;
  readonly reason?: string | undefined;
}

/** Resolves when nothing is left of the room, and everybody who was in it has been told. */
export async function destroyRoom(room: Room, destruction: Destruction): Promise<void> {
  const { venue, reason } = destruction;
  if (venue !== undefined) {
    await room.ports.rows.saveGone({
      venue: venue.full,
      ...(reason !== undefined && { reason }),
      at: room.ports.now(),
    });
  }
  await endRoom(room, true);
  evictAll(room, { more: [destroyElement(destruction)] });
}

function destroyElement({ venue, password, reason }: Destruction): Element {
  const children: Element[] = [];
  if (reason !== undefined) children.push(el('reason', NS.mucUser, undefined, reason));
  if (password !== undefined) children.push(el('password', NS.mucUser, undefined, password));
  return el('destroy', NS.mucUser, { jid: venue?.full }, ...children);
}

/** What everybody is answered who comes after a room has gone elsewhere (RFC 6120 8.3.3.5). */
export function goneError({ venue, reason }: GoneRow): StanzaError {
  return new StanzaError('gone', reason, { content: `xmpp:${encodeURI(venue)}?join` });
}
