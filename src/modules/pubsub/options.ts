// The options of subscriptions, as their subscribers ask for them (XEP-0060 6.3, 6.4).
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Asked } from './asked.ts';
import { forbidden } from './errors.ts';
import { optionsOf } from './node.ts';
import { pubsub } from './respond.ts';
import type { SubscriptionRow } from './rows.ts';
import type { Service, Shelf } from './shelf.ts';
import { optionDifferences, optionsElement, plainOptions, readOptions } from './subscription-options.ts';
import { oneOf, putInState, saveSubscriptions, subscriberOf } from './subscriptions.ts';

/** 6.3.2. @throws StanzaError each of section 6.3.4 */
export function answerOptions(shelf: Shelf, name: string, { from }: Asked, action: Element): MaybePromise<Element> {
  return andThen(shelf.get(name), (node) => {
    const row = oneOf(shelf, node, subscriberOf(action, from, forbidden), action.attrs.subid);
    const { jid, subid } = row;
    return pubsub(el('options', NS.pubsub, { node: name, jid, subid }, optionsElement(optionsOf(row), 'form')));
  });
}

/** 6.3.5. @throws StanzaError each of section 6.3.4, and `invalid-options` */
export function setOptions(shelf: Shelf, name: string, { from }: Asked, action: Element): MaybePromise<undefined> {
  return shelf.run(name, () =>
    andThen(shelf.get(name), async (node) => {
      const subscriber = subscriberOf(action, from, forbidden);
      const row = oneOf(shelf, node, subscriber, action.attrs.subid);
      const x = action.getChild('x', NS.dataForms);
      if (x === undefined) throw new StanzaError('bad-request', 'there is no form');
      if (x.attrs.type === 'cancel') return undefined;
      const options = optionDifferences(readOptions(x, optionsOf(row)));
      const { options: _, ...rest } = row;
      const changed: SubscriptionRow = { ...rest, ...(options && { options }) };
      const all = node.subscriptionsOf(subscriber.bare).map((one) => (one === row ? changed : one));
      await saveSubscriptions(shelf, node, subscriber.bare, all);
      // 6.1.5: this is what it waited for
      if (changed.state === 'unconfigured') await putInState(shelf, node, subscriber.bare, [changed], 'subscribed');
      return undefined;
    }),
  );
}

/** 6.4: what a subscription is whose subscriber has chosen nothing. */
export function answerDefaultOptions(_service: Service, _asked: Asked, action: Element): Element {
  const { node } = action.attrs;
  return pubsub(el('default', NS.pubsub, { node }, optionsElement(plainOptions, 'result')));
}
