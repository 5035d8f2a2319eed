// Subscribers who come and go (XEP-0060 12.2, 12.5): the last item for those who come, the end of subscriptions that were for as long as somebody
// is online; and accounts that are no more.
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { mayNotRead } from './access.ts';
import { heedsComings, isWhileOnline } from './heeding.ts';
import { sendLastItem } from './last-item.ts';
import { isActive, type Node, optionsOf, withAffiliation, withSubscriptions } from './node.ts';
import type { EntityRow, NodeRow, SubscriptionRow } from './rows.ts';
import type { Service, Shelf } from './shelf.ts';
import { ended, saveEntity, saveSubscriptions } from './subscriptions.ts';

/** Whether it matters to a node that a person comes or goes, by what is stored. */
export function heedsPresence(service: Service, name: string, node: NodeRow, entity: EntityRow): boolean {
  if ((entity.subscriptions ?? []).length === 0) return false;
  return heedsComings({ ...service.defaults(name), ...node.config }) || isWhileOnline(entity);
}

/** A resource became available: it is sent the last item, where its person has subscribed and the node is to. */
export function greet(shelf: Shelf, name: string, who: Jid): MaybePromise<void> {
  return andThen(shelf.find(name), (node) => {
    if (node === undefined || node.config.sendLast !== 'on_sub_and_presence') return;
    const now = shelf.ports.now();
    const isForIt = (one: SubscriptionRow): boolean =>
      isActive(one, now) && optionsOf(one).deliver && (one.jid === who.full || one.jid === who.bare);
    if (!node.subscriptionsOf(who.bare).some(isForIt)) return;
    return andThen(mayNotRead(shelf, node, who), (reason) => {
      if (reason === undefined) sendLastItem(shelf, node, [who]);
    });
  });
}

/** A resource is not available any more: subscriptions that were to last so long end. */
export function dismiss(shelf: Shelf, name: string, who: Jid): MaybePromise<void> {
  return shelf.run(name, () =>
    andThen(shelf.find(name), async (node) => {
      if (node === undefined) return;
      const own = node.subscriptionsOf(who.bare).filter((one) => isTemporary(node, one));
      if (own.length === 0) return;
      // others of the person's may still be there
      const isAway = (await shelf.ports.people.isPresent(who.withResource(''))) !== true;
      const over = own.filter(({ jid }) => jid === who.full || (isAway && jid === who.bare));
      if (over.length === 0) return;
      const left = node.subscriptionsOf(who.bare).filter((one) => !over.includes(one));
      await saveSubscriptions(shelf, node, who.bare, left);
      for (const row of over) ended(shelf, node, row);
    }),
  );
}

function isTemporary({ config }: Node, row: SubscriptionRow): boolean {
  return config.isTemporary || optionsOf(row).expire === 'presence';
}

/** An account is no more, and neither is what it had to do with a node; its last owner leaves a node that goes on. */
export function forget(shelf: Shelf, name: string, bare: string): MaybePromise<void> {
  return shelf.run(name, () =>
    andThen(shelf.find(name), async (node) => {
      const row = node?.entities.get(bare);
      if (node === undefined || row === undefined) return;
      await saveEntity(shelf, node, bare, withAffiliation(withSubscriptions(row, []), 'none'));
      for (const one of row.subscriptions ?? []) ended(shelf, node, one);
    }),
  );
}
