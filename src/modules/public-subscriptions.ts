// XEP-0465: Pubsub Public Subscriptions: who has subscribed to a node and wants that to be seen. The list comes with the node (modules/pubsub/node.ts): who may read
// there reads it, and it goes with it. What an account has subscribed to is listed by modules/account-subscriptions, at a node that is defined here.
//
// - 3.4: a list of subscribers is there as soon as its node is, also while nobody is on it. It has no such list of its own.
// - 3.1: a subscription counts that says so itself, whoever sent it; not one that ends by the clock (`pubsub#expire`, a date), nor one that waits for an owner.
// - 4: who wants to make, purge or delete such nodes, to publish there or to take something back, is `forbidden` to, whether or not they are there.
// - 6 SHOULD: an account without public subscriptions has no node of them, and answers as nobody does (modules/pep/nobody.ts). So those who
//   have subscribed to it are told that it is deleted with its last item.
import { defineModule, on } from '../core/module.ts';
import { el } from '../xml/element.ts';
import { NS } from '../xmpp/ns.ts';
import type { NodeConfig } from './pubsub/config.ts';
import { removeNode } from './pubsub/delete.ts';
import { forbidden } from './pubsub/errors.ts';
import { companionWanted, itemsChanged, nodeDefaults, publiclySubscribed } from './pubsub/hooks.ts';
import { publishOwn } from './pubsub/publish.ts';
import { retractOwn } from './pubsub/retract.ts';

/** What both kinds of nodes are. */
const common: Partial<NodeConfig> = {
  type: NS.publicSubscriptions,
  isPersistent: true,
  maxItems: 'max',
  itemExpire: 'max',
  deliversPayloads: true,
  deliversNotifications: true,
  notifiesRetract: true,
  notifiesDelete: true,
  itemReply: 'none',
  isTemporary: false,
  sendLast: 'never',
};

const SUBSCRIBERS = `${NS.publicSubscribers}/`;

/** Of a name, in bytes: that of any node (XEP-0060 4.6.2). */
const MOST_NAME = 1023;

export default defineModule({
  xeps: ['XEP-0465 0.1.1'],
  summary: 'Shows who has subscribed to a node, of those who want that',
  hosts: ['users', 'pubsub'],

  setup({ host }) {
    const features = [NS.publicSubscriptions];
    return {
      features: host.kind === 'users' ? { account: features } : { server: features },
      handlers: [
        on(nodeDefaults, (event) => {
          const { name } = event;
          if (name.startsWith(SUBSCRIBERS)) {
            event.companion = { head: listed(name), isManaged: true, made: 'always' };
            event.config = { ...event.config, ...common };
          } else if (name === NS.publicSubscriptionsNode && host.kind === 'users') {
            event.companion = { head: undefined, isManaged: true, made: 'alone' };
            event.config = { ...event.config, ...common, accessModel: 'open' };
          }
        }),
        on(companionWanted, { phase: 'make' }, ({ shelf, name }) =>
          shelf.companionOf(name)?.made === undefined ? undefined : forbidden('the service alone publishes here'),
        ),
        on(publiclySubscribed, async ({ shelf, node, subscriber, isSubscribed }) => {
          const name = SUBSCRIBERS + node.name;
          if (node.isOver || listed(name) === undefined) return;
          await shelf.run(name, async () => {
            const list = await shelf.find(name);
            if (list === undefined) return;
            const payload = el('subscriber', NS.publicSubscriptions, { jid: subscriber });
            if (isSubscribed) await publishOwn(shelf, list, subscriber, payload);
            else await retractOwn(shelf, list, [subscriber]);
          });
        }),
        on(itemsChanged, async ({ shelf, node, by }) => {
          const name = SUBSCRIBERS + node.name;
          if (!node.isOver || listed(name) === undefined) return;
          await shelf.run(name, async () => {
            const list = await shelf.companion(node, name);
            if (list !== undefined) await removeNode(shelf, list, by);
          });
        }),
      ],
    };
  },
});

/** The node whose subscribers are at one of that name; undefined where none are. */
function listed(name: string): string | undefined {
  const node = name.slice(SUBSCRIBERS.length);
  return node === '' || node.startsWith(SUBSCRIBERS) || Buffer.byteLength(name) > MOST_NAME ? undefined : node;
}
