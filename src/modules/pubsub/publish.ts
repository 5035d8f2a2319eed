// Publishing (XEP-0060 7.1).
//
// - 7.1.1 against 12.11: one item at a time.
// - 7.1.3.6: `pubsub#type` says what items are about, and is not the namespace of a payload that would have to match (5.4; XEP-0472 has one kind of
//   payload under the type of another).
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import type { Item } from '../../storage/ports.ts';
import { type Element, el } from '../../xml/element.ts';
import { flatten } from '../../xml/flatten.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { checkPublisher } from './access.ts';
import type { Asked } from './asked.ts';
import { createNode, extraFields, typeIn } from './create.ts';
import { pubsubError } from './errors.ts';
import { checkPreconditions, readPreconditions } from './forms.ts';
import {
  type CompanionWanted,
  companionWanted,
  type ItemPublish,
  itemPublish,
  itemPublished,
  itemsChanged,
  itemsRetracted,
} from './hooks.ts';
import { mostOf, ttlOf } from './keeping.ts';
import type { Node } from './node.ts';
import { itemElement, itemsEvent, payloadText, retractEvent } from './notices.ts';
import { notifyAll } from './notify.ts';
import { pubsub } from './respond.ts';
import type { Shelf } from './shelf.ts';

/** Of an ItemID, in bytes. */
const MOST_ID = 1023;

/** What is to be published. */
export interface Publication {
  readonly publisher: Jid;
  /** `<item/>`, with an `id` and a payload or without. */
  readonly item: Element | undefined;
  /** What the publisher expects of the node: a form (7.1.5). */
  readonly options?: Element | undefined;
}

/** 7.1.1. */
export function publishAsAsked(
  shelf: Shelf,
  name: string,
  { from, payload }: Asked,
  action: Element,
): MaybePromise<Element> {
  const items = action.getChildren('item');
  if (items.length > 1) throw new StanzaError('bad-request', 'one item at a time');
  const publication = { publisher: from, item: items[0], options: optionsIn(payload) };
  return andThen(publish(shelf, name, publication), (id) => {
    const published = id === undefined ? [] : [el('item', NS.pubsub, { id })];
    return pubsub(el('publish', NS.pubsub, { node: name }, ...published));
  });
}

/** 7.1.5: "MUST contain a data form", which has no other type than that of XEP-0004 for what is filled in; some clients give none. */
function optionsIn(payload: Element): Element | undefined {
  const options = payload.getChild('publish-options');
  if (options === undefined) return undefined;
  const x = options.getChild('x', NS.dataForms);
  if (x === undefined) throw new StanzaError('bad-request', 'there is no form in <publish-options/>');
  return x.attrs.type === undefined ? x.with({ type: 'submit' }) : x;
}

/**
 * Publishes, and makes the node where it may be made so.
 * @returns the id of the item, when it is stored and on its way; undefined where there is none
 * @throws StanzaError each of section 7.1.3, and what modules refuse
 */
export function publish(shelf: Shelf, name: string, publication: Publication): MaybePromise<string | undefined> {
  const issued = shelf.run(name, () =>
    andThen(place(shelf, name, publication), (node) => {
      checkPublisher(shelf, node, publication.publisher);
      return issue(shelf, node, publication);
    }),
  );
  // the next one need not wait until this one is on disk
  return andThen(issued, ({ done }) => done);
}

/** The node, as it is or made for this (7.1.4, 7.1.5). */
function place(shelf: Shelf, name: string, publication: Publication): MaybePromise<Node> {
  const { publisher, options } = publication;
  const { policy } = shelf.ports;
  return andThen(shelf.find(name), (node) => {
    if (node !== undefined) {
      if (options !== undefined && node.head === undefined) {
        // who may not publish is not told how the node is configured
        checkPublisher(shelf, node, publisher);
        checkPreconditions(options, node.config, policy, extraFields(shelf, name));
      }
      return node;
    }
    if (shelf.companionOf(name) !== undefined) return makeCompanion(shelf, name, publication);
    if (!policy.createsOnPublish) return shelf.get(name);
    const defaults = shelf.defaults(name, typeIn(options));
    const config =
      options === undefined ? defaults : readPreconditions(options, defaults, policy, extraFields(shelf, name));
    return createNode(shelf, name, publisher, config);
  });
}

/** @throws StanzaError where nobody lays it out */
function makeCompanion(shelf: Shelf, name: string, { publisher, item }: Publication): MaybePromise<Node> {
  const event: CompanionWanted = { shelf, name, publisher, item };
  return andThen(shelf.ports.hooks.gate(companionWanted, event), (verdict) => {
    if (verdict instanceof StanzaError) throw verdict;
    return event.made ?? shelf.get(name);
  });
}

/** Something that is under way; an object, lest it be waited for in the turn. */
interface Issued {
  readonly done: MaybePromise<string | undefined>;
}

/** Checks what is to be published, and begins to. */
function issue(shelf: Shelf, node: Node, { publisher, item }: Publication): MaybePromise<Issued> {
  const { config } = node;
  checkItem(node, item);
  if (item === undefined) {
    // 4.3: nothing but that something happened
    notifyAll(shelf, node, itemsEvent(node.name));
    return { done: undefined };
  }
  const { ports } = shelf;
  const event: ItemPublish = {
    service: shelf.jid,
    shelf,
    node,
    publisher,
    id: idOf(item) ?? ports.newId(),
    payload: item.elements()[0],
  };
  return andThen(ports.hooks.gate(itemPublish, event), (verdict) => {
    if (verdict instanceof StanzaError) throw verdict;
    const stored = itemOf(shelf, node, publisher, event);
    checkSize(shelf, node, stored.xml);
    if (!config.isPersistent) {
      node.last = config.sendLast === 'never' ? undefined : stored;
      return { done: announce(shelf, node, publisher, stored, event.payload, []) };
    }
    return store(shelf, node, publisher, stored, event.payload);
  });
}

/**
 * Publishes what is the service's own, whoever may publish there; in the node's turn.
 * @returns when it is stored and on its way
 */
export async function publishOwn(shelf: Shelf, node: Node, id: string, payload: Element): Promise<void> {
  const stored = itemOf(shelf, node, shelf.jid, { id, payload });
  const { done } = await store(shelf, node, shelf.jid, stored, payload);
  await done;
}

/** An item, as it goes into the store. */
export function itemOf(
  { ports }: Shelf,
  { config }: Node,
  publisher: Jid,
  { id, payload }: Pick<ItemPublish, 'id' | 'payload'>,
): Item {
  const at = ports.now();
  const ttl = ttlOf(config);
  return {
    id: flatten(id),
    xml: flatten(payloadText(payload)),
    publisher: publisher.bare,
    at,
    createdAt: at,
    ...(ttl !== undefined && { until: at + ttl }),
  };
}

/** 4.3, 7.1.3.6, 7.1.3.7. */
function checkItem({ config }: Node, item: Element | undefined): void {
  const { isPersistent, deliversPayloads } = config;
  if (item === undefined) {
    if (isPersistent || deliversPayloads) throw pubsubError('item-required');
    return;
  }
  if (!isPersistent && !deliversPayloads) throw pubsubError('item-forbidden');
  const payloads = item.elements().length;
  if (payloads > 1) throw pubsubError('invalid-payload', 'an item has one payload');
  if (payloads === 0 && deliversPayloads) throw pubsubError('payload-required');
}

function idOf({ attrs: { id } }: Element): string | undefined {
  if (id === undefined || id === '') return undefined;
  if (Buffer.byteLength(id) > MOST_ID) throw new StanzaError('not-acceptable', 'the id is too long');
  return id;
}

/** 7.1.3.5. */
function checkSize({ ports }: Shelf, { config }: Node, xml: string): void {
  const most = Math.min(config.maxPayload, ports.policy.mostPayload);
  // (UTF-8 is never shorter than its characters, nor longer than three times that)
  if (xml.length * 3 <= most) return;
  if (xml.length > most || Buffer.byteLength(xml) > most) throw pubsubError('payload-too-big', `${most} bytes at most`);
}

/** 7.1.2.5: an item takes its place, and the oldest one beyond the limit goes. */
function store(
  shelf: Shelf,
  node: Node,
  publisher: Jid,
  item: Item,
  payload: Element | undefined,
): MaybePromise<Issued> {
  const { config } = node;
  const { policy, rows } = shelf.ports;
  const most = mostOf(config, policy);
  const put = (): Issued => {
    const dropped = rows.items.put(node.name, [item], most);
    const done = dropped.then((ids) => announce(shelf, node, publisher, item, payload, ids));
    return { done: node.head === undefined ? done : countPending(node, done) };
  };
  if (config.whenFull !== 'reject') return put();
  return checkRoom(shelf, node, item, most).then(put);
}

async function countPending<T>(node: Node, done: Promise<T>): Promise<T> {
  node.pending++;
  try {
    return await done;
  } finally {
    node.pending--;
  }
}

/** 7.1.3.4. @throws StanzaError `node-full` */
async function checkRoom({ ports }: Shelf, { name }: Node, { id }: Item, most: number): Promise<void> {
  const { items } = ports.rows;
  const used = await items.usage(name);
  if (used.items < most) return;
  const there = await items.get(name, [id]);
  if (there.length === 0) throw pubsubError('node-full');
}

/** Tells everybody, and everything that listens. @returns the id of the item */
function announce(
  shelf: Shelf,
  node: Node,
  publisher: Jid,
  item: Item,
  payload: Element | undefined,
  dropped: readonly string[],
): MaybePromise<string> {
  const { config } = node;
  const { jid: service, ports } = shelf;
  if (!node.isOver) {
    const shown = config.deliversPayloads ? payload : undefined;
    notifyAll(shelf, node, itemsEvent(node.name, itemElement(NS.pubsubEvent, item, shown, config)));
    if (dropped.length > 0 && config.whenFull === 'retract-oldest' && config.notifiesRetract) {
      notifyAll(shelf, node, retractEvent(node.name, dropped));
    }
  }
  ports.hooks.notify(itemPublished, { service, node, publisher, item, payload });
  if (dropped.length > 0) ports.hooks.notify(itemsRetracted, { service, node, by: publisher, ids: dropped });
  if (node.head === undefined && dropped.length === 0) return item.id;
  const published = { id: item.id, payload };
  const followed = ports.hooks.collect(itemsChanged, { service, node, shelf, by: publisher, published, gone: dropped });
  return andThen(followed, () => item.id);
}
