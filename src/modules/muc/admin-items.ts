// The items of muc#admin queries (XEP-0045 9, 10, 17.3): what a request asks for or wants changed, as values.
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { type BareJid, Jid, prepareResource } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { isAffiliation, isRole } from './associations.ts';
import type { Affiliation, Role } from './config.ts';

/** Which list is asked for. */
export type ListRequest =
  | { readonly kind: 'affiliation'; readonly affiliation: Affiliation }
  | { readonly kind: 'role'; readonly role: Role };

/** One change that is asked for. */
export type Change = AffiliationItem | RoleItem;
export interface AffiliationItem {
  readonly kind: 'affiliation';
  readonly affiliation: Affiliation;
  /** The person, or the domain; undefined where only a nick is given, of somebody who is in the room. */
  readonly jid: Jid | undefined;
  /** The nick to be registered, `''` for none any more; the person's where there is no `jid`; undefined to leave it. */
  readonly nick: string | undefined;
  readonly reason: string | undefined;
}
export interface RoleItem {
  readonly kind: 'role';
  readonly role: Role;
  readonly nick: string | undefined;
  /** Where no nick is given: a device in the room, or somebody with one. */
  readonly jid: Jid | undefined;
  readonly reason: string | undefined;
}

// Prose puts items into the namespace of muc#user.
function itemsOf(query: Element): Element[] {
  return query.elements().filter(({ name, ns }) => name === 'item' && (ns === query.ns || ns === NS.mucUser));
}

/** @throws StanzaError `bad-request` for anything but one item with an affiliation or a role */
export function readListRequest(query: Element): ListRequest {
  const items = itemsOf(query);
  if (items.length !== 1) throw new StanzaError('bad-request', 'a list is asked for by one item');
  const { affiliation, role } = items[0]!.attrs;
  if (role === undefined && isAffiliation(affiliation)) return { kind: 'affiliation', affiliation };
  if (affiliation === undefined && isRole(role)) return { kind: 'role', role };
  throw new StanzaError('bad-request', 'a list is of an affiliation or of a role');
}

/**
 * The changes of a request, in their order.
 * @throws StanzaError `bad-request` where there is none, or one of both kinds (16.4); `jid-malformed` for what is no address or nick
 */
export function readChanges(query: Element): readonly Change[] {
  const items = itemsOf(query);
  if (items.length === 0) throw new StanzaError('bad-request', 'nothing is to be changed');
  return items.map(readChange);
}

function readChange(item: Element): Change {
  const { affiliation, role } = item.attrs;
  const reason = item.getChildText('reason') || undefined;
  if (affiliation !== undefined && role !== undefined) {
    throw new StanzaError('bad-request', 'an item changes an affiliation or a role, not both');
  }
  const jid = jidOf(item);
  const nick = nickOf(item);
  if (jid === undefined && (nick === undefined || nick === '')) throw new StanzaError('bad-request', 'of whom?');
  if (isAffiliation(affiliation)) {
    // 10.3: "When processing a request that identifies a user by its full JID, a service SHOULD use the bare JID"
    return { kind: 'affiliation', affiliation, jid: jid?.withResource(''), nick, reason };
  }
  if (isRole(role)) return { kind: 'role', role, nick: nick || undefined, jid, reason };
  throw new StanzaError('bad-request', 'there is no such affiliation or role');
}

function jidOf({ attrs }: Element): Jid | undefined {
  if (attrs.jid === undefined) return undefined;
  const jid = Jid.parse(attrs.jid);
  if (jid === undefined) throw new StanzaError('jid-malformed');
  return jid;
}

function nickOf({ attrs }: Element): string | undefined {
  if (attrs.nick === undefined || attrs.nick === '') return attrs.nick;
  return readNick(attrs.nick);
}

/** A nick that somebody has chosen, as it is compared (16.1). @throws StanzaError `jid-malformed` for one that is none, or invisible */
export function readNick(text: string): string {
  const nick = prepareResource(text);
  if (nick === undefined || nick.trim() === '') throw new StanzaError('jid-malformed', 'this cannot be a nick');
  return nick;
}

/** A line of a list of affiliations: who it is, with the nick that is registered, and why; `ns` is that of the query around it. */
export function affiliationItem(
  ns: string | null,
  jid: BareJid,
  affiliation: Affiliation,
  { nick, reason }: { readonly nick?: string; readonly reason?: string },
): Element {
  // 16.4: no role; a nick, but for outcasts
  const attrs = { affiliation, jid, nick: affiliation === 'outcast' ? undefined : nick };
  return el('item', ns, attrs, ...(reason === undefined ? [] : [el('reason', ns, undefined, reason)]));
}

/** A line of a list of roles. */
export function roleItem(ns: string | null, nick: string, role: Role, affiliation: Affiliation, jid: Jid): Element {
  return el('item', ns, { affiliation, jid: jid.full, nick, role });
}
