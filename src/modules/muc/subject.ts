// The subject of a room (XEP-0045 8.1, 7.2.16): set by a message that has a subject and nothing to read beside it; the last thing that
// somebody who enters is sent, also where there is none.
import { parseElement } from '../../xml/document.ts';
import { type Element, el } from '../../xml/element.ts';
import { flatten } from '../../xml/flatten.ts';
import { delayElement } from '../../xmpp/delay.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { NS } from '../../xmpp/ns.ts';
import { mayAs } from './associations.ts';
import type { Occupant } from './occupant.ts';
import type { Room } from './room.ts';

/** Whether a message is meant to change the subject (8.1). */
export function isSubjectChange(message: Element): boolean {
  return (
    message.getChild('subject') !== undefined &&
    message.getChild('body') === undefined &&
    message.getChild('thread') === undefined
  );
}

/** @throws StanzaError forbidden */
export function checkSubjectChange(room: Room, { role }: Occupant): void {
  const needed = room.config.changeSubject ? 'participant' : 'moderator';
  if (!mayAs(role, needed)) throw new StanzaError('forbidden', 'you may not change the subject');
}

/** Keeps the subject that a message set; the promise is settled when it is stored. */
export function keepSubject(room: Room, message: Element, by: Occupant | undefined): Promise<void> {
  const parts = message.elements().filter((child) => child.name === 'subject' || child.ns === NS.occupantId);
  const { 'xml:lang': lang } = message.attrs;
  const xml = flatten(el('message', null, { 'xml:lang': lang }, ...parts).toXml());
  room.subject = { xml, by: by?.nick ?? '', at: room.ports.now() };
  return room.save();
}

/** The subject as somebody who enters gets it; an empty one where there is none (7.2.16). */
export function subjectMessage(room: Room): Element {
  const { subject, jid, ports } = room;
  const id = ports.newId();
  if (subject === undefined) {
    return el('message', null, { from: jid.full, id, type: 'groupchat' }, el('subject', null));
  }
  const kept = parseElement(subject.xml);
  const from = subject.by === '' ? jid.full : jid.withResource(subject.by).full;
  return el(
    'message',
    null,
    { from, id, type: 'groupchat', 'xml:lang': kept.attrs['xml:lang'] },
    ...kept.children,
    delayElement(subject.at, jid.full),
  );
}
