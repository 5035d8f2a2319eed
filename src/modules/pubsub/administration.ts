// What administrators may do with the nodes of a host, from any node of the cluster: the host itself asks the node, wherever it is, as its owners ask.
import type { AdminNodes, NodeSummary } from '../../core/commands.ts';
import type { Host } from '../../core/host.ts';
import type { Router } from '../../core/router.ts';
import { type Element, el } from '../../xml/element.ts';
import { findForm, rawValues } from '../../xmpp/dataform.ts';
import { NS } from '../../xmpp/ns.ts';
import { type Iq, stanzaOf } from '../../xmpp/stanza.ts';
import { type NodeStores, OWNER } from './stores.ts';

/** What the fields of the owner's form are called, before what tells them apart. */
const PREFIX = 'pubsub#';
/** Nodes whose size is asked for at a time. */
const AT_A_TIME = 16;

/** @param stores read only; what changes a node is asked of it */
export function nodeAdministration(
  host: Host,
  router: Router,
  { nodes, items }: Pick<NodeStores, 'nodes' | 'items'>,
): AdminNodes {
  /** @returns the payload of the result; undefined where there is no such node */
  async function ask(type: 'get' | 'set', action: Element): Promise<Element | undefined | 'done'> {
    const payload = el('pubsub', NS.pubsubOwner, undefined, action);
    const answer = await router.request(
      host,
      (id) =>
        stanzaOf(el('iq', null, { type, id, from: host.domain, to: host.domain }, payload), host.jid, host.jid) as Iq,
    );
    if (answer.type === 'result') return answer.payload?.elements()[0] ?? 'done';
    const error = answer.el.getChild('error');
    const condition = error?.elements().find(({ name }) => name !== 'text')?.name ?? 'internal-server-error';
    if (condition === 'item-not-found' || condition === 'gone') return undefined;
    throw new NodeRefusal(condition, error?.getChildText('text', NS.stanzas));
  }
  const read = async (name: string, node: string): Promise<Element | undefined> => {
    const found = await ask('get', el(name, NS.pubsubOwner, { node }));
    return found === 'done' ? undefined : found;
  };

  return {
    async list() {
      const all = [...(await nodes.all(OWNER))].filter(([, { movedTo }]) => movedTo === undefined);
      all.sort(([one], [other]) => (one < other ? -1 : 1));
      const listed: NodeSummary[] = [];
      for (let i = 0; i < all.length; i += AT_A_TIME) {
        const some = all.slice(i, i + AT_A_TIME).map(async ([node, { config, creator, at }]) => {
          const usage = await items.usage(OWNER, node);
          return { service: host.domain, node, title: config.title ?? '', creator, created: at, ...usage };
        });
        listed.push(...(await Promise.all(some)));
      }
      return listed;
    },
    async show(node) {
      const configured = await read('configure', node);
      const form = configured && findForm(configured, NS.pubsubNodeConfig);
      if (form === undefined) return undefined;
      const settings: Record<string, readonly string[]> = {};
      for (const [name, values] of rawValues(form)) {
        if (name !== 'FORM_TYPE') settings[name.replace(PREFIX, '')] = values;
      }
      const affiliated = (await read('affiliations', node))?.elements() ?? [];
      const subscribed = (await read('subscriptions', node))?.elements() ?? [];
      return {
        service: host.domain,
        node,
        ...(await items.usage(OWNER, node)),
        subscriptions: subscribed.length,
        affiliations: Object.fromEntries(
          affiliated.map(({ attrs: { jid = '', affiliation = '' } }) => [jid, affiliation]),
        ),
        settings,
      };
    },
    delete: async (node) => (await ask('set', el('delete', NS.pubsubOwner, { node }))) !== undefined,
  };
}

/** A node does not do what an administrator wants. */
class NodeRefusal extends Error {
  override readonly name = 'NodeRefusal';
  constructor(condition: string, text?: string) {
    super(text ?? condition);
  }
}
