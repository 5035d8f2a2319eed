// XEP-0470: Pubsub Attachments: what people think of items, at nodes that the service makes for that, and how many think so. The nodes come with the one
// that has the items (modules/pubsub/node.ts): who may read and publish there may do so at these, now and later, owners are the same, and they go with it.
//
// - 4.1.1: the address of an item in the name of a node is spelt as RFC 3986 2.3 has it, and `!'()*` as they are: one item has one node.
// - 4.1.1, 4.3: nothing is attached to items that are not there, nor to what is attached. What is attached to an item goes with it; where the item has
//   expired (`pubsub#item_expire`) that may be seen later.
// - 4.3: of the configuration access and publication are as at the other node, and not to be changed. Items are kept, one for each person.
// - 4.6: an item whose attachments were all removed has an empty summary. A summary that is as it was is not told of once more.
// - 4.8.2, 5: a reaction counts if it is one emoji, 30 of one person at most; the 200 most frequent are shown.
// - A server that dies after something was attached, and before it was answered for, may leave a summary that is behind until something else is attached there.
import { defineModule, on } from '../../core/module.ts';
import type { Element } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { checkPublisher } from '../pubsub/access.ts';
import type { NodeConfig } from '../pubsub/config.ts';
import {
  type CompanionWanted,
  companionWanted,
  type ItemPublish,
  itemPublish,
  itemsChanged,
  nodeDefaults,
} from '../pubsub/hooks.ts';
import { attachmentNode, isReserved, summaryNode, summedUp, targetOf } from './names.ts';
import { hasItem, Summaries } from './summaries.ts';

/** What both kinds of nodes are. */
const common: Partial<NodeConfig> = {
  isPersistent: true,
  maxItems: 'max',
  itemExpire: 'max',
  deliversPayloads: true,
  notifiesRetract: true,
  itemReply: 'none',
  isTemporary: false,
};

/** Of a name, in bytes: that of any node (XEP-0060 4.6.2). */
const MOST_NAME = 1023;

export default defineModule({
  xeps: ['XEP-0470 0.2.0'],
  summary: 'Reactions to what is published at nodes, and how many there are',
  hosts: ['users', 'pubsub'],

  setup({ host }) {
    const summaries = new Summaries();
    const features = [NS.attachments];

    /** 4.2, 4.3. */
    const make = async (event: CompanionWanted): Promise<StanzaError | undefined> => {
      const { shelf, name, publisher, item } = event;
      const target = targetOf(shelf.jid, name);
      const head = target === undefined ? undefined : await shelf.find(target.node);
      if (target === undefined || head === undefined) return undefined;
      checkPublisher(shelf, head, publisher);
      const wrong = whyNot(publisher, item?.attrs.id, item?.elements()[0]);
      if (wrong !== undefined) return wrong;
      if (tooLong(attachmentNode(shelf.jid, target)) || tooLong(summaryNode(target.node))) {
        return new StanzaError('not-acceptable', 'the names of the node and the item are too long');
      }
      const made = await summaries.begin(shelf, head, target);
      if (made === undefined) return noItem();
      event.made = made;
      return undefined;
    };

    const check = async ({ shelf, node, publisher, id, payload }: ItemPublish): Promise<StanzaError | undefined> => {
      const target = targetOf(shelf.jid, node.name);
      const wrong = whyNot(publisher, id, payload);
      if (target === undefined || wrong !== undefined) return wrong;
      if (!(await hasItem(shelf, target))) return noItem();
      // what was there before is counted before something else takes its place
      await summaries.count(shelf, node);
      return undefined;
    };

    return {
      features: host.kind === 'users' ? { account: features } : { server: features },
      handlers: [
        on(nodeDefaults, (event) => {
          if (!isReserved(event.name)) return;
          const summed = summedUp(event.name);
          const head = summed ?? targetOf(event.service, event.name)?.node;
          const isManaged = summed !== undefined;
          event.companion = { head, isManaged };
          const type = isManaged ? NS.attachmentsSummary : NS.attachments;
          event.config = { ...event.config, ...common, type, sendLast: isManaged ? 'on_sub' : 'never' };
        }),
        on(companionWanted, { phase: 'make' }, make),
        on(itemPublish, { phase: 'check' }, (event) =>
          event.node.head !== undefined && isReserved(event.node.name) ? check(event) : undefined,
        ),
        on(itemsChanged, (event) => {
          if (event.node.head === undefined) return summaries.gone(event);
          return event.node.isManaged ? undefined : summaries.changed(event);
        }),
      ],
    };
  },
});

/** 4.5. */
function whyNot(publisher: Jid, id: string | undefined, payload: Element | undefined): StanzaError | undefined {
  if (id !== publisher.bare) {
    return new StanzaError('bad-request', 'the id of what somebody attaches is their bare address');
  }
  if (!payload?.is('attachments', NS.attachments)) {
    return new StanzaError('bad-request', 'what is attached is in <attachments/>');
  }
  return undefined;
}

const noItem = (): StanzaError => new StanzaError('item-not-found', 'there is no such item');

const tooLong = (name: string): boolean => Buffer.byteLength(name) > MOST_NAME;
