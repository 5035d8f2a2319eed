// Private messages (XEP-0045 7.5): from one occupant to another by their occupant JIDs, to all devices of the reader.
import { isPromise, type MaybePromise } from '../../base/maybe.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { mayAs } from './associations.ts';
import { roomPrivate } from './hooks.ts';
import { asSaidBy } from './message.ts';
import type { Occupant } from './occupant.ts';
import type { Room } from './room.ts';

/** @throws StanzaError by 7.5 */
export function whisper(room: Room, sender: Jid, nick: string, message: Element): MaybePromise<void> {
  const occupant = room.occupantOf(sender);
  if (occupant === undefined) throw new StanzaError('not-acceptable', 'you are not in the room');
  if (message.attrs.type === 'groupchat') {
    throw new StanzaError('bad-request', 'messages to everybody go to the room, not to one of its occupants');
  }
  const reader = room.occupants.get(nick);
  if (reader === undefined) throw new StanzaError('item-not-found', 'nobody in the room has that nick');
  if (!mayWhisper(room, occupant)) throw new StanzaError('forbidden', 'private messages are not for you in this room');
  // clients know them by it (XEP-0280 6.1), and find no other muc#user information in them
  const element = asSaidBy(message, occupant).append(el('x', NS.mucUser));
  const event = { room, occupant, reader, sender, element };
  const verdict = room.ports.hooks.gate(roomPrivate, event);
  if (!isPromise(verdict)) return settle(verdict, event);
  return verdict.then((settled) => settle(settled, event));
}

function settle(
  verdict: 'handled' | StanzaError | undefined,
  { room, occupant, reader, element }: { room: Room; occupant: Occupant; reader: Occupant; element: Element },
): void {
  if (verdict instanceof StanzaError) throw verdict;
  if (verdict !== undefined) return;
  // each by itself: what is between two people is for the archives of their accounts, and for all that looks at messages to them
  for (const device of reader.devices) room.ports.send(element, occupant.jid, device.jid);
}

function mayWhisper({ config }: Room, { role }: Occupant): boolean {
  switch (config.allowPm) {
    case 'anyone':
      return true;
    case 'participants':
      return mayAs(role, 'participant');
    case 'moderators':
      return mayAs(role, 'moderator');
    case 'none':
      return false;
  }
}
