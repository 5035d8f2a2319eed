// XEP-0376: Pubsub Account Management, as far as XEP-0465 needs it: an account subscribes to nodes, here and elsewhere, through its server, which knows all of
// that and tells its clients.
//
// - 3.2: whose clients are told: those that announce the protocol (3.1), verified, and the one that has asked. The word is a headline.
// - 3.2, MAY: the request goes on as it came, with what else is in it. Other accounts, and people of other servers, are refused as by an account that knows nothing of this.
// - 3.4: who knows the current version gets an empty result; who knows an older one gets the whole list, not the changes. Public ones are marked by `<public/>`.
// - What a service says later of a subscription (XEP-0060 12.14), or of a node that is deleted, changes the list where it comes from that
//   service. What has not been subscribed to here is not on it.
// - 3.5 to 3.7 are left out: they ask how things might be done, and say of nothing how it is. So `+notify` of accounts that announce the protocol is heeded as everybody's.
// - An account that is removed unsubscribes at other servers, as far as they are there.
import { z } from 'zod';
import { Room } from '../../base/room.ts';
import { Turns } from '../../base/turns.ts';
import { accountRemoving, messageIn } from '../../core/events.ts';
import { defineModule, type IqRequest, iqGet, iqSet, on } from '../../core/module.ts';
import type { Transit } from '../../core/transit.ts';
import { map } from '../../storage/specs.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { type Iq, type Message, stanzaOf } from '../../xmpp/stanza.ts';
import { caps as capsService } from '../caps/index.ts';
import { pep } from '../pep/service.ts';
import { Book, type Place, type Said, type Subscription, saidIn } from './book.ts';
import { refusalIn, requestOf, saysThereIsNone, type Wanted, wantedIn } from './requests.ts';

/** Requests that services have not answered yet, and their sizes, in characters: on a node of the cluster, and of one account. */
const WAITING = { count: 10_000, size: 16 * 1024 * 1024 };
const WAITING_OF_ONE = { count: 20, size: 256 * 1024 };

export default defineModule({
  xeps: ['XEP-0376 0.2'],
  summary: 'Subscribes accounts to nodes, and knows what they have subscribed to',
  needs: [pep, capsService],
  config: z.strictObject({
    'max-subscriptions': z
      .int()
      .min(1)
      .prefault(1000)
      .meta({ description: 'Subscriptions that one account may have through its server.' }),
  }),
  stores: { subscriptions: map<Subscription>({ cache: true }) },

  setup({ host, config, stores, router, cluster, use, signal, background }) {
    const book = new Book({ store: stores.subscriptions, nodes: use(pep) });
    const caps = use(capsService);
    const turns = new Turns<string>();
    const room = new Room(WAITING, WAITING_OF_ONE);

    /** 3.2: to those who know what that is. */
    async function tell(account: Jid, place: Place, { subid, state }: Said, asker: Jid | undefined): Promise<void> {
      const { service, node } = place;
      const ver = await book.version(account.local);
      const isPublic = (await book.at(account.local, place)).some((row) => row.isPublic === true);
      const attrs = { node, jid: account.bare, subid, subscription: state };
      const said = el('subscription', NS.pubsub, attrs, ...marks(isPublic && state !== 'none'));
      const notify = el('notify', NS.pam, { ver, service }, said);
      for (const entry of await cluster.directory.sessions(account.bare)) {
        const value = caps.of(entry);
        const knows = value !== undefined && (await caps.features(value)).has(NS.pam);
        if (entry.jid.full !== asker?.full && !(entry.available && knows)) continue;
        const header = { type: 'headline', from: account.bare, to: entry.jid.full };
        router.delivery.write(stanzaOf(el('message', null, header, notify), account, entry.jid), [entry]);
      }
    }

    async function take(request: IqRequest): Promise<void> {
      const { from } = request.iq;
      const account = from.withResource('');
      const wanted = wantedIn(request.payload, account);
      const size = request.iq.el.toXml().length;
      if (!room.enter(from.bare, size)) throw new StanzaError('resource-constraint', 'too much of yours waits already');
      // whoever is asked may take their time
      request.release();
      try {
        await act(account, from, wanted);
      } finally {
        room.leave(from.bare, size);
      }
    }

    async function act(account: Jid, asker: Jid, wanted: Wanted): Promise<void> {
      const { local: user } = account;
      const place: Place = { service: wanted.service.full, node: wanted.node };
      const isBeginning = wanted.is === 'subscribe';
      const hidden = await turns.run(user, async () => {
        if (isBeginning) await checkNumber(user, place);
        // XEP-0465 3.3: nobody sees it any more, whatever the service answers
        return wanted.isPublic ? [] : book.hide(user, place);
      });
      const make = (id: string): Iq => stanzaOf(requestOf(wanted, account, id), account, wanted.service) as Iq;
      const reply = await router.request(host, make, { signal });
      const refusal = reply.type === 'result' ? undefined : refusalIn(reply, account);
      if (refusal !== undefined && (isBeginning || !saysThereIsNone(refusal))) {
        for (const row of hidden) await tell(account, place, { subid: undefined, ...row }, asker);
        throw refusal;
      }
      const said = refusal === undefined ? saidOf(reply, wanted) : { state: 'none' as const, subid: wanted.subid };
      await turns.run(user, async () => {
        await book.subscribed(user, place, said, wanted.isPublic);
        await tell(account, place, said, asker);
      });
      if (refusal !== undefined) throw refusal;
    }

    async function checkNumber(user: string, { service, node }: Place): Promise<void> {
      const all = await book.all(user);
      const most = config['max-subscriptions'];
      if (all.length < most || all.some((one) => one.service === service && one.node === node)) return;
      throw new StanzaError('resource-constraint', `an account has at most ${most} subscriptions`);
    }

    /** 3.4. */
    async function list({ iq, payload }: IqRequest): Promise<Element | undefined> {
      const { local: user } = iq.to;
      const ver = await book.version(user);
      if (payload.attrs.ver === ver) return undefined;
      const { bare: jid } = iq.from;
      const rows = (await book.all(user)).map(({ service, node, subid, state, isPublic }) => {
        const attrs = { service, node, jid, subid, subscription: state };
        return el('subscription', NS.pam, attrs, ...marks(isPublic === true));
      });
      return el('subscriptions', NS.pam, { ver }, ...rows);
    }

    /** XEP-0060 8.4.2, 12.14: what services say without having been asked. */
    function hear({ stanza: { el: element, type, from, to } }: Transit<Message>): void {
      if (type === 'error') return;
      for (const child of element.getChild('event', NS.pubsubEvent)?.elements() ?? []) {
        const { node, jid } = child.attrs;
        const said = child.name === 'delete' ? gone : child.name === 'subscription' ? saidIn(child) : undefined;
        if (node === undefined || said === undefined) continue;
        if (said !== gone && Jid.parse(jid ?? '')?.full !== to.bare) continue;
        background(follow(to.withResource(''), { service: from.full, node }, said), 'keeping subscriptions');
      }
    }

    const follow = async (account: Jid, place: Place, said: Said): Promise<void> =>
      turns.run(account.local, async () => {
        if (await book.changed(account.local, place, said)) await tell(account, place, said, undefined);
      });

    /** What is here is told by those who look after it. */
    async function leave(user: string): Promise<void> {
      const account = Jid.of(user, host.domain);
      for (const { service, node, subid } of await book.all(user)) {
        const to = Jid.parse(service);
        if (to === undefined || router.hostOf(to.domain)?.kind !== undefined) continue;
        const unsubscribe = el('unsubscribe', NS.pubsub, { node, jid: account.bare, subid });
        const attrs = { type: 'set', id: `leave-${user}`, from: account.bare, to: to.full };
        const request = el('iq', null, attrs, el('pubsub', NS.pubsub, undefined, unsubscribe));
        await router.tell(stanzaOf(request, account, to), host);
      }
    }

    return {
      features: { account: [NS.pam] },
      handlers: [
        iqSet('self', NS.pam, 'pam', take),
        iqGet('self', NS.pam, 'subscriptions', list),
        on(messageIn, { phase: 'copy' }, hear),
        on(accountRemoving, ({ user }) => leave(user)),
      ],
    };
  },
});

const gone: Said = { state: 'none', subid: undefined };

const marks = (isPublic: boolean): Element[] => (isPublic ? [el('public', NS.publicSubscriptions)] : []);

/** What a service has answered; without a word, that it is so. */
function saidOf({ payload }: Iq, { is, subid }: Wanted): Said {
  if (is === 'unsubscribe') return { state: 'none', subid };
  const subscription = payload?.getChild('subscription', NS.pubsub);
  const said = subscription && saidIn(subscription);
  return said ?? { state: 'subscribed', subid: undefined };
}
