// Who does something to others in a room, and what that person may do (XEP-0045 5.1.1, 5.2.1).
import type { BareJid } from '../../xmpp/jid.ts';
import { isAtLeast } from './associations.ts';
import type { Affiliation, Role } from './config.ts';
import type { RoomContext } from './request.ts';
import type { Because } from './x.ts';

export interface Actor {
  /** Undefined: an operator, or the room itself. */
  readonly bare: BareJid | undefined;
  /** As the others know it; undefined for who is not in the room. */
  readonly nick: string | undefined;
  readonly affiliation: Affiliation;
  readonly role: Role;
}

/** Who may do everything. */
export const operator: Actor = { bare: undefined, nick: undefined, affiliation: 'owner', role: 'moderator' };

/** Admins and owners are moderators without being in the room, too. */
export function actorOf({ asker, occupant, affiliation }: Omit<RoomContext, 'room'>): Actor {
  const role = occupant?.role ?? (isAtLeast(affiliation, 'admin') ? 'moderator' : 'none');
  return { bare: asker.withResource('').bare, nick: occupant?.nick, affiliation, role };
}

/** As everybody is told. */
export function because({ nick }: Actor, reason: string | undefined): Because | undefined {
  return nick === undefined && reason === undefined ? undefined : { nick, reason };
}
