// XEP-0292: vCard4 Over XMPP. A profile is the last item at a node of the account, which anybody may read unless its owner says otherwise
// (3.1, XEP-0222).
//
// - Prose has its profiles at a node that is named after the namespace of the vCard. The two are one thing under two names: what is published,
//   taken back or made less public at one is so at the other a moment later, and clients hear of it under the name that they know.
//   (Affiliations are not: an outcast of one node is none of the other.)
// - The first versions of the XEP had requests of their own in place of nodes; clients that make them are answered.
// - 4, contacts' vCards: nodes like any other.
import type { MaybePromise } from '../../base/maybe.ts';
import { defineModule, defineService, iqGet, iqSet, on, provide } from '../../core/module.ts';
import type { Element } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { pep } from '../pep/service.ts';
import { pubsubError } from '../pubsub/errors.ts';
import {
  itemPublish,
  itemPublished,
  itemsRetracted,
  nodeConfigured,
  nodeDefaults,
  nodeDeleted,
  nodePurged,
} from '../pubsub/hooks.ts';
import type { Node } from '../pubsub/node.ts';
import { Mirror, takeBackAll } from './mirror.ts';

/** The profiles of accounts, by localpart. */
export interface Profiles {
  /**
   * The account's vCard4, where there is one.
   * @param as who reads, if not the account itself
   * @throws StanzaError where whoever reads may not
   */
  read(user: string, as?: Jid): Promise<Element | undefined>;
  /** Publishes another one, or takes back what there is. */
  write(user: string, card: Element | undefined): Promise<void>;
}
/** What a hook tells of. */
interface Emptied {
  readonly service: Jid;
  readonly node: Pick<Node, 'name'>;
  readonly by: Jid;
}

export const profiles = defineService<Profiles>('profiles');

const names: ReadonlySet<string> = new Set([NS.vcard4, NS.vcard4Xml]);
const otherOf = (name: string): string => (name === NS.vcard4 ? NS.vcard4Xml : NS.vcard4);

export default defineModule({
  xeps: ['XEP-0292 0.12.0'],
  summary: 'Profiles as vCard4, under both names that clients know them by',
  provides: [profiles],
  needs: [pep],

  setup({ use }) {
    const nodes = use(pep);

    const read = async (user: string, as?: Jid): Promise<Element | undefined> =>
      (await nodes.items(user, NS.vcard4, { most: 1, ...(as !== undefined && { as }) }))[0]?.payload;

    async function write(user: string, card: Element | undefined): Promise<void> {
      if (card === undefined) return takeBackAll(nodes, user, NS.vcard4);
      if ((await read(user))?.toXml() !== card.toXml()) await nodes.publish(user, NS.vcard4, card, { id: 'current' });
    }

    const mirror = new Mirror({ nodes, otherOf });

    const emptied = ({ service, node, by }: Emptied): MaybePromise<void> =>
      names.has(node.name) && !by.isBare ? mirror.emptied(service.local, node.name) : undefined;

    return {
      features: { server: [NS.vcard4Xml], account: [NS.vcard4Xml] },
      handlers: [
        provide(profiles, { read, write }),
        on(nodeDefaults, (event) => {
          if (names.has(event.name)) event.config = { ...event.config, accessModel: 'open' };
        }),
        on(itemPublish, { phase: 'check' }, ({ node, payload }) => {
          if (!names.has(node.name) || payload?.is('vcard', NS.vcard4Xml)) return;
          return pubsubError('invalid-payload', 'a profile is a vCard4');
        }),
        on(itemPublish, { phase: 'change' }, (event) =>
          names.has(event.node.name) ? mirror.publishing(event) : undefined,
        ),
        on(itemPublished, (event) => (names.has(event.node.name) ? mirror.published(event) : undefined)),
        on(itemsRetracted, ({ service, node, ids }) =>
          names.has(node.name) ? mirror.retracted(service.local, node.name, ids) : undefined,
        ),
        on(nodePurged, emptied),
        on(nodeDeleted, emptied),
        on(nodeConfigured, ({ service, node }) =>
          names.has(node.name) ? mirror.configured(service.local, node.name) : undefined,
        ),
        iqGet('account', NS.vcard4Xml, 'vcard', async ({ iq }) => {
          const isOwn = iq.from.bare === iq.to.bare;
          const card = await readOr(() => read(iq.to.local, isOwn ? undefined : iq.from), undefined);
          if (card === undefined) throw new StanzaError(isOwn ? 'item-not-found' : 'service-unavailable');
          return card;
        }),
        iqSet('self', NS.vcard4Xml, 'vcard', ({ iq, payload }) => write(iq.from.local, payload)),
        iqSet(['account', 'nobody'], NS.vcard4Xml, 'vcard', () => {
          throw new StanzaError('forbidden', "it is somebody else's");
        }),
      ],
    };
  },
});

/** Reads what may not be for everybody: whoever may not read it is told no more than that there is nothing. */
export async function readOr<T, E>(read: () => Promise<T>, otherwise: E): Promise<T | E> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof StanzaError && error.type !== 'wait') return otherwise;
    throw error;
  }
}
