// The room's own invitations (XEP-0045 7.8.2), and who has invited whom by them: what comes back is for the inviter.
import { type Element, el } from '../../xml/element.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Room } from './room.ts';
import { defineRoomSlot } from './slots.ts';

/** So many invitations are remembered. */
const REMEMBERED = 200;

export interface Invited {
  /** The bare JID of who was invited. */
  readonly person: string;
  /** The full JID of the inviter. */
  readonly by: string;
  /** Of the message. */
  readonly id: string;
}

/** Oldest first; of the same person by the same inviter, the last. */
const invited = defineRoomSlot<readonly Invited[]>('invited', {
  kept: { save: (all) => all, restore: (saved) => saved as Invited[] },
});

const all = (room: Room): readonly Invited[] => room.get(invited) ?? [];
const bareOf = (full: string): string | undefined => Jid.parse(full)?.bare;

export interface Invitation {
  readonly to: Jid;
  /** The inviter's full JID: there are clients that take nothing else. */
  readonly by: string;
  readonly id: string;
  readonly reason?: string | undefined;
  /** 7.9: it continues a chat. */
  readonly goesOn?: Element | undefined;
}

/** Invites somebody in the name of another, with the password that is asked for on entry. */
export function sendInvitation(room: Room, { to, by, id, reason, goesOn }: Invitation): void {
  const person = to.bare;
  const others = all(room).filter((one) => one.person !== person || bareOf(one.by) !== bareOf(by));
  room.set(invited, [...others.slice(1 - REMEMBERED), { person, by, id }]);
  const children: Element[] = [];
  if (reason !== undefined) children.push(el('reason', NS.mucUser, undefined, reason));
  if (goesOn !== undefined) children.push(goesOn);
  const parts = [el('invite', NS.mucUser, { from: by }, ...children)];
  if (room.config.password !== '') parts.push(el('password', NS.mucUser, undefined, room.config.password));
  const user = el('x', NS.mucUser, undefined, ...parts);
  const body = el('body', null, undefined, inWords(room, bareOf(by) ?? by, reason));
  room.ports.send(el('message', null, { from: room.jid.full, id }, user, body), room.jid, to);
}

/** For those who read nothing but text. */
function inWords({ config, jid }: Room, inviter: string, reason: string | undefined): string {
  const where = config.name === '' ? jid.bare : `${config.name} (${jid.bare})`;
  return `${inviter} invites you to the room ${where}${reason === undefined ? '' : `: ${reason}`}`;
}

/** Whether a person was invited by another; both by bare JIDs. */
export function hasInvited(room: Room, person: string, inviter: string): boolean {
  return all(room).some((one) => one.person === person && bareOf(one.by) === inviter);
}

/** The invitation that was sent to a person under an id, once. */
export function takeInvitation(room: Room, person: string, id: string | undefined): Invited | undefined {
  const found = all(room).find((one) => one.person === person && one.id === id);
  if (found !== undefined) {
    room.set(
      invited,
      all(room).filter((one) => one !== found),
    );
  }
  return found;
}
