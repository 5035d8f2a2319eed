// The `<x/>` of muc#user: who somebody is in a room, and what has happened (XEP-0045 17.4).
import { type Element, el } from '../../xml/element.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Affiliation, Role } from './config.ts';

/** What a presence or a message of a room tells of somebody. */
export interface ItemParts {
  readonly affiliation: Affiliation;
  readonly role?: Role;
  /** The real JID, where its readers may see it: a full one in presence (16.3). */
  readonly jid?: string | undefined;
  /** The nick that follows (7.6). */
  readonly nick?: string | undefined;
  readonly by?: Because | undefined;
}

/** Who made it so, and why, as everybody may know it. */
export interface Because {
  /** The nick of who did it; undefined where that is nobody in the room. */
  readonly nick?: string | undefined;
  readonly reason?: string | undefined;
}

export function itemElement({ affiliation, role, jid, nick, by }: ItemParts): Element {
  const children: Element[] = [];
  if (by?.nick !== undefined) children.push(el('actor', NS.mucUser, { nick: by.nick }));
  if (by?.reason !== undefined) children.push(el('reason', NS.mucUser, {}, by.reason));
  return el('item', NS.mucUser, { affiliation, role, jid, nick }, ...children);
}

/** `codes` in rising order. */
export function userElement(item: Element | undefined, codes: readonly number[], ...more: Element[]): Element {
  const children = item === undefined ? [] : [item];
  for (const code of codes) children.push(el('status', NS.mucUser, { code: String(code) }));
  return el('x', NS.mucUser, {}, ...children, ...more);
}
