// The subscriptions of a node, as its owners see and change them (XEP-0060 8.8).
//
// - 8.8.2.4: what of several changes is possible is done, and the rest is told.
// - An owner gives any state of 4.2: what was approved waits again, or until its subscriber has chosen options.
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import { type Element, el } from '../../xml/element.ts';
import { flatten } from '../../xml/flatten.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { asOwner, checkOwner } from './access.ts';
import type { Asked } from './asked.ts';
import { hasExpired, type Node } from './node.ts';
import { pubsubOwner } from './respond.ts';
import type { SubscriptionRow, SubscriptionState } from './rows.ts';
import type { Shelf } from './shelf.ts';
import { begun, endSubscriptions, putInState, saveSubscriptions, tellState } from './subscriptions.ts';

/** 8.8.1. @throws StanzaError `forbidden` for all but owners */
export function answerSubscribers(shelf: Shelf, name: string, { from }: Asked): MaybePromise<Element> {
  return andThen(shelf.get(name), (node) => {
    checkOwner(shelf, node, from);
    const now = shelf.ports.now();
    const found = [...node.entities.values()].flatMap(({ subscriptions = [] }) =>
      subscriptions
        .filter((one) => one.state !== 'pending' && !hasExpired(one, now))
        .map((one) => element(one, one.state)),
    );
    return pubsubOwner(el('subscriptions', NS.pubsubOwner, { node: name }, ...found));
  });
}

function element(
  { jid, subid }: { readonly jid: string; readonly subid?: string | undefined },
  subscription: SubscriptionRow['state'] | 'none',
): Element {
  return el('subscription', NS.pubsubOwner, { jid, subid, subscription });
}

/** 8.8.2. @throws StanzaError `forbidden` for all but owners, `not-acceptable` with what could not be done */
export function changeSubscribers(
  shelf: Shelf,
  name: string,
  { from }: Asked,
  action: Element,
): MaybePromise<undefined> {
  return asOwner(shelf, name, from, async (node) => {
    const refused: Element[] = [];
    for (const change of action.getChildren('subscription')) {
      if (!(await apply(shelf, node, change))) refused.push(...asItIs(node, change));
    }
    if (refused.length === 0) return undefined;
    const beside = pubsubOwner(el('subscriptions', NS.pubsubOwner, { node: name }, ...refused));
    throw new StanzaError('not-acceptable', undefined, { beside });
  });
}

/** What there is of the one that a change was to be made to. */
function asItIs(node: Node, { attrs }: Element): Element[] {
  const { jid = '', subid } = attrs;
  const there = matching(node, Jid.parse(jid), subid);
  return there.length === 0 ? [element({ jid, subid }, 'none')] : there.map((one) => element(one, one.state));
}

function matching(node: Node, jid: Jid | undefined, subid: string | undefined): SubscriptionRow[] {
  if (jid === undefined) return [];
  return node
    .subscriptionsOf(jid.bare)
    .filter((one) => one.jid === jid.full && (subid === undefined || one.subid === subid));
}

/** Whether it could be done. */
async function apply(shelf: Shelf, node: Node, { attrs }: Element): Promise<boolean> {
  const { jid: text = '', subid, subscription: wanted } = attrs;
  // "the value MUST NOT be changed"
  if (wanted === undefined) return true;
  const jid = Jid.parse(text);
  if (jid === undefined) return false;
  const there = matching(node, jid, subid);
  switch (wanted) {
    case 'none':
      if (there.length === 0) return false;
      await endSubscriptions(shelf, node, jid.bare, there);
      return true;
    case 'subscribed':
    case 'unconfigured':
    case 'pending':
      if (there.length === 0) return subid === undefined && add(shelf, node, jid, wanted);
      await putInState(shelf, node, jid.bare, there, wanted);
      return true;
    default:
      return false;
  }
}

/** An owner subscribes somebody. Who is banned is not. */
async function add(shelf: Shelf, node: Node, jid: Jid, state: SubscriptionState): Promise<boolean> {
  const affiliation = node.affiliationOf(jid.bare);
  if (affiliation === 'outcast' || affiliation === 'publish-only') return false;
  const row: SubscriptionRow = { jid: flatten(jid.full), subid: shelf.ports.newId(), state };
  await saveSubscriptions(shelf, node, jid.bare, [...node.subscriptionsOf(jid.bare), row]);
  tellState(shelf, node, row, state);
  if (state === 'subscribed') begun(shelf, node, row);
  return true;
}
