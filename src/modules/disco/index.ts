// XEP-0030: Service Discovery, from what modules declare; the server's capabilities in stream features (XEP-0115, XEP-0390).
import { andThen, isPromise, type MaybePromise } from '../../base/maybe.ts';
import { softwareName } from '../../base/software.ts';
import { type NodeAsked, nodeAsked, streamFeatures } from '../../core/events.ts';
import type { Host, Instance } from '../../core/host.ts';
import { defineModule, type Identity, type IqRequest, type Item, iqGet, on } from '../../core/module.ts';
import { StorageUnavailable } from '../../storage/errors.ts';
import { ephemeral } from '../../storage/specs.ts';
import { parseElement } from '../../xml/document.ts';
import { type Element, el } from '../../xml/element.ts';
import { parseCaps2Node } from '../../xmpp/caps.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { pageElement, pageOf, parsePageRequest } from '../../xmpp/rsm.ts';
import { delegations, type Nested } from '../delegation/index.ts';
import { roster as rosterService } from '../roster/index.ts';
import { capsNode, type Info, infoQuery, makeInfo } from './info.ts';

export default defineModule({
  xeps: ['XEP-0030 2.5.0', 'XEP-0115 1.6.0', 'XEP-0128 1.0.1', 'XEP-0390 0.3.2'],
  summary: 'Tells what the server and its accounts are and can do',
  hosts: ['users', 'rooms', 'pubsub', 'upload', 'proxy'],
  stores: { announced: ephemeral<string>() },

  setup({ host, stores, find, every, background }) {
    const isAnonymous = host.settings.authentication === 'anonymous';
    let made:
      | { readonly of: readonly Instance[]; readonly nested: Nested | undefined; readonly info: Info }
      | undefined;

    /** The list of modules, and what is nested, are replaced as a whole when they change. */
    function info(): Info {
      const nested = find(delegations)?.nested;
      if (made?.of !== host.instances || made.nested !== nested) {
        const own = {
          server: identityOf(host),
          account: { category: 'account', type: isAnonymous ? 'anonymous' : 'registered' },
        };
        made = { of: host.instances, nested, info: makeInfo(host.instances, own, nested) };
        if (host.kind === 'users') remember(made.info);
      }
      return made.info;
    }

    /** What is announced can be asked for also when something else is, and on other nodes, which may have other modules (XEP-0390 6.1). */
    function remember({ nodes, host: children }: Info): void {
      const xml = infoQuery(children).toXml();
      for (const node of nodes) {
        const done = stores.announced.set(EVERYBODY, node, xml, REMEMBERED_FOR);
        // Redis is away: said again in time
        if (isPromise(done)) background(done.catch(unlessAway), 'remembering what was announced');
      }
    }
    if (host.kind === 'users') every(REMEMBERED_FOR / 4, 'remembering of what is announced', () => remember(info()));

    function hostInfo(request: IqRequest): MaybePromise<Element> {
      const { node } = request.payload.attrs;
      if (!isNode(node) || info().nodes.has(node)) return infoQuery(info().host, node);
      const former = isAnnounced(node) ? stores.announced.get(EVERYBODY, node) : undefined;
      return andThen(former, (xml) => {
        if (xml !== undefined) return parseElement(xml).with({ node });
        return andThen(askOthers(request, 'host', node, 'info'), (children) => infoQuery(children, node));
      });
    }

    /** @throws StanzaError `item-not-found` for a node that no module knows */
    function askOthers(
      request: IqRequest,
      target: 'host' | 'account',
      node: string,
      what: NodeAsked['what'],
    ): MaybePromise<readonly Element[]> {
      const event: NodeAsked = { request, target, node, what, answer: undefined };
      return andThen(host.collect(nodeAsked, event), () => {
        const { answer = unknownNode() } = event;
        if (answer instanceof StanzaError) throw answer;
        return answer;
      });
    }

    // XEP-0030 8: strangers learn nothing, not even whether there is an account
    async function accountInfo(request: IqRequest): Promise<Element> {
      const { iq, payload } = request;
      const { node } = payload.attrs;
      if (isNode(node)) return infoQuery(await askAccount(request, node, 'info'), node);
      if (!(await maySee(iq.to, iq.from))) throw new StanzaError('service-unavailable');
      return infoQuery(info().account, node);
    }

    /** Of nodes that are open to everybody strangers learn, too; but not that there is an account without such a node. */
    async function askAccount(request: IqRequest, node: string, what: NodeAsked['what']): Promise<readonly Element[]> {
      try {
        return await askOthers(request, 'account', node, what);
      } catch (error) {
        const { to, from } = request.iq;
        if (!(error instanceof StanzaError) || (await maySee(to, from))) throw error;
        if (what === 'items') return [];
        throw new StanzaError('service-unavailable');
      }
    }

    async function items(request: IqRequest): Promise<Element> {
      const { iq, payload } = request;
      const { node } = payload.attrs;
      if (isNode(node)) {
        const found =
          iq.to.local === '' ? askOthers(request, 'host', node, 'items') : askAccount(request, node, 'items');
        return el('query', NS.discoItems, { node }, ...(await found));
      }
      if (iq.to.local !== '' && !(await maySee(iq.to, iq.from))) return noItems({ payload });
      const list: Item[] = iq.to.local === '' ? host.services.map((domain) => ({ jid: Jid.of('', domain) })) : [];
      for (const { installed } of host.instances)
        list.push(...((await installed.items?.(iq.to, iq.from, payload)) ?? []));
      const { items: page, result } = pageOf(list, nameOf, parsePageRequest(payload), MOST_ITEMS);
      // XEP-0030 3.1, XEP-0045 6.3: who did not ask for pages is told where the list does not end
      const isPage = payload.getChild('set', NS.rsm) !== undefined || page.length < list.length;
      return el('query', NS.discoItems, { node }, ...page.map(itemElement), ...(isPage ? [pageElement(result)] : []));
    }

    async function maySee(account: Jid, who: Jid): Promise<boolean> {
      return account.bare === who.bare || (await find(rosterService)?.canSee(account, who)) === true;
    }

    return {
      handlers: [
        iqGet('host', NS.discoInfo, 'query', hostInfo),
        iqGet('account', NS.discoInfo, 'query', accountInfo),
        iqGet(['host', 'account'], NS.discoItems, 'query', items),
        // XEP-0030 8: an empty list, as for an account that has nothing to show
        iqGet('nobody', NS.discoItems, 'query', noItems),
        on(streamFeatures, ({ stream, features }) => {
          if (stream.user !== undefined) features.push(...info().features);
        }),
      ],
    };
  },
});

function identityOf({ kind }: Host): Identity {
  // XEP-0045 6.2
  if (kind === 'rooms') return { category: 'conference', type: 'text', name: 'Rooms' };
  // XEP-0060 5.1
  if (kind === 'pubsub') return { category: 'pubsub', type: 'service', name: 'Publish-subscribe' };
  // XEP-0363 3
  if (kind === 'upload') return { category: 'store', type: 'file', name: 'HTTP File Upload' };
  // XEP-0065 4
  if (kind === 'proxy') return { category: 'proxy', type: 'bytestreams', name: 'Files between clients' };
  return { category: 'server', type: 'im', name: softwareName };
}

/** Whose it is what the server has announced of itself, and for how long it is known, in milliseconds. */
const EVERYBODY = '';
const REMEMBERED_FOR = 24 * 3_600_000;

/** Whether a node may be the name of a hash of ours. */
function isAnnounced(node: string): boolean {
  return node.startsWith(`${capsNode}#`) || parseCaps2Node(node) !== undefined;
}

function unlessAway(error: unknown): void {
  if (!(error instanceof StorageUnavailable)) throw error;
}

/** Items in one answer. */
const MOST_ITEMS = 1000;

/** What an item is called where a page ends. */
const nameOf = ({ jid, node }: Item): string => (node === undefined ? jid.full : `${jid.full} ${node}`);

/** An empty node attribute asks for no node. */
function isNode(node: string | undefined): node is string {
  return node !== undefined && node !== '';
}

function noItems({ payload }: Pick<IqRequest, 'payload'>): Element {
  return el('query', NS.discoItems, { node: payload.attrs.node });
}

function unknownNode(): StanzaError {
  return new StanzaError('item-not-found', 'there is no such node');
}

function itemElement({ jid, node, name }: Item): Element {
  return el('item', NS.discoItems, { jid: jid.full, node, name });
}
