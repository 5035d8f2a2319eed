// XEP-0292: vCard4 Over XMPP. A profile is the last item at a node of the account, which anybody may read unless its owner says otherwise
// (3.1, XEP-0222).
//
// - Prose has its profiles at a node that is named after the namespace of the vCard. The two are one thing under two names: what is published,
//   taken back or made less public at one is so at the other a moment later, and clients hear of it under the name that they know.
//   (Affiliations are not: an outcast of one node is none of the other.)
// - The first versions of the XEP had requests of their own in place of nodes; clients that make them are answered.
// - 4, contacts' vCards: nodes like any other.
import { Turns } from '../../base/turns.ts';
import { defineModule, defineService, iqGet, iqSet, on, provide } from '../../core/module.ts';
import type { Element } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { type FormValues, pep } from '../pep/service.ts';
import { isSame, type NodeConfig } from '../pubsub/config.ts';
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
export const profiles = defineService<Profiles>('profiles');

const names: ReadonlySet<string> = new Set([NS.vcard4, NS.vcard4Xml]);
const otherOf = (name: string): string => (name === NS.vcard4 ? NS.vcard4Xml : NS.vcard4);

export default defineModule({
  xeps: ['XEP-0292 0.12.0'],
  summary: 'Profiles as vCard4, under both names that clients know them by',
  provides: [profiles],
  needs: [pep],

  setup({ use, background }) {
    const nodes = use(pep);
    const turns = new Turns<string>();

    const read = async (user: string, as?: Jid): Promise<Element | undefined> =>
      (await nodes.items(user, NS.vcard4, { most: 1, ...(as !== undefined && { as }) }))[0]?.payload;

    async function write(user: string, card: Element | undefined): Promise<void> {
      if (card === undefined) return clear(user, NS.vcard4);
      if ((await read(user))?.toXml() !== card.toXml()) await nodes.publish(user, NS.vcard4, card, { id: 'current' });
    }

    async function clear(user: string, node: string): Promise<void> {
      const items = await nodes.items(user, node);
      if (items.length > 0) {
        await nodes.retract(
          user,
          node,
          items.map(({ id }) => id),
        );
      }
    }

    /** Makes the other node what this one is now. It finds nothing to do when that tells of itself in turn. */
    async function mirror(user: string, from: string): Promise<void> {
      const to = otherOf(from);
      const [config, there] = [await nodes.config(user, from), await nodes.config(user, to)];
      if (config === undefined) {
        if (there !== undefined) await nodes.remove(user, to);
        return;
      }
      // before anything is to be read there
      if (there !== undefined && !isSame(accessOf(there), accessOf(config))) {
        await nodes.configure(user, to, accessOf(config));
      }
      const [[item], [shown]] = [await nodes.items(user, from, { most: 1 }), await nodes.items(user, to, { most: 1 })];
      if (item?.payload === undefined) return clear(user, to);
      if (shown?.payload?.toXml() === item.payload.toXml()) return;
      const expected = there === undefined ? { expected: accessOf(config) } : {};
      await nodes.publish(user, to, item.payload, { id: item.id, ...expected });
    }

    const changed = ({ service, node }: { readonly service: Jid; readonly node: Pick<Node, 'name'> }): void => {
      if (!names.has(node.name)) return;
      const { local } = service;
      background(
        Promise.resolve(turns.run(local, () => mirror(local, node.name))),
        'showing a profile at its other node',
      );
    };

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
        on(itemPublished, changed),
        on(itemsRetracted, changed),
        on(nodePurged, changed),
        on(nodeConfigured, changed),
        on(nodeDeleted, changed),
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

function accessOf({ accessModel, rosterGroups }: NodeConfig): FormValues {
  return accessModel === 'roster'
    ? { access_model: accessModel, roster_groups_allowed: rosterGroups }
    : { access_model: accessModel };
}
