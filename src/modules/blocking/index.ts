// XEP-0191: Blocking Command. Whom an account has blocked can neither reach nor see it: messages, presence and requests are stopped here, before
// they are archived, kept or counted; what rooms pass on is stopped in guards.ts, what the account shows of itself in modules/presence and
// modules/pep.
//
// - 3.3, a SHOULD: of messages from blocked people, those to all in a room, headlines and errors are dropped without an answer; see refusals.ts
// - 3.3: one's own server is not blocked by blocking its domain, nor are one's own resources (4)
// - 3.3: a contact of whom only one resource is blocked: that is told that the account has gone, but later presence goes to the contact as a whole
// - 3.3: rooms and others whom presence was directed to are left when they are blocked, and not entered again when they are not any more
// - 3.3: what was on its way to a client already when its sender was blocked is sent again where the client comes back (XEP-0198 5: it counts)
// - 4: blocking is polite: subscriptions stay. What the server says for the account when a contact is removed (RFC 6121 2.5.2) is sent
// - 4, 5: there are no privacy lists (XEP-0016)
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { pause } from '../../base/clock.ts';
import { andThen, inOrder, isPromise, type MaybePromise } from '../../base/maybe.ts';
import { Turns } from '../../base/turns.ts';
import { redelivered } from '../../core/account.ts';
import {
  iqIn,
  iqOut,
  messageIn,
  messageOut,
  presenceIn,
  presenceOut,
  sessionBeginning,
  sessionOut,
} from '../../core/events.ts';
import { collect, notify, type Verdict } from '../../core/hooks.ts';
import { counter } from '../../core/metrics.ts';
import { defineModule, defineService, type IqRequest, iqGet, iqSet, on, provide } from '../../core/module.ts';
import type { Session } from '../../core/sessions.ts';
import type { Transit } from '../../core/transit.ts';
import { StorageUnavailable } from '../../storage/errors.ts';
import { kv } from '../../storage/specs.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { type BareJid, Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Iq, Message, Presence } from '../../xmpp/stanza.ts';
import { blocksPortion } from '../portability/blocks.ts';
import { asked, Guards } from './guards.ts';
import { type Blocking, BlockList, type Changed, isReport, Lists, parseItems } from './list.ts';
import { isBlocked, judgeIq, judgeMessage } from './refusals.ts';

export type { BlockList };

export const blocking = defineService<Blocking>('blocking');

/** An account has blocked, or unblocked, addresses. Fired by this module, on every node. */
export const blockListChanged = notify<{
  readonly account: Jid;
  readonly blocked: BlockList;
  readonly unblocked: BlockList;
  /** The list as it is; not looked up on the other nodes. */
  readonly is: BlockList | undefined;
  /** Whether it was done on this node: what is to be done once is done here. */
  readonly isHere: boolean;
}>('block-list-changed');

/** Somebody has blocked an address, and said why (XEP-0377): what is inside of the item. Handlers are waited for, and do not throw. */
export const blockReported = collect<{
  /** The session, or the account by a component. */
  readonly reporter: Jid;
  /** As it is on the list now. */
  readonly blocked: Jid;
  readonly reports: readonly Element[];
}>('block-reported');

/** What the other nodes are told. */
interface Word {
  readonly user: string;
  readonly blocked: readonly string[];
  readonly unblocked: readonly string[];
}

/** Before what could not be read is read again, in milliseconds. */
const PAUSE = 1000;

export default defineModule({
  xeps: ['XEP-0191 1.3'],
  summary: 'Keeps away whom an account does not want to hear of',
  provides: [blocking],
  config: z.strictObject({
    'max-items': z.int().min(1).prefault(2000).meta({ description: 'Addresses that one account may block.' }),
  }),
  stores: { list: kv<readonly string[]>({ cache: true }) },
  metrics: {
    stopped: counter('Messages, subscription stanzas and requests of blocked people that were stopped'),
  },

  async setup({ host, config, stores, metrics, router, cluster, clock, background, signal }) {
    const lists = new Lists(stores.list, config['max-items']);
    const sessionsOf = (account: BareJid): readonly Session[] => router.sessionsOfAccount(account);
    const guards = new Guards({ lists, sessionsOf, background, pause: () => pause(clock, PAUSE, signal) });
    // those that were there before this module was
    await inOrder(router.sessionsOf(host), (session) => guards.begin(session));
    // one account's changes are made and pushed one after another
    const turns = new Turns<string>();
    const topic = `blocking ${host.domain}`;

    /** 4: nobody can block himself; and the server answers for its domain. */
    const isOwn = (account: Jid, other: Jid): boolean => other.bare === account.bare || other.full === host.domain;

    // every stanza comes through the next ones: a look into memory for whoever has blocked nobody
    function checkOut({ stanza, origin }: Transit): MaybePromise<Verdict | undefined> {
      const { from, to } = stanza;
      if (isOwn(from, to)) return undefined;
      const list = origin.kind === 'client' ? guards.listOf(origin.session) : guards.of(from);
      if (list === undefined) return undefined;
      return isPromise(list) ? list.then((late) => judgeOut(late, to)) : judgeOut(list, to);
    }

    function judgeOut(list: BlockList | undefined, to: Jid): Verdict | undefined {
      return list?.has(to) ? isBlocked() : undefined;
    }

    function checkIn<S extends Message | Iq>(
      transit: Transit<S>,
      judge: (list: BlockList, transit: Transit<S>) => Verdict | undefined,
    ): MaybePromise<Verdict | undefined> {
      const { from, to, type } = transit.stanza;
      // why something could not be delivered the server says in the name of whom it was for, and guards.ts looks at that
      if (isOwn(to, from) || (type === 'error' && transit.origin.kind === 'host')) return undefined;
      const list = guards.of(to);
      if (list === undefined) return undefined;
      if (isPromise(list)) return judgeLate(list, transit, judge);
      return counted(judge(list, transit));
    }

    async function judgeLate<S extends Message | Iq>(
      late: Promise<BlockList | undefined>,
      transit: Transit<S>,
      judge: (list: BlockList, transit: Transit<S>) => Verdict | undefined,
    ): Promise<Verdict | undefined> {
      try {
        const list = await late;
        return list && counted(judge(list, transit));
      } catch (error) {
        // what was taken once is not refused because of the database: who reads it has a list of his own
        if (error instanceof StorageUnavailable && transit.note(redelivered) !== undefined) return undefined;
        throw error;
      }
    }

    function counted(verdict: Verdict | undefined): Verdict | undefined {
      if (verdict !== undefined) metrics.stopped.inc();
      return verdict;
    }

    /** Subscriptions only: probes are answered by modules/presence, the rest is for sessions, and stops there. */
    function checkPresence({ stanza: { type, from, to } }: Transit<Presence>): MaybePromise<Verdict | undefined> {
      if (type !== 'subscribe' && type !== 'subscribed' && type !== 'unsubscribe' && type !== 'unsubscribed') return;
      if (isOwn(to, from)) return;
      const list = guards.of(to);
      const judge = (found: BlockList | undefined): Verdict | undefined =>
        counted(found?.has(from) ? 'handled' : undefined);
      return isPromise(list) ? list.then(judge) : judge(list);
    }

    async function getList({ iq, session }: IqRequest): Promise<Element> {
      // before reading: what changes from now on is pushed. Other nodes need not know: this one takes out what is not for its sessions
      session?.carry(asked, true);
      const list = await lists.of(iq.to.local);
      return el('blocklist', NS.blocking, undefined, ...itemsOf(list?.jids ?? []));
    }

    function block({ iq, payload }: IqRequest): MaybePromise<void> {
      const jids = parseItems(payload);
      if (jids.length === 0) throw new StanzaError('bad-request', 'say whom to block');
      const done = add(iq.to, jids);
      return host.listens(blockReported) ? andThen(done, () => passOn(iq.from, payload)) : done;
    }

    /** XEP-0377 5: what is said of somebody comes with the item. */
    function passOn(reporter: Jid, payload: Element): MaybePromise<void> {
      const items = payload.getChildren('item');
      const beside = items.length === 1 ? payload.elements().filter(isReport) : [];
      return inOrder(items, (item) => {
        const reports = [...item.elements(), ...beside];
        const blocked = Jid.parse(item.attrs.jid ?? '');
        if (reports.length === 0 || blocked === undefined) return;
        return host.collect(blockReported, { reporter, blocked, reports });
      });
    }

    const add = (account: Jid, jids: readonly string[]): MaybePromise<void> =>
      change(account, 'block', jids, () => lists.add(account.local, jids));

    function unblock({ iq, payload }: IqRequest): MaybePromise<void> {
      const jids = parseItems(payload);
      const user = iq.to.local;
      return change(iq.to, 'unblock', jids, () => (jids.length === 0 ? lists.clear(user) : lists.remove(user, jids)));
    }

    function change(
      account: Jid,
      name: 'block' | 'unblock',
      jids: readonly string[],
      work: () => Promise<Changed>,
    ): MaybePromise<void> {
      return turns.run(account.local, async () => {
        const { was, is } = await work().catch((error: unknown) => {
          // it may be written down all the same: wherever the account is, the list is read again
          if (!(error instanceof StanzaError)) doubt(account);
          throw error;
        });
        const word = differenceOf(account.local, was, is);
        guards.set(account, is);
        if (!isEmpty(word)) {
          cluster.publish(topic, word);
          tell(word, is, true);
        }
        await push(account, el(name, NS.blocking, undefined, ...itemsOf(jids)));
      });
    }

    /** On this node and the others an account's list is read again. */
    function doubt({ local: user }: Jid): void {
      const word: Word = { user, blocked: [], unblocked: [] };
      cluster.publish(topic, word);
      heed(word);
    }

    function heed({ user, blocked, unblocked }: Word): void {
      guards.change(Jid.of(user, host.domain), blocked, unblocked);
    }

    function tell({ user, blocked, unblocked }: Word, is: BlockList | undefined, isHere: boolean): void {
      host.notify(blockListChanged, {
        account: Jid.of(user, host.domain),
        blocked: new BlockList(blocked),
        unblocked: new BlockList(unblocked),
        is,
        isHere,
      });
    }

    /** 3.3, 3.4: to all resources; their nodes know which have asked for the list. */
    async function push(account: Jid, payload: Element): Promise<void> {
      const { directory } = cluster;
      const fresh = directory.sessions(account.bare, true);
      // where it does not answer: those that are known
      const entries = isPromise(fresh) ? await fresh.catch(() => directory.sessions(account.bare)) : fresh;
      const id = `block-${randomBytes(6).toString('base64url')}`;
      for (const entry of entries) {
        const element = el('iq', null, { type: 'set', id, from: account.bare, to: entry.jid.full }, payload);
        const stanza: Iq = { kind: 'iq', type: 'set', id, el: element, from: account, to: entry.jid, payload };
        router.delivery.write(stanza, [entry]);
      }
    }

    const stops = [
      cluster.subscribe(topic, (body) => {
        const word = body as Word;
        heed(word);
        if (!isEmpty(word)) tell(word, undefined, false);
      }),
      cluster.onGap(() => guards.doubt()),
    ];

    const toMessage = (list: BlockList, transit: Transit<Message>): Verdict | undefined =>
      judgeMessage(list, transit.stanza, transit.note(redelivered) !== undefined);
    const toIq = (list: BlockList, { stanza }: Transit<Iq>): Verdict | undefined => judgeIq(list, stanza);

    return {
      features: { server: [NS.blocking], account: [NS.blocking] },
      portion: blocksPortion({ lists, block: async (user, jids) => add(user, jids) }),
      handlers: [
        provide(blocking, lists),
        iqGet('self', NS.blocking, 'blocklist', getList),
        iqSet('self', NS.blocking, 'block', block),
        iqSet('self', NS.blocking, 'unblock', unblock),
        on(messageOut, { phase: 'check' }, checkOut),
        on(presenceOut, { phase: 'check' }, checkOut),
        on(iqOut, { phase: 'check' }, checkOut),
        on(messageIn, { phase: 'check' }, (transit) => checkIn(transit, toMessage)),
        on(presenceIn, { phase: 'check' }, checkPresence),
        on(iqIn, { phase: 'check' }, (transit) => checkIn(transit, toIq)),
        on(sessionOut, { phase: 'filter' }, ({ session, stanza }) =>
          guards.lets(session, stanza) ? undefined : 'handled',
        ),
        on(sessionBeginning, { phase: 'read' }, ({ session }) => guards.begin(session)),
      ],
      stop() {
        for (const stop of stops) stop();
      },
    };
  },
});

function itemsOf(jids: readonly string[]): Element[] {
  return jids.map((jid) => el('item', NS.blocking, { jid }));
}

function isEmpty({ blocked, unblocked }: Word): boolean {
  return blocked.length === 0 && unblocked.length === 0;
}

function differenceOf(user: string, was: BlockList | undefined, is: BlockList | undefined): Word {
  const [before, after] = [new Set(was?.jids), new Set(is?.jids)];
  return {
    user,
    blocked: [...after].filter((jid) => !before.has(jid)),
    unblocked: [...before].filter((jid) => !after.has(jid)),
  };
}
