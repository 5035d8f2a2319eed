// Changes of roles (XEP-0045 8.2 to 8.5, 9.6 to 9.8): kicks, voice, moderators.
import { StanzaError } from '../../xmpp/errors.ts';
import { type Actor, because } from './actor.ts';
import type { Role } from './config.ts';
import { evict } from './exit.ts';
import { deviceRow, type Occupant } from './occupant.ts';
import { showPresence } from './presence.ts';
import { checkRoleChange } from './privileges.ts';
import type { Room } from './room.ts';

export interface RoleChange {
  readonly nick: string;
  readonly role: Role;
  readonly reason?: string | undefined;
}

/**
 * Gives occupants other roles, all or none of them; with the role `none`, they are out.
 * @returns how to tell the others, when whoever asked has been answered (8.2)
 * @throws StanzaError forbidden, not-allowed, item-not-found
 */
export function changeRoles(room: Room, actor: Actor, changes: readonly RoleChange[]): () => void {
  for (const { nick, role } of changes) {
    const occupant = room.occupants.get(nick);
    if (occupant === undefined) throw new StanzaError('item-not-found', `nobody in the room is called ${nick}`);
    checkRoleChange(actor, occupant, role);
  }
  const steps: (() => void)[] = [];
  for (const { nick, role, reason } of changes) {
    const occupant = room.occupants.get(nick);
    if (occupant === undefined) continue;
    const by = because(actor, reason);
    if (role === 'none') {
      steps.push(evict(room, occupant, { codes: [307], by }));
    } else if (role !== occupant.role) {
      setRole(room, occupant, role);
      steps.push(() => showPresence(room, occupant, { by }));
    }
  }
  return () => {
    for (const step of steps) step();
  };
}

/** Another role, without a word to anybody. */
export function setRole(room: Room, occupant: Occupant, role: Role): void {
  occupant.role = role;
  for (const device of occupant.devices) room.ports.rows.saveDevice(device.jid, deviceRow(occupant, device));
}
