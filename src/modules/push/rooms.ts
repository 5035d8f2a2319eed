// People who belong to a room and are not there are told of what is said in it, where they have an account here. On the node that has
// the room.
//
// What people of other servers want to be told of only their server knows, and a room of ours cannot reach their clients: XEP-0357 is
// between an account and its own server. They are sent what mentions them (XEP-0452), and their server makes of that what it likes.
import type { Router } from '../../core/router.ts';
import { Jid } from '../../xmpp/jid.ts';
import type { RoomMessage } from '../muc/hooks.ts';
import type { Room } from '../muc/room.ts';
import { defineRoomSlot } from '../muc/slots.ts';
import { type Pushes, pushes } from './service.ts';
import { judgeMessage } from './worth.ts';

/** Who belongs to a room and has an account on a host of ours; gone when affiliations change. */
const members = defineRoomSlot<readonly Jid[]>('push-members');

export function membersChanged(room: Room): void {
  room.set(members, undefined);
}

/** Tells who is to be told of a message to everybody in a room. */
export function tellMembers(router: Router, { room, occupant, element }: RoomMessage): void {
  const people = room.get(members) ?? membersOf(router, room);
  if (people.length === 0) return;
  const judged = judgeMessage(element, element.attrs.from ?? '', room.jid.bare);
  if (judged === undefined) return;
  let services: Map<string, Pushes | undefined> | undefined;
  for (const person of people) {
    if (person.bare === occupant?.bare) continue;
    services ??= new Map();
    if (!services.has(person.domain)) services.set(person.domain, router.hostOf(person.domain)?.find(pushes));
    const { nick } = room.affiliations.get(person.bare) ?? {};
    services.get(person.domain)?.toMember(person, judged, room.jid, nick, room.config.isMembersOnly);
  }
}

function membersOf(router: Router, room: Room): readonly Jid[] {
  const found: Jid[] = [];
  for (const [bare, { affiliation }] of room.affiliations) {
    if (affiliation === 'outcast') continue;
    const jid = Jid.parse(bare);
    if (jid !== undefined && jid.local !== '' && router.hostOf(jid.domain)?.kind === 'users') found.push(jid);
  }
  room.set(members, found);
  return found;
}
