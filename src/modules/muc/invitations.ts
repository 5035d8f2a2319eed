// Invitations that go through the room, and what comes back of them (XEP-0045 7.8.2, 7.9, 9.5).
//
// - The inviter is named by a full JID: there are clients that take nothing else.
// - In a members-only room an invitation makes a member of who is invited. It takes an admin, or a member where members may invite.
// - 7.8.2 SHOULD: an address that is none is told to the inviter, as soon as it proves to be none.
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { actorOf } from './actor.ts';
import { changeAffiliations } from './affiliations.ts';
import { isAtLeast } from './associations.ts';
import { tell } from './fan-out.ts';
import type { RoomContext } from './request.ts';
import type { Room } from './room.ts';
import { defineRoomSlot } from './slots.ts';

/** In one message. */
const MOST = 20;
/** People of whom a room remembers who has invited them. */
const REMEMBERED = 200;

interface Invited {
  /** The full JID. */
  readonly by: string;
  /** Of the message. */
  readonly id: string;
}
/** Who was invited last by whom, by bare JID: what comes back is for the inviter. */
const invited = defineRoomSlot<Map<string, Invited>>('invited', {
  kept: { save: (all) => [...all], restore: (saved) => new Map(saved as [string, Invited][]) },
});

interface Invitation {
  readonly to: Jid;
  readonly reason: string | undefined;
  /** 7.9: it continues a chat. */
  readonly goesOn: Element | undefined;
}

/**
 * Sends the invitations of a message on to whom they are for; all of them or none.
 * @param x that of muc#user in it
 * @throws StanzaError `jid-malformed`, `bad-request`, `forbidden`, `not-allowed`
 */
export async function invite(context: RoomContext, message: Element, x: Element): Promise<void> {
  const { room, asker } = context;
  const asked = x.getChildren('invite').map(readInvitation);
  if (asked.length > MOST) throw new StanzaError('not-acceptable', `no more than ${MOST} at a time`);
  for (const { to } of asked) checkInvitation(context, to);
  if (room.config.isMembersOnly)
    await letIn(
      context,
      asked.map(({ to }) => to),
    );
  const id = message.attrs.id ?? room.ports.newId();
  for (const { to, reason, goesOn } of asked) {
    remember(room, to, { by: asker.full, id });
    const children: Element[] = [];
    if (reason !== undefined) children.push(el('reason', NS.mucUser, undefined, reason));
    if (goesOn !== undefined) children.push(goesOn);
    const parts = [el('invite', NS.mucUser, { from: asker.full }, ...children)];
    if (room.config.password !== '') parts.push(el('password', NS.mucUser, undefined, room.config.password));
    const user = el('x', NS.mucUser, undefined, ...parts);
    const body = el('body', null, undefined, inWords(room, asker, reason));
    room.ports.send(el('message', null, { from: room.jid.full, id }, user, body), room.jid, to);
  }
}

/** For those who read nothing but text. */
function inWords(room: Room, inviter: Jid, reason: string | undefined): string {
  const { name } = room.config;
  const where = name === '' ? room.jid.bare : `${name} (${room.jid.bare})`;
  return `${inviter.bare} invites you to the room ${where}${reason === undefined ? '' : `: ${reason}`}`;
}

function readInvitation(invitation: Element): Invitation {
  const to = Jid.parse(invitation.attrs.to ?? '');
  if (to === undefined) throw new StanzaError('jid-malformed', 'whom?');
  const goesOn = invitation.getChild('continue');
  return {
    to,
    reason: invitation.getChildText('reason') || undefined,
    goesOn: goesOn && el('continue', NS.mucUser, { thread: goesOn.attrs.thread }),
  };
}

/**
 * May somebody invite this person? Into an open room, who is in it or belongs to it may (5.1.1).
 * @throws StanzaError `forbidden`, and `not-allowed` for who is banned
 */
function checkInvitation({ room, occupant, affiliation }: RoomContext, to: Jid): void {
  const { isMembersOnly, allowInvites } = room.config;
  if (isMembersOnly ? !isAtLeast(affiliation, allowInvites ? 'member' : 'admin') : !belongs(occupant, affiliation)) {
    throw new StanzaError('forbidden', 'you may not invite anybody to this room');
  }
  if (room.affiliationOf(to) === 'outcast') throw new StanzaError('not-allowed', `${to.bare} is banned from this room`);
}

const belongs = (occupant: RoomContext['occupant'], affiliation: RoomContext['affiliation']): boolean =>
  occupant !== undefined || isAtLeast(affiliation, 'member');

/** 9.5: "any invitation sent SHOULD automatically trigger the addition of the invitee to the member list" */
async function letIn(context: RoomContext, people: readonly Jid[]): Promise<void> {
  const { room } = context;
  const strangers = people.filter((jid) => !isAtLeast(room.affiliationOf(jid), 'member'));
  if (strangers.length === 0) return;
  const changes = strangers.map((jid) => ({ jid: jid.withResource(''), affiliation: 'member' as const }));
  const tellOthers = await changeAffiliations(room, actorOf(context), changes, 'invitation');
  tellOthers();
}

/**
 * Somebody was invited by other means (XEP-0249), into a members-only room, by who may do that.
 * @throws StanzaError as {@link invite}
 */
export async function admit(context: RoomContext, to: Jid): Promise<void> {
  if (!context.room.config.isMembersOnly) return;
  checkInvitation(context, to);
  await letIn(context, [to]);
}

/**
 * Brings the inviter the news that somebody does not want to come.
 * @throws StanzaError `jid-malformed`, `bad-request`, `forbidden`; `item-not-found` where nobody of that address might have invited anybody here
 */
export function decline(context: RoomContext, message: Element, x: Element): void {
  const { room, asker, affiliation } = context;
  const declined = x.getChildren('decline');
  if (declined.length !== 1) throw new StanzaError('bad-request', 'one invitation is declined at a time');
  const to = Jid.parse(declined[0]!.attrs.to ?? '');
  if (to === undefined) throw new StanzaError('jid-malformed', 'whose invitation?');
  if (affiliation === 'outcast') throw new StanzaError('forbidden', 'you are banned from this room');
  const reason = declined[0]!.getChildText('reason') || undefined;
  const children = reason === undefined ? [] : [el('reason', NS.mucUser, undefined, reason)];
  const parts = el('decline', NS.mucUser, { from: asker.bare }, ...children);
  const id = message.attrs.id ?? room.ports.newId();
  const answer = el('message', null, { from: room.jid.full, id }, el('x', NS.mucUser, undefined, parts));
  const present = to.bare === room.jid.bare ? [room.occupants.get(to.resource)] : [...room.occupantsOf(to.bare)];
  const inviters = present.filter((one) => one !== undefined);
  if (inviters.length > 0) {
    tell(room, answer, room.jid, inviters);
    return;
  }
  // the room carries no messages for those whom it does not know, to those whom it does not know
  const isKnown = isAtLeast(room.affiliationOf(to), 'member') || hasInvited(room, asker, to);
  if (to.bare === room.jid.bare || !isKnown)
    throw new StanzaError('item-not-found', 'nobody of that name has invited you');
  room.ports.send(answer, room.jid, to);
}

function remember(room: Room, to: Jid, invitation: Invited): void {
  const all = room.get(invited) ?? new Map<string, Invited>();
  room.set(invited, all);
  // the latest are at the end
  all.delete(to.bare);
  all.set(to.bare, invitation);
  if (all.size > REMEMBERED) all.delete(all.keys().next().value!);
}

function hasInvited(room: Room, person: Jid, inviter: Jid): boolean {
  const by = room.get(invited)?.get(person.bare)?.by;
  return by !== undefined && Jid.parse(by)?.bare === inviter.bare;
}

/**
 * What the room has sent came back: where it was an invitation, its inviter is told that there is no such address (7.8.2).
 * @param from whom it could not be delivered to
 * @returns whether it was one
 */
export function invitationBounced(room: Room, from: Jid, message: Element): boolean {
  const all = room.get(invited);
  const invitation = all?.get(from.bare);
  const inviter = invitation && Jid.parse(invitation.by);
  if (invitation === undefined || inviter === undefined || invitation.id !== message.attrs.id) return false;
  all!.delete(from.bare);
  const x = el('x', NS.mucUser, undefined, el('invite', NS.mucUser, { to: from.full }));
  const error = new StanzaError('item-not-found', `${from.bare} cannot be reached`);
  const attrs = { from: room.jid.full, id: invitation.id, type: 'error' };
  room.ports.send(el('message', null, attrs, x, error.toElement()), room.jid, inviter);
  return true;
}
