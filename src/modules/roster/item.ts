// Roster items: what is stored, what clients see of it, and what they may ask for (RFC 6121 2.1.2, 2.3.3). Pure.
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { type BareJid, Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Subscription } from './subscription.ts';

/** One contact of one account, as it is stored. */
export interface RosterItem {
  readonly name?: string;
  readonly groups: readonly string[];
  readonly subscription: 'none' | 'to' | 'from' | 'both';
  /** The account asked for the contact's presence and waits for the answer. */
  readonly ask?: true;
  /** The account approved the contact before it asked. */
  readonly approved?: true;
  /** The contact's unanswered request: the whole stanza (RFC 6121 3.1.3). */
  readonly request?: string;
  /** The user does not have it in the roster: it was removed, or the contact only asked (RFC 6121 A.1). */
  readonly hidden?: true;
  /** The version of the roster in which what clients see of it last changed; 0 when they never saw it. */
  readonly ver: number;
}

/** The account receives this contact's presence. */
export function isTo(item: RosterItem): boolean {
  return item.subscription === 'to' || item.subscription === 'both';
}

/** This contact receives the account's presence. */
export function isFrom(item: RosterItem): boolean {
  return item.subscription === 'from' || item.subscription === 'both';
}

export function subscriptionOf(item: RosterItem | undefined): Subscription {
  return {
    to: item !== undefined && isTo(item),
    from: item !== undefined && isFrom(item),
    out: item?.ask === true,
    in: item?.request !== undefined,
    approved: item?.approved === true,
  };
}

/**
 * The item with another subscription; undefined when there is nothing left to remember.
 * @param request the stanza that asks, where `state.in` is new
 * @param ver the version to give it if clients see a change
 */
export function withSubscription(
  old: RosterItem | undefined,
  state: Subscription,
  request: string | undefined,
  ver: number,
): RosterItem | undefined {
  const wasSeen = old !== undefined && old.ver > 0;
  const isListed = isVisible(old) || state.to || state.from || state.out || state.approved;
  if (!isListed && !state.in && !wasSeen) return undefined;
  const { ask: _ask, approved: _approved, request: oldRequest, hidden: _hidden, ...rest } = old ?? unknownContact;
  const pending = state.in ? (oldRequest ?? request) : undefined;
  const item: RosterItem = {
    ...rest,
    subscription: state.to ? (state.from ? 'both' : 'to') : state.from ? 'from' : 'none',
    ...(state.out ? { ask: true } : {}),
    ...(state.approved ? { approved: true } : {}),
    ...(pending === undefined ? {} : { request: pending }),
    ...(isListed ? {} : { hidden: true }),
  };
  return looksTheSame(old, item) ? item : { ...item, ver };
}

const unknownContact: RosterItem = { groups: [], subscription: 'none', ver: 0 };

/** What is left of an item that the user removed: clients that were away must hear of it (RFC 6121 2.6.3). */
export function tombstone(ver: number): RosterItem {
  return { groups: [], subscription: 'none', hidden: true, ver };
}

export function isTombstone(item: RosterItem): boolean {
  return item.hidden === true && item.request === undefined;
}

export function isVisible(item: RosterItem | undefined): item is RosterItem {
  return item !== undefined && item.hidden !== true;
}

/** What a contact, or a request, from elsewhere makes of an item; undefined where what is there stays. */
export function broughtTo(old: RosterItem | undefined, brought: RosterItem, ver: number): RosterItem | undefined {
  const { hidden, request } = brought;
  if (hidden !== true) {
    const waiting = old?.request;
    if (isVisible(old)) return undefined;
    return { ...brought, ...(waiting !== undefined && { request: waiting }), ver };
  }
  if (old === undefined || isTombstone(old)) return { ...brought, ver: old?.ver ?? 0 };
  if (request === undefined || old.request !== undefined || isFrom(old)) return undefined;
  return { ...old, request };
}

/** Whether what is there says what was brought. */
export function isAsBrought(old: RosterItem, brought: RosterItem): boolean {
  if (brought.hidden === true) return old.request !== undefined;
  const essence = ({ name = '', groups, subscription, ask, approved }: RosterItem): string =>
    JSON.stringify([name, [...groups].sort(), subscription, ask === true, approved === true]);
  return essence(old) === essence(brought);
}

/** Whether subscriptions apart, which only {@link withSubscription} changes, clients see no difference. */
function looksTheSame(old: RosterItem | undefined, item: RosterItem): boolean {
  if (!isVisible(old)) return !isVisible(item);
  return old.subscription === item.subscription && old.ask === item.ask && old.approved === item.approved;
}

/** The `<item/>` that clients see; of a hidden one, that it is not there (RFC 6121 2.1.2). */
export function itemElement(contact: string, item: RosterItem | undefined): Element {
  if (!isVisible(item)) return el('item', NS.roster, { jid: contact, subscription: 'remove' });
  return el(
    'item',
    NS.roster,
    {
      jid: contact,
      name: item.name,
      subscription: item.subscription,
      ask: item.ask ? 'subscribe' : undefined,
      approved: item.approved ? 'true' : undefined,
    },
    ...item.groups.map((group) => el('group', NS.roster, undefined, group)),
  );
}

export interface ItemLimits {
  /** Bytes of a name or of a group's name, in UTF-8. */
  readonly maxName: number;
  readonly maxGroups: number;
}

/** What a roster set asks for. */
export type RosterRequest =
  | { readonly kind: 'remove'; readonly contact: Jid }
  | {
      readonly kind: 'set';
      readonly contact: Jid;
      readonly name: string | undefined;
      readonly groups: readonly string[];
    };

/**
 * Reads the payload of a roster set.
 * @throws StanzaError as in RFC 6121 2.3.3
 */
export function parseRosterSet(query: Element, own: BareJid, limits: ItemLimits): RosterRequest {
  const [item, ...others] = query.getChildren('item');
  if (item === undefined || others.length > 0)
    throw new StanzaError('bad-request', 'a roster set has exactly one item');
  const contact = contactOf(item);
  if (contact.bare === own) throw new StanzaError('not-allowed', 'nobody is a contact of their own');
  // 2.1.2.5: any other value is ignored
  if (item.attrs.subscription === 'remove') return { kind: 'remove', contact };
  const name = item.attrs.name === '' ? undefined : item.attrs.name;
  if (name !== undefined && Buffer.byteLength(name) > limits.maxName) {
    throw new StanzaError('not-acceptable', `a name has at most ${limits.maxName} bytes`);
  }
  return { kind: 'set', contact, name, groups: groupsOf(item, limits) };
}

function contactOf(item: Element): Jid {
  const { jid } = item.attrs;
  if (jid === undefined) throw new StanzaError('bad-request', 'an item needs a jid');
  const contact = Jid.parse(jid);
  if (contact === undefined) throw new StanzaError('jid-malformed', 'the jid of the item is not a JID');
  return contact.withResource('');
}

function groupsOf(item: Element, limits: ItemLimits): readonly string[] {
  const groups = item.getChildren('group').map((group) => group.getText());
  if (new Set(groups).size !== groups.length) throw new StanzaError('bad-request', 'a group is named twice');
  if (groups.length > limits.maxGroups) {
    throw new StanzaError('not-acceptable', `an item has at most ${limits.maxGroups} groups`);
  }
  for (const group of groups) {
    if (group === '') throw new StanzaError('not-acceptable', 'a group needs a name');
    if (Buffer.byteLength(group) > limits.maxName) {
      throw new StanzaError('not-acceptable', `the name of a group has at most ${limits.maxName} bytes`);
    }
  }
  return groups;
}
