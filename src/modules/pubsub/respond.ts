// What answers are made of: `<pubsub/>` around one element.
import { type Element, el } from '../../xml/element.ts';
import { NS } from '../../xmpp/ns.ts';
import type { SubscriptionRow } from './rows.ts';

/** `<pubsub/>` with these children, in its own namespace. */
export function pubsub(...children: readonly Element[]): Element {
  return el('pubsub', NS.pubsub, undefined, ...children);
}

/** The same in the namespace for owners. */
export function pubsubOwner(...children: readonly Element[]): Element {
  return el('pubsub', NS.pubsubOwner, undefined, ...children);
}

/** A subscription as its subscriber is told of it; `none` for one that is over. */
export function subscriptionElement(
  node: string,
  { jid, subid, state }: SubscriptionRow,
  as: SubscriptionRow['state'] | 'none' = state,
  ...children: readonly Element[]
): Element {
  return el('subscription', NS.pubsub, { node, jid, subid, subscription: as }, ...children);
}
