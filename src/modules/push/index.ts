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
import { Slices } from '../../base/slices.ts';
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
import { defineModule, type Installed, type IqRequest, iqSet, on, provide } from '../../core/module.ts';
import type { Session } from '../../core/sessions.ts';
import type { Transit } from '../../core/transit.ts';
import { parseElement } from '../../xml/document.ts';
import { el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { type BareJid, Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { type Message, type Stanza, stanzaOf } from '../../xmpp/stanza.ts';
import { blocking } from '../blocking/index.ts';
import { isEligible } from '../carbons.ts';
import { clientActive, isInactive } from '../csi/index.ts';
import { nickIn } from '../csi/rooms.ts';
import { roomAffiliation, roomMessageSent } from '../muc/hooks.ts';
import { memberships } from '../muc/memberships.ts';
import { itemPublished, itemsRetracted } from '../pubsub/hooks.ts';
import { rosterItemChanged } from '../roster/index.ts';
import type { InRoom } from './filters.ts';
import { appServerOf, isOf, parseEnable, type Registration, registrationId } from './registration.ts';
import { membersChanged, tellMembers } from './rooms.ts';
import { pushes } from './service.ts';
import { settings } from './settings.ts';
import { metrics, type Parts, stores, Telling } from './telling.ts';
import { type Judged, judge, requestFrom } from './worth.ts';

/** Of what a client has not acknowledged when its connection ends, so many stanzas are looked at. */
const MOST_UNREAD = 200;
/** So many members of a room are looked at in one turn of the event loop. */
const PIECE = 500;

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
      const slices = new Slices(PIECE);
      return {
        handlers: [
          on(roomMessageSent, (event) => tellMembers(router, slices, event)),
          on(roomAffiliation, ({ room }) => membersChanged(room)),
        ],
      };
    }
    // guests have no account that anybody could come back to
    return host.settings.authentication === 'anonymous' ? {} : forAccounts(parts);
  },
});

function forAccounts(parts: Parts): Installed {
  const { host, config, stores, metrics, router, cluster, clock, find, background } = parts;
  const telling = new Telling(parts);

  // every message comes through the next one: a look at what is remembered of the account, and nothing else for most
  function hear(transit: Transit<Message>): void {
    const { stanza } = transit;
    const all = telling.of(stanza.to.local);
    if (all === undefined) return;
    const work = isPromise(all)
      ? all.then((later) => later && tellAbsent(transit, stanza, later))
      : tellAbsent(transit, stanza, all);
    if (!isPromise(work)) return;
    // the message goes on; that it was handled is acknowledged when it is certain that people are told
    const told = work.catch((error: unknown) => host.log.error({ err: error }, 'a message could not be told of'));
    transit.settle(told);
  }

  function tellAbsent(transit: Transit<Message>, stanza: Message, all: readonly Registration[]): MaybePromise<void> {
    const { to } = stanza;
    const reached = transit.note(recipients) ?? [];
    return andThen(
      absent(to.bare, all, (entry) => entry.available || reached.includes(entry)),
      (gone) => {
        if (gone.length === 0) return;
        // what is not copied to other devices is not theirs to know of
        if (reached.length > 0 && !isEligible(stanza, 'received')) return;
        const judged = judge(stanza, to.bare);
        if (judged === undefined) return;
        // what nobody keeps is gone when they come
        if (judged.news.kind !== 'call' && stanza.el.getChild('no-store', NS.hints) !== undefined) return;
        const place = judged.news.kind === 'groupchat' ? placeOf(judged, undefined) : undefined;
        return telling.offer(to.withResource(''), gone, judged, place);
      },
    );
  }

  /** The registrations of clients that have no session which is there, by the default one to which presence and messages are sent. */
  function absent(
    account: BareJid,
    all: readonly Registration[],
    isThere: (entry: SessionEntry) => boolean = isAvailable,
  ): MaybePromise<readonly Registration[]> {
    return andThen(cluster.directory.sessions(account), (entries: readonly SessionEntry[]) => {
      const there = entries.filter(isThere);
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
    const all = telling.of(session.jid.local);
    if (all === undefined) return;
    const work = isPromise(all)
      ? all.then((later) => later && tellOwner(session, stanza, later))
      : tellOwner(session, stanza, all);
    if (isPromise(work)) background(work, 'telling a client of what waits for it');
  }

  function tellOwner(session: Session, stanza: Stanza, all: readonly Registration[]): MaybePromise<void> {
    const own = all.filter((one) => isOf(one, session));
    if (own.length === 0 || isElsewhere(session, own)) return;
    const account = session.jid.withResource('');
    const judged = judge(stanza, account.bare);
    if (judged === undefined) return;
    if (judged.said.attrs.type !== 'groupchat') return telling.offer(account, own, judged);
    const from = Jid.parse(judged.news.from);
    const nick = from && nickIn(session, from.bare);
    // said by the account itself, on another device
    if (from === undefined || from.resource === nick) return;
    return telling.offer(account, own, judged, placeOf(judged, nick));
  }

  /** The client has come back without its session, and waits for nothing in this one. */
  function isElsewhere(session: Session, own: readonly Registration[]): boolean {
    return router
      .sessionsOfAccount(session.jid.bare)
      .some((other) => other !== session && isLookedAt(other) && own.every((one) => isOf(one, other)));
  }

  /** Its connection has ended: what was written last may not have arrived. */
  function hibernate(session: Session): MaybePromise<void> {
    const unread = session.outbox?.unacknowledged?.(MOST_UNREAD) ?? [];
    if (unread.length === 0) return;
    return telling.ofAccount(session.jid.local, async (all) => {
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
    return telling.ofAccount(session.jid.local, (all) => {
      const own = all.filter((one) => isOf(one, session)).map(({ id }) => id);
      return own.length === 0 ? undefined : telling.forget(session.jid.local, own);
    });
  }

  // 5
  async function enable({ iq, payload, session }: IqRequest): Promise<void> {
    // a component asks in the account's name (XEP-0356): being told is a device's own affair
    if (session === undefined) throw new StanzaError('not-allowed');
    await telling.add(iq.to.local, parseEnable(payload, session, clock.now()));
  }

  // 6
  async function disable({ iq, payload }: IqRequest): Promise<void> {
    const { full } = appServerOf(payload);
    const { node } = payload.attrs;
    await telling.remove(iq.to.local, (one) => one.jid === full && (node === undefined || one.node === node));
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
      return telling.remove(to.local, (one) => one.id === id).then((): Verdict => 'handled');
    });
  }

  function toMember(account: Jid, judged: Judged, room: Jid, nick: string | undefined, isPrivate: boolean): void {
    const work = telling.ofAccount(account.local, async (all) => {
      // (one that shows no presence may well be in the room)
      const gone = await absent(account.bare, all, () => true);
      if (gone.length === 0) return;
      const blocked = await find(blocking)?.of(account.local);
      const speaker = Jid.parse(judged.news.from) ?? room;
      if (blocked?.has(speaker) === true) return;
      await telling.offer(account, gone, judged, { room, nick, isPrivate });
    });
    if (isPromise(work)) background(work, 'telling somebody of what was said in a room');
  }

  const refuse = (): never => {
    throw new StanzaError('not-allowed');
  };

  /** On the node that has the account's bookmarks. */
  function published({ service, node }: { readonly service: Jid; readonly node: { readonly name: string } }): void {
    if (node.name === NS.bookmarks) telling.wishesChanged(service.local);
  }

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
        return telling.ofAccount(account.local, async (all) => {
          const judged = { news: requestFrom(contact.bare), said: el('presence', null) };
          await telling.offer(account, await absent(account.bare, all), judged);
        });
      }),
      on(itemPublished, published),
      on(itemsRetracted, published),
      // whoever does not know it is told nothing more
      on(passwordChanged, ({ user, by }) => {
        const session = router.sessionsOfAccount(Jid.of(user, host.domain).bare).find(({ sid }) => sid === by);
        return telling.remove(user, (one) => session === undefined || !isOf(one, session));
      }),
      on(clientRevoked, ({ user, client }) => telling.remove(user, (one) => one.client === client)),
    ],
    stop: () => telling.stop(),
  };
}

function isAvailable({ available }: SessionEntry): boolean {
  return available;
}

function isLookedAt(session: Session): boolean {
  return session.stream !== undefined && !isInactive(session);
}
