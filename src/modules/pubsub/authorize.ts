// Subscriptions that owners have to agree to (XEP-0060 6.1.4, 8.6, 8.7): the form that asks them, and what they answer.
//
// - 8.6: all owners are asked, and the first answer counts (12.13).
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import { type Element, el } from '../../xml/element.ts';
import { booleanField, type Form, findForm, formElement, jidField, readForm, textField } from '../../xmpp/dataform.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { asOwner, checkOwner } from './access.ts';
import { pubsubError } from './errors.ts';
import type { Node } from './node.ts';
import { notifyOne } from './notify.ts';
import type { SubscriptionRow } from './rows.ts';
import type { Shelf } from './shelf.ts';
import { endSubscriptions, putInState } from './subscriptions.ts';

const fields = {
  'pubsub#subid': textField('The request'),
  'pubsub#node': textField('Node'),
  'pubsub#subscriber_jid': jidField('Who wants to subscribe'),
  'pubsub#allow': booleanField('Allow it?'),
};
const form: Form<typeof fields> = {
  formType: NS.pubsubAuthorization,
  title: 'Somebody wants to subscribe',
  instructions: 'Say whether they may.',
  fields,
};

/** Asks the owners of a node (8.6). */
export function requestApproval(
  shelf: Shelf,
  node: Node,
  row: SubscriptionRow,
  owners = node.affiliated('owner'),
): void {
  const subscriber = Jid.parse(row.jid)!;
  const x = formElement(form, {
    'pubsub#subid': row.subid,
    'pubsub#node': node.name,
    'pubsub#subscriber_jid': subscriber,
    'pubsub#allow': false,
  });
  // not a headline: it is to be there when an owner comes
  const message = el('message', null, { from: shelf.jid.full, id: shelf.ports.newId() }, x);
  notifyOne(
    shelf,
    node,
    message,
    owners.map((owner) => Jid.parse(owner)!),
  );
}

/** What an owner has decided. */
interface Decision {
  readonly subscriber: Jid;
  readonly subid: string | undefined;
  readonly isAllowed: boolean;
}

/** Whether a message answers such a form. */
export function isDecision(message: Element): boolean {
  return findForm(message, NS.pubsubAuthorization) !== undefined;
}

/**
 * The node that such a message decides about; undefined where it decides nothing.
 * @throws StanzaError `bad-request` where it does not say
 */
export function decidedNode(message: Element): string | undefined {
  const x = findForm(message, NS.pubsubAuthorization);
  if (x === undefined || x.attrs.type === 'cancel') return undefined;
  const node = readForm(form, x)['pubsub#node'];
  if (node === undefined || node === '') throw pubsubError('nodeid-required');
  return node;
}

/**
 * Does what an owner has decided.
 * @throws StanzaError `forbidden` for others, `not-subscribed` where nobody asks any more, `bad-request` where the form does not say who
 */
export function decide(shelf: Shelf, name: string, from: Jid, message: Element): MaybePromise<void> {
  const decision = decisionIn(message);
  return asOwner(shelf, name, from, (node) => settle(shelf, node, decision));
}

function decisionIn(message: Element): Decision {
  const x = findForm(message, NS.pubsubAuthorization);
  const values = x && readForm(form, x);
  const subscriber = values?.['pubsub#subscriber_jid'];
  const isAllowed = values?.['pubsub#allow'];
  if (values === undefined || subscriber === undefined || isAllowed === undefined) {
    throw new StanzaError('bad-request', 'the form does not say who, and whether they may');
  }
  return { subscriber, subid: values['pubsub#subid'] || undefined, isAllowed };
}

async function settle(shelf: Shelf, node: Node, { subscriber, subid, isAllowed }: Decision): Promise<void> {
  const all = node.subscriptionsOf(subscriber.bare);
  const isMeant = (one: SubscriptionRow): boolean =>
    one.state === 'pending' && one.jid === subscriber.full && (subid === undefined || one.subid === subid);
  if (!all.some(isMeant)) throw pubsubError('not-subscribed', 'nobody asks that any more');
  await settlePending(shelf, node, subscriber.bare, isMeant, isAllowed);
}

/** Approves of requests of a person, or denies them, and tells (8.6, 12.14). */
export async function settlePending(
  shelf: Shelf,
  node: Node,
  bare: string,
  isMeant: (row: SubscriptionRow) => boolean,
  isAllowed: boolean,
): Promise<void> {
  const settled = node.subscriptionsOf(bare).filter(isMeant);
  if (isAllowed) await putInState(shelf, node, bare, settled, 'subscribed');
  else await endSubscriptions(shelf, node, bare, settled);
}

/** Sends an owner, who asks for it, every request that waits (8.7). @throws StanzaError `forbidden` for others, `item-not-found` */
export function remind(shelf: Shelf, name: string, asker: Jid): MaybePromise<void> {
  return andThen(shelf.get(name), (node) => {
    checkOwner(shelf, node, asker);
    for (const { subscriptions = [] } of node.entities.values()) {
      for (const row of subscriptions) if (row.state === 'pending') requestApproval(shelf, node, row, [asker.full]);
    }
  });
}
