// XEP-0163: Personal Eventing Protocol. Every account is a service of nodes (XEP-0060, modules/pubsub): the account owns them, those who share
// its presence hear of them and may read them, and a client says by `+notify` in its capabilities (modules/caps) what it wants to hear.
//
// - 4.3.1, 3 SHOULD: no XEP-0033 `replyto` tells from which resource something was published: `publisher` does, where a node is configured to.
// - 4.3.2: who has subscribed and is a contact hears it as such, if a client of theirs asks for the node; else by the address that has subscribed.
// - 5: nobody makes a collection of nodes (XEP-0248); what the account has is listed by service discovery.
// - 6.1 against XEP-0030 8: strangers learn nothing of an account, but of a node that they may read.
// - XEP-0060 12.5: subscriptions that are for as long as somebody is online end with the presence that the account hears of, or that is of this domain.
// - XEP-0060 9.1: whom presence is only directed to is sent nothing.
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { pause } from '../../base/clock.ts';
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import type { Lease } from '../../cluster/cluster.ts';
import { accountRemoving, messageOut, nodeAsked, presenceNews, sessionOut } from '../../core/events.ts';
import { hooksUnder } from '../../core/leased.ts';
import { counter } from '../../core/metrics.ts';
import { defineModule, type IqRequest, iqGet, iqSet, on, provide } from '../../core/module.ts';
import type { Transit } from '../../core/transit.ts';
import { kv, map } from '../../storage/specs.ts';
import type { Element } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Message } from '../../xmpp/stanza.ts';
import { type BlockList, blocking, blockListChanged } from '../blocking/index.ts';
import { caps as capsService, wantsChanged } from '../caps/index.ts';
import { nodesPortion } from '../portability/nodes.ts';
import { presenceBroadcast } from '../presence/index.ts';
import { Answered, Asked } from '../pubsub/asked.ts';
import { decidedNode, isDecision } from '../pubsub/authorize.ts';
import type { NodeConfig } from '../pubsub/config.ts';
import { featuresWith } from '../pubsub/discovery.ts';
import type { Errand, OfNode } from '../pubsub/errands.ts';
import { pubsubError } from '../pubsub/errors.ts';
import { SWEEP_EVERY, sweepExpired } from '../pubsub/expiry.ts';
import { itemPublish, itemPublished, nodeConfigured, nodeCreated, nodeCreating, nodeDeleted } from '../pubsub/hooks.ts';
import { Limits } from '../pubsub/limits.ts';
import { Pipeline } from '../pubsub/pipeline.ts';
import type { Contact, ServicePorts, ShelfPorts } from '../pubsub/ports.ts';
import { answerOfNode, answerOfService, nodeNamed, withInstantName } from '../pubsub/requests.ts';
import { type Remembered, Service } from '../pubsub/shelf.ts';
import { directoryOf, stores } from '../pubsub/stores.ts';
import { isFrom, type RosterItem, rosterItemChanged, roster as rosterService } from '../roster/index.ts';
import { AccessChanges } from './access-changes.ts';
import { AccountNodes, AccountRows, type LastAsked, type Lowered } from './account.ts';
import { personalConfig } from './defaults.ts';
import { Followers } from './followers.ts';
import { Hearing } from './hearing.ts';
import { LastItems } from './last-items.ts';
import { visibleNodes } from './listing.ts';
import { emptyShelf } from './nobody.ts';
import { NodeIndex } from './node-index.ts';
import { pep, personalNodes } from './service.ts';
import { Telling } from './telling.ts';

/** Tells that an account is being removed. */
interface Removal {
  readonly removed: true;
}

type Asking = OfNode | LastAsked | Lowered | Removal;

/** Before what could not be read is read again, in milliseconds. */
const PAUSE = 1000;
/** Items in one answer to who asks for all of them: clients that know no pages have hundreds of bookmarks. */
const PAGE = 1000;

export default defineModule({
  xeps: ['XEP-0163 1.2.2', 'XEP-0413 0.2.1', 'XEP-0462 0.1.1'],
  summary: "Accounts' own nodes: avatars, keys, bookmarks and whatever else contacts and devices want to hear of",
  provides: [pep],
  needs: [rosterService, capsService],
  stores: {
    ...stores,
    guarded: kv<true>({ cache: true }),
    followed: map<true>({ cache: true }),
    heeding: kv<true>({ cache: true }),
  },
  metrics: {
    published: counter('Items published at nodes of accounts'),
    expired: counter('Items at nodes of accounts that were removed because their time was over'),
  },
  config: z.strictObject({
    'max-items': z.int().min(1).prefault(10_000).meta({ description: 'Items that one node keeps, at most.' }),
    'max-payload': z
      .int()
      .min(1024)
      .prefault(200_000)
      .meta({ description: 'Bytes of one item, at most. Clients have to be able to send them, too.' }),
    'max-nodes': z.int().min(1).prefault(500).meta({ description: 'Nodes of one account, at most.' }),
    'max-bytes': z
      .int()
      .min(1)
      .prefault(50_000_000)
      .meta({ description: 'Bytes of all items at the nodes of one account, at most.' }),
    'publishes-per-minute': z.int().min(1).prefault(60).meta({
      description: 'Items that one account publishes in a minute, for long; those of ten minutes may come at once.',
    }),
  }),

  setup({ host, config, stores, metrics, router, cluster, owners, clock, use, find, background, every, signal }) {
    const roster = use(rosterService);
    const blockedBy = (user: string): MaybePromise<BlockList | undefined> => find(blocking)?.of(user);
    const telling = new Telling({ host, router, blockedBy, background });
    const caps = use(capsService);
    const index = new NodeIndex(
      stores.nodes,
      cluster,
      host.domain,
      (user, name) => serviceOf(Jid.of(user, host.domain)).companionOf(name) === undefined,
    );
    const now = (): number => clock.now();
    const newId = (): string => randomBytes(9).toString('base64url');
    const plain = personalConfig(config['max-payload']);
    const hearing = new Hearing({ domain: host.domain, directory: cluster.directory, roster, caps, now });

    const limits = new Limits({
      quota: { bytes: config['max-bytes'], perMinute: config['publishes-per-minute'] },
      clock,
      bytesOf: async (account) => (await stores.items.usage(Jid.parse(account)!.local)).bytes,
    });
    /** Why an account is to have no other node; undefined where it may. */
    const another = (user: string): MaybePromise<StanzaError | undefined> =>
      andThen(index.of(user), ({ size }) =>
        size < config['max-nodes']
          ? undefined
          : pubsubError('max-nodes-exceeded', `${config['max-nodes']} nodes at most`),
      );

    const people = (account: Jid): ServicePorts['people'] => ({
      contact: (owner, who): MaybePromise<Contact | undefined> =>
        owner === account.bare ? andThen(roster.get(account.local, who.bare), asContact) : undefined,
      isPresent(who): MaybePromise<boolean | undefined> {
        if (who.domain !== host.domain) return undefined;
        return andThen(cluster.directory.sessions(who.bare), (entries) =>
          entries.some(({ available, jid }) => available && (who.isBare || jid.full === who.full)),
        );
      },
    });

    const servicePorts = (account: Jid): ServicePorts => ({
      hooks: host,
      people: people(account),
      policy: {
        standing: (who) => (who.bare === account.bare ? 'owner' : undefined),
        mayCreate: (who) => who.bare === account.bare,
        createsOnPublish: true,
        defaults: () => plain,
        mostItems: config['max-items'],
        mostPayload: config['max-payload'],
        mostSubscriptions: 10,
        pageSize: PAGE,
      },
      directory: directoryOf(stores, account.local),
      now,
      newId,
    });

    const serviceOf = (account: Jid): Service => new Service(account, servicePorts(account));

    const shelfPorts = (account: Jid, nodes: AccountNodes, lease: Lease): ShelfPorts => ({
      ...servicePorts(account),
      hooks: hooksUnder(host, lease),
      rows: nodes.rows,
      tell(element, to) {
        if (!nodes.isDropped) telling.tell(account, element, to);
      },
      listeners: (node) => hearing.of(account, node),
      background,
    });

    const accounts = owners.declare<AccountNodes, Asking, Answered>('pep', {
      thaw(key, lease, handed) {
        const jid = Jid.of(key, host.domain);
        const rows = new AccountRows(stores, jid, lease);
        return new AccountNodes(jid, rows, handed as Remembered | undefined, (nodes) => shelfPorts(jid, nodes, lease));
      },
      handle(account, asking) {
        if ('errand' in asking) return account.run(asking);
        const done =
          'nodes' in asking
            ? account.sendLast(asking)
            : 'lowered' in asking
              ? account.lower(asking.lowered)
              : account.forget();
        return andThen(done, () => new Answered(undefined));
      },
      freeze: (account) => account.freeze(),
      drop(account) {
        account.isDropped = true;
      },
      idleAfter: 10 * 60_000,
      isIdle: (account) => account.isIdle,
    });

    const askNode = (user: string, node: string, errand: Errand): MaybePromise<Element | undefined> =>
      andThen(accounts.call(user, { node, errand }), (answer) => Answered.read(answer));

    /** Answers whatever is asked of an account. @throws StanzaError what it is refused with */
    const ask = (user: string, asked: Asked): MaybePromise<Element | undefined> => {
      const node = nodeNamed(asked);
      if (node !== undefined) return askNode(user, node, { is: 'request', asked });
      const account = Jid.of(user, host.domain);
      return answerOfService(serviceOf(account), asked);
    };

    const followers = new Followers({
      domain: host.domain,
      stores,
      call: async (user, asked) => accounts.call(user, asked),
    });

    const lastItems = new LastItems({
      domain: host.domain,
      stores,
      nodes: (user) => index.of(user),
      roster,
      blockedBy,
      defaults: (account, name) => serviceOf(account).defaults(name),
      newId,
      pause: () => pause(clock, PAUSE, signal),
      background,
      ask: (user, asked) => accounts.send(user, asked),
    });

    const access = new AccessChanges({
      domain: host.domain,
      directory: cluster.directory,
      roster,
      caps,
      hearing,
      lastItems,
      isKnown: async (user, contact) => (await stores.entities.right(user, contact)).size > 0,
      lower: async (user, contact) => void (await accounts.call(user, { lowered: contact })),
      sendLast: (user, asked) => accounts.send(user, asked),
    });

    const askedOf = ({ iq, payload }: IqRequest): Asked =>
      withInstantName(new Asked(iq.from, iq.type as 'get' | 'set', payload), newId);

    const pipeline = new Pipeline();
    const answer = (request: IqRequest): MaybePromise<Element | undefined> =>
      pipeline.answer(request, () => ask(request.iq.to.local, askedOf(request)));

    /** What would be answered for an account without nodes: nobody can tell whether there is one. */
    function answerForNobody(request: IqRequest): MaybePromise<Element | undefined> {
      const asked = askedOf(request);
      const { to } = request.iq;
      const shelf = emptyShelf(to, servicePorts(to));
      return nodeNamed(asked) === undefined ? answerOfService(shelf, asked) : answerOfNode(shelf, asked);
    }

    /** XEP-0060 8.6: a device of the account has filled in the form that asks whether somebody may subscribe. */
    function takeDecision({ stanza }: Transit<Message>): MaybePromise<'handled' | undefined> {
      const { from, to, el: element } = stanza;
      if (from.bare !== to.bare || !to.isBare || !isDecision(element)) return undefined;
      const node = decidedNode(element);
      if (node === undefined) return 'handled';
      const errand: Errand = { is: 'decision', from: from.full, xml: element.toXml() };
      return andThen(askNode(to.local, node, errand), () => 'handled');
    }

    const configOf = (user: string, node: string): MaybePromise<NodeConfig | undefined> =>
      andThen(stores.nodes.get(user, node), (row) => {
        if (row === undefined || row.movedTo !== undefined) return undefined;
        const account = Jid.of(user, host.domain);
        return { ...serviceOf(account).defaults(node), ...row.config };
      });

    every(SWEEP_EVERY, 'removal of items whose time is over', async () => {
      const isOurs = (): boolean => cluster.owner(`pep ${host.domain}`) === cluster.self;
      metrics.expired.inc(await sweepExpired(stores.items, isOurs));
    });

    const portion = nodesPortion({
      domain: host.domain,
      stores,
      serviceOf,
      mostBytes: config['max-bytes'],
      bring: (user, node, brought) => askNode(user, node, { is: 'bring', brought }),
    });

    const stopListening = index.listen();
    const changed = ({ service }: { readonly service: Jid }): void => index.changed(service.local);
    const targets = ['account'] as const;

    return {
      features: {
        account: featuresWith(
          'auto-create',
          'auto-subscribe',
          'filtered-notifications',
          'last-published',
          'presence-subscribe',
          'pubsub-on-a-jid',
        ),
      },
      identities: { account: [{ category: 'pubsub', type: 'pep' }] },
      portion,
      items: (of, by, query) =>
        of.local === '' ? [] : pipeline.after(by, of, () => visibleNodes(serviceOf(of), by, query)),
      handlers: [
        provide(pep, personalNodes({ domain: host.domain, ask, run: askNode, config: configOf })),
        iqGet(targets, NS.pubsub, 'pubsub', answer),
        iqSet(targets, NS.pubsub, 'pubsub', answer),
        iqGet(targets, NS.pubsubOwner, 'pubsub', answer),
        iqSet(targets, NS.pubsubOwner, 'pubsub', answer),
        iqGet('nobody', NS.pubsub, 'pubsub', answerForNobody),
        iqSet('nobody', NS.pubsub, 'pubsub', answerForNobody),
        iqGet('nobody', NS.pubsubOwner, 'pubsub', answerForNobody),
        iqSet('nobody', NS.pubsubOwner, 'pubsub', answerForNobody),
        on(messageOut, { phase: 'check' }, takeDecision),
        on(nodeAsked, async (event) => {
          const { request, target, node, what } = event;
          if (target !== 'account' || event.answer !== undefined) return;
          const { iq, payload } = request;
          try {
            const asked = new Asked(iq.from, 'get', payload);
            const found = pipeline.after(iq.from, iq.to, () => askNode(iq.to.local, node, { is: what, asked }));
            event.answer = (await found)?.elements();
          } catch (error) {
            if (!(error instanceof StanzaError)) throw error;
            event.answer = error;
          }
        }),
        on(wantsChanged, ({ account, jid, session, was, wants }) => {
          const more = was.size === 0 ? wants : new Set([...wants].filter((name) => !was.has(name)));
          if (more.size === 0) return undefined;
          return session === undefined ? lastItems.toContact(account, jid, more) : lastItems.toSession(session, more);
        }),
        on(presenceBroadcast, ({ stanza }) =>
          stanza.type === 'unavailable' ? followers.wentOffline(stanza.from) : undefined,
        ),
        on(presenceNews, ({ stanza: { type, from, to } }) =>
          type === 'unavailable' && !from.isBare && from.domain !== host.domain
            ? followers.leave(from, to.local)
            : undefined,
        ),
        on(sessionOut, { phase: 'filter' }, ({ session, stanza }) => lastItems.passes(session, stanza)),
        on(rosterItemChanged, ({ account, contact, was, is }) => access.ofContact(account, contact, was, is)),
        on(blockListChanged, ({ account, unblocked, is, isHere }) =>
          isHere ? access.ofBlocks(account, unblocked, is) : undefined,
        ),
        on(nodeCreating, { phase: 'check' }, ({ service }) => another(service.local)),
        on(itemPublish, { phase: 'check' }, (event) => limits.publish(event)),
        on(nodeCreated, changed),
        on(nodeConfigured, changed),
        on(nodeConfigured, ({ service, node, before }) =>
          background(access.ofNode(service, node, before), 'sending last items'),
        ),
        on(nodeDeleted, changed),
        on(itemPublished, () => metrics.published.inc()),
        on(accountRemoving, async ({ user }) => {
          await followers.remove(user);
          await accounts.call(user, { removed: true });
          index.changed(user);
        }),
      ],
      stop: stopListening,
    };
  },
});

function asContact(item: RosterItem | undefined): Contact | undefined {
  return item && { isFrom: isFrom(item), groups: item.groups };
}
