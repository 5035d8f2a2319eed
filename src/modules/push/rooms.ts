// People who belong to a room and are not there are told of what is said in it, where they have an account here. On the node that has
// the room.
//
// What people of other servers want to be told of only their server knows, and a room of ours cannot reach their clients: XEP-0357 is
// between an account and its own server. They are sent what mentions them (XEP-0452), and their server makes of that what it likes.
import type { MaybePromise } from '../../base/maybe.ts';
import type { Slices } from '../../base/slices.ts';
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

/**
 * Tells who is to be told of a message to everybody in a room.
 * @returns where there are many, when all have been
 */
export function tellMembers(
  router: Router,
  slices: Slices,
  { room, occupant, element }: RoomMessage,
): MaybePromise<void> {
  const people = room.get(members) ?? membersOf(router, room);
  if (people.length === 0) return;
  const judged = judgeMessage(element, element.attrs.from ?? '', room.jid.bare);
  if (judged === undefined) return;
  const services = new Map<string, Pushes | undefined>();
  return slices.run(people, (piece) => {
    for (const person of piece) {
      if (person.bare === occupant?.bare) continue;
      if (!services.has(person.domain)) services.set(person.domain, router.hostOf(person.domain)?.find(pushes));
      const { nick } = room.affiliations.get(person.bare) ?? {};
      services.get(person.domain)?.toMember(person, judged, room.jid, nick, room.config.isMembersOnly);
    }
  });
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
