// What somebody has to do with the nodes of a service (XEP-0060 5.6, 5.7): asked of the stores, so that no node is woken.
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import { type Element, el } from '../../xml/element.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Asked } from './asked.ts';
import { hasExpired } from './node.ts';
import { pubsub, subscriptionElement } from './respond.ts';
import type { EntityRow } from './rows.ts';
import type { Service } from './shelf.ts';

type Mine = readonly (readonly [node: string, row: EntityRow])[];

/** Of everything, or of one node where a request names it. */
function mine({ ports }: Service, { from }: Asked, only: string | undefined): MaybePromise<Mine> {
  const isAny = only === undefined || only === '';
  return andThen(ports.directory.of(from.bare), (all) => [...all].filter(([node]) => isAny || node === only));
}

/** 5.6: those of the bare JID that asks, and of all its resources. */
export function answerSubscriptions(service: Service, asked: Asked, action: Element): MaybePromise<Element> {
  const { node: only } = action.attrs;
  const now = service.ports.now();
  return andThen(mine(service, asked, only), (all) => {
    const found = all.flatMap(([node, { subscriptions = [] }]) =>
      subscriptions.filter((one) => !hasExpired(one, now)).map((one) => subscriptionElement(node, one)),
    );
    return pubsub(el('subscriptions', NS.pubsub, { node: only }, ...found));
  });
}

/** 5.7. */
export function answerAffiliations(service: Service, asked: Asked, action: Element): MaybePromise<Element> {
  const { node: only } = action.attrs;
  return andThen(mine(service, asked, only), (all) => {
    const found = all.flatMap(([node, { affiliation }]) =>
      affiliation === undefined || service.companionOf(node) !== undefined
        ? []
        : [el('affiliation', NS.pubsub, { node, affiliation })],
    );
    return pubsub(el('affiliations', NS.pubsub, { node: only }, ...found));
  });
}
