// Configuring nodes (XEP-0060 8.2), and what they are without it (8.3).
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { asOwner, checkOwner, checkStandsAlone } from './access.ts';
import type { Asked } from './asked.ts';
import { differences, type NodeConfig } from './config.ts';
import { extraFields } from './create.ts';
import { unsupported } from './errors.ts';
import { configElement, readConfig } from './forms.ts';
import { itemsChanged, itemsRetracted, nodeConfigured, nodeConfiguring } from './hooks.ts';
import { mostOf, ttlOf } from './keeping.ts';
import type { Node } from './node.ts';
import { retractEvent } from './notices.ts';
import { notifyAll } from './notify.ts';
import { pubsubOwner } from './respond.ts';
import type { Service, Shelf } from './shelf.ts';

/** The owner's form (8.2.2). @throws StanzaError `forbidden` for all but owners */
export function answerConfiguration(shelf: Shelf, name: string, { from }: Asked): MaybePromise<Element> {
  return andThen(shelf.get(name), (node) => {
    checkOwner(shelf, node, from);
    const x = configElement(node.config, 'form', shelf.ports.policy, extraFields(shelf, name));
    return pubsubOwner(el('configure', NS.pubsubOwner, { node: name }, x));
  });
}

/** 8.3: what a new node is. @throws StanzaError where it is to be a collection */
export function answerDefaults(service: Service, _asked: Asked, asked: Element): Element {
  const { type = 'leaf' } = asked.attrs;
  if (type !== 'leaf') throw unsupported('collections');
  const x = configElement(service.defaults(''), 'form', service.ports.policy, extraFields(service, ''));
  return pubsubOwner(el('default', NS.pubsubOwner, undefined, x));
}

/** 8.2.4. @throws StanzaError `forbidden` for all but owners, and what is wrong with the form */
export function configureAsAsked(
  shelf: Shelf,
  name: string,
  { from }: Asked,
  action: Element,
): MaybePromise<undefined> {
  return asOwner(shelf, name, from, (node) => {
    checkStandsAlone(node);
    const x = action.getChild('x', NS.dataForms);
    if (x === undefined) throw new StanzaError('bad-request', 'there is no form');
    // "the existing configuration MUST be applied"
    if (x.attrs.type === 'cancel') return undefined;
    const config = readConfig(x, node.config, shelf.ports.policy, extraFields(shelf, name));
    return andThen(configureNode(shelf, node, from, config), () => undefined);
  });
}

/**
 * Gives a node another configuration, in its turn: whether that may be is checked already.
 * @throws StanzaError what modules refuse
 */
export function configureNode(shelf: Shelf, node: Node, by: Jid, config: NodeConfig): MaybePromise<void> {
  const { ports, jid: service } = shelf;
  const before = node.config;
  if (config === before) return;
  return andThen(ports.hooks.gate(nodeConfiguring, { service, node, by, config }), async (verdict) => {
    if (verdict instanceof StanzaError) throw verdict;
    await save(shelf, node, config);
    const dropped = await keepAsConfigured(shelf, node, before, config);
    node.config = config;
    if (config.notifiesConfig) notifyAll(shelf, node, configurationEvent(shelf, node));
    if (dropped.length > 0) {
      if (config.notifiesRetract) notifyAll(shelf, node, retractEvent(node.name, dropped));
      ports.hooks.notify(itemsRetracted, { service, node, by, ids: dropped });
    }
    ports.hooks.notify(nodeConfigured, { service, node, before });
    if (dropped.length > 0) await ports.hooks.collect(itemsChanged, { service, node, shelf, by, gone: dropped });
    if (before.isPersistent && !config.isPersistent) {
      await ports.hooks.collect(itemsChanged, { service, node, shelf, by, gone: 'all' });
    }
  });
}

function save(shelf: Shelf, { name, creator, createdAt }: Node, config: NodeConfig): Promise<void> {
  const row = { config: differences(config, shelf.defaults(name)), creator, at: createdAt };
  return shelf.ports.rows.saveNode(name, row);
}

/** What does not fit any more goes. */
async function keepAsConfigured(
  { ports }: Shelf,
  node: Node,
  before: NodeConfig,
  config: NodeConfig,
): Promise<readonly string[]> {
  const { items } = ports.rows;
  if (!config.isPersistent) {
    if (before.isPersistent) await items.clear(node.name);
    return [];
  }
  node.last = undefined;
  if (ttlOf(config) !== ttlOf(before)) await items.expire(node.name, ttlOf(config));
  const most = mostOf(config, ports.policy);
  return most < mostOf(before, ports.policy) ? items.trim(node.name, most) : [];
}

/** 8.2.5.3: with the configuration, where the node sends payloads. */
function configurationEvent(shelf: Shelf, { name, config }: Node): Element {
  const x = configElement(config, 'result', shelf.ports.policy, extraFields(shelf, name));
  return el('configuration', NS.pubsubEvent, { node: name }, ...(config.deliversPayloads ? [x] : []));
}
