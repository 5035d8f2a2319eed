// Subscribing (XEP-0060 6.1, 6.3.8) and unsubscribing (6.2).
//
// - 6.1.6: who subscribes once more by the same address has the subscription that is there, unless other options come with it: they are what several
//   subscriptions are for.
// - 6.1.3.6 MAY: who is anonymous may subscribe.
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import { type Element, el } from '../../xml/element.ts';
import { flatten } from '../../xml/flatten.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { affiliationAt, mayNotSubscribe } from './access.ts';
import type { Asked } from './asked.ts';
import { requestApproval } from './authorize.ts';
import { forbidden, pubsubError, unsupported } from './errors.ts';
import { hasExpired, type Node, optionsOf } from './node.ts';
import { pubsub, subscriptionElement } from './respond.ts';
import type { SubscriptionRow } from './rows.ts';
import type { Shelf } from './shelf.ts';
import {
  optionDifferences,
  optionsElement,
  plainOptions,
  readOptions,
  type SubscriptionOptions,
} from './subscription-options.ts';
import { begun, ended, oneOf, putInState, saveSubscriptions, show, subscriberOf } from './subscriptions.ts';

/** 6.1.1. @throws StanzaError each of section 6.1.3 */
export function subscribeAsAsked(shelf: Shelf, name: string, asked: Asked, action: Element): MaybePromise<Element> {
  const { from, payload } = asked;
  const subscriber = subscriberOf(action, from, () => pubsubError('invalid-jid'));
  const options = optionsIn(payload, action);
  return shelf.run(name, () =>
    andThen(shelf.get(name), (node) => {
      if (!node.config.allowsSubscriptions) throw unsupported('subscribe');
      return andThen(mayNotSubscribe(shelf, node, from), async (reason) => {
        if (reason !== undefined) throw reason;
        const isPublic = action.getChild('public', NS.publicSubscriptions) !== undefined;
        if (!isPublic) await show(shelf, node, subscriber, false);
        const row = await subscribe(shelf, node, subscriber, options);
        if (isPublic) await show(shelf, node, subscriber, true);
        const chosen = options && el('options', NS.pubsub, undefined, optionsElement(optionsOf(row), 'result'));
        const subscription = subscriptionElement(name, row);
        return chosen === undefined ? pubsub(subscription) : pubsub(subscription, chosen);
      });
    }),
  );
}

/** 6.3.8. */
function optionsIn(payload: Element, action: Element): SubscriptionOptions | undefined {
  const options = payload.getChild('options');
  if (options === undefined) return undefined;
  const children = payload.elements();
  const { node, jid } = options.attrs;
  if (node !== undefined || jid !== undefined || children.indexOf(options) < children.indexOf(action)) {
    throw new StanzaError('bad-request', '<options/> follows <subscribe/>, and names neither node nor address');
  }
  const x = options.getChild('x', NS.dataForms);
  return x === undefined || x.attrs.type === 'cancel' ? undefined : readOptions(x, plainOptions);
}

/** Subscribes somebody who may, in the node's turn. @throws StanzaError `pending-subscription`, `too-many-subscriptions` */
async function subscribe(
  shelf: Shelf,
  node: Node,
  subscriber: Jid,
  options: SubscriptionOptions | undefined,
): Promise<SubscriptionRow> {
  const { ports } = shelf;
  const now = ports.now();
  const all = node.subscriptionsOf(subscriber.bare).filter((one) => !hasExpired(one, now));
  const own = all.filter(({ jid }) => jid === subscriber.full);
  const isApproved =
    node.config.accessModel !== 'authorize' ||
    affiliationAt(shelf, node, subscriber) !== 'none' ||
    node.head !== undefined;
  const waiting = own.filter(({ state }) => state === 'pending');
  if (waiting.length > 0) {
    if (!isApproved) throw pubsubError('pending-subscription');
    // the node is another by now, and nobody has to agree any more
    await putInState(shelf, node, subscriber.bare, waiting, 'subscribed');
    return { ...waiting[0]!, state: 'subscribed' };
  }
  const there = own.find((one) => options === undefined || isAlike(optionsOf(one), options));
  if (there !== undefined) return there;
  if (all.length >= ports.policy.mostSubscriptions) throw pubsubError('too-many-subscriptions');
  const differences = options && optionDifferences(options);
  const row: SubscriptionRow = {
    jid: flatten(subscriber.full),
    subid: ports.newId(),
    state: isApproved ? 'subscribed' : 'pending',
    ...(differences && { options: differences }),
  };
  await saveSubscriptions(shelf, node, subscriber.bare, [...all, row]);
  if (isApproved) begun(shelf, node, row);
  else requestApproval(shelf, node, row);
  return row;
}

function isAlike(one: SubscriptionOptions, other: SubscriptionOptions): boolean {
  return JSON.stringify(optionDifferences(one)) === JSON.stringify(optionDifferences(other));
}

/** 6.2.1. @throws StanzaError each of section 6.2.3 */
export function unsubscribeAsAsked(
  shelf: Shelf,
  name: string,
  { from }: Asked,
  action: Element,
): MaybePromise<Element> {
  const subscriber = subscriberOf(action, from, forbidden);
  return shelf.run(name, () =>
    andThen(shelf.get(name), async (node) => {
      const row = oneOf(shelf, node, subscriber, action.attrs.subid);
      const others = node.subscriptionsOf(subscriber.bare).filter((one) => one !== row);
      await saveSubscriptions(shelf, node, subscriber.bare, others);
      ended(shelf, node, row);
      return pubsub(subscriptionElement(name, row, 'none'));
    }),
  );
}
