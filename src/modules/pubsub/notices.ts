// What notifications look like (XEP-0060 7.1.2, 7.2.2, 8.2.5.3, 8.4.2, 8.5.2, 12.14, 12.16): messages without `to`, the same for everybody.

import type { Item } from '../../storage/ports.ts';
import { type Element, el, type Node as XmlNode } from '../../xml/element.ts';
import { delayElement } from '../../xmpp/delay.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { NodeConfig } from './config.ts';
import type { SubscriptionState } from './rows.ts';

/** Who speaks, under which id, and how. */
export interface Letterhead {
  readonly from: Jid;
  readonly id: string;
  readonly type: NodeConfig['notificationType'];
}

/** A message with something in `<event/>`. */
export function eventMessage({ from, id, type }: Letterhead, event: Element, ...after: readonly Element[]): Element {
  const attrs = { from: from.full, id, type: type === 'normal' ? undefined : type };
  return el('message', null, attrs, el('event', NS.pubsubEvent, undefined, event), ...after);
}

/** `<items/>` with what is published, or nothing where a node tells no more than that something happened (4.3). */
export function itemsEvent(node: string, ...items: readonly Element[]): Element {
  return el('items', NS.pubsubEvent, { node }, ...items);
}

/** `<items/>` with what is gone. */
export function retractEvent(node: string, ids: readonly string[]): Element {
  return itemsEvent(node, ...ids.map((id) => el('retract', NS.pubsubEvent, { id })));
}

/** 12.14. */
export function subscriptionEvent(
  node: string,
  { jid, subid }: { readonly jid: string; readonly subid?: string },
  state: SubscriptionState | 'none',
): Element {
  return el('subscription', NS.pubsubEvent, { node, jid, subid, subscription: state });
}

/** An item as it is told of, or given to those who ask (`ns`): with what of it is to be shown. */
export function itemElement(
  ns: string,
  item: Pick<Item, 'id' | 'publisher'>,
  payload: XmlNode | undefined,
  { itemReply }: Pick<NodeConfig, 'itemReply'>,
): Element {
  const publisher = itemReply === 'publisher' ? item.publisher : undefined;
  return el('item', ns, { id: item.id, publisher }, ...(payload === undefined ? [] : [payload]));
}

/** A stored payload, as it goes into an element of whatever namespace. */
export function payloadOf({ xml }: Pick<Item, 'xml'>): XmlNode | undefined {
  return xml === '' ? undefined : { raw: xml };
}

/** What is stored of a payload: it can stand anywhere. */
export function payloadText(payload: Element | undefined): string {
  return payload === undefined ? '' : payload.toXml('');
}

/** The message with an item that was published some time ago (6.1.7). */
export function lastItemMessage(head: Letterhead, node: string, item: Item, config: NodeConfig): Element {
  const payload = config.deliversPayloads ? payloadOf(item) : undefined;
  const event = itemsEvent(node, itemElement(NS.pubsubEvent, item, payload, config));
  return eventMessage(head, event, delayElement(item.at));
}

/** XEP-0131: which of a reader's subscriptions a message is about, where there are several (7.1.2.4). */
export function withSubids(message: Element, subids: readonly string[]): Element {
  const headers = subids.map((subid) => el('header', NS.shim, { name: 'SubID' }, subid));
  return message.append(el('headers', NS.shim, undefined, ...headers));
}
