// What subscriptions are made of, whoever makes them, and who is told of them (XEP-0060 6.2.3, 12.14, 16.4.4).
import type { Element } from '../../xml/element.ts';
import { flatten } from '../../xml/flatten.ts';
import type { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { pubsubError } from './errors.ts';
import { nodeSubscribed, publiclySubscribed } from './hooks.ts';
import { sendLastItem } from './last-item.ts';
import { hasExpired, type Node, withSubscriptions } from './node.ts';
import { eventMessage, subscriptionEvent } from './notices.ts';
import { letterhead, notifyOne } from './notify.ts';
import type { EntityRow, SubscriptionRow, SubscriptionState } from './rows.ts';
import type { Shelf } from './shelf.ts';

/** Who is to be notified. @throws StanzaError where that is another person than whoever asks */
export function subscriberOf({ attrs }: Element, from: Jid, refused: () => StanzaError): Jid {
  if (attrs.jid === undefined || attrs.jid === '') throw pubsubError('jid-required');
  const jid = Jid.parse(attrs.jid);
  if (jid === undefined) throw pubsubError('invalid-jid');
  if (jid.bare !== from.bare) throw refused();
  return jid;
}

/**
 * The one subscription that a request is about.
 * @throws StanzaError `not-subscribed`, `subid-required` where there are several, `invalid-subid` where it is none of them (6.2.3, 6.3.4)
 */
export function oneOf({ ports }: Shelf, node: Node, subscriber: Jid, subid: string | undefined): SubscriptionRow {
  const now = ports.now();
  const own = node.subscriptionsOf(subscriber.bare).filter(({ jid }) => jid === subscriber.full);
  const current = own.filter((one) => !hasExpired(one, now));
  if (current.length === 0) throw pubsubError('not-subscribed');
  if (subid === undefined || subid === '') {
    if (current.length > 1) throw pubsubError('subid-required');
    return current[0]!;
  }
  const found = current.find((one) => one.subid === subid);
  if (found === undefined) throw pubsubError('invalid-subid');
  return found;
}

/** What follows when a subscription counts: the last item (6.1.7), and a word to the owners (16.4.4, `notify_sub`). */
export function begun(shelf: Shelf, node: Node, row: SubscriptionRow): void {
  const subscriber = Jid.parse(row.jid)!;
  if (node.config.sendLast !== 'never') sendLastItem(shelf, node, [subscriber]);
  tellOwners(shelf, node, row, true);
  shelf.ports.hooks.notify(nodeSubscribed, { service: shelf.jid, node, subscriber, isSubscribed: true });
}

/** What follows when one does not any more, if it did. */
export function ended(shelf: Shelf, node: Node, row: SubscriptionRow): void {
  if (row.state !== 'subscribed') return;
  tellOwners(shelf, node, row, false);
  const subscriber = Jid.parse(row.jid)!;
  shelf.ports.hooks.notify(nodeSubscribed, { service: shelf.jid, node, subscriber, isSubscribed: false });
}

function tellOwners(shelf: Shelf, node: Node, row: SubscriptionRow, isSubscribed: boolean): void {
  if (!node.config.notifiesSubscriptions) return;
  const { bare } = Jid.parse(row.jid)!;
  const owners = node.affiliated('owner').filter((owner) => owner !== bare);
  const event = subscriptionEvent(node.name, { jid: row.jid }, isSubscribed ? 'subscribed' : 'none');
  const message = eventMessage(letterhead(shelf, node), event);
  notifyOne(
    shelf,
    node,
    message,
    owners.map((owner) => Jid.parse(owner)!),
  );
}

/** Writes what subscriptions somebody has from now on. */
export async function saveSubscriptions(
  shelf: Shelf,
  node: Node,
  bare: string,
  subscriptions: readonly SubscriptionRow[],
): Promise<void> {
  await saveEntity(shelf, node, bare, withSubscriptions(node.entities.get(bare), subscriptions));
}

/** Writes what somebody has to do with a node from now on; undefined for nothing. */
export async function saveEntity(shelf: Shelf, node: Node, bare: string, row: EntityRow | undefined): Promise<void> {
  const was = node.subscriptionsOf(bare).some(isShown);
  const rows = new Map([[flatten(bare), row]]);
  await shelf.ports.rows.saveEntities(node.name, rows);
  node.setRows(rows);
  const isSubscribed = node.subscriptionsOf(bare).some(isShown);
  if (was === isSubscribed) return;
  const { jid: service, ports } = shelf;
  await ports.hooks.collect(publiclySubscribed, { service, node, shelf, subscriber: bare, isSubscribed });
}

/** Whether others see it. Not what ends by the clock: nobody notices the moment. */
const isShown = ({ isPublic, state, options }: SubscriptionRow): boolean =>
  isPublic === true && state === 'subscribed' && typeof options?.expire !== 'number';

/** Says of all that an address has subscribed to whether others are to see it, as it was said last (XEP-0465 3.3). */
export async function show(shelf: Shelf, node: Node, { full, bare }: Jid, isPublic: boolean): Promise<void> {
  const all = node.subscriptionsOf(bare);
  const isMeant = (row: SubscriptionRow): boolean => row.jid === full && (row.isPublic === true) !== isPublic;
  if (!all.some(isMeant)) return;
  const said = all.map((row): SubscriptionRow => {
    if (!isMeant(row)) return row;
    const { isPublic: _, ...others } = row;
    return isPublic ? { ...others, isPublic } : others;
  });
  await saveSubscriptions(shelf, node, bare, said);
}

/** Gives subscriptions of a person another state, with what follows, and tells of those that had another. */
export async function putInState(
  shelf: Shelf,
  node: Node,
  bare: string,
  rows: readonly SubscriptionRow[],
  state: SubscriptionState,
): Promise<void> {
  const others = rows.filter((row) => row.state !== state);
  if (others.length === 0) return;
  const all = node.subscriptionsOf(bare).map((row) => (others.includes(row) ? { ...row, state } : row));
  await saveSubscriptions(shelf, node, bare, all);
  for (const row of others) {
    tellState(shelf, node, row, state);
    if (state === 'subscribed') begun(shelf, node, { ...row, state });
    else ended(shelf, node, row);
  }
}

/** Ends subscriptions of a person that did not end them, and tells. */
export async function endSubscriptions(
  shelf: Shelf,
  node: Node,
  bare: string,
  rows: readonly SubscriptionRow[],
): Promise<void> {
  const left = node.subscriptionsOf(bare).filter((one) => !rows.includes(one));
  await saveSubscriptions(shelf, node, bare, left);
  for (const row of rows) {
    tellState(shelf, node, row, 'none');
    ended(shelf, node, row);
  }
}

/** 12.14: to the address that has subscribed. */
export function tellState(shelf: Shelf, node: Node, row: SubscriptionRow, state: SubscriptionState | 'none'): void {
  const event = subscriptionEvent(node.name, row, state);
  notifyOne(shelf, node, eventMessage(letterhead(shelf, node), event), [Jid.parse(row.jid)!]);
}
