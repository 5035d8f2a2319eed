// XEP-0115: Entity Capabilities, XEP-0390: Entity Capabilities 2.0. What clients announce is looked up, or asked once, and verified; then it is
// known of everybody who announces the same. What cannot be verified is believed of nobody, but of one who uses a hash function that is not known
// here: of him alone. The server's own capabilities are in modules/disco.
//
// Not done, of what they leave open: the legacy format, which nothing can verify (XEP-0115 10); presence is passed on with what it announces
// (caps optimization); the server does not answer for clients (XEP-0390 6.4), nor takes hashes before presence (5.6).

import { LruCache } from '../../base/lru.ts';
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import type { SessionEntry } from '../../cluster/cluster.ts';
import { presenceNews, presenceOut, sessionPresence, sessionResumed } from '../../core/events.ts';
import { notify } from '../../core/hooks.ts';
import { counter } from '../../core/metrics.ts';
import { defineModule, defineService, on, provide } from '../../core/module.ts';
import { defineSlot, type Session } from '../../core/sessions.ts';
import type { Transit } from '../../core/transit.ts';
import { ephemeral, kv } from '../../storage/specs.ts';
import type { Jid } from '../../xmpp/jid.ts';
import type { Presence } from '../../xmpp/stanza.ts';
import { roster as rosterService } from '../roster/index.ts';
import { type Announced, announcedBy } from './announced.ts';
import { isOwnValue, ownFeatures, ownValue } from './answer.ts';
import { Elsewhere } from './elsewhere.ts';
import { Inquiries } from './inquiries.ts';
import { type Capabilities, capabilities, Known, type KnownCapabilities } from './known.ts';

/** What is known of a session, as every node sees it: to be given to {@link Caps}. */
const capsSlot = defineSlot<string>('caps', { shared: true });

const none: ReadonlySet<string> = new Set();

/** What others can do. A *value* stands for it: in the directory, or beside a full JID of another domain. */
export interface Caps {
  /** The value of a session; undefined while nothing is known. */
  of(entry: Pick<SessionEntry, 'shared'>): string | undefined;
  /** The values of an account's contacts at other domains, by full JID. */
  elsewhere(user: string): MaybePromise<ReadonlyMap<string, string>>;
  /** The features that a value stands for; none where that cannot be known for the moment. */
  features(value: string): MaybePromise<ReadonlySet<string>>;
  /** The nodes whose events are asked for (XEP-0163 4.2). */
  wants(value: string): MaybePromise<ReadonlySet<string>>;
}
export const caps = defineService<Caps>('caps');

/** It is known what an available resource wants to hear, and that is something else than before. Fired by this module. */
export const wantsChanged = notify<{
  /** The account of ours: the session's own, or the one whose contact at another domain it is. */
  readonly account: Jid;
  readonly jid: Jid;
  /** Where it is one of this node's. */
  readonly session: Session | undefined;
  /** Before; nothing for a resource that has become available. */
  readonly was: ReadonlySet<string>;
  readonly wants: ReadonlySet<string>;
}>('wants-changed');

const DAY = 24 * 3_600_000;
/** Values of those who stand for themselves alone, read. */
const MOST_OWN = 256;

export default defineModule({
  xeps: ['XEP-0115 1.6.0', 'XEP-0390 0.3.2'],
  summary: 'Knows what clients can do: verified, and asked once for all who announce the same',
  provides: [caps],
  needs: [rosterService],
  stores: { known: kv<KnownCapabilities>(), elsewhere: ephemeral<string>() },
  metrics: {
    asked: counter('Clients that were asked for their capabilities'),
    refused: counter('Clients that did not prove what they had announced'),
  },

  setup({ host, stores, metrics, router, cluster, clock, use, every, background, signal }) {
    const begun = clock.now();
    const known = new Known({ store: stores.known, clock, background });
    const counted = (what: 'asked' | 'refused'): void => metrics[what].inc();
    const inquiries = new Inquiries({ host, router, clock, signal, background, counted });
    const own = new LruCache<string, Capabilities>(MOST_OWN);
    const elsewhere = new Elsewhere({
      host,
      router,
      roster: use(rosterService),
      store: stores.elsewhere,
      resolve: (announced, account, jid, told) => resolve(announced, account, jid, told),
      changed: (account, jid, was, value) => {
        const before = was === undefined ? none : wants(was);
        return andThen(before, (old) => andThen(wants(value), (now) => tell(account, jid, undefined, old, now)));
      },
    });
    every(DAY, 'forgetting of capabilities', async () => {
      for (const { shared } of router.sessionsOf(host)) {
        const value = shared[capsSlot.name];
        if (typeof value === 'string') known.peek(value);
      }
      if (cluster.owner(`caps ${host.domain}`) === cluster.self) await known.sweep();
    });

    function find(value: string): MaybePromise<Capabilities | undefined> {
      const features = ownFeatures(value);
      if (features === undefined) return known.find(value);
      let read = own.get(value);
      if (read === undefined) {
        read = capabilities(value, features);
        own.set(value, read);
      }
      return read;
    }

    function wants(value: string): MaybePromise<ReadonlySet<string>> {
      return andThen(find(value), (one) => one?.wants ?? none);
    }

    /** Tells the value that an announcement comes to: now, or when somebody was asked. */
    function resolve(
      announced: Announced,
      account: Jid,
      jid: Jid,
      told: (value: string | undefined) => MaybePromise<void>,
    ): MaybePromise<void> {
      return andThen(announced.isVerifiable ? known.find(announced.key) : undefined, (found) => {
        if (found !== undefined) return told(found.key);
        inquiries.ask(announced, {
          account,
          jid,
          told: (features) => void background(learnt(announced, features, told), 'capabilities'),
        });
      });
    }

    async function learnt(
      announced: Announced,
      features: readonly string[] | undefined,
      told: (value: string | undefined) => MaybePromise<void>,
    ): Promise<void> {
      if (features === undefined) return told(undefined);
      if (!announced.isVerifiable) return told(ownValue(announced.key, features));
      const { key } = known.peek(announced.key) ?? (await known.learn(announced.key, features));
      return told(key);
    }

    function tell(
      account: Jid,
      jid: Jid,
      session: Session | undefined,
      was: ReadonlySet<string>,
      now: ReadonlySet<string>,
    ): void {
      if (was !== now && (was.size > 0 || now.size > 0))
        host.notify(wantsChanged, { account, jid, session, was, wants: now });
    }

    /** A session is about to become available: what is known of it goes into the directory together with that. */
    function before({ stanza, origin }: Transit<Presence>): void {
      if (stanza.type !== 'available' || origin.kind !== 'client' || stanza.el.attrs.to !== undefined) return;
      const { session } = origin;
      if (session.available) return;
      const announced = announcedBy(stanza.el);
      const value = announced && known.peek(announced.key)?.key;
      if (session.get(capsSlot) !== value) session.carry(capsSlot, value);
    }

    /** A session's presence was taken. Where it announces nothing, what it announced before still holds. */
    function after(session: Session, isInitial: boolean): MaybePromise<void> {
      const announced = session.presence && announcedBy(session.presence.el);
      if (announced === undefined) return;
      const value = session.get(capsSlot);
      if (value !== undefined && (value === announced.key || isOwnValue(value, announced.key))) {
        if (!isInitial) return;
        return andThen(wants(value), (now) => tell(session.jid.withResource(''), session.jid, session, none, now));
      }
      return resolve(announced, session.jid.withResource(''), session.jid, (now) => put(session, announced.key, now));
    }

    function put(session: Session, key: string, value: string | undefined): MaybePromise<void> {
      // perhaps it has announced something else meanwhile, or is gone
      if (session.isOver || session.presence === undefined) return;
      if (announcedBy(session.presence.el)?.key !== key) return;
      const old = session.get(capsSlot);
      if (old === value) return;
      return andThen(old === undefined ? none : wants(old), (was) =>
        andThen(session.set(capsSlot, value), () =>
          andThen(value === undefined ? none : wants(value), (now) =>
            tell(session.jid.withResource(''), session.jid, session, was, now),
          ),
        ),
      );
    }

    return {
      handlers: [
        provide(caps, {
          of: ({ shared }) => shared[capsSlot.name] as string | undefined,
          elsewhere: (user) => stores.elsewhere.all(user),
          features: (value) => andThen(find(value), (one) => one?.features ?? none),
          wants,
        }),
        on(presenceOut, { phase: 'check' }, before),
        on(sessionPresence, ({ session, was }) => after(session, was === undefined)),
        on(sessionResumed, ({ session }) =>
          // it may have come from another node while it was being asked there
          andThen(session.get(capsSlot) === undefined ? after(session, false) : undefined, () =>
            session.since < begun ? elsewhere.lookAgain(session) : undefined,
          ),
        ),
        on(presenceNews, ({ stanza }) => elsewhere.heard(stanza)),
      ],
    };
  },
});
