// XEP-0357: Push Notifications. Whoever has something to read, or is called, and no client that would show it, is told through the app
// servers of the clients that have asked for it.
//
// - Each registration is one client's. That client is told of what it does not have: while it has no session, what comes for the account
//   (here, on the node that delivers it); while its session waits to be resumed, or nobody looks at it (XEP-0352), what is written to that
//   session (there, on its node). A client that is connected and active is told nothing.
// - 7: summaries say how much there is, and who has said what only where the host's settings allow it; there is no way for clients to
//   change that (9). Encrypted for the client itself ("Encrypted Push Notifications" of Tigase) they say both.
// - 7.1: an app server that refuses is told nothing more; one that fails or is away is tried again, ever later, and forgotten in the end.
// - Not done, of what it allows: an automatically disabled registration is not tried again after a day. Its client makes it anew when it
//   comes back.
import { andThen, isPromise, type MaybePromise } from '../../base/maybe.ts';
import type { SessionEntry } from '../../cluster/cluster.ts';
import { recipients } from '../../core/account.ts';
import {
  clientRevoked,
  messageIn,
  passwordChanged,
  sessionBound,
  sessionHibernating,
  sessionOut,
  sessionResumed,
} from '../../core/events.ts';
import type { Verdict } from '../../core/hooks.ts';
import { counter } from '../../core/metrics.ts';
import { defineModule, type IqRequest, iqSet, on, provide, type Setup } from '../../core/module.ts';
import type { Session } from '../../core/sessions.ts';
import type { Transit } from '../../core/transit.ts';
import { ephemeral, kv } from '../../storage/specs.ts';
import { parseElement } from '../../xml/document.ts';
import { el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { type BareJid, Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { type Iq, type Message, type Stanza, stanzaOf } from '../../xmpp/stanza.ts';
import { blocking } from '../blocking/index.ts';
import { isEligible } from '../carbons.ts';
import { clientActive, isInactive } from '../csi/index.ts';
import { nickIn } from '../csi/rooms.ts';
import { roomAffiliation, roomMessageSent } from '../muc/hooks.ts';
import { memberships } from '../muc/memberships.ts';
import { notificationSettings } from '../notification-settings.ts';
import { itemPublished, itemsRetracted } from '../pubsub/hooks.ts';
import { isFrom, isTo, roster, rosterItemChanged } from '../roster/index.ts';
import { Filters, type InRoom } from './filters.ts';
import { type Entry, Ledger } from './ledger.ts';
import { publication } from './notification.ts';
import { Outlet, type Waiting } from './outlet.ts';
import { appServerOf, isOf, parseEnable, type Registration, registrationId, withRegistration } from './registration.ts';
import { membersChanged, tellMembers } from './rooms.ts';
import { pushes } from './service.ts';
import { settings } from './settings.ts';
import { type Judged, judge, requestFrom } from './worth.ts';

/** Of what a client has not acknowledged when its connection ends, so many stanzas are looked at. */
const MOST_UNREAD = 200;

const stores = {
  registrations: kv<readonly Registration[]>({ cache: true }),
  ledger: ephemeral<Entry>(),
  waiting: ephemeral<Waiting>(),
};
const metrics = {
  sent: counter('Notifications that app servers have taken'),
  failed: counter('Notifications that app servers have answered with an error, or not at all'),
  disabled: counter('Registrations that were given up because of what their app servers answered'),
};
/** What the other nodes are told. */
interface Renewed {
  readonly user: string;
  readonly ids: readonly string[];
}
type Parts = Setup<typeof settings._output, typeof stores, typeof metrics>;

export default defineModule({
  xeps: ['XEP-0357 0.4.1'],
  summary: 'Wakes phones, through their app servers, for what their owners want to know',
  hosts: ['users', 'rooms'],
  provides: [pushes],
  config: settings,
  stores,
  metrics,

  setup(parts) {
    const { host, router } = parts;
    if (host.kind === 'rooms') {
      return {
        handlers: [
          on(roomMessageSent, (event) => tellMembers(router, event)),
          on(roomAffiliation, ({ room }) => membersChanged(room)),
        ],
      };
    }
    // guests have no account that anybody could come back to
    return host.settings.authentication === 'anonymous' ? {} : forAccounts(parts);
  },
});

function forAccounts({ host, config, stores, metrics, router, cluster, clock, find, background, signal }: Parts) {
  const ledger = new Ledger(stores.ledger, cluster);
  const filters = new Filters({
    wishesOf: (user) => find(notificationSettings)?.all(user, { category: 'client', type: 'phone' }) ?? new Map(),
    knows: (user, contact) =>
      andThen(find(roster)?.get(user, contact), (item) => item !== undefined && (isFrom(item) || isTo(item))),
    now: () => clock.now(),
  });
  const disclosure = {
    sender: config['include-sender'],
    body: config['include-body'],
    placeholder: config.placeholder,
  };

  const outlet = new Outlet({
    waiting: stores.waiting,
    clock,
    signal,
    interval: config.interval,
    rate: { rate: config['per-second'], burst: config.burst },
    maxErrors: config['max-errors'],
    self: () => cluster.self,
    background,
    find: (user, id) => andThen(stores.registrations.get(user), (all) => all?.find((one) => one.id === id)),
    async summaryOf(user, id) {
      const messages = await ledger.count(user, id);
      return messages === undefined ? undefined : { messages, requests: await requestsOf(user) };
    },
    async publish(registration, news, summary) {
      const answer = await router.request(
        host,
        (id) => request(registration.jid, id, publication(registration, news, summary, disclosure)),
        { signal },
      );
      if (signal.aborted) return answer;
      if (answer.type === 'error') metrics.failed.inc();
      else metrics.sent.inc();
      return answer;
    },
    tell(registration, news, summary) {
      const iq = request(registration.jid, `push-${news.key}`, publication(registration, news, summary, disclosure));
      void router.tell(iq, host);
    },
    fails: (user, registration, failing) =>
      change(user, (all) =>
        all.map((one) => (isSame(one, registration) ? { ...without(one), ...(failing && { failing }) } : one)),
      ),
    async remove(user, registration) {
      metrics.disabled.inc();
      await change(user, (all) => all.filter((one) => !isSame(one, registration)));
      await ledger.clear(user, [registration.id]);
    },
  });

  function request(jid: string, id: string, payload: Iq['payload']): Iq {
    const to = Jid.parse(jid) ?? host.jid;
    const element = el('iq', null, { type: 'set', id, from: host.domain, to: to.full }, payload!);
    return { kind: 'iq', type: 'set', id, el: element, from: host.jid, to, payload };
  }

  async function requestsOf(user: string): Promise<number> {
    let requests = 0;
    for (const { request } of (await find(roster)?.all(user))?.values() ?? []) if (request !== undefined) requests++;
    return requests;
  }

  async function change(user: string, by: (all: readonly Registration[]) => readonly Registration[]): Promise<void> {
    await stores.registrations.update(user, (all = []) => {
      const next = by(all);
      return next.length === 0 ? undefined : next;
    });
  }

  /** Goes on with an account's registrations, if there are any: for most there are none, and that is known at once. */
  function ofAccount(user: string, next: (all: readonly Registration[]) => MaybePromise<void>): MaybePromise<void> {
    const all = stores.registrations.get(user);
    if (all === undefined) return;
    return isPromise(all) ? all.then((later) => later && next(later)) : next(all);
  }

  /** Tells registrations of an account. Resolves when that is written down. */
  async function offer(
    account: Jid,
    to: readonly Registration[],
    judged: Judged,
    place?: MaybePromise<InRoom | undefined>,
  ): Promise<void> {
    if (to.length === 0) return;
    const chosen = await filters.choose(account, to, judged, await place);
    if (chosen.length === 0) return;
    const ids = chosen.map(({ id }) => id);
    const { local: user } = account;
    let fresh: readonly string[] | undefined;
    try {
      fresh = await ledger.add(user, ids, judged.news);
    } catch {
      // without Redis: it is told, and not counted
    }
    const isCounted = fresh !== undefined;
    await Promise.all((fresh ?? ids).map((id) => outlet.push(user, id, judged.news, isCounted)));
  }

  // every message comes through the next one: a look at what is remembered of the account, and nothing else for most
  function hear(transit: Transit<Message>): void {
    const { stanza } = transit;
    const work = ofAccount(stanza.to.local, (all) => tellAbsent(transit, stanza, all));
    if (!isPromise(work)) return;
    // the message goes on; that it was handled is acknowledged when it is certain that people are told
    const told = work.catch((error: unknown) => host.log.error({ err: error }, 'a message could not be told of'));
    transit.settle(told);
  }

  function tellAbsent(transit: Transit<Message>, stanza: Message, all: readonly Registration[]): MaybePromise<void> {
    const { to } = stanza;
    if (stanza.from.bare === to.bare) return;
    const reached = transit.note(recipients) ?? [];
    return andThen(absent(to.bare, all, reached), (gone) => {
      if (gone.length === 0) return;
      // what is not copied to other devices is not theirs to know of
      if (reached.length > 0 && !isEligible(stanza, 'received')) return;
      const judged = judge(stanza, to.bare);
      if (judged === undefined) return;
      // what nobody keeps is gone when they come
      if (judged.news.kind !== 'call' && stanza.el.getChild('no-store', NS.hints) !== undefined) return;
      const place = judged.news.kind === 'groupchat' ? placeOf(judged, undefined) : undefined;
      return offer(to.withResource(''), gone, judged, place);
    });
  }

  /** The registrations of clients that have no session to which anything is sent. */
  function absent(
    account: BareJid,
    all: readonly Registration[],
    reached: readonly SessionEntry[] = [],
  ): MaybePromise<readonly Registration[]> {
    return andThen(cluster.directory.sessions(account), (entries: readonly SessionEntry[]) => {
      const there = entries.filter((entry) => entry.available || reached.includes(entry));
      return there.length === 0 ? all : all.filter((one) => !there.some((entry) => isOf(one, entry)));
    });
  }

  function placeOf({ news }: Judged, nick: string | undefined): MaybePromise<InRoom | undefined> {
    const room = Jid.parse(news.from)?.withResource('');
    if (room === undefined) return undefined;
    const known = router.hostOf(room.domain)?.find(memberships)?.isPrivate(room.local);
    return andThen(known, (isPrivate) => ({ room, nick, isPrivate }));
  }

  // (and every stanza to a session through this one)
  function watch(session: Session, stanza: Stanza): undefined {
    if (session.stream !== undefined && !(config.inactive && isInactive(session))) return;
    const work = ofAccount(session.jid.local, (all) => tellOwner(session, stanza, all));
    if (isPromise(work)) background(work, 'telling a client of what waits for it');
  }

  function tellOwner(session: Session, stanza: Stanza, all: readonly Registration[]): MaybePromise<void> {
    const own = all.filter((one) => isOf(one, session));
    if (own.length === 0) return;
    const account = session.jid.withResource('');
    const judged = judge(stanza, account.bare);
    if (judged === undefined) return;
    if (judged.said.attrs.type !== 'groupchat') return offer(account, own, judged);
    const from = Jid.parse(judged.news.from);
    const nick = from && nickIn(session, from.bare);
    // said by the account itself, on another device
    if (from === undefined || from.resource === nick) return;
    return offer(account, own, judged, placeOf(judged, nick));
  }

  /** Its connection has ended: what was written last may not have arrived. */
  function hibernate(session: Session): MaybePromise<void> {
    const unread = session.outbox?.unacknowledged?.(MOST_UNREAD) ?? [];
    if (unread.length === 0) return;
    return ofAccount(session.jid.local, async (all) => {
      if (!all.some((one) => isOf(one, session))) return;
      for (const xml of unread) {
        if (!xml.startsWith('<message') && !xml.startsWith('<presence')) continue;
        const element = parseElement(xml);
        const from = Jid.parse(element.attrs.from ?? '');
        if (from !== undefined) await tellOwner(session, stanzaOf(element, from, session.jid), all);
      }
    });
  }

  /** Somebody looks at a client: what it was told of is read, or about to be. */
  function welcome(session: Session): MaybePromise<void> {
    if (isInactive(session)) return;
    return ofAccount(session.jid.local, (all) => {
      const own = all.filter((one) => isOf(one, session)).map(({ id }) => id);
      return own.length === 0 ? undefined : forget(session.jid.local, own);
    });
  }

  async function forget(user: string, ids: readonly string[]): Promise<void> {
    for (const id of ids) outlet.drop(user, id);
    await ledger.clear(user, ids);
  }

  /** Registrations were made anew, or are no more: what other nodes have for them is out of date, and so is that they wait. */
  async function renewed(user: string, ids: readonly string[]): Promise<void> {
    await forget(user, ids);
    cluster.publish(topic, { user, ids } satisfies Renewed);
  }

  // 5
  async function enable({ iq, payload, session }: IqRequest): Promise<void> {
    // a component asks in the account's name (XEP-0356): being told is a device's own affair
    if (session === undefined) throw new StanzaError('not-allowed');
    const made = parseEnable(payload, session, clock.now());
    const { local: user } = iq.to;
    await change(user, (all) => withRegistration(all, made, config['max-registrations']));
    await renewed(user, [made.id]);
  }

  // 6
  async function disable({ iq, payload }: IqRequest): Promise<void> {
    const { full } = appServerOf(payload);
    const { node } = payload.attrs;
    await disableAll(iq.to.local, (one) => one.jid === full && (node === undefined || one.node === node));
  }

  async function disableAll(user: string, isMeant: (one: Registration) => boolean): Promise<void> {
    const gone = ((await stores.registrations.get(user)) ?? []).filter(isMeant);
    if (gone.length === 0) return;
    await change(user, (all) => all.filter((one) => !isMeant(one)));
    await renewed(
      user,
      gone.map(({ id }) => id),
    );
  }

  /** 8: an app server says that it takes nothing more. Nobody reads that. */
  function heed({ stanza: { el: element, from, to } }: Transit<Message>): MaybePromise<Verdict | undefined> {
    const word = element.getChild('pubsub', NS.pubsub);
    if (word === undefined) return;
    const said = word.getChild('affiliation');
    const { affiliation } = said?.attrs ?? {};
    if (affiliation !== 'none' && affiliation !== 'outcast') return;
    const whose = Jid.parse(said?.attrs.jid ?? '')?.full;
    if (whose !== to.bare && whose !== host.domain) return;
    const id = registrationId(from.full, word.attrs.node);
    return andThen(stores.registrations.get(to.local), (all) => {
      if (all?.some((one) => one.id === id) !== true) return;
      metrics.disabled.inc();
      return disableAll(to.local, (one) => one.id === id).then((): Verdict => 'handled');
    });
  }

  function toMember(account: Jid, judged: Judged, room: Jid, nick: string | undefined, isPrivate: boolean): void {
    const work = ofAccount(account.local, async (all) => {
      const gone = await absent(account.bare, all);
      if (gone.length === 0) return;
      const blocked = await find(blocking)?.of(account.local);
      const speaker = Jid.parse(judged.news.from) ?? room;
      if (blocked?.has(speaker) === true) return;
      await offer(account, gone, judged, { room, nick, isPrivate });
    });
    if (isPromise(work)) background(work, 'telling somebody of what was said in a room');
  }

  const refuse = (): never => {
    throw new StanzaError('not-allowed');
  };

  /** Somebody has written down other wishes (XEP-0492). On the node that has the account's bookmarks. */
  function wishesChanged({
    service: { local: user },
    node,
  }: {
    readonly service: Jid;
    readonly node: { readonly name: string };
  }): void {
    if (node.name !== NS.bookmarks) return;
    filters.forget(user);
    cluster.publish(topic, { user, ids: [] } satisfies Renewed);
  }

  const topic = `push ${host.domain}`;
  const unsubscribe = cluster.subscribe(topic, (body) => {
    const { user, ids } = body as Renewed;
    filters.forget(user);
    for (const id of ids) outlet.drop(user, id);
  });
  const adopt = (life: string): void => background(outlet.adopt(life), 'going on with what another node has left');
  const stopListening = cluster.onNode((node, isUp) => {
    if (!isUp && cluster.owner(topic) === cluster.self) adopt(node);
  });
  // of an instance of this module before
  adopt(cluster.self);

  return {
    features: {
      server: [NS.push],
      account: [
        NS.push,
        NS.pushEncryption,
        NS.pushEncryptionAes,
        NS.pushPriority,
        NS.pushJingle,
        NS.pushMuted,
        NS.pushUnknown,
        NS.pushGroupchat,
      ],
    },
    handlers: [
      provide(pushes, { toMember }),
      iqSet('self', NS.push, 'enable', enable),
      iqSet('self', NS.push, 'disable', disable),
      iqSet(['account', 'nobody'], NS.push, 'enable', refuse),
      iqSet(['account', 'nobody'], NS.push, 'disable', refuse),
      on(messageIn, { phase: 'check', after: ['blocking'] }, heed),
      on(messageIn, { phase: 'copy' }, hear),
      on(sessionOut, { phase: 'filter', after: ['blocking', 'roster'] }, ({ session, stanza }) =>
        watch(session, stanza),
      ),
      on(sessionHibernating, ({ session }) => hibernate(session)),
      on(sessionBound, ({ session }) => welcome(session)),
      on(sessionResumed, ({ session }) => welcome(session)),
      on(clientActive, ({ session }) => welcome(session)),
      on(rosterItemChanged, ({ account, contact, was, is }) => {
        if (is?.request === undefined || was?.request !== undefined) return;
        return ofAccount(account.local, async (all) => {
          const judged = { news: requestFrom(contact.bare), said: el('presence', null) };
          await offer(account, await absent(account.bare, all), judged);
        });
      }),
      on(itemPublished, wishesChanged),
      on(itemsRetracted, wishesChanged),
      // whoever does not know it is told nothing more
      on(passwordChanged, ({ user, by }) => {
        const session = router.sessionsOfAccount(Jid.of(user, host.domain).bare).find(({ sid }) => sid === by);
        return disableAll(user, (one) => session === undefined || !isOf(one, session));
      }),
      on(clientRevoked, ({ user, client }) => disableAll(user, (one) => one.client === client)),
    ],
    async stop() {
      unsubscribe();
      stopListening();
      await outlet.flush();
    },
  };
}

/** The same registration, not one that was made anew since. */
function isSame(one: Registration, other: Registration): boolean {
  return one.id === other.id && one.at === other.at;
}

function without({ failing: _, ...rest }: Registration): Registration {
  return rest;
}
