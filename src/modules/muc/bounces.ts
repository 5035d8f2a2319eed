// What comes back: errors from those whom the room, or one of its occupants, has sent something (XEP-0045 18.1.2, 10.10.1).
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import { type Element, el } from '../../xml/element.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { removeGhost } from './exit.ts';
import { tell, tellDevice } from './fan-out.ts';
import { roomPrivate } from './hooks.ts';
import { invitationBounced } from './invitations.ts';
import type { Device } from './occupant.ts';
import type { Room } from './room.ts';

/** Conditions that say that nobody is there any more. */
const gone: ReadonlySet<string> = new Set([
  'gone',
  'item-not-found',
  'recipient-unavailable',
  'redirect',
  'remote-server-not-found',
  'remote-server-timeout',
]);

/** RFC 6121 8.5.3.2.1: what servers, this one among them, answer for a device that is not there. */
const goneInRoom: ReadonlySet<string> = new Set([...gone, 'service-unavailable']);

/**
 * Presence or a message that could not be delivered: who sent the error is not in the room any more, or it was another fault.
 * @param look where this server says so instead of the device: finds out whether that is gone. What was not delivered may have been for a
 * session that had the same address before.
 */
export function takeBounce(
  room: Room,
  from: Jid,
  nick: string,
  stanza: Element,
  look?: (device: Jid) => void,
): MaybePromise<void> {
  if (nick === '' && stanza.name === 'message' && invitationBounced(room, from, stanza)) return;
  const occupant = room.occupantOf(from);
  if (occupant === undefined) return;
  if (goneInRoom.has(conditionOf(stanza))) {
    if (look === undefined) removeGhost(room, occupant.device(from));
    else look(from);
    return;
  }
  // 7.5: what a client says of a private message is for who sent that
  const writer = nick === '' || stanza.name !== 'message' ? undefined : room.occupants.get(nick);
  if (writer === undefined) return;
  const error = stanza.getChild('error');
  if (error === undefined) return;
  // nothing but the error: it would be a private message past all that is asked of those
  const attrs = { from: occupant.jid.full, id: stanza.attrs.id, type: 'error' };
  const element = el('message', null, attrs, error.with({ by: undefined }));
  const event = { room, occupant, reader: writer, sender: from, element };
  return andThen(room.ports.hooks.gate(roomPrivate, event), (verdict) => {
    if (verdict === undefined) tell(room, event.element, occupant.jid, [writer]);
  });
}

/** The answer to a ping of the room's. */
export function takeAnswer(room: Room, from: Jid, iq: Element): void {
  const device = room.occupantOf(from)?.device(from);
  if (device === undefined || iq.attrs.type !== 'error') return;
  const condition = conditionOf(iq);
  if (gone.has(condition)) removeGhost(room, device);
  // said by its server (RFC 6121 8.5.3.2.3), or by a client that knows no pings
  else if (condition === 'service-unavailable') test(room, device);
}

/** What a client passes over without a word, and its server returns where nobody is there (RFC 6121 8.5.3.2.1). */
function test(room: Room, { jid }: Device): void {
  const attrs = { from: room.jid.full, id: room.ports.newId(), type: 'groupchat' };
  tellDevice(room, el('message', null, attrs, el('no-store', NS.hints)), room.jid, jid);
}

function conditionOf(stanza: Element): string {
  const error = stanza.getChild('error');
  return error?.elements().find((child) => child.ns === NS.stanzas && child.name !== 'text')?.name ?? '';
}
