// Invitations that go through the room, and what comes back of them (XEP-0045 7.8.2, 7.9, 9.5).
//
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
import { roomInvitation } from './hooks.ts';
import { hasInvited, type Invitation, sendInvitation, takeInvitation } from './invited.ts';
import type { RoomContext } from './request.ts';
import type { Room } from './room.ts';

/** In one message. */
const MOST = 20;
/**
 * Sends the invitations of a message on to whom they are for; all of them or none.
 * @param x that of muc#user in it
 * @throws StanzaError `jid-malformed`, `bad-request`, `forbidden`, `not-allowed`; `policy-violation` for too many
 */
export async function invite(context: RoomContext, message: Element, x: Element): Promise<void> {
  const { room, asker } = context;
  const asked = x.getChildren('invite').map(readInvitation);
  if (asked.length > MOST) throw new StanzaError('not-acceptable', `no more than ${MOST} at a time`);
  const people = asked.map(({ to }) => to);
  await checkAll(context, people);
  if (room.config.isMembersOnly) await letIn(context, people);
  const id = message.attrs.id ?? room.ports.newId();
  for (const invitation of asked) sendInvitation(room, { ...invitation, by: asker.full, id });
}

function readInvitation(invitation: Element): Pick<Invitation, 'to' | 'reason' | 'goesOn'> {
  const to = Jid.parse(invitation.attrs.to ?? '');
  if (to === undefined) throw new StanzaError('jid-malformed', 'whom?');
  const goesOn = invitation.getChild('continue');
  return {
    to,
    reason: invitation.getChildText('reason') || undefined,
    goesOn: goesOn && el('continue', NS.mucUser, { thread: goesOn.attrs.thread }),
  };
}

/** @throws StanzaError where one of them may not be invited, or a module refuses it */
async function checkAll(context: RoomContext, people: readonly Jid[]): Promise<void> {
  const { room, asker } = context;
  for (const to of people) checkInvitation(context, to);
  const verdict = await room.ports.hooks.gate(roomInvitation, { room, inviter: asker, people });
  if (verdict instanceof StanzaError) throw verdict;
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
  // 9.5: it would make members of all who are there
  if (isMembersOnly && to.local === '') throw new StanzaError('not-allowed', 'people are invited, not domains');
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
  await checkAll(context, [to]);
  await letIn(context, [to]);
}

/**
 * Brings the inviter the news that somebody does not want to come.
 * @throws StanzaError `jid-malformed`, `bad-request`, `forbidden`; `item-not-found` where nobody of that address has invited them
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
  const inviter = inviters[0]?.bare ?? to.bare;
  // else strangers could tell by the answer who is in the room, or belongs to it, and have it carry what they like
  if (!hasInvited(room, asker.bare, inviter)) {
    throw new StanzaError('item-not-found', 'nobody of that name has invited you');
  }
  if (inviters.length > 0) tell(room, answer, room.jid, inviters);
  else room.ports.send(answer, room.jid, to);
}

/**
 * What the room has sent came back: where it was an invitation, its inviter is told that there is no such address (7.8.2).
 * @param from whom it could not be delivered to
 * @returns whether it was one
 */
export function invitationBounced(room: Room, from: Jid, message: Element): boolean {
  const invitation = takeInvitation(room, from.bare, message.attrs.id);
  const inviter = invitation && Jid.parse(invitation.by);
  if (invitation === undefined || inviter === undefined) return false;
  const x = el('x', NS.mucUser, undefined, el('invite', NS.mucUser, { to: from.full }));
  const error = new StanzaError('item-not-found', `${from.bare} cannot be reached`);
  const attrs = { from: room.jid.full, id: invitation.id, type: 'error' };
  room.ports.send(el('message', null, attrs, x, error.toElement()), room.jid, inviter);
  return true;
}
