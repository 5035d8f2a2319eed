// What answers are made of: `<pubsub/>` around one element.
import { type Element, el } from '../../xml/element.ts';
import { NS } from '../../xmpp/ns.ts';
import type { SubscriptionRow, SubscriptionState } from './rows.ts';

/** `<pubsub/>` with these children, in its own namespace. */
export function pubsub(...children: readonly Element[]): Element {
  return el('pubsub', NS.pubsub, undefined, ...children);
}

/** The same in the namespace for owners. */
export function pubsubOwner(...children: readonly Element[]): Element {
  return el('pubsub', NS.pubsubOwner, undefined, ...children);
}

/** A subscription as its subscriber is told of it, also that it needs options first (6.1.5); `none` for one that is over. */
export function subscriptionElement(
  node: string,
  { jid, subid, state }: SubscriptionRow,
  as: SubscriptionState | 'none' = state,
): Element {
  const required =
    as === 'unconfigured' ? [el('subscribe-options', NS.pubsub, undefined, el('required', NS.pubsub))] : [];
  return el('subscription', NS.pubsub, { node, jid, subid, subscription: as }, ...required);
}
