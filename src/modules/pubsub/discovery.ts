// What a service and its nodes tell of themselves (XEP-0060 5.1 to 5.5): its features, its nodes, and what a node is and has.
//
// - 6.1.6: several subscriptions of one address are not announced (`multi-subscribe`): whoever is told of them takes it that each request makes
//   another, which here only those with other options do (subscribe.ts).
// - 10 has `access-*` for the access model of a node that nobody has configured. They stand here for each model that there is: other servers have it
//   so, and clients look for the one that they want to ask for (XEP-0222, XEP-0223).
// - 5.2: nodes that come with others are not listed (node.ts): whoever knows those knows their names.
// - 5.3, 5.5: of a node that somebody may not subscribe to they learn nothing; in the list of nodes those with a whitelist stand only for those on it.
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import type { Item } from '../../core/module.ts';
import { type Element, el } from '../../xml/element.ts';
import { type Field, type Form, resultElement, textField } from '../../xmpp/dataform.ts';
import { formatDateTime } from '../../xmpp/datetime.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { parsePageRequest } from '../../xmpp/rsm.ts';
import { affiliationAt, mayNotRead, mayNotSubscribe } from './access.ts';
import type { Asked } from './asked.ts';
import { accessModels } from './config.ts';
import { nodeInfo } from './hooks.ts';
import { findItems } from './items.ts';
import { isActive, type Node } from './node.ts';
import { orderFeatures, usualOrder } from './order.ts';
import type { Service, Shelf } from './shelf.ts';
import { typeFilterIn } from './type-filter.ts';

/** What every service of nodes can do (section 10), without the namespace. */
const common = [
  ...accessModels.map((model) => `access-${model}`),
  'config-node',
  'config-node-max',
  'create-and-configure',
  'create-nodes',
  'delete-items',
  'delete-nodes',
  'instant-nodes',
  'item-ids',
  'leased-subscription',
  'manage-subscriptions',
  'member-affiliation',
  'meta-data',
  'modify-affiliations',
  'multi-items',
  'outcast-affiliation',
  'persistent-items',
  'presence-notifications',
  'publish',
  'publish-node-full',
  'publish-only-affiliation',
  'publish-options',
  'publisher-affiliation',
  'purge-nodes',
  'retract-items',
  'retrieve-affiliations',
  'retrieve-default',
  'retrieve-default-sub',
  'retrieve-items',
  'retrieve-subscriptions',
  'rsm',
  'subscribe',
  'subscription-notifications',
  'subscription-options',
];

/** The features of a service, with those beside that only some have. */
export function featuresWith(...others: readonly string[]): string[] {
  const features = [...common, ...others].sort().map((name) => `${NS.pubsub}#${name}`);
  return [NS.pubsub, ...features, ...orderFeatures, NS.pubsubFilter];
}

/**
 * 5.2: the nodes that somebody may know of, in an order that does not change.
 * @param query of disco#items
 * @throws StanzaError where it asks for what cannot be
 */
export function listNodes(service: Service, asker: Jid, query: Element): MaybePromise<Item[]> {
  const { jid, ports } = service;
  const isWanted = typeFilterIn(query);
  return andThen(ports.directory.nodes(), (all) =>
    andThen(ports.directory.of(asker.bare), (mine) => {
      const isOwn = ports.policy.standing(asker) === 'owner';
      const items: Item[] = [];
      for (const [node, { config, movedTo }] of all) {
        if (movedTo !== undefined || service.companionOf(node) !== undefined) continue;
        const { accessModel, title, type } = { ...service.defaults(node), ...config };
        if (!isWanted(type)) continue;
        const affiliation = mine.get(node)?.affiliation ?? 'none';
        if (
          !isOwn &&
          (affiliation === 'outcast' ||
            (accessModel !== 'open' && accessModel !== 'authorize' && affiliation === 'none'))
        )
          continue;
        items.push({ jid, node, ...(title !== '' && { name: title }) });
      }
      return items.sort((one, other) => (one.node! < other.node! ? -1 : 1));
    }),
  );
}

/** The children of the answer to disco#info (5.3, 5.4). @throws StanzaError where there is no such node for whoever asks */
export function describeNode(shelf: Shelf, name: string, { from: asker }: Asked): MaybePromise<readonly Element[]> {
  return andThen(shelf.get(name), (node) =>
    andThen(mayNotKnow(shelf, node, asker), async (reason) => {
      if (reason !== undefined) throw reason;
      const event = { service: shelf.jid, node, asker, features: [NS.pubsub], forms: [metaData(shelf, node)] };
      await shelf.ports.hooks.collect(nodeInfo, event);
      return [
        el('identity', NS.discoInfo, { category: 'pubsub', type: 'leaf', name: node.config.title || undefined }),
        ...event.features.map((feature) => el('feature', NS.discoInfo, { var: feature })),
        ...event.forms,
      ];
    }),
  );
}

function mayNotKnow(shelf: Shelf, node: Node, asker: Jid): ReturnType<typeof mayNotSubscribe> {
  return affiliationAt(shelf, node, asker) === 'publish-only' ? undefined : mayNotSubscribe(shelf, node, asker);
}

/** The children of the answer to disco#items (5.5). @throws StanzaError where whoever asks may not read */
export function listItems(shelf: Shelf, name: string, { from, payload }: Asked): MaybePromise<readonly Element[]> {
  const page = payload.getChild('set', NS.rsm) === undefined ? undefined : parsePageRequest(payload);
  return andThen(shelf.get(name), (node) =>
    andThen(mayNotRead(shelf, node, from), async (reason) => {
      if (reason !== undefined) throw reason;
      // nothing to list is no error here
      if (!node.config.isPersistent) return [];
      const { items, set } = await findItems(shelf, node, { ids: [], order: usualOrder, most: undefined, page });
      const found = items.map(({ id }) => el('item', NS.discoItems, { jid: shelf.jid.full, name: id }));
      return set === undefined ? found : [...found, set];
    }),
  );
}

/** Fields of which each has as many values as there are. */
function list(label: string, type: 'jid-multi' | 'list-single' | 'jid-single'): Field<readonly string[]> {
  return { ...(textField(label) as Field<never>), type, encode: (value) => value };
}

const metaFields = {
  'pubsub#type': textField('What the items are about'),
  'pubsub#creator': list('Who has made it', 'jid-single'),
  'pubsub#creation_date': textField('When it was made'),
  'pubsub#title': textField('Title'),
  'pubsub#description': textField('Description'),
  'pubsub#language': list('Language', 'list-single'),
  'pubsub#contact': list('Whom to ask', 'jid-multi'),
  'pubsub#access_model': list('Who may subscribe and read', 'list-single'),
  'pubsub#publish_model': list('Who may publish', 'list-single'),
  'pubsub#max_items': textField('How many items it keeps'),
  'pubsub#owner': list('Owners', 'jid-multi'),
  'pubsub#publisher': list('Publishers', 'jid-multi'),
  'pubsub#num_subscribers': textField('How many have subscribed'),
};
const metaForm: Form<typeof metaFields> = { formType: NS.pubsubMetaData, fields: metaFields };

/** 5.4, 16.4.3. */
function metaData({ ports }: Shelf, node: Node): Element {
  const { config, creator, createdAt } = node;
  const now = ports.now();
  let subscribers = 0;
  for (const { subscriptions = [] } of node.entities.values()) {
    if (subscriptions.some((one) => isActive(one, now))) subscribers++;
  }
  return resultElement(metaForm, {
    ...(config.type !== '' && { 'pubsub#type': config.type }),
    'pubsub#creator': [creator],
    'pubsub#creation_date': formatDateTime(createdAt),
    'pubsub#title': config.title,
    'pubsub#description': config.description,
    ...(config.language !== '' && { 'pubsub#language': [config.language] }),
    ...(config.contact.length > 0 && { 'pubsub#contact': config.contact }),
    'pubsub#access_model': [config.accessModel],
    'pubsub#publish_model': [config.publishModel],
    'pubsub#max_items': String(config.maxItems),
    'pubsub#owner': node.affiliated('owner'),
    'pubsub#publisher': node.affiliated('publisher'),
    'pubsub#num_subscribers': String(subscribers),
  });
}
