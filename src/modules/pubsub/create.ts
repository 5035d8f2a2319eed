// Making nodes (XEP-0060 8.1), also by publishing to one that is not there (7.1.4).
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Asked } from './asked.ts';
import { differences, type NodeConfig } from './config.ts';
import { forbidden, pubsubError } from './errors.ts';
import { type ExtraField, readConfig } from './forms.ts';
import { nodeCreated, nodeCreating, nodeFields } from './hooks.ts';
import { Node } from './node.ts';
import { pubsub } from './respond.ts';
import type { Service, Shelf } from './shelf.ts';

/** Of a NodeID, in characters: those of a resourcepart (4.6.2). */
const MOST_NAME = 1023;

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
  checkCreate(payload, create);
  return shelf.run(name, () =>
    andThen(shelf.find(name), (there) => {
      if (there !== undefined) throw new StanzaError('conflict', 'there is such a node already');
      const x = payload.getChild('configure')?.getChild('x', NS.dataForms);
      const defaults = shelf.defaults(name);
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
  if (name.length > MOST_NAME) throw pubsubError('nodeid-required', 'the name is too long', 'not-acceptable');
  return andThen(ports.policy.mayCreate(creator), (may) => {
    if (!may) throw forbidden('you may not make nodes here');
    return andThen(ports.hooks.gate(nodeCreating, { service, name, creator, config }), async (verdict) => {
      if (verdict instanceof StanzaError) throw verdict;
      const at = ports.now();
      const owner = creator.bare;
      const entities = new Map([[owner as string, { affiliation: 'owner' as const }]]);
      const node = new Node({ name, config, creator: owner, createdAt: at, entities });
      await Promise.all([
        ports.rows.saveEntities(name, entities),
        ports.rows.saveNode(name, { config: differences(config, shelf.defaults(name)), creator: owner, at }),
      ]);
      shelf.add(node);
      ports.hooks.notify(nodeCreated, { service, node, creator });
      return node;
    });
  });
}
