// What the archive of a room keeps of a message: what everybody was sent, and who said it. The latter stands in an `<x/>` at the end, the
// last child (XEP-0313 6.1.2): that of muc#user where everybody knew, one of ours where it was known to moderators alone.
//
// Real JIDs of then are for whoever may see those of today: in a room that is semi-anonymous now, what was said when it was not is shown
// without them; what was said before it became non-anonymous stays without them.
import { parseElement } from '../../xml/document.ts';
import { type Element, el } from '../../xml/element.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { correctedId, retractedId, type StoredSender } from '../mam/references.ts';
import { isAtLeast } from '../muc/associations.ts';
import type { RoomMessage } from '../muc/hooks.ts';
import type { RoomContext } from '../muc/request.ts';

/** Whose real JIDs somebody may see in the archive: of all, of those who spoke openly, or of nobody. */
export type Sight = 'all' | 'open' | 'none';

const hidden = NS.hiddenUser;
const START = '<x xmlns=';
const END = '</message>';

/** What is kept of a message that everybody is sent. */
export function kept({ room, occupant, sender, element }: RoomMessage): string {
  // its contents are written once, for this and for all readers
  element.toXml();
  if (occupant === undefined) return element.append(el('x', hidden)).toXml();
  const ns = room.config.whois === 'anyone' ? NS.mucUser : hidden;
  const { affiliation, role } = occupant;
  return element.append(el('x', ns, undefined, el('item', ns, { affiliation, role, jid: sender.full }))).toXml();
}

/** What somebody may see of those who spoke (XEP-0045 4.2, 5.1.1). */
export function sightOf({ room, occupant, affiliation }: RoomContext): Sight {
  const isModerator = occupant === undefined ? isAtLeast(affiliation, 'admin') : occupant.role === 'moderator';
  if (isModerator) return 'all';
  return room.config.whois === 'anyone' ? 'open' : 'none';
}

/** A stored message, as somebody may see it. */
export function shownTo(sight: Sight, xml: string): string {
  const start = xml.lastIndexOf(START);
  const end = xml.length - END.length;
  const isOpen = xml.startsWith(NS.mucUser, start + START.length + 1);
  if (
    isOpen ? sight !== 'none' : sight === 'all' && xml.startsWith('><item', start + START.length + hidden.length + 2)
  ) {
    return isOpen ? xml : `${xml.slice(0, start)}${xml.slice(start, end).replace(hidden, NS.mucUser)}${END}`;
  }
  return xml.slice(0, start) + END;
}

/** A stored message, as history is told (XEP-0045 7.2.15). */
export function withoutSpeaker(xml: string): Element {
  return parseElement(shownTo('none', xml));
}

/** The bare JID of who said what is stored; undefined: the room itself. */
export const speakerOf: StoredSender = (message) => {
  const x = message.elements().findLast(({ name, ns }) => name === 'x' && (ns === hidden || ns === NS.mucUser));
  return Jid.parse(x?.getChild('item')?.attrs.jid ?? '')?.bare;
};

/** Whether a child of a stored message says who sent it: what is left of what was taken back. */
export function isIdentity(child: Element): boolean {
  return child.ns === NS.occupantId || (child.name === 'x' && (child.ns === hidden || child.ns === NS.mucUser));
}

/** Whether a message is one more for people to read, not one about another message. */
export function isToRead(message: Element): boolean {
  const isAbout = retractedId(message) !== undefined || correctedId(message) !== undefined;
  return message.getChild('body') !== undefined && !isAbout;
}
