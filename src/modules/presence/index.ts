// RFC 6121 sections 3 and 4: presence. Broadcasts and probes are in outward.ts, subscriptions in subscriptions.ts.
import { z } from 'zod';
import { pause } from '../../base/clock.ts';
import { andThen, inOrder, isPromise, type MaybePromise } from '../../base/maybe.ts';
import { Turns } from '../../base/turns.ts';
import { accountRemoving, presenceIn, presenceOut, sessionClosed, sessionOrphaned } from '../../core/events.ts';
import { notify, type Verdict } from '../../core/hooks.ts';
import { defineModule, defineService, on, provide } from '../../core/module.ts';
import type { Session } from '../../core/sessions.ts';
import type { Transit } from '../../core/transit.ts';
import { StorageUnavailable } from '../../storage/errors.ts';
import { ephemeral } from '../../storage/specs.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { type BareJid, Jid } from '../../xmpp/jid.ts';
import type { Presence } from '../../xmpp/stanza.ts';
import { type BlockList, blocking, blockListChanged } from '../blocking/index.ts';
import { isFrom, isTo, rosterItemRemoved, roster as rosterService } from '../roster/index.ts';
import { Arrears } from './arrears.ts';
import { Directed, SHARE_AGAIN } from './directed.ts';
import { LATELY, Late } from './late.ts';
import { type Items, Outward } from './outward.ts';
import { parsePriority, presenceOf, sentTo } from './stanzas.ts';
import { type Subscribing, Subscriptions } from './subscriptions.ts';
import { Vanished } from './vanished.ts';

/** Before what could not be done is tried again, in milliseconds. */
const PAUSE = 1000;

export const subscribing = defineService<Subscribing>('subscribing');

/** An account's resource is about to tell its contacts that it is there, has changed or is gone. Fired by this module. */
export const presenceBroadcast = notify<{ readonly stanza: Presence; readonly isInitial: boolean }>(
  'presence-broadcast',
);

export default defineModule({
  xeps: ['RFC 6121'],
  summary: 'Presence: who is there, and who may know it',
  needs: [rosterService],
  provides: [subscribing],
  config: z.strictObject({
    'max-directed': z.int().min(1).prefault(2000).meta({
      description: 'Addresses, rooms among them, that one client may send presence to beside its contacts.',
    }),
  }),

  stores: { directed: ephemeral<readonly string[]>() },

  setup({ host, config, stores, router, cluster, clock, use, find, every, background, signal }) {
    const roster = use(rosterService);
    const blockedBy = (user: string): MaybePromise<BlockList | undefined> => find(blocking)?.of(user);
    /** XEP-0191 3.3: contacts, but for those who are blocked. */
    const contactsOf = (user: string): MaybePromise<Items> =>
      andThen(roster.all(user), (items) =>
        andThen(blockedBy(user), (list) => (list === undefined ? items : withoutBlocked(items, list))),
      );
    const late = new Late(() => cluster.isSure);
    const note = (session: Jid): void => late.note(session);
    const wait = (): Promise<boolean> => pause(clock, PAUSE, signal);
    const tell = (stanza: Presence): MaybePromise<void> => arrears.tell(stanza);
    const outward = new Outward({ host, router, cluster, background, note, tell, pause: wait });
    const subscriptions = new Subscriptions({ host, router, cluster, roster, contactsOf, outward });
    // what an account broadcasts leaves in the order in which it came, also while a roster is being loaded
    const turns = new Turns<BareJid>();
    const directed = new Directed({
      roster,
      limit: config['max-directed'],
      store: stores.directed,
      isShared: () => cluster.nodes.size > 1,
    });
    const vanished = new Vanished({
      host,
      router,
      cluster,
      contactsOf,
      outward,
      directed,
      inTurn: (account, work) => turns.run(account.bare, work),
      announce: (stanza) => host.notify(presenceBroadcast, { stanza, isInitial: false }),
      background,
      pause: wait,
    });
    const arrears = new Arrears({
      host,
      router,
      roster,
      blockedBy,
      inTurn: (account, work) => turns.run(account.bare, work),
      showElsewhere: (jid) => vanished.showElsewhere(jid),
      note,
      background,
      pause: wait,
    });
    const shareAgain = (): void => {
      for (const session of router.sessionsOf(host)) directed.shareAgain(session);
    };
    every(SHARE_AGAIN, 'sharing of directed presence', shareAgain);
    every(LATELY, 'forgetting whose presence came in time', () => late.settle());
    /** Sessions that have ended since the others held this node for dead. */
    let lost: Session[] = [];
    const retract = (): void => {
      const said = late.take();
      const sessions = lost;
      lost = [];
      for (const session of sessions) {
        const isLate = (): boolean => said.has(session.jid.full) || late.has(session.jid);
        background(vanished.lost(session, isLate), 'telling what holds of a session of the life before');
      }
      const ended = new Set(said);
      for (const { jid } of sessions) ended.delete(jid.full);
      for (const full of ended) {
        const jid = Jid.parse(full);
        if (jid !== undefined) background(vanished.overtaken(jid), 'showing who has come meanwhile');
      }
    };
    const stops = [
      outward.listen(),
      vanished.listen(),
      // as when Redis came back empty
      cluster.onGap((isOurs) => {
        if (isOurs) shareAgain();
      }),
      // (its sessions have ended by then)
      cluster.onExpelled(retract),
    ];

    // RFC 6121 4.2, 4.4
    function becomeAvailable(session: Session, stanza: Presence): MaybePromise<void> {
      const priority = parsePriority(stanza.el);
      return inTurn(session, () =>
        andThen(contactsOf(session.jid.local), (items) => {
          const isFirst = !session.available;
          return andThen(session.setPresence(stanza, priority), () =>
            andThen(outward.available(session.jid), (own) =>
              andThen(rosterNow(session, items), (contacts) => {
                if (host.listens(presenceBroadcast)) host.notify(presenceBroadcast, { stanza, isInitial: isFirst });
                return andThen(outward.broadcast(stanza, contacts, own), () =>
                  isFirst ? greet(session, contacts) : undefined,
                );
              }),
            ),
          );
        }),
      );
    }

    /** Who was made a contact while a session became available was not shown it yet, by anybody. */
    function rosterNow({ jid: { local } }: Session, before: Items): MaybePromise<Items> {
      const items = contactsOf(local);
      return isPromise(items) ? items.catch(() => before) : items;
    }

    /** Tells a session what its client will not ask for again. */
    function greet(session: Session, items: Items): MaybePromise<void> {
      return persist(
        'telling a session what it has missed',
        () =>
          andThen(outward.probe(session, items), () =>
            andThen(outward.show(session.jid, session.jid), () => subscriptions.remind(session)),
          ),
        () => session.available && router.sessionOf(session.jid.full) === session,
      );
    }

    // RFC 6121 4.5
    function becomeUnavailable(session: Session, stanza: Presence): MaybePromise<void> {
      return inTurn(session, () => {
        const tellDirected = (): MaybePromise<void> =>
          inOrder(directed.take(session), (to) => outward.send(sentTo(stanza, to), session));
        if (!session.available) return tellDirected();
        return andThen(contactsOf(session.jid.local), (items) =>
          // 4.5.2: to the resource itself too, so its entry is read before it changes
          andThen(outward.available(session.jid), (own) =>
            andThen(session.setPresence(undefined, 0), () => {
              if (host.listens(presenceBroadcast)) host.notify(presenceBroadcast, { stanza, isInitial: false });
              return andThen(outward.broadcast(stanza, items, own), tellDirected);
            }),
          ),
        );
      });
    }

    function inTurn(session: Session, work: () => MaybePromise<void>): MaybePromise<void> {
      return turns.run(session.jid.bare, work);
    }

    function broadcast(session: Session, stanza: Presence): MaybePromise<void> {
      if (stanza.type === 'available') return becomeAvailable(session, stanza);
      if (stanza.type === 'unavailable') return becomeUnavailable(session, stanza);
      throw new StanzaError('bad-request', `presence of type "${stanza.type}" needs an address`);
    }

    function handleOut(transit: Transit<Presence>): MaybePromise<Verdict | undefined> {
      const { stanza, origin } = transit;
      if (origin.kind !== 'client') return;
      if (stanza.el.attrs.to === undefined) return andThen(broadcast(origin.session, stanza), done);
      switch (stanza.type) {
        case 'subscribe':
        case 'subscribed':
        case 'unsubscribe':
        case 'unsubscribed':
          return subscriptions.sent(transit, stanza.type).then(done);
        case 'available':
        case 'unavailable':
          note(stanza.from);
          return andThen(directed.track(origin.session, stanza), () => undefined);
        case 'probe':
        case 'error':
          return;
      }
    }

    function handleIn(transit: Transit<Presence>): MaybePromise<Verdict | undefined> {
      const { stanza } = transit;
      switch (stanza.type) {
        case 'available':
        case 'unavailable':
          return;
        case 'subscribe':
        case 'subscribed':
        case 'unsubscribe':
        case 'unsubscribed':
          return subscriptions.received(stanza, stanza.type).then(done);
        case 'probe':
          return andThen(isOwn(transit) ? answerOwnProbe(transit) : answerProbe(transit), done);
        case 'error':
          if (!stanza.to.isBare) return;
          // a request that failed was the account's, not a resource's: all of them should know
          return andThen(outward.available(stanza.to), (entries) => {
            router.delivery.write(stanza, entries);
            return done();
          });
      }
    }

    const isOwn = ({ origin }: Transit): boolean => origin.kind === 'host';

    /** Asked by the server for somebody who has just come, and who will not ask again: that waits for the database. */
    function answerOwnProbe(transit: Transit<Presence>): MaybePromise<void> {
      return persist(
        'showing presence when the database is back',
        () => answerProbe(transit),
        () => router.sessionOf(transit.stanza.from.full)?.available === true,
      );
    }

    /** Does something now, or when the database and Redis are back, as long as it is needed. */
    function persist(what: string, work: () => MaybePromise<void>, isNeeded = () => true): MaybePromise<void> {
      const again = async (): Promise<void> => {
        while ((await wait()) && isNeeded()) {
          try {
            return await work();
          } catch (error) {
            if (!(error instanceof StorageUnavailable)) throw error;
          }
        }
      };
      const later = (error: unknown): void => {
        if (!(error instanceof StorageUnavailable)) throw error;
        background(again(), what);
      };
      try {
        const done = work();
        return isPromise(done) ? done.catch(later) : done;
      } catch (error) {
        later(error);
      }
    }

    // RFC 6121 4.3.2
    function answerProbe({ stanza, origin }: Transit<Presence>): MaybePromise<void> {
      const { from, to } = stanza;
      const account = to.withResource('');
      return andThen(blockedBy(to.local), (list) => {
        // XEP-0191 3.3: no answer at all
        if (list?.has(from) && from.bare !== to.bare) return;
        return andThen(roster.canSee(account, from), (may) => {
          if (!may) return outward.send(presenceOf('unsubscribed', account, from.withResource('')));
          return andThen(outward.show(account, from, to.resource), (shown) => {
            // our own probes go out for a client that knows nothing yet: silence tells it as much
            if (shown === 0 && origin.kind !== 'host') return outward.send(presenceOf('unavailable', to, from));
          });
        });
      });
    }

    /** XEP-0191 3.3: whoever was told of the account's presence sees it go. */
    async function hideFrom(account: Jid, blocked: BlockList): Promise<void> {
      for (const [contact, item] of await roster.all(account.local)) {
        const jid = isFrom(item) ? Jid.parse(contact) : undefined;
        if (jid !== undefined) await inOrder(blocked.of(jid), (to) => outward.hide(account, to));
      }
    }

    /** The same for those whom only this node's sessions know. */
    function leave(account: Jid, blocked: BlockList): MaybePromise<void> {
      return inOrder(router.sessionsOfAccount(account.bare), (session) =>
        inOrder(directed.takeFrom(session, blocked), (to) =>
          outward.send(presenceOf('unavailable', session.jid, to), session),
        ),
      );
    }

    /** XEP-0191 3.4: they see the account again, and it sees them. */
    async function showTo(account: Jid, unblocked: BlockList, is: BlockList | undefined): Promise<void> {
      for (const [contact, item] of await roster.all(account.local)) {
        const jid = Jid.parse(contact);
        const found = jid === undefined ? [] : unblocked.of(jid).filter((one) => !is?.has(one));
        if (isFrom(item)) await inOrder(found, (to) => andThen(outward.show(account, to, '', true), () => {}));
        if (isTo(item) && found.length > 0) {
          const entries = await outward.available(account, '', true);
          await inOrder(entries, (entry) => outward.send(presenceOf('probe', entry.jid, found[0]!.withResource(''))));
        }
      }
    }

    return {
      handlers: [
        provide(subscribing, subscriptions),
        on(presenceOut, { phase: 'handle' }, handleOut),
        on(presenceIn, { phase: 'handle' }, handleIn),
        // RFC 6121 4.5.4: whoever just vanishes is unavailable too
        on(sessionClosed, ({ session, isOrphan }) => {
          if (isOrphan) {
            lost.push(session);
            return;
          }
          const { jid } = session;
          const stanza = presenceOf('unavailable', jid, jid.withResource(''));
          return persist('telling that a session has ended', () =>
            andThen(becomeUnavailable(session, stanza), () => vanished.ended(jid)),
          );
        }),
        on(sessionOrphaned, ({ entry }) => vanished.orphaned(entry)),
        on(rosterItemRemoved, ({ account, contact, was }) => subscriptions.removed(account, contact, was)),
        on(blockListChanged, ({ account, blocked, unblocked, is, isHere }) =>
          turns.run(account.bare, async () => {
            await leave(account, blocked);
            if (!isHere) return;
            if (blocked.jids.length > 0) await hideFrom(account, blocked);
            if (unblocked.jids.length > 0) await showTo(account, unblocked, is);
          }),
        ),
        on(accountRemoving, ({ user }) => subscriptions.leave(Jid.of(user, host.domain))),
      ],
      stop() {
        for (const stop of stops) stop();
      },
    };
  },
});

function done(): 'handled' {
  return 'handled';
}

function withoutBlocked(items: Items, list: BlockList): Items {
  const kept = new Map(items);
  for (const contact of items.keys()) {
    const jid = Jid.parse(contact);
    if (jid !== undefined && list.has(jid)) kept.delete(contact);
  }
  return kept;
}
