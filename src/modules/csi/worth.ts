// What is worth waking a phone for, and what can wait until its owner looks at it (XEP-0352 2.2). One table of payloads;
// what is not in it is worth it.
import { Element } from '../../xml/element.ts';
import type { BareJid, Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Message, Presence, Stanza } from '../../xmpp/stanza.ts';

/** Kinds of stanzas that can wait. */
export type Category = 'presence' | 'typing' | 'events' | 'receipts' | 'groupchat';

/** A stanza that can wait. */
export interface Patient {
  readonly category: Category;
  /** What it is the latest word about: a later stanza with the same key makes this one obsolete. */
  readonly key: string | undefined;
}

/** Whom the stanza is for. */
export interface Reader {
  readonly jid: Jid;
  /** The nickname in a room that this client is in. */
  nickIn(room: BareJid): string | undefined;
}

/** A message as it was said: itself, or what a carbon copy has inside. */
interface Said {
  readonly el: Element;
  readonly type: string | undefined;
  readonly from: string;
  /** Whom it was said to, and in which thread: messages and chat states with the same value belong together. */
  readonly conversation: string;
  /** By another device of the reader's. */
  readonly isOwn: boolean;
}

/** Of one child of a message: it says nothing of its own; it can wait; or it is worth it. */
type Worth = 'nothing' | 'now' | Patient;
type Rule = Worth | ((child: Element, said: Said, reader: Reader) => Worth);

const simply = (category: Category): Patient => ({ category, key: undefined });
const typing = simply('typing');
const events = simply('events');
const receipts = simply('receipts');
const groupchat = simply('groupchat');

/** Nodes of XEP-0163 that hold one item, whatever its id. */
const singletons: ReadonlySet<string | undefined> = new Set([
  NS.avatarMetadata,
  NS.vcard4,
  NS.nick,
  NS.mood,
  NS.activity,
  NS.tune,
  NS.geoloc,
  NS.omemoDevices,
  NS.omemoSiacsDevices,
]);

/** By namespace. Whatever is not here (calls, invitations, forms, results of a query) is worth it. */
const payloads: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  // about the message, not in it
  [NS.hints, 'nothing'],
  [NS.delay, 'nothing'],
  [NS.stanzaIds, 'nothing'],
  [NS.occupantId, 'nothing'],
  [NS.nick, 'nothing'],
  [NS.carbons, ({ name }) => (name === 'private' ? 'nothing' : 'now')],
  [NS.chatStates, chatState],
  [NS.receipts, ({ name }) => (name === 'request' ? 'nothing' : receipts)],
  [NS.chatMarkers, marker],
  [NS.reactions, reaction],
  [NS.pubsubEvent, event],
  // an invitation and its refusal are for people; codes of a room's status are not
  [NS.mucUser, (x) => ((x.getChild('invite') ?? x.getChild('decline')) ? 'now' : 'nothing')],
  // keys without a message, for the sessions of OMEMO
  [NS.omemo, keyTransport],
  [NS.omemoSiacs, keyTransport],
]);

/** What makes a message in a room worth it although nobody can be seen to be mentioned: it is encrypted, or it rings. */
const urgentInRooms: ReadonlySet<string | null> = new Set([
  NS.encryption,
  NS.omemo,
  NS.omemoSiacs,
  NS.openpgp,
  NS.jingleMessage,
  NS.callInvites,
  NS.conference,
]);

/** How a stanza can wait; undefined when it is worth waking the reader for. `holds` are the categories that may wait. */
export function judge(stanza: Stanza, reader: Reader, holds: ReadonlySet<Category>): Patient | undefined {
  switch (stanza.kind) {
    case 'presence':
      return holds.has('presence') ? judgePresence(stanza, reader) : undefined;
    case 'message':
      return judgeMessage(stanza, reader, holds);
    case 'iq':
      // somebody waits for the answer, or this is one
      return undefined;
  }
}

/** The key of the chat state that a message makes obsolete (XEP-0085 5.1: with the message, its writing is over). */
export function ends(stanza: Stanza, patient: Patient | undefined, reader: Reader): string | undefined {
  if (stanza.kind !== 'message' || stanza.type === 'error') return undefined;
  if (patient !== undefined && patient !== groupchat) return undefined;
  return typingKey(saidIn(stanza, reader.jid));
}

function judgePresence({ type, el, from }: Presence, reader: Reader): Patient | undefined {
  // requests are for people; errors answer what this client did
  if (type !== 'available' && type !== 'unavailable') return undefined;
  const room = el.getChild('x', NS.mucUser);
  if (room !== undefined && isAboutReader(room, from, reader)) return undefined;
  return { category: 'presence', key: `presence\n${from.full}` };
}

/** XEP-0045 7.1, 9.1, 10.9: the client is in the room now, or no longer. */
function isAboutReader(room: Element, from: Jid, reader: Reader): boolean {
  if (room.getChild('destroy') !== undefined || reader.nickIn(from.bare) === from.resource) return true;
  return room.getChildren('status').some((status) => status.attrs.code === '110');
}

function judgeMessage(message: Message, reader: Reader, holds: ReadonlySet<Category>): Patient | undefined {
  const said = saidIn(message, reader.jid);
  // a message of the reader's failed
  if (said.type === 'error') return undefined;
  const { children } = said.el;
  if (said.type === 'groupchat' && hasText(said.el) && said.el.getChild('subject') === undefined) {
    if (!holds.has('groupchat') || children.some(isUrgentInRooms) || mentions(said, reader)) return undefined;
    return groupchat;
  }
  let found: Patient | undefined;
  let isAlone = true;
  for (const child of children) {
    if (!(child instanceof Element)) continue;
    const worth = weigh(child, said, reader);
    if (worth === 'nothing') continue;
    if (worth === 'now' || !holds.has(worth.category)) return undefined;
    isAlone &&= found === undefined;
    found = worth;
  }
  if (found === undefined) return holds.has('typing') ? typing : undefined;
  return isAlone ? found : simply(found.category);
}

function weigh(child: Element, said: Said, reader: Reader): Worth {
  const isHeadline = said.type === 'headline';
  if (child.ns === null) {
    if (child.name === 'thread') return 'nothing';
    // a notification of XEP-0060 12.7 may have a text for clients that do not know better
    if (child.name === 'body') return child.getText() === '' || isEvent(said) ? 'nothing' : 'now';
    return 'now';
  }
  const rule = payloads.get(child.ns);
  // RFC 6121 5.2.2: a headline is of the moment; without a text it is not for people
  if (rule === undefined) return isHeadline ? events : 'now';
  return typeof rule === 'function' ? rule(child, said, reader) : rule;
}

function isEvent({ type, el }: Said): boolean {
  return type === 'headline' && el.getChild('event', NS.pubsubEvent) !== undefined;
}

function chatState(state: Element, said: Said): Worth {
  // XEP-0085 5.1: this conversation has the focus on another device: what was notified of it here has been read
  if (said.isOwn && state.name === 'active') return 'now';
  return { category: 'typing', key: typingKey(said) };
}

/** XEP-0333: the latest marker counts for all before it. */
function marker({ name }: Element, said: Said, reader: Reader): Worth {
  if (name === 'markable') return 'nothing';
  // read on another device
  if (said.isOwn || isOwnOccupant(said, reader)) return 'now';
  return { category: 'receipts', key: `${name}\n${said.conversation}` };
}

/** XEP-0444 3: a reaction replaces those of the same sender to the same message. To a person it is an answer. */
function reaction({ attrs }: Element, { type, from }: Said): Worth {
  if (type !== 'groupchat') return 'now';
  return { category: 'receipts', key: attrs.id === undefined ? undefined : `reaction\n${from}\n${attrs.id}` };
}

function keyTransport(encrypted: Element): Worth {
  return encrypted.getChild('payload') === undefined ? receipts : 'now';
}

/** XEP-0060 12: one notification for each node, or for each item where a node has many (bookmarks). */
function event(child: Element, { from }: Said, { jid }: Reader): Worth {
  const [items, ...more] = child.elements();
  if (items === undefined || more.length > 0 || !items.is('items', NS.pubsubEvent)) return events;
  const { node } = items.attrs;
  // XEP-0490: read on another device
  if (node === NS.displayedSync && from === jid.bare) return 'now';
  const changes = items.elements();
  if (singletons.has(node) && changes.every(({ name }) => name === 'item')) {
    return { category: 'events', key: `event\n${from}\n${node}` };
  }
  const ids = changes.map(({ attrs }) => attrs.id);
  if (ids.length === 0 || ids.includes(undefined)) return events;
  return { category: 'events', key: `event\n${from}\n${node}\n${ids.join('\n')}` };
}

function hasText(message: Element): boolean {
  return (message.getChildText('body') ?? '') !== '';
}

function isUrgentInRooms(child: Element['children'][number]): boolean {
  return child instanceof Element && urgentInRooms.has(child.ns);
}

/** By name, by nickname, by XEP-0372, or by answering something that the reader said (XEP-0461). */
function mentions({ el, from }: Said, reader: Reader): boolean {
  const room = bareOf(from) as BareJid;
  const nick = reader.nickIn(room);
  const text = el.getChildText('body')!.toLowerCase();
  if (text.includes(reader.jid.local) || (nick !== undefined && text.includes(nick.toLowerCase()))) return true;
  const occupant = nick === undefined ? undefined : `${room}/${nick}`;
  if (occupant !== undefined && el.getChild('reply', NS.replies)?.attrs.to === occupant) return true;
  return el
    .getChildren('reference', NS.references)
    .some(({ attrs }) => attrs.uri === `xmpp:${reader.jid.bare}` || attrs.uri === `xmpp:${occupant}`);
}

function isOwnOccupant({ type, from }: Said, reader: Reader): boolean {
  const room = bareOf(from);
  return type === 'groupchat' && from === `${room}/${reader.nickIn(room as BareJid)}`;
}

function typingKey({ conversation }: Said): string {
  return `typing\n${conversation}`;
}

/** XEP-0280 7: copies come from the reader's own account; whoever else sends such a thing sends something unknown. */
function saidIn(message: Message, reader: Jid): Said {
  const { el, type, from, to } = message;
  if (from.full === reader.bare) {
    const sent = el.getChild('sent', NS.carbons);
    const copy = (sent ?? el.getChild('received', NS.carbons))
      ?.getChild('forwarded', NS.forward)
      ?.getChild('message', null);
    if (copy !== undefined) {
      const { attrs } = copy;
      return said(copy, attrs.type, attrs.from ?? '', bareOf(attrs.to ?? ''), sent !== undefined);
    }
  }
  return said(el, type, from.full, to.bare, false);
}

function said(el: Element, type: string | undefined, from: string, to: string, isOwn: boolean): Said {
  return { el, type, from, conversation: `${from}\n${to}\n${el.getChildText('thread') ?? ''}`, isOwn };
}

function bareOf(jid: string): string {
  const slash = jid.indexOf('/');
  return slash < 0 ? jid : jid.slice(0, slash);
}
