// Messages to everybody in a room (XEP-0045 7.4), the subject among them (8.1).
import { isPromise, type MaybePromise } from '../../base/maybe.ts';
import type { Element } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { mayAs } from './associations.ts';
import { isReserved, tellAll } from './fan-out.ts';
import { type RoomMessage, roomMessage, roomMessageSent } from './hooks.ts';
import type { Occupant } from './occupant.ts';
import type { Room } from './room.ts';
import { checkSubjectChange, isSubjectChange, keepSubject } from './subject.ts';

/**
 * Somebody speaks.
 * @param keep is given what the sender's acknowledgement has to wait for
 * @throws StanzaError not-acceptable from who is not in the room, forbidden from who may not speak
 */
export function speak(
  room: Room,
  sender: Jid,
  message: Element,
  keep: (work: Promise<unknown>) => void,
): MaybePromise<void> {
  const occupant = room.occupantOf(sender);
  if (occupant === undefined) throw new StanzaError('not-acceptable', 'you are not in the room');
  const isSubject = isSubjectChange(message);
  if (!mayAs(occupant.role, 'participant')) throw new StanzaError('forbidden', 'you have no voice in this room');
  if (isSubject) checkSubjectChange(room, occupant);
  return publish(room, { room, occupant, sender, element: asSaidBy(message, occupant), isSubject }, keep);
}

/** The room itself speaks: what operators and modules have to say to everybody. */
export function speakAsRoom(room: Room, element: Element): MaybePromise<void> {
  const said = element.with({ from: room.jid.full, to: undefined, type: 'groupchat' });
  const event: RoomMessage = {
    room,
    occupant: undefined,
    sender: room.jid,
    element: said,
    isSubject: isSubjectChange(said),
  };
  return publish(room, event, (work) => room.ports.background(work, 'storing what a room said'));
}

/** A message by an occupant, as the others get it: the same `id`, another sender, and nothing that only the room may say (16.3). */
export function asSaidBy(message: Element, occupant: Occupant): Element {
  const { bare } = occupant.jid;
  return message
    .without((child) => isReserved(child) || isForged(child, bare))
    .with({ from: occupant.jid.full, to: undefined });
}

/** When something was said, and by which id it is known, is told by the room alone (XEP-0203, XEP-0359 5). */
function isForged({ ns, name, attrs }: Element, room: string): boolean {
  if (name === 'delay' && ns === NS.delay) return Jid.parse(attrs.from ?? '')?.bare === room;
  return name === 'stanza-id' && ns === NS.stanzaIds && Jid.parse(attrs.by ?? '')?.bare === room;
}

function publish(room: Room, event: RoomMessage, keep: (work: Promise<unknown>) => void): MaybePromise<void> {
  const { hooks } = room.ports;
  const verdict = hooks.listens(roomMessage) ? hooks.gate(roomMessage, event) : undefined;
  if (!isPromise(verdict)) return settle(room, event, verdict, keep);
  return verdict.then((settled) => settle(room, event, settled, keep));
}

function settle(
  room: Room,
  event: RoomMessage,
  verdict: 'handled' | StanzaError | undefined,
  keep: (work: Promise<unknown>) => void,
): void {
  if (verdict instanceof StanzaError) throw verdict;
  if (verdict !== undefined) return;
  const { element, occupant, durable } = event;
  if (durable !== undefined) keep(durable);
  if (event.isSubject) keep(keepSubject(room, element, occupant));
  const sent = tellAll(room, element, occupant?.jid ?? room.jid);
  if (isPromise(sent)) keep(sent);
  room.ports.hooks.notify(roomMessageSent, event);
}
