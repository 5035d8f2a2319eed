// The end of a room by its owner's will (XEP-0045 10.9): everybody is told once, and where a room goes on elsewhere, who comes later is too.
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { BareJid, Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { isAtLeast } from './associations.ts';
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
      ...(isForAll(room) ? {} : { for: insiders(room) }),
      ...(reason !== undefined && { reason }),
      at: room.ports.now(),
    });
  }
  await endRoom(room, true);
  evictAll(room, { more: [destroyElement(destruction)] });
}

/** Whether everybody could have found the room, and come in. */
function isForAll({ config }: Room): boolean {
  return config.isPublic && !config.isMembersOnly && config.password === '';
}

/** Whom a room that was not for everybody knew. */
function insiders(room: Room): BareJid[] {
  const people = new Set<BareJid>();
  for (const { bare } of room.occupants.values()) people.add(bare);
  for (const [person, { affiliation }] of room.affiliations) if (isAtLeast(affiliation, 'member')) people.add(person);
  return [...people];
}

/** Whether somebody is told where a room has gone. */
export function mayFollow(row: GoneRow, { bare, domain }: Jid): boolean {
  return row.for === undefined || row.for.includes(bare) || row.for.includes(domain as BareJid);
}

function destroyElement({ venue, password, reason }: Destruction): Element {
  const children: Element[] = [];
  if (reason !== undefined) children.push(el('reason', NS.mucUser, undefined, reason));
  if (password !== undefined) children.push(el('password', NS.mucUser, undefined, password));
  return el('destroy', NS.mucUser, { jid: venue?.full }, ...children);
}

/** What is answered to who comes after a room has gone elsewhere (RFC 6120 8.3.3.5). */
export function goneError({ venue, reason }: GoneRow): StanzaError {
  return new StanzaError('gone', reason, { content: `xmpp:${encodeURI(venue)}?join` });
}
