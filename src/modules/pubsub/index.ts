// XEP-0060: Publish-Subscribe, at a host of its own. The engine is in the files beside this one, a section each: shelf.ts and node.ts are what
// there is, requests.ts says which request is answered where, hooks.ts what other modules attach to. The nodes of accounts (XEP-0163) are served by
// the same engine.
//
// - Left out: collections (XEP-0248), digests, texts made of payloads (12.8), payment, registration with the service; and what XEP-0060 calls
//   deprecated.
// - 4.3: the last item is sent to new subscribers by default, and not whenever they come online (`pubsub#last-published` is not claimed).
// - 4.6.1: nodes have no addresses of their own. 4.6.2 SHOULD: names are taken as they are, not prepared as resourceparts.
// - 7.1.4: publishing makes no nodes here, unless `auto-create` says so.
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { andThen, isPromise, type MaybePromise } from '../../base/maybe.ts';
import type { Lease } from '../../cluster/cluster.ts';
import { duration } from '../../config/schema.ts';
import { accountRemoving, nodeAsked, serviceIn } from '../../core/events.ts';
import { hooksUnder } from '../../core/leased.ts';
import { counter, gauge } from '../../core/metrics.ts';
import { defineModule, type IqHandler, type IqRequest, iqGet, iqSet, on } from '../../core/module.ts';
import { kv } from '../../storage/specs.ts';
import type { Element } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { stanzaOf } from '../../xmpp/stanza.ts';
import { isFrom, roster } from '../roster/index.ts';
import { Answered, Asked } from './asked.ts';
import { decidedNode, isDecision } from './authorize.ts';
import { Comings } from './comings.ts';
import { plainConfig } from './config.ts';
import { featuresWith, listNodes } from './discovery.ts';
import { type Errand, type OfNode, run } from './errands.ts';
import { SWEEP_EVERY, sweepExpired } from './expiry.ts';
import { HeedingRows } from './heeding.ts';
import { itemPublish, itemPublished } from './hooks.ts';
import { Limits } from './limits.ts';
import { pendingCommand } from './pending.ts';
import { Pipeline } from './pipeline.ts';
import type { People, Policy, ServicePorts, ShelfPorts } from './ports.ts';
import { heedsPresence } from './presence.ts';
import { answerOfService, nodeNamed, withInstantName } from './requests.ts';
import { type Remembered, Service, Shelf } from './shelf.ts';
import { directoryOf, OWNER, type StoredRows, stores } from './stores.ts';

/** For the metrics, in milliseconds. */
const COUNT_EVERY = 10_000;
/** Nodes whose size is asked for at a time. */
const AT_A_TIME = 16;

/** A node and what comes with it, on the node of the cluster that owns it. */
interface Home {
  readonly shelf: Shelf;
  readonly rows: StoredRows;
  drop(): void;
}

export default defineModule({
  xeps: ['XEP-0060 1.30.0', 'XEP-0413 0.2.1', 'XEP-0462 0.1.1'],
  summary: 'Nodes that people publish at and subscribe to',
  hosts: ['pubsub'],
  stores: { ...stores, heeding: kv<true>({ cache: true }) },
  metrics: {
    published: counter('Items published'),
    expired: counter('Items removed because their time was over'),
    nodes: gauge('Nodes in the memory of this process'),
  },
  config: z.strictObject({
    creation: z.enum(['local', 'admins', 'anyone']).prefault('local').meta({
      description: 'Who may make nodes: the people of the host, its admins alone, or people of other servers too.',
    }),
    'auto-create': z
      .boolean()
      .prefault(false)
      .meta({ description: 'Publishing to a node that is not there makes it.' }),
    'per-account': z
      .int()
      .min(0)
      .prefault(1000)
      .meta({ description: 'Nodes that one person may own, by making them; 0 for no limit.' }),
    'max-items': z
      .int()
      .min(1)
      .prefault(100_000)
      .meta({ description: 'Items that one node keeps, whatever its owner says; what `max` stands for.' }),
    'max-payload': z.int().min(1).prefault(262_144).meta({ description: 'Bytes of one item.' }),
    'max-subscriptions': z.int().min(1).prefault(20).meta({ description: 'Subscriptions of one person to one node.' }),
    'max-bytes': z
      .int()
      .min(1)
      .prefault(250_000_000)
      .meta({ description: 'Bytes of all items at the nodes that one person has made, at most.' }),
    'publishes-per-minute': z.int().min(1).prefault(1000).meta({
      description: 'Items that one person publishes in a minute, for long; those of ten minutes may come at once.',
    }),
    'page-size': z.int().min(1).prefault(250).meta({ description: 'Items in one answer.' }),
    'unload-after': duration()
      .prefault('10m')
      .meta({ description: 'A node that nobody asks for is out of memory after so long.' }),
  }),

  setup({ host, config, stores: opened, metrics, router, cluster, owners, clock, every, background }) {
    const domain = host.parent?.domain ?? host.domain;
    const isOperator = ({ full }: Jid): boolean => full === host.domain;
    const newId = (): string => randomBytes(12).toString('base64url');

    const people: People = {
      contact(owner, who) {
        const account = Jid.parse(owner);
        if (account === undefined || account.domain !== domain) return undefined;
        return andThen(host.parent?.find(roster)?.get(account.local, who.withResource('').bare), (item) =>
          item === undefined ? undefined : { isFrom: isFrom(item), groups: item.groups },
        );
      },
      isPresent(who) {
        if (who.domain !== domain) return undefined;
        return andThen(cluster.directory.sessions(who.withResource('').bare), (entries) =>
          entries.some(({ available, jid }) => available && (who.isBare || jid.full === who.full)),
        );
      },
    };

    const policy: Policy = {
      standing: (who) => (isOperator(who) ? 'owner' : undefined),
      mayCreate(who) {
        if (isOperator(who) || config.creation === 'anyone') return true;
        if (config.creation === 'admins') return host.may(who, 'administer');
        return who.domain === domain && who.local !== '';
      },
      createsOnPublish: config['auto-create'],
      defaults: () => plain,
      ...(config['per-account'] > 0 && { mostNodes: config['per-account'] }),
      mostItems: config['max-items'],
      mostPayload: config['max-payload'],
      mostSubscriptions: config['max-subscriptions'],
      pageSize: config['page-size'],
    };
    const plain = { ...plainConfig, maxPayload: Math.min(plainConfig.maxPayload, config['max-payload']) };

    const common: ServicePorts = {
      hooks: host,
      people,
      policy,
      directory: directoryOf(opened, OWNER),
      now: () => clock.now(),
      newId,
    };
    const service = new Service(host.jid, common);

    /** Full JIDs by multicast, bare ones one by one; the inside is written once for all of them. */
    const tell = (element: Element, to: readonly Jid[]): void => {
      const full = to.filter(({ isBare }) => !isBare);
      if (full.length > 0) void router.multicast(element, host.jid, full, host);
      for (const jid of to) {
        if (jid.isBare) void router.tell(stanzaOf(element.with({ to: jid.full }), host.jid, jid), host);
      }
    };

    const open = (name: string, lease: Lease, handed: Remembered | undefined): Home => {
      let isDropped = false;
      const rows = new HeedingRows(opened, OWNER, lease, beginHeeding, service.defaults(name));
      const ports: ShelfPorts = {
        ...common,
        hooks: hooksUnder(host, lease),
        rows,
        tell: (element, to) => {
          if (!isDropped) tell(element, to);
        },
        // nobody hears of what they have not subscribed to
        listeners: () => [],
        background,
      };
      const drop = (): void => {
        isDropped = true;
      };
      return { shelf: new Shelf(host.jid, ports, handed), rows, drop };
    };

    /** Of all nodes that somebody has made, in bytes. */
    const bytesOf = async (person: string): Promise<number> => {
      const related = [...(await opened.entities.right(OWNER, person))];
      const owned = related.flatMap(([name, { affiliation }]) => (affiliation === 'owner' ? [name] : []));
      let sum = 0;
      for (let i = 0; i < owned.length; i += AT_A_TIME) {
        const some = owned.slice(i, i + AT_A_TIME).map((name) => opened.items.usage(OWNER, name));
        for (const { bytes } of await Promise.all(some)) sum += bytes;
      }
      return sum;
    };
    const limits = new Limits({
      quota: { bytes: config['max-bytes'], perMinute: config['publishes-per-minute'] },
      clock,
      bytesOf,
    });

    const homes = new Set<Home>();
    const nodes = owners.declare<Home, OfNode, Answered>('node', {
      thaw(key, lease, handed) {
        const home = open(key, lease, handed as Remembered | undefined);
        homes.add(home);
        return home;
      },
      handle: ({ shelf }, { node, errand }) => run(shelf, node, errand),
      async freeze(home) {
        homes.delete(home);
        const { shelf, rows } = home;
        await shelf.settled();
        await rows.settled();
        return shelf.remembered();
      },
      drop(home) {
        homes.delete(home);
        home.drop();
      },
      idleAfter: config['unload-after'],
      isIdle: ({ shelf }) => shelf.isQuiet,
    });

    every(COUNT_EVERY, 'counting nodes', () => metrics.nodes.set(sizeOf(homes)));
    every(SWEEP_EVERY, 'removal of items whose time is over', async () => {
      const isOurs = (): boolean => cluster.owner(`pubsub ${host.domain}`) === cluster.self;
      metrics.expired.inc(await sweepExpired(opened.items, isOurs));
    });

    /** What comes with another node is where that one is. */
    const ask = (node: string, errand: Errand): MaybePromise<Element | undefined> =>
      andThen(nodes.call(homeOf(node), { node, errand }), Answered.read);
    const homeOf = (node: string): string => {
      const head = service.companionOf(node)?.head;
      return head === undefined ? node : homeOf(head);
    };

    const pipeline = new Pipeline();
    const answer: IqHandler = (request) => {
      const { iq, payload } = request;
      const asked = withInstantName(new Asked(iq.from, iq.type as 'get' | 'set', payload), newId);
      const name = nodeNamed(asked);
      return pipeline.answer(request, () =>
        name === undefined ? answerOfService(service, asked) : ask(name, { is: 'request', asked }),
      );
    };

    const childrenOf = (request: IqRequest, node: string, is: 'info' | 'items'): MaybePromise<readonly Element[]> => {
      const { from, to } = request.iq;
      const asked = new Asked(from, 'get', request.payload);
      const found = pipeline.after(from, to, () => ask(node, { is, asked }));
      return andThen(found, (query) => query?.elements() ?? []);
    };

    /** Some node does something from now on when people come or go. */
    const beginHeeding = async (): Promise<void> => {
      if ((await opened.heeding.get(OWNER)) === undefined) await opened.heeding.set(OWNER, true);
    };

    const comings = new Comings({
      background,
      async tell(who, is) {
        if ((await opened.heeding.get(OWNER)) === undefined) return;
        for (const [name, entity] of await opened.entities.right(OWNER, who.bare)) {
          const row = await opened.nodes.get(OWNER, name);
          if (row !== undefined && heedsPresence(service, name, row, entity)) await ask(name, { is, who: who.full });
        }
      },
    });

    const forget = async (user: string): Promise<void> => {
      const { bare } = Jid.of(user, domain);
      for (const name of (await opened.entities.right(OWNER, bare)).keys()) {
        await ask(name, { is: 'removed', who: bare });
      }
    };

    return {
      features: {
        server: featuresWith('get-pending', ...(config['auto-create'] ? ['auto-create'] : [])),
      },
      items: (of, by, query) =>
        of.full === host.domain ? pipeline.after(by, of, () => listNodes(service, by, query)) : [],
      commands: [pendingCommand(service, (name, from) => ask(name, { is: 'reminder', from: from.full }))],
      handlers: [
        iqGet('host', NS.pubsub, 'pubsub', answer),
        iqSet('host', NS.pubsub, 'pubsub', answer),
        iqGet('host', NS.pubsubOwner, 'pubsub', answer),
        iqSet('host', NS.pubsubOwner, 'pubsub', answer),
        on(nodeAsked, (event) => {
          const { request, target, node, what } = event;
          if (event.answer !== undefined || target !== 'host') return undefined;
          const found = (children: readonly Element[]): void => {
            event.answer = children;
          };
          const refused = (error: unknown): void => {
            if (!(error instanceof StanzaError)) throw error;
            event.answer = error;
          };
          try {
            const asked = childrenOf(request, node, what);
            return isPromise(asked) ? asked.then(found, refused) : found(asked);
          } catch (error) {
            return refused(error);
          }
        }),
        on(serviceIn, { phase: 'handle' }, ({ stanza }) => {
          if (stanza.to.local !== '') return;
          if (stanza.kind === 'presence') {
            comings.take(stanza);
            return 'handled';
          }
          if (stanza.kind !== 'message') return;
          // what could not be delivered
          if (stanza.type === 'error') return 'handled';
          if (!isDecision(stanza.el)) return;
          const name = decidedNode(stanza.el);
          if (name === undefined) return 'handled';
          const errand: Errand = { is: 'decision', from: stanza.from.full, xml: stanza.el.toXml() };
          return andThen(ask(name, errand), () => 'handled' as const);
        }),
        on(accountRemoving, ({ user }) => forget(user)),
        on(itemPublish, { phase: 'check' }, (event) => limits.publish(event)),
        on(itemPublished, () => metrics.published.inc()),
      ],
    };
  },
});

function sizeOf(homes: Iterable<Home>): number {
  let size = 0;
  for (const { shelf } of homes) size += shelf.size;
  return size;
}
