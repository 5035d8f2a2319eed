// Making nodes (XEP-0060 8.1), also by publishing to one that is not there (7.1.4).
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import { type Element, el } from '../../xml/element.ts';
import { flatten } from '../../xml/flatten.ts';
import { rawValues } from '../../xmpp/dataform.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Asked } from './asked.ts';
import { differences, type NodeConfig } from './config.ts';
import { forbidden, pubsubError } from './errors.ts';
import { type ExtraField, readConfig } from './forms.ts';
import { nodeCreated, nodeCreating, nodeFields } from './hooks.ts';
import { Node, type NodeState } from './node.ts';
import { pubsub } from './respond.ts';
import type { EntityRow } from './rows.ts';
import type { Service, Shelf } from './shelf.ts';

/** Of a NodeID, in bytes: those of a resourcepart (4.6.2). */
const MOST_NAME = 1023;
/** Whose turn it is to be made; no node has that name. */
const CREATION = '';

/** Fields that modules have added to the forms of a node. */
export function extraFields({ jid, ports }: Service, name: string): readonly ExtraField<unknown>[] {
  const fields: ExtraField<unknown>[] = [];
  void ports.hooks.collect(nodeFields, { service: jid, name, fields });
  return fields;
}

/** 8.1.1, 8.1.3. @throws StanzaError `conflict` where there is one; what is wrong with the configuration */
export function createAsAsked(
  shelf: Shelf,
  name: string,
  { from, payload }: Asked,
  create: Element,
): MaybePromise<Element> {
  if (shelf.companionOf(name) !== undefined)
    throw new StanzaError('not-allowed', 'the service makes such nodes where they are needed');
  checkCreate(payload, create);
  return shelf.run(name, () =>
    andThen(shelf.find(name), (there) => {
      if (there !== undefined) throw new StanzaError('conflict', 'there is such a node already');
      const x = payload.getChild('configure')?.getChild('x', NS.dataForms);
      const defaults = shelf.defaults(name, typeIn(x));
      const config =
        x === undefined || isEmpty(x)
          ? defaults
          : readConfig(x, defaults, shelf.ports.policy, extraFields(shelf, name));
      return andThen(createNode(shelf, name, from, config), () => pubsub(el('create', NS.pubsub, { node: name })));
    }),
  );
}

/** 8.1.3: "if any of these rules are violated, the service MUST return a <bad-request/> error". */
function checkCreate(payload: Element, create: Element): void {
  const children = payload.elements();
  const configure = payload.getChild('configure');
  if (configure === undefined) return;
  if (configure.attrs.node !== undefined || children.indexOf(configure) < children.indexOf(create)) {
    throw new StanzaError('bad-request', '<configure/> follows <create/>, and names no node');
  }
}

/** The type that a form makes a node of. */
export function typeIn(x: Element | undefined): string | undefined {
  return x === undefined ? undefined : rawValues(x).get('pubsub#type')?.[0];
}

/** A form that says nothing, or takes back that anything was to be said. */
function isEmpty(x: Element): boolean {
  return x.attrs.type === 'cancel';
}

/**
 * Makes a node that is not there, in its turn.
 * @param creator who is its owner from then on, as a person
 * @throws StanzaError `forbidden` for those who may not, and what modules refuse
 */
export function createNode(shelf: Shelf, name: string, creator: Jid, config: NodeConfig): MaybePromise<Node> {
  const { ports, jid: service } = shelf;
  if (Buffer.byteLength(name) > MOST_NAME)
    throw pubsubError('nodeid-required', 'the name is too long', 'not-acceptable');
  const make = async (may: boolean): Promise<Node> => {
    if (!may) throw forbidden('you may not make nodes here');
    await checkNumber(shelf, creator);
    return andThen(ports.hooks.gate(nodeCreating, { service, name, creator, config }), async (verdict) => {
      if (verdict instanceof StanzaError) throw verdict;
      const node = await layOut(shelf, { name, creator: creator.bare, config });
      ports.hooks.notify(nodeCreated, { service, node, creator });
      return node;
    });
  };
  // one after another, lest two be the last that may be
  return shelf.run(CREATION, () => andThen(ports.policy.mayCreate(creator), make));
}

/** A node that is there from now on, which nobody refuses; in its turn. */
export async function layOut(
  shelf: Shelf,
  { name, creator, config, head, isManaged }: Pick<NodeState, 'name' | 'creator' | 'config' | 'head' | 'isManaged'>,
): Promise<Node> {
  const { ports } = shelf;
  const createdAt = ports.now();
  const owner = flatten(creator);
  const entities = new Map<string, EntityRow>([[owner, { affiliation: 'owner' }]]);
  const node = new Node({ name: flatten(name), config, creator: owner, createdAt, entities, head, isManaged });
  await ports.rows.saveEntities(name, new Map([...(await leftovers(shelf, name)), ...entities]));
  const row = { config: differences(node.config, shelf.defaults(name)), creator: owner, at: createdAt };
  await ports.rows.saveNode(name, row);
  shelf.add(node);
  return node;
}

/** Lays out a node that comes with another one. Of what a server that died has left of an earlier node of that name, nothing is in it. */
export async function begin(shelf: Shelf, head: Node, name: string, isManaged: boolean): Promise<Node> {
  await shelf.ports.rows.items.clear(name);
  return layOut(shelf, { name, creator: head.creator, config: shelf.defaults(name), head, isManaged });
}

/** @throws StanzaError `max-nodes-exceeded` where somebody owns as many as may be */
async function checkNumber(shelf: Shelf, creator: Jid): Promise<void> {
  const { ports } = shelf;
  const { mostNodes } = ports.policy;
  if (mostNodes === undefined) return;
  let owned = 0;
  for (const [name, { affiliation }] of await ports.directory.of(creator.bare)) {
    if (affiliation === 'owner' && shelf.companionOf(name) === undefined) owned++;
  }
  if (owned >= mostNodes) throw pubsubError('max-nodes-exceeded', `nobody may own more than ${mostNodes} nodes`);
}

/** What a server that died has left of an earlier node of that name is nobody's right. */
async function leftovers({ ports }: Shelf, name: string): Promise<ReadonlyMap<string, EntityRow | undefined>> {
  return new Map([...(await ports.rows.entities(name)).keys()].map((bare) => [bare, undefined]));
}
