// XEP-0485: PubSub Server Information. With which servers this one speaks, published for those who draw maps of the network; by operators who want that,
// and with the names of those others who want it too.
import { z } from 'zod';
import { LruCache } from '../base/lru.ts';
import { duration } from '../config/schema.ts';
import { serviceHosts } from '../config/services.ts';
import type { ServerStreamInfo } from '../core/commands.ts';
import type { Host } from '../core/host.ts';
import { defineModule } from '../core/module.ts';
import { type Element, el } from '../xml/element.ts';
import { infoForm } from '../xmpp/info-form.ts';
import { Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import { type Iq, stanzaOf } from '../xmpp/stanza.ts';

const NODE = 'serverinfo';
/** Until something is published after a start, in milliseconds: others are just coming back. */
const SETTLE = 60_000;
/** Of how many servers it is known whether they want to be named, how long, and how many are asked at a time. */
const KNOWN = 5000;
const VALID = 24 * 3_600_000;
const AT_A_TIME = 8;

interface Wish {
  readonly isNamed: boolean;
  readonly at: number;
}

export default defineModule({
  xeps: ['XEP-0485 1.0.0'],
  summary: 'Publishes with which other servers this one speaks, where the operator wants that',
  hosts: ['users', 'pubsub'],
  config: z
    .strictObject({
      publish: z.boolean().prefault(false).meta({
        description:
          'Whether everybody may know with how many servers the host speaks, and with which of those that publish it too.',
      }),
      every: duration().prefault('10m').meta({ description: 'How often it is looked whether something has changed.' }),
    })
    .prefault({}),

  setup({ host, config, router, cluster, clock, log, admin, every, background, signal }) {
    if (!config.publish) return {};
    if (host.kind === 'users') {
      const at = [...serviceHosts({ [host.domain]: host.settings })].find(([, { kind }]) => kind === 'pubsub')?.[0];
      if (at === undefined) return {};
      return {
        features: { server: [NS.serverInformation] },
        info: [infoForm(NS.serverInfo, [['serverinfo-pubsub-node', 'text-single', [`xmpp:${at}?;node=${NODE}`]]])],
      };
    }
    const parent = host.parent!;
    const { domain } = parent;
    const wishes = new LruCache<string, Wish>(KNOWN);
    let published = '';

    function ask(by: Host, to: Jid, type: 'get' | 'set', payload: Element): Promise<Iq> {
      const make = (id: string): Iq =>
        stanzaOf(el('iq', null, { from: by.domain, to: to.full, type, id }, payload), by.jid, to) as Iq;
      return router.request(by, make, { signal });
    }

    /** 6: whoever publishes may be named. */
    async function wantsToBeNamed(remote: string): Promise<boolean> {
      const known = wishes.get(remote);
      if (known !== undefined && clock.now() - known.at < VALID) return known.isNamed;
      const { type, payload } = await ask(parent, Jid.of('', remote), 'get', el('query', NS.discoInfo));
      if (type !== 'result') return false;
      const features = payload?.getChildren('feature', NS.discoInfo) ?? [];
      const isNamed = features.some(({ attrs }) => attrs.var === NS.serverInformation);
      wishes.set(remote, { isNamed, at: clock.now() });
      return isNamed;
    }

    async function look(): Promise<void> {
      // (the others say the same of the whole cluster)
      if ([...cluster.nodes].sort()[0] !== cluster.self) return;
      const remotes = connectionsOf(await admin.servers(), domain);
      const names = [...remotes.keys()];
      const named = new Set<string>();
      for (let i = 0; i < names.length; i += AT_A_TIME) {
        const some = names.slice(i, i + AT_A_TIME);
        const wanted = await Promise.all(some.map(wantsToBeNamed));
        for (const [j, name] of some.entries()) if (wanted[j]) named.add(name);
      }
      const children = names.map((name) =>
        el('remote-domain', NS.serverInformation, { name: named.has(name) ? name : undefined }, ...remotes.get(name)!),
      );
      const federation = el('federation', NS.serverInformation, undefined, ...children);
      await publish(
        el(
          'serverinfo',
          NS.serverInformation,
          undefined,
          el('domain', NS.serverInformation, { name: domain }, federation),
        ),
      );
    }

    async function publish(information: Element): Promise<void> {
      if (signal.aborted || information.toXml() === published) return;
      const item = el('item', NS.pubsub, { id: 'current' }, information);
      const put = el('pubsub', NS.pubsub, undefined, el('publish', NS.pubsub, { node: NODE }, item));
      let answer = await ask(host, host.jid, 'set', put);
      if (answer.type === 'error') {
        await ask(host, host.jid, 'set', creation);
        answer = await ask(host, host.jid, 'set', put);
      }
      if (answer.type === 'result') published = information.toXml();
      else log.warn({ node: NODE }, 'the information about the server could not be published');
    }

    const cancel = clock.after(SETTLE, () => background(look(), 'publishing about the server'));
    every(config.every, 'publishing about the server', look);
    return { stop: cancel };
  },
});

/** 4: open to all, and one item. */
const creation = el(
  'pubsub',
  NS.pubsub,
  undefined,
  el('create', NS.pubsub, { node: NODE }),
  el(
    'configure',
    NS.pubsub,
    undefined,
    el(
      'x',
      NS.dataForms,
      { type: 'submit' },
      ...[
        ['FORM_TYPE', NS.pubsubNodeConfig],
        ['pubsub#access_model', 'open'],
        ['pubsub#publish_model', 'publishers'],
        ['pubsub#max_items', '1'],
        ['pubsub#persist_items', 'true'],
        ['pubsub#title', 'With whom this server speaks'],
      ].map(([name, value]) => el('field', NS.dataForms, { var: name }, el('value', NS.dataForms, undefined, value!))),
    ),
  ),
);

/** 3: what there is with each other domain, in the order of their names. */
function connectionsOf(streams: readonly ServerStreamInfo[], domain: string): ReadonlyMap<string, readonly Element[]> {
  const found = new Map<string, Element[]>();
  for (const { direction, bidi, domains, host, state } of streams) {
    if (host !== domain || state !== 'open') continue;
    const type = bidi ? 'bidi' : direction === 'in' ? 'incoming' : 'outgoing';
    for (const remote of domains) {
      const list = found.get(remote) ?? [];
      found.set(remote, [...list, el('connection', NS.serverInformation, { type })]);
    }
  }
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}
