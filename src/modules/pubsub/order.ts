// XEP-0413: in which order items are read: as they were published first (`creation`), or last (`modification`).
//
// - In neither order are two items equal, so that of several only the first counts.
// - `max_items` beside it asks for the first ones of that order.
// - For items alone, not for archives (XEP-0313).
import type { ItemsQuery } from '../../storage/ports.ts';
import type { Element } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { NS } from '../../xmpp/ns.ts';

export type Order = Pick<ItemsQuery, 'by' | 'newestFirst'>;

/** What XEP-0060 has: the newest first, where "newest" is what was published last. */
export const usualOrder: Order = { newestFirst: true };

const orders: ReadonlyMap<string, 'created' | 'published'> = new Map([
  ['creation', 'created'],
  ['modification', 'published'],
]);

/** The features of a service that orders items. */
export const orderFeatures = [NS.orderBy, `${NS.orderBy}@${NS.pubsub}`];

/**
 * The order that a request asks for.
 * @param payload `<pubsub/>`
 * @throws StanzaError `bad-request` where it does not say which, `feature-not-implemented` for one that is not known
 */
export function orderIn(payload: Element): Order {
  const order = payload.getChild('order', NS.orderBy);
  if (order === undefined) return usualOrder;
  const { by: field, desc } = order.attrs;
  if (field === undefined || field === '') throw new StanzaError('bad-request', 'by what are they to be ordered?');
  const by = orders.get(field);
  if (by === undefined) throw new StanzaError('feature-not-implemented', `no order by "${field}" is known`);
  return { by, newestFirst: desc === 'true' || desc === '1' };
}
