// XEP-0402: PEP Native Bookmarks. An item for each room, at a node of the account that nobody else reads. Clients of before see and change the same:
// as one list (XEP-0048) at another node (`#compat-pep`), and in private storage (XEP-0049, `#compat`; XEP-0411).
//
// The bookmarks of today are the ones that count. A list that a client of before publishes, or keeps in private storage, is taken for what is to be
// there: what is new or different is published, what is missing taken back, what is the same left alone; then the list is stored. When bookmarks change
// otherwise, the list is published anew. What the server publishes is not taken for a client's, so nothing goes round.
//
// - 5.3.1: what only bookmarks of today have is kept when a client of before leaves it out; what else was in its list (pages of the web) is kept beside.
// - Taking the list back, or deleting its node, takes back no bookmark: clients that have moved on tidy up like that.
// - 2: ids that are no addresses, and payloads that are no bookmarks, are refused.
import { defineModule, on } from '../../core/module.ts';
import { kv } from '../../storage/specs.ts';
import { parseElement } from '../../xml/document.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { privateNode } from '../pep/private-node.ts';
import { pep } from '../pep/service.ts';
import { privateAsked, privateKept } from '../private.ts';
import { pubsubError } from '../pubsub/errors.ts';
import {
  type ItemPublish,
  itemPublish,
  itemPublished,
  itemsRetracted,
  nodeDeleted,
  nodePurged,
} from '../pubsub/hooks.ts';
import type { Node } from '../pubsub/node.ts';
import { publish } from '../pubsub/publish.ts';
import { retract } from '../pubsub/retract.ts';
import type { Shelf } from '../pubsub/shelf.ts';
import { type Bookmark, fromLegacy, isSameList, listOf, readList } from './convert.ts';

/** The id that clients give to the list (XEP-0048 3.1). */
const CURRENT = 'current';
/** Bookmarks that a list of before has, the newest; where there are more, nothing is taken back because it is missing there. */
const LISTED = 500;

/** Published by the server in the place of a list: the list is made when it is its turn. */
const placeholder = el('list', NS.bookmarksList);

/** What a hook tells of. */
interface Change {
  readonly service: Jid;
  readonly node: Pick<Node, 'name'>;
  readonly by: Jid;
  /** Undefined: all of them. */
  readonly ids?: readonly string[];
}

export default defineModule({
  xeps: ['XEP-0048 1.2', 'XEP-0402 1.2.0', 'XEP-0411 1.1.0'],
  summary: 'Bookmarks of rooms, the same for clients of all ages',
  needs: [pep],
  /** What an account's list of before has beside rooms: XML of the list without them. */
  stores: { others: kv<string>() },

  setup({ use, stores, log }) {
    const nodes = use(pep);
    /** Ids that are published or taken back because a list says so, by account. */
    const taking = new Map<string, ReadonlySet<string>>();
    /** Accounts whose list is being made, and whether it has to be made again. */
    const listing = new Map<string, boolean>();

    async function othersOf(user: string): Promise<readonly Element[]> {
      const xml = await stores.others.get(user);
      return xml === undefined ? [] : parseElement(xml).elements();
    }

    function check({ node: { name }, id, payload, publisher }: ItemPublish): StanzaError | undefined {
      if (name === NS.bookmarks) {
        if (payload?.is('conference', NS.bookmarks) !== true)
          return pubsubError('invalid-payload', 'a bookmark is a <conference/>');
        return Jid.parse(id)?.isBare === true
          ? undefined
          : new StanzaError('bad-request', 'the id of a bookmark is the address of a room');
      }
      if (name !== NS.bookmarksLegacy || payload?.is('storage', NS.bookmarksLegacy)) return undefined;
      return publisher.isBare && payload?.is(placeholder.name, placeholder.ns)
        ? undefined
        : pubsubError('invalid-payload', 'bookmarks are in a <storage/>');
    }

    /** In the turn of the list's node: two lists are never taken at a time, and none is made while one is taken. */
    async function change(event: ItemPublish): Promise<void> {
      const { node, service, shelf, payload } = event;
      if (node.name !== NS.bookmarksLegacy || payload === undefined) return;
      // one list, whatever a client calls it
      event.id = CURRENT;
      if (payload.ns === NS.bookmarksList) {
        event.payload = listOf((await read(shelf)).slice(-LISTED), await othersOf(service.local));
      } else await take(shelf, payload);
    }

    /** A client of before has written its list. */
    async function take(shelf: Shelf, storage: Element): Promise<void> {
      const account = shelf.jid;
      const { rooms, others } = readList(storage);
      const rest = others.length === 0 ? undefined : el('storage', NS.bookmarksLegacy, undefined, ...others);
      await stores.others.set(account.local, rest?.toXml());
      const before = new Map((await read(shelf)).map((one) => [Jid.parse(one.id)?.bare ?? one.id, one]));
      const changed: Bookmark[] = [];
      for (const [room, legacy] of rooms) {
        const known = before.get(room);
        const conference = fromLegacy(legacy, known?.conference);
        if (conference !== known?.conference) changed.push({ id: known?.id ?? room, conference });
      }
      const isWhole = before.size <= LISTED;
      const gone = [...before].flatMap(([room, { id }]) => (isWhole && !rooms.has(room) ? [id] : []));
      taking.set(account.local, new Set([...changed.map(({ id }) => id), ...gone]));
      try {
        await Promise.all(
          changed.map(({ id, conference }) =>
            publish(shelf, NS.bookmarks, { publisher: account, item: el('item', NS.pubsub, { id }, conference) }),
          ),
        );
        if (gone.length > 0) await retract(shelf, NS.bookmarks, { by: account, ids: gone, isNotified: true });
      } finally {
        taking.delete(account.local);
      }
    }

    /** Bookmarks have changed, not because of a list: those who look at the list see it there. */
    function changed({ service: { local: user }, node, by, ids }: Change): Promise<void> | undefined {
      if (node.name !== NS.bookmarks) return undefined;
      const own = by.isBare ? taking.get(user) : undefined;
      if (own !== undefined && ids?.every((id) => own.has(id))) return undefined;
      if (listing.has(user)) {
        listing.set(user, true);
        return undefined;
      }
      return list(user);
    }

    async function list(user: string): Promise<void> {
      try {
        do {
          listing.set(user, false);
          await listOnce(user);
        } while (listing.get(user));
      } catch (error) {
        if (!(error instanceof StanzaError)) throw error;
        log.info({ user, reason: error.text ?? error.condition }, 'bookmarks are not shown to older clients');
      } finally {
        listing.delete(user);
      }
    }

    async function listOnce(user: string): Promise<void> {
      const [shown] = await nodes.items(user, NS.bookmarksLegacy, { most: 1 });
      const now = await listFor(user);
      if (shown?.payload === undefined ? now.elements().length === 0 : isSameList(shown.payload, now)) return;
      await nodes.publish(user, NS.bookmarksLegacy, placeholder, { id: CURRENT });
    }

    /** What a client of before is to see. */
    async function listFor(user: string): Promise<Element> {
      const newest = await nodes.items(user, NS.bookmarks, { most: LISTED });
      const bookmarks = newest.flatMap(({ id, payload }) =>
        payload === undefined ? [] : [{ id, conference: payload }],
      );
      return listOf(bookmarks.reverse(), await othersOf(user));
    }

    const isList = (element: Element): boolean => element.is('storage', NS.bookmarksLegacy);

    return {
      features: { account: [NS.bookmarksCompat, NS.bookmarksCompatPep, NS.bookmarksConversion] },
      handlers: [
        ...privateNode(NS.bookmarks, { maxItems: 'max', sendLast: 'never' }),
        ...privateNode(NS.bookmarksLegacy),
        on(itemPublish, { phase: 'check' }, check),
        on(itemPublish, { phase: 'change' }, change),
        on(itemPublished, ({ service, node, publisher, item }) =>
          changed({ service, node, by: publisher, ids: [item.id] }),
        ),
        on(itemsRetracted, changed),
        on(nodePurged, changed),
        on(nodeDeleted, changed),
        on(privateAsked, { phase: 'answer' }, async (event) => {
          if (!isList(event.wanted)) return undefined;
          event.answer = await listFor(event.user);
          return 'handled';
        }),
        on(privateKept, { phase: 'take' }, async ({ by, element }) => {
          if (!isList(element)) return undefined;
          await nodes.publish(by.local, NS.bookmarksLegacy, element, { id: CURRENT, as: by });
          return 'handled';
        }),
      ],
    };
  },
});

/** Oldest first. */
async function read(shelf: Shelf): Promise<Bookmark[]> {
  const { rows, policy } = shelf.ports;
  const page = await rows.items.page(NS.bookmarks, { newestFirst: false, limit: policy.mostItems });
  return (page?.items ?? []).map(({ id, xml }) => ({ id, conference: parseElement(xml) }));
}
