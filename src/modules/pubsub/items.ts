// Reading items (XEP-0060 6.5): those that are asked for by id, the newest ones, or page by page (XEP-0059), newest first unless
// somebody asks for another order (XEP-0413).
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import type { Item, ItemsPage } from '../../storage/ports.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { type PageRequest, pageElement, parsePageRequest } from '../../xmpp/rsm.ts';
import { mayNotRead } from './access.ts';
import type { Asked } from './asked.ts';
import { pubsubError, unsupported } from './errors.ts';
import { isActive, type Node } from './node.ts';
import { itemElement, payloadOf } from './notices.ts';
import { type Order, orderIn } from './order.ts';
import { pubsub } from './respond.ts';
import type { Shelf } from './shelf.ts';

/** Ids in one request. */
const MOST_IDS = 1000;

/** What is asked of a node. */
export interface ItemsRequest {
  readonly ids: readonly string[];
  readonly order: Order;
  /** So many of the first in that order; undefined: as many as go into an answer. */
  readonly most: number | undefined;
  readonly page: PageRequest | undefined;
}

/** Items, and what of the whole they are where somebody has asked for a page, or they are not all. */
export interface FoundItems {
  readonly items: readonly Item[];
  readonly set?: Element;
}

/** 6.5.2. @throws StanzaError each of section 6.5.9 */
export function answerItems(
  shelf: Shelf,
  name: string,
  { from, payload }: Asked,
  action: Element,
): MaybePromise<Element> {
  const request = readRequest(payload, action);
  return andThen(shelf.get(name), (node) =>
    andThen(mayNotRead(shelf, node, from), async (reason) => {
      if (reason !== undefined) throw reason;
      checkSubid(shelf, node, from, action.attrs.subid);
      const { items, set } = await findItems(shelf, node, request);
      const found = items.map((item) => itemElement(NS.pubsub, item, payloadOf(item), node.config));
      const list = el('items', NS.pubsub, { node: name }, ...found);
      return set === undefined ? pubsub(list) : pubsub(list, set);
    }),
  );
}

function readRequest(payload: Element, action: Element): ItemsRequest {
  const { max_items: given } = action.attrs;
  if (given !== undefined && !/^[1-9]\d{0,9}$/.test(given))
    throw new StanzaError('bad-request', 'max_items is no number');
  const items = action.getChildren('item');
  if (items.length > MOST_IDS) throw new StanzaError('not-acceptable', `no more than ${MOST_IDS} ids`);
  return {
    ids: items.map(({ attrs: { id } }) => {
      if (id === undefined || id === '') throw pubsubError('item-required');
      return id;
    }),
    order: orderIn(payload),
    most: given === undefined ? undefined : Number(given),
    page: payload.getChild('set', NS.rsm) === undefined ? undefined : parsePageRequest(payload),
  };
}

/** 6.5.9.1, 6.5.9.2: with several subscriptions of one address (6.1.6), a request says which one it is made under. */
function checkSubid(shelf: Shelf, node: Node, { bare, full }: Jid, subid: string | undefined): void {
  const now = shelf.ports.now();
  const own = node.subscriptionsOf(bare).filter((one) => isActive(one, now));
  if (subid === undefined || subid === '') {
    const isAmbiguous = [bare, full].some((address) => own.filter(({ jid }) => jid === address).length > 1);
    if (isAmbiguous) throw pubsubError('subid-required');
    return;
  }
  if (own.length > 0 && !own.some((one) => one.subid === subid)) throw pubsubError('invalid-subid');
}

/** Reads items. Whether that may be is checked already. @throws StanzaError `item-not-found` for a page that begins at no item */
export async function findItems(shelf: Shelf, node: Node, request: ItemsRequest): Promise<FoundItems> {
  const { rows, policy } = shelf.ports;
  const { ids, page } = request;
  if (!node.config.isPersistent) return { items: lastOf(node, ids) };
  if (ids.length > 0) return { items: await rows.items.get(node.name, [...new Set(ids)]) };
  if (page?.index !== undefined) throw new StanzaError('feature-not-implemented', 'pages begin at items');
  const wanted = request.most ?? Number.POSITIVE_INFINITY;
  const limit = Math.min(page?.max ?? wanted, wanted, policy.pageSize);
  const found = await rows.items.page(node.name, {
    ...request.order,
    limit,
    ...(page?.after !== undefined && { after: page.after }),
    ...(page?.before !== undefined && page.before !== '' && { before: page.before }),
    ...(page?.before !== undefined && { backwards: true }),
  });
  if (found === undefined) throw new StanzaError('item-not-found', 'there is no such item to start from');
  const isCut = page === undefined && wanted > limit && found.total > found.items.length;
  if (page === undefined && !isCut) return found;
  const { items, total } = found;
  let index: number | undefined;
  if (page?.after === undefined && !page?.before) index = page?.before === '' ? total - items.length : 0;
  return { items, set: setElement(found, index) };
}

/** 6.5.5: what a node without a store remembers. @throws StanzaError where it remembers nothing (6.5.9.4) */
function lastOf({ config, last }: Node, ids: readonly string[]): readonly Item[] {
  if (config.sendLast === 'never' || (!config.deliversPayloads && !config.isPersistent)) {
    throw unsupported('persistent-items');
  }
  return last === undefined || (ids.length > 0 && !ids.includes(last.id)) ? [] : [last];
}

function setElement({ items, total: count }: ItemsPage, index: number | undefined): Element {
  if (items.length === 0) return pageElement({ count });
  const ends = { first: items[0]!.id, last: items.at(-1)!.id };
  return pageElement({ count, ...ends, ...(index !== undefined && { index }) });
}
