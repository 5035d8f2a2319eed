// Deleting nodes (XEP-0060 8.4).
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { asOwner, checkItemsAreTheirs } from './access.ts';
import type { Asked } from './asked.ts';
import { itemsChanged, nodeDeleted } from './hooks.ts';
import type { Node } from './node.ts';
import { eventMessage } from './notices.ts';
import { letterhead, notifyOne } from './notify.ts';
import type { Shelf } from './shelf.ts';

/** Of a URI, in characters. */
const MOST_URI = 2048;

/** 8.4.1. */
export function deleteAsAsked(shelf: Shelf, name: string, { from }: Asked, action: Element): MaybePromise<undefined> {
  const uri = action.getChild('redirect')?.attrs.uri;
  if (uri !== undefined && (uri === '' || uri.length > MOST_URI))
    throw new StanzaError('bad-request', 'that is no URI');
  return andThen(deleteNode(shelf, name, from, uri), () => undefined);
}

/**
 * Deletes a node and all that it has; whoever asks for it later is told where it goes on, if it does.
 * @throws StanzaError each of section 8.4.3
 */
export function deleteNode(shelf: Shelf, name: string, by: Jid, movedTo?: string): MaybePromise<void> {
  return asOwner(shelf, name, by, (node) => {
    checkItemsAreTheirs(node);
    return removeNode(shelf, node, by, movedTo);
  });
}

/** The same, whoever asks for it; in the node's turn. */
export async function removeNode(shelf: Shelf, node: Node, by: Jid, movedTo?: string): Promise<void> {
  const { ports, jid: service } = shelf;
  const { name, creator, createdAt: at } = node;
  // who hears of it is asked before there is nobody any more
  const listeners = await ports.listeners(node);
  // 8.4: "it MUST remove all items from persistent storage before the node itself is deleted"
  await ports.rows.items.clear(name);
  // a node that is there has owners, whatever happens in between
  await ports.rows.saveNode(name, movedTo === undefined ? undefined : { config: {}, creator, at, movedTo });
  await ports.rows.clearEntities(name);
  shelf.remove(node, movedTo);
  tellEverybody(shelf, node, listeners, movedTo);
  ports.hooks.notify(nodeDeleted, { service, node, by });
  await ports.hooks.collect(itemsChanged, { service, node, shelf, by, gone: 'all' });
}

/** 8.4.2: "all subscribers (which SHOULD include pending and unconfigured subscriptions)". */
function tellEverybody(shelf: Shelf, node: Node, listeners: readonly Jid[], movedTo: string | undefined): void {
  const { config } = node;
  if (!config.deliversNotifications || !config.notifiesDelete) return;
  const all = new Map(listeners.map((jid) => [jid.full, jid]));
  for (const { subscriptions = [] } of node.entities.values()) {
    for (const { jid } of subscriptions) all.set(jid, Jid.parse(jid)!);
  }
  const redirect = movedTo === undefined ? [] : [el('redirect', NS.pubsubEvent, { uri: movedTo })];
  const event = el('delete', NS.pubsubEvent, { node: node.name }, ...redirect);
  notifyOne(shelf, node, eventMessage(letterhead(shelf, node), event), [...all.values()]);
}
