// XEP-0160: messages for people who are away, kept until they come back. Hints of XEP-0334 are followed.
//
// Whoever comes back reads what was kept before what is said then (RFC 6120 10.1): a session that begins to read is given nothing of that
// until it has been given what was kept; and what follows a message that is being written down waits until it is known whose that is.
import { z } from 'zod';
import { pause, within } from '../base/clock.ts';
import { LruCache } from '../base/lru.ts';
import { andThen, inOrder, type MaybePromise } from '../base/maybe.ts';
import { Turns } from '../base/turns.ts';
import type { SessionEntry } from '../cluster/cluster.ts';
import { reached, recipients, redelivered } from '../core/account.ts';
import {
  bind2Inline,
  messageIn,
  messageOffline,
  presenceOut,
  sessionClosed,
  sessionHibernating,
  sessionOut,
  sessionPresence,
} from '../core/events.ts';
import type { Verdict } from '../core/hooks.ts';
import { counter } from '../core/metrics.ts';
import { defineModule, on } from '../core/module.ts';
import { wasGiven } from '../core/reaches.ts';
import type { Session } from '../core/sessions.ts';
import type { Transit } from '../core/transit.ts';
import { StorageUnavailable } from '../storage/errors.ts';
import { log } from '../storage/specs.ts';
import { parseElement } from '../xml/document.ts';
import type { Element } from '../xml/element.ts';
import { delayElement, delayedSince } from '../xmpp/delay.ts';
import { StanzaError } from '../xmpp/errors.ts';
import { type BareJid, Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import { type Holders, type Message, messageOf, type Presence, type Stanza } from '../xmpp/stanza.ts';
import { readBefore, receivedAs } from './mam/index.ts';
import { offlinePortion } from './portability/offline.ts';

/** A message as it will be delivered. */
export interface Kept {
  readonly xml: string;
  /** When it was first to be delivered, in milliseconds since 1970. */
  readonly at: number;
  /** Its id in the account's archive, where it is there too. */
  readonly archived?: string;
  /** The sessions that were given a copy, though a negative priority keeps messages to the account from them. */
  readonly copied?: readonly string[];
}

/** How full an account's storage is. */
interface Usage {
  readonly messages: number;
  readonly bytes: number;
}

const nothing: Usage = { messages: 0, bytes: 0 };
const marginal: ReadonlySet<string> = new Set([NS.stanzaIds, NS.delay, NS.hints, NS.chatStates]);

/** Whether a message has something to say to whoever reads it later (XEP-0160 3, XEP-0334 4). */
export function isWorthKeeping(message: Message): boolean {
  // groupchat, headlines and errors are of the moment
  if (message.type !== 'chat' && message.type !== 'normal') return false;
  const children = message.el.elements();
  const hints = new Set(children.filter((child) => child.ns === NS.hints).map((child) => child.name));
  if (hints.has('no-store')) return false;
  if (hints.has('store')) return true;
  return children.some((child) => !isMarginal(child));
}

/** Chat states and notes about the message itself are not a message (XEP-0160 3). */
function isMarginal(child: Element): boolean {
  return child.ns === null ? child.name === 'thread' : marginal.has(child.ns);
}

/** Until it is looked again who is there, in milliseconds. */
const PAUSE = 1000;
/** So long at most what is said waits for what was kept before, in milliseconds: the database may be away. */
const PATIENCE = 2000;

/** A message on its way to being kept. */
interface Pending {
  readonly since: number;
  readonly done: Promise<void>;
}

/** What a session is to read after what was kept. */
interface Later {
  readonly stanzas: Stanza[];
  cancel: () => void;
}

export default defineModule({
  xeps: ['XEP-0160 1.0.1', 'XEP-0203 2.0', 'XEP-0334 1.0.0'],
  summary: 'Keeps messages for people who are away',
  config: z.strictObject({
    'max-messages': z.int().min(1).prefault(1000).meta({ description: 'Messages kept for one account, at most.' }),
    'max-bytes': z
      .int()
      .min(1024)
      .prefault(4 * 1024 * 1024)
      .meta({ description: 'Bytes of messages kept for one account, at most.' }),
  }),
  stores: { messages: log<Kept, Record<never, string>>({ index: [] }) },
  metrics: {
    kept: counter('Messages kept for accounts that were away'),
    delivered: counter('Kept messages that were delivered'),
    refused: counter('Messages refused because too many were kept already'),
  },

  setup({ host, config, stores, metrics, router, cluster, clock, background, signal }) {
    const limits: Usage = { messages: config['max-messages'], bytes: config['max-bytes'] };
    // what this node knows; another node's additions are seen when the entry is made anew
    const usages = new LruCache<string, Usage>(4096);
    const turns = new Turns<string>();
    /** Accounts whose messages are delivered when it can be told again who is there. */
    const waiting = new Set<BareJid>();
    /** The last of an account's messages that are being written down here, and perhaps delivered late. */
    const pending = new Map<BareJid, Pending>();
    /** Sessions that begin to read, and have not been given what was kept. */
    const beginners = new Map<Session, Later>();

    function store(transit: Transit<Message>): MaybePromise<Verdict | undefined> {
      const { stanza } = transit;
      // 3: neither kept nor answered, so that a chat state does not come back as an error
      if (!isWorthKeeping(stanza)) return 'handled';
      const user = stanza.to.local;
      return turns.run(user, () =>
        andThen(knownUsageOf(user), (known) => {
          const usage = known ?? nothing;
          // whoever had it first has written down when that was, and its place is there, before what came meanwhile
          const before = transit.note(redelivered);
          const since = before === undefined ? undefined : delayedSince(stanza.el);
          const at = Math.min(since ?? Number.POSITIVE_INFINITY, clock.now());
          const late = since === undefined ? stanza.el.append(delayElement(at, host.domain)) : stanza.el;
          const xml = late.toXml();
          const next: Usage = { messages: usage.messages + 1, bytes: usage.bytes + Buffer.byteLength(xml) };
          const archived = transit.note(receivedAs);
          if (next.messages > limits.messages || next.bytes > limits.bytes) {
            // it is in the archive: neither lost nor refused
            if (archived !== undefined) return 'handled';
            metrics.refused.inc();
            // 2: the queue is full
            return new StanzaError('service-unavailable', 'too many messages wait for this account already');
          }
          if (known !== undefined) usages.set(user, next);
          const copied = transit.note(reached)?.copied ?? [];
          const kept: Kept = {
            xml,
            at,
            ...(archived === undefined ? {} : { archived }),
            ...(copied.length === 0 ? {} : { copied }),
          };
          const { durable } = stores.messages.append(user, kept, {});
          transit.settle(durable);
          metrics.kept.inc();
          const done = durable.then(
            () => deliverLate(stanza.to.bare, before),
            () => {},
          );
          background(done, 'late delivery');
          remember(stanza.to.bare, done);
          return 'handled';
        }),
      );
    }

    function remember(account: BareJid, work: Promise<void>): void {
      const forget = (): void => {
        if (pending.get(account) === one) pending.delete(account);
      };
      const one: Pending = { since: clock.now(), done: work.then(forget, forget) };
      pending.set(account, one);
    }

    /** What was said before may be on its way to the store, and from there to whoever has come online since. */
    function follow(transit: Transit<Message>): MaybePromise<undefined> {
      if (pending.size === 0 || transit.note(redelivered) !== undefined) return;
      const before = pending.get(transit.stanza.to.bare);
      if (before === undefined || transit.note(recipients)?.length === 0) return;
      const patience = before.since + PATIENCE - clock.now();
      if (patience <= 0) return;
      return within(clock, patience, (done) => void before.done.then(done)).then(() => undefined);
    }

    /** From the moment on that it is there for others. */
    function beginToRead({ origin, stanza }: Transit<Presence>): undefined {
      if (origin.kind !== 'client' || stanza.type !== 'available' || stanza.el.attrs.to !== undefined) return;
      const { session } = origin;
      if (!mayRead(session) && !beginners.has(session)) beginners.set(session, { stanzas: [], cancel: () => {} });
    }

    function hold(session: Session, stanza: Stanza): Verdict | undefined {
      const later = beginners.get(session);
      if (later === undefined || !mayBeKept(stanza)) return;
      if (later.stanzas.length === 0) later.cancel = clock.after(PATIENCE, () => letGo(session));
      later.stanzas.push(stanza);
      if (later.stanzas.length > limits.messages) letGo(session);
      return 'handled';
    }

    function endOfWaiting(session: Session): readonly Stanza[] {
      const later = beginners.get(session);
      if (later === undefined) return [];
      beginners.delete(session);
      later.cancel();
      return later.stanzas;
    }

    function letGo(session: Session): void {
      for (const stanza of endOfWaiting(session)) session.deliver(stanza);
    }

    /** What cannot be acknowledged goes to others; the rest shares the fate of what the session was sent. */
    function leave(session: Session): void {
      if (session.outbox !== undefined) {
        letGo(session);
        return;
      }
      const rest = endOfWaiting(session);
      if (rest.length === 0) return;
      const work = inOrder(rest, (stanza) => router.takeBack(host, stanza, session.sid, clock.now()));
      background(Promise.resolve(work), 'return of what a session was not given any more');
    }

    /**
     * Whoever came online before a message was written down has read what was there, and does not read again. Where nobody can tell who
     * is there, it was kept because of what was known last: it is looked once more when Redis answers.
     */
    async function deliverLate(account: BareJid, before: Holders | undefined): Promise<void> {
      while (!signal.aborted) {
        try {
          const entries = await cluster.directory.sessions(account, true);
          // (whoever gave it back may be on its way out still)
          const reader = entries.find((entry) => mayRead(entry) && !(before && wasGiven(before, entry.sid)));
          return reader && (await deliver(reader));
        } catch (error) {
          if (!(error instanceof StorageUnavailable)) throw error;
          // what is kept is delivered together
          if (before === undefined && waiting.has(account)) return;
          if (before === undefined) waiting.add(account);
          await pause(clock, PAUSE, signal);
          waiting.delete(account);
        }
      }
    }

    /** Undefined while the database is away: what has been taken is not refused because it cannot be counted. */
    function knownUsageOf(user: string): MaybePromise<Usage | undefined> {
      return (
        usages.get(user) ??
        measure(user).catch((error: unknown) => {
          if (error instanceof StorageUnavailable) return undefined;
          throw error;
        })
      );
    }

    async function measure(user: string): Promise<Usage> {
      if ((await stores.messages.count(user, {})) === 0) return nothing;
      const { entries } = await stores.messages.find(user, { limit: limits.messages });
      return {
        messages: entries.length,
        bytes: entries.reduce((sum, { value }) => sum + Buffer.byteLength(value.xml), 0),
      };
    }

    /** Gives everything to one resource; what is taken out here is taken by nobody else. */
    async function deliver(reader: SessionEntry): Promise<void> {
      const user = reader.jid.local;
      await turns.run(user, async () => {
        const taken = await stores.messages.take(user, limits.messages);
        usages.delete(user);
        if (taken.length === 0) return;
        // messages that were put back once are younger entries than they are messages
        const kept = taken.map(({ value }) => value).sort((a, b) => a.at - b.at);
        let isThere = false;
        try {
          isThere = await isStillThere(reader);
        } finally {
          // also where that cannot be told
          if (!isThere) await Promise.all(kept.map((message) => stores.messages.append(user, message, {}).durable));
        }
        if (!isThere) return;
        const here = router.sessionOf(reader.jid.full);
        const session = here?.sid === reader.sid ? here : undefined;
        const later = session === undefined ? [] : endOfWaiting(session);
        const read = session?.get(readBefore);
        for (const { xml, archived, copied = [] } of kept) {
          if (copied.includes(reader.sid)) continue;
          // XEP-0313 6.1.1: nobody is sent what was read in the archive already
          if (archived !== undefined && read?.has(archived)) continue;
          router.delivery.writeKept(restore(xml, reader.jid), reader, copied);
          metrics.delivered.inc();
        }
        for (const stanza of later) session!.deliver(stanza);
      });
    }

    /** A session can read from now on. */
    async function welcome(session: Session): Promise<void> {
      try {
        await deliver(session);
      } catch (error) {
        if (!(error instanceof StorageUnavailable)) throw error;
        letGo(session);
        await deliverLate(session.jid.bare, undefined);
      } finally {
        letGo(session);
      }
    }

    async function isStillThere({ jid, sid }: SessionEntry): Promise<boolean> {
      if (router.sessionOf(jid.full)?.sid === sid) return true;
      return (await cluster.directory.sessions(jid.bare, true)).some((entry) => entry.sid === sid);
    }

    /** XEP-0386 3.2: who binds so reads in the archive what was missed. What is not there is sent as ever. */
    async function clear({ jid: { local: user } }: Session): Promise<void> {
      await turns.run(user, async () => {
        const { entries } = await stores.messages.find(user, { limit: limits.messages });
        const ids = entries.filter(({ value }) => value.archived !== undefined).map(({ id }) => id);
        if (ids.length === 0) return;
        await stores.messages.remove(user, { ids });
        usages.delete(user);
      });
    }

    function restore(xml: string, reader: Jid): Message {
      const element = parseElement(xml);
      return messageOf(
        element,
        Jid.parse(element.attrs.from ?? '') ?? host.jid,
        Jid.parse(element.attrs.to ?? '') ?? reader,
      );
    }

    return {
      features: { server: [NS.msgOffline] },
      portion: offlinePortion({
        messages: stores.messages,
        most: limits.messages,
        now: () => clock.now(),
        changed: (user) => void usages.delete(user),
      }),
      handlers: [
        on(messageOffline, { phase: 'store' }, store),
        on(bind2Inline, ({ session }) => clear(session)),
        on(sessionPresence, ({ session, was, wasPriority }) => {
          const couldRead = was !== undefined && wasPriority >= 0;
          if (!mayRead(session)) letGo(session);
          else if (!couldRead) background(welcome(session), 'delivery of kept messages');
        }),
        on(messageIn, { phase: 'check' }, follow),
        on(presenceOut, { phase: 'handle', before: ['presence'] }, beginToRead),
        // what was held back for others' sake may be held back for its own
        on(sessionOut, { phase: 'queue', before: ['csi'] }, ({ session, stanza }) =>
          beginners.size === 0 ? undefined : hold(session, stanza),
        ),
        on(sessionHibernating, ({ session }) => letGo(session)),
        on(sessionClosed, ({ session }) => leave(session)),
      ],
      stop() {
        for (const session of [...beginners.keys()]) letGo(session);
      },
    };
  },
});

/** What others say to the account or the session, but not what the server itself sends (the archive's pages, copies). */
function mayBeKept(stanza: Stanza): boolean {
  return (
    stanza.kind === 'message' &&
    (stanza.type === 'chat' || stanza.type === 'normal') &&
    stanza.from.bare !== stanza.to.bare
  );
}

/** RFC 6121 8.5.2.1.1: a negative priority asks for no messages to the account. */
function mayRead(entry: SessionEntry | Session): boolean {
  return entry.available && entry.priority >= 0;
}
