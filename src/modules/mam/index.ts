// XEP-0313: Message Archive Management, for accounts; stanza ids (XEP-0359), preferences (XEP-0441), retraction (XEP-0424), search
// (XEP-0431). What is kept is said in rules.ts, how an archive is asked in query.ts.
//
// Both sides of a conversation have an archive of their own, and the message an id in each. `append` mints the id and returns at
// once; the sender's acknowledgement waits for the disk (`transit.settle`), delivery does not. Where both archives are here, the
// sender's is written last: who finds a message in the own archive, after a connection broke, does not send it again.
//
// Not done, of what is recommended or may be done:
// - XEP-0313 6.1.1: errors, headlines and what is said in rooms are not kept
// - XEP-0424: a retraction without an `id` is kept, and leaves no tombstone: there would be nothing to call it by
// - XEP-0424 0.3.0: what is taken back by an origin-id which is not also the message's id is not found
// - XEP-0441 2.2: there is no command for more preferences
import { isPromise, type MaybePromise } from '../../base/maybe.ts';
import { redelivered } from '../../core/account.ts';
import {
  bind2Inline,
  messageIn,
  messageOffline,
  messageOut,
  messageWithdrawn,
  sessionBound,
} from '../../core/events.ts';
import { counter } from '../../core/metrics.ts';
import { defineModule, type IqRequest, iqGet, iqSet, on } from '../../core/module.ts';
import type { Session } from '../../core/sessions.ts';
import type { Transit } from '../../core/transit.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { type Message, replaceElement } from '../../xmpp/stanza.ts';
import { archivePortion } from '../portability/archive.ts';
import { isVisible, roster as rosterService } from '../roster/index.ts';
import { filterForm } from './filters.ts';
import { readBefore, receivedAs, sentAs } from './notes.ts';
import { readOn } from './pace.ts';
import { Preferences, parsePrefs, prefsElement } from './prefs.ts';
import { answerQuery, metadataOf, type QueryLimits, type Readable } from './query.ts';
import { refOf, retractedBy } from './references.ts';
import { Retention } from './retention.ts';
import { applyRetraction } from './retract.ts';
import { isWorthArchiving } from './rules.ts';
import { settings, stores } from './settings.ts';
import { stanzaIdElement, stanzaIdOf, withoutStanzaIds } from './stanza-ids.ts';
import { archiveFeatures, Upkeep } from './upkeep.ts';

export { readBefore, receivedAs, sentAs } from './notes.ts';
export { stanzaIdElement } from './stanza-ids.ts';

/** Characters of XML of a page, at most. */
const PAGE_LENGTH = 1024 * 1024;
/** The part of what a session may still be sent that one page takes: who asks for many at once gets smaller ones. */
const SHARE = 16;
/** Messages that a session has read, remembered until it becomes available. */
const REMEMBERED = 4096;

export default defineModule({
  xeps: [
    'XEP-0313 1.1.3',
    'XEP-0059 1.0',
    'XEP-0297 1.0',
    'XEP-0334 1.0.0',
    'XEP-0359 0.7.0',
    'XEP-0424 0.4.2',
    'XEP-0431 0.2.0',
    'XEP-0441 0.2.0',
  ],
  summary: 'Keeps conversations, so that every device can read what it missed',
  config: settings,
  stores,
  metrics: {
    stored: counter('Messages put into archives; one between two accounts is put into both'),
    queries: counter('Queries of archives that were answered'),
    replayed: counter('Messages that were sent from archives'),
    retracted: counter('Messages in archives that their senders took back'),
    pruned: counter('Messages removed because they were too old'),
  },

  setup({ host, config, stores, metrics, cluster, clock, find, every, background }) {
    // people who are never here again have nothing to read
    if (host.settings.authentication === 'anonymous') return {};
    const { messages } = stores;
    const limits: QueryLimits = {
      pageSize: config['page-size'],
      pageLength: PAGE_LENGTH,
      languages: config.search ? config.languages : [],
    };
    const prefs = new Preferences({
      store: stores.prefs,
      default: config.default,
      isInRoster: (user, contact) => {
        const item = find(rosterService)?.get(user, contact);
        return isPromise(item) ? item.then(isVisible) : isVisible(item);
      },
    });
    // the XML of the message that came last: that of the sender's archive is that of the recipient's
    let written: { readonly of: Element; readonly xml: string } | undefined;

    function xmlOf(message: Element): string {
      if (written?.of !== message) written = { of: message, xml: message.toXml() };
      return written.xml;
    }

    // every message comes through the next two: nothing asynchronous where the preferences are known
    function archiveOut(transit: Transit<Message>): MaybePromise<void> {
      stripIds(transit, transit.stanza.from);
      const { stanza } = transit;
      // what stays in the account is archived when it arrives there, once
      if (stanza.from.bare === stanza.to.bare || !isWorthArchiving(stanza)) return;
      const wanted = prefs.wants(stanza.from, stanza.to);
      // all or nothing: what the recipient's archive has to know is there before the sender's has the message
      const known = isHere(stanza.to) ? prefs.wants(stanza.to, stanza.from) : undefined;
      if (!isPromise(wanted) && !isPromise(known)) return keepSent(transit, wanted);
      return Promise.all([wanted, known]).then(([later]) => keepSent(transit, later));
    }

    const isHere = (jid: Jid): boolean => jid.local !== '' && jid.domain === host.domain;

    function archiveIn(transit: Transit<Message>): MaybePromise<void> {
      if (transit.note(redelivered) !== undefined) return recognise(transit);
      stripIds(transit, transit.stanza.to);
      const { stanza } = transit;
      if (!isWorthArchiving(stanza)) return;
      const wanted = prefs.wants(stanza.to, stanza.from);
      return isPromise(wanted) ? wanted.then((later) => keepReceived(transit, later)) : keepReceived(transit, wanted);
    }

    function stripIds(transit: Transit<Message>, { bare }: Jid): void {
      const { stanza } = transit;
      const stripped = withoutStanzaIds(stanza.el, bare);
      if (stripped !== stanza.el) transit.stanza = replaceElement(stanza, stripped);
    }

    /** On its way again, because its reader left: what its id says is true. */
    function recognise(transit: Transit<Message>): void {
      const id = stanzaIdOf(transit.stanza.el, transit.stanza.to.bare);
      if (id !== undefined) transit.leave(receivedAs, id);
    }

    // 3.5: whom it is sent to must not see the id of this archive
    function keepSent(transit: Transit<Message>, wanted: boolean): void {
      messages.begin();
      if (!wanted) return;
      const { stanza } = transit;
      const id = messages.mint();
      transit.leave(sentAs, id);
      const store = (): void => keep(transit, stanza, stanza.from, stanza.to, id);
      if (isHere(stanza.to)) transit.atEnd(store);
      else store();
    }

    function keepReceived(transit: Transit<Message>, wanted: boolean): void {
      if (!wanted) return;
      const { stanza } = transit;
      // (others have begun in `keepSent`)
      const { kind } = transit.origin;
      if ((kind !== 'client' && kind !== 'account') || stanza.from.bare === stanza.to.bare) messages.begin();
      const id = messages.mint();
      keep(transit, stanza, stanza.to, stanza.from, id);
      transit.leave(receivedAs, id);
      transit.stanza = replaceElement(stanza, stanza.el.append(stanzaIdElement(stanza.to.bare, id)));
    }

    /** @throws StorageUnavailable, which becomes `resource-constraint` */
    function keep(transit: Transit<Message>, stanza: Message, account: Jid, other: Jid, id: string): void {
      const { durable } = messages.append(account.local, {
        id,
        with: other.bare,
        resource: other.resource,
        xml: xmlOf(stanza.el),
        ref: refOf(stanza),
      });
      transit.settle(durable);
      metrics.stored.inc();
      const retracted = retractedBy(stanza.el, stanza.from);
      if (retracted !== undefined && stanza.id !== undefined) {
        const retraction = { with: other.bare, ref: retracted, by: stanza.id, at: clock.now() };
        const [by, place] = [stanza.from.bare, stanza.to.bare];
        const withdrawn = (message: Element): void => host.notify(messageWithdrawn, { message, by, place });
        // what it takes back is older, and on disk when this is
        const done = durable.then(
          async () => metrics.retracted.inc(await applyRetraction(messages, account.local, retraction, withdrawn)),
          () => {},
        );
        transit.settle(done);
        background(done, 'a retraction');
      }
    }

    const readable = (account: Jid): Readable => ({
      store: messages,
      owner: account.local,
      jid: account.withResource(''),
    });

    /** Acknowledgements are read after the queries before them: what these bring must not end the session (XEP-0198). */
    function limitsFor(session: Session): QueryLimits {
      const room = session.outbox?.room;
      if (room === undefined) return limits;
      const pageSize = Math.max(1, Math.min(limits.pageSize, Math.floor(room.stanzas / SHARE)));
      return { ...limits, pageSize, pageLength: Math.min(limits.pageLength, room.size / SHARE) };
    }

    async function query({ iq, payload, session }: IqRequest): Promise<Element> {
      // a component asks in the account's name (XEP-0356): there is no device to send the messages to
      if (session === undefined) throw new StanzaError('feature-not-implemented', 'archives are read by devices');
      if (session.outbox?.room === undefined) await readOn(session, clock);
      const result = await answerQuery(readable(iq.to), payload, iq.from, limitsFor(session));
      metrics.queries.inc();
      metrics.replayed.inc(result.messages.length);
      for (const message of result.messages) session.deliver(message);
      if (!session.available) remember(session, result.ids);
      return result.fin;
    }

    // 8.1: nobody reads another's archive; whether there is such an account is not told either
    const forbid = (): never => {
      throw new StanzaError('forbidden');
    };

    async function setPrefs({ iq, payload }: IqRequest): Promise<Element> {
      const wanted = parsePrefs(payload);
      await prefs.set(iq.to.local, wanted);
      return prefsElement(wanted);
    }

    const retention = new Retention({ messages, retention: stores.retention, default: config.retention });
    const upkeep = new Upkeep({
      cluster,
      every,
      name: `mam ${host.domain}`,
      work: async (goesOn) => metrics.pruned.inc(await retention.prune(clock.now(), goesOn)),
    });
    const features = archiveFeatures(config.search);
    return {
      // ids are given by archives, never by the host: who claims that it did is not to be believed (XEP-0359 3, 7)
      features: { server: [NS.retraction, NS.retractionTombstone], account: features },
      portion: archivePortion({
        messages,
        prefsOf: async (user) => stores.prefs.get(user),
        setPrefs: (user, said) => prefs.set(user, said),
      }),
      handlers: [
        on(messageOut, { phase: 'archive' }, archiveOut),
        on(messageIn, { phase: 'archive' }, archiveIn),
        // while the database is away, those who are here go on talking: their preferences are in memory
        on(sessionBound, ({ session }) => prefs.warm(session.jid.local)),
        // it is kept, if only here
        on(messageOffline, { phase: 'store', after: ['offline'] }, (transit) =>
          transit.note(receivedAs) === undefined ? undefined : 'handled',
        ),
        // XEP-0386 3.2: what comes once kept messages were thrown away is either before this end or still kept
        on(bind2Inline, { after: ['offline'] }, async ({ session, bound }) => {
          bound.push(await metadataOf(readable(session.jid)));
        }),
        iqSet('self', NS.mam, 'query', query),
        iqGet('self', NS.mam, 'query', () => el('query', NS.mam, undefined, filterForm(limits))),
        iqGet('self', NS.mam, 'metadata', ({ iq }) => metadataOf(readable(iq.to))),
        iqGet('self', NS.mam, 'prefs', async ({ iq }) => prefsElement(await prefs.of(iq.to.local))),
        iqSet('self', NS.mam, 'prefs', setPrefs),
        iqSet(['account', 'nobody'], NS.mam, 'query', forbid),
        iqGet(['account', 'nobody'], NS.mam, 'query', forbid),
        iqGet(['account', 'nobody'], NS.mam, 'metadata', forbid),
        iqGet(['account', 'nobody'], NS.mam, 'prefs', forbid),
        iqSet(['account', 'nobody'], NS.mam, 'prefs', forbid),
      ],
      stop() {
        upkeep.stop();
      },
    };
  },
});

/** What a session reads here it is not sent once more when it becomes available (6.1.1). */
function remember(session: Session, ids: readonly string[]): void {
  const known = new Set(session.get(readBefore));
  for (const id of ids) known.add(id);
  for (const oldest of known) {
    if (known.size <= REMEMBERED) break;
    known.delete(oldest);
  }
  void session.set(readBefore, known);
}
