// Taking items back (XEP-0060 7.2), and all of them at once (8.5).
//
// - 4.1: publishers take back what they have published, owners everything.
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { affiliationAt, asOwner, checkItemsAreTheirs } from './access.ts';
import type { Asked } from './asked.ts';
import { forbidden, pubsubError, unsupported } from './errors.ts';
import { itemsChanged, itemsRetracted, nodePurged } from './hooks.ts';
import type { Node } from './node.ts';
import { retractEvent } from './notices.ts';
import { notifyAll } from './notify.ts';
import type { Shelf } from './shelf.ts';

/** 7.2.1. */
export function retractAsAsked(shelf: Shelf, name: string, { from }: Asked, action: Element): MaybePromise<undefined> {
  const items = action.getChildren('item');
  const ids = items.flatMap(({ attrs: { id } }) => (id === undefined || id === '' ? [] : [id]));
  if (items.length === 0 || ids.length < items.length) throw pubsubError('item-required');
  const isNotified = isTrue(action.attrs.notify);
  return andThen(retract(shelf, name, { by: from, ids, isNotified }), () => undefined);
}

/** XML Schema 3.2.2; nothing, and what is none, is not true. */
function isTrue(text: string | undefined): boolean {
  return text === 'true' || text === '1';
}

/** What is to be taken back. */
export interface Retraction {
  readonly by: Jid;
  readonly ids: readonly string[];
  /** Subscribers are told, whatever the node says. */
  readonly isNotified: boolean;
}

/**
 * Takes items back: all of them, or none.
 * @throws StanzaError each of section 7.2.3
 */
export function retract(shelf: Shelf, name: string, { by, ids, isNotified }: Retraction): MaybePromise<void> {
  return shelf.run(name, () =>
    andThen(shelf.get(name), async (node) => {
      const { items } = shelf.ports.rows;
      checkPersistent(node);
      checkItemsAreTheirs(node);
      const affiliation = affiliationAt(shelf, node, by);
      if (affiliation === 'outcast') throw forbidden();
      const wanted = [...new Set(ids)];
      const there = await items.get(name, wanted);
      if (affiliation !== 'owner' && there.some(({ publisher }) => publisher !== by.bare)) throw forbidden();
      if (there.length < wanted.length) {
        // who has nothing to do with the node does not learn what it has
        throw affiliation === 'none' || affiliation === 'member' ? forbidden() : noItem();
      }
      await items.remove(name, wanted);
      await follow(shelf, node, by, wanted, isNotified);
    }),
  );
}

/** Takes back what is the service's own, as far as it is there; in the node's turn. */
export async function retractOwn(shelf: Shelf, node: Node, ids: readonly string[]): Promise<void> {
  const gone = await shelf.ports.rows.items.remove(node.name, ids);
  if (gone.length > 0) await follow(shelf, node, shelf.jid, gone, false);
}

/** What follows when items are gone. */
function follow(shelf: Shelf, node: Node, by: Jid, ids: readonly string[], isNotified: boolean): MaybePromise<void> {
  const { jid: service, ports } = shelf;
  if (isNotified || node.config.notifiesRetract) notifyAll(shelf, node, retractEvent(node.name, ids));
  ports.hooks.notify(itemsRetracted, { service, node, by, ids });
  return ports.hooks.collect(itemsChanged, { service, node, shelf, by, gone: ids });
}

const noItem = (): StanzaError => new StanzaError('item-not-found', 'there is no such item');

/** 7.2.3.5, 8.5.3.3. */
function checkPersistent({ config }: Node): void {
  if (!config.isPersistent) throw unsupported('persistent-items');
}

/** 8.5.1. */
export function purgeAsAsked(shelf: Shelf, name: string, { from }: Asked): MaybePromise<undefined> {
  return andThen(purge(shelf, name, from), () => undefined);
}

/** Removes all items. @throws StanzaError each of section 8.5.3 */
export function purge(shelf: Shelf, name: string, by: Jid): MaybePromise<void> {
  return asOwner(shelf, name, by, async (node) => {
    checkPersistent(node);
    checkItemsAreTheirs(node);
    await purgeNode(shelf, node, by);
  });
}

/** The same, whoever wants it; in the node's turn. */
export async function purgeNode(shelf: Shelf, node: Node, by: Jid): Promise<void> {
  const { jid: service, ports } = shelf;
  await ports.rows.items.clear(node.name);
  if (node.config.notifiesRetract) notifyAll(shelf, node, el('purge', NS.pubsubEvent, { node: node.name }));
  ports.hooks.notify(nodePurged, { service, node, by });
  await ports.hooks.collect(itemsChanged, { service, node, shelf, by, gone: 'all' });
}
