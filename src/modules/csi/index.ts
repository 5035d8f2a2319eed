// XEP-0352: Client State Indication. What nobody has to see now waits until the client is active, or until something else has
// to be written anyway: its radio is woken for what its owner wants to know, and for nothing else.
//
// There is no time after which things are written: nobody waits for them. Nothing is dropped but what is out of date.
import { z } from 'zod';
import { inOrder } from '../../base/maybe.ts';
import {
  bind2Features,
  bind2Inline,
  presenceOut,
  sessionClosed,
  sessionHibernating,
  sessionOut,
  streamFeatures,
} from '../../core/events.ts';
import { notify, type Verdict } from '../../core/hooks.ts';
import { counter } from '../../core/metrics.ts';
import { defineModule, nonza, on } from '../../core/module.ts';
import { defineSlot, type Session } from '../../core/sessions.ts';
import { el } from '../../xml/element.ts';
import { delayElement } from '../../xmpp/delay.ts';
import type { BareJid, Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { replaceElement, type Stanza } from '../../xmpp/stanza.ts';
import { nickIn, noteRoom } from './rooms.ts';
import { Shelf } from './shelf.ts';
import { type Category, ends, judge, type Reader } from './worth.ts';

/** A stanza that waited for less is not said to have been delayed, in milliseconds. */
const UNNOTICED = 1000;
/** So much of the limit is taken when room was made. */
const RELIEF = 0.9;

/** A session whose client is inactive. */
class Inactive implements Reader {
  readonly shelf = new Shelf();
  private readonly session: Session;

  constructor(session: Session) {
    this.session = session;
  }

  get jid(): Jid {
    return this.session.jid;
  }

  nickIn(room: BareJid): string | undefined {
    return nickIn(this.session, room);
  }
}

// 6: nobody else may know of it, so it is never shared
const inactive = defineSlot<Inactive>('csi');

/** Whether nobody looks at a session's client, as far as it has said. */
export function isInactive(session: Session): boolean {
  return session.get(inactive) !== undefined;
}

/** Somebody looks at a client again that was inactive. Fired by this module. */
export const clientActive = notify<{ readonly session: Session }>('client-active');

const categories = ['presence', 'typing', 'events', 'receipts', 'groupchat'] as const satisfies readonly Category[];

export default defineModule({
  xeps: ['XEP-0352 1.0.0'],
  summary: 'Saves the batteries of phones that nobody is looking at',
  config: z.strictObject({
    hold: z
      .array(z.enum(categories))
      .prefault(['presence', 'typing', 'events', 'receipts'])
      .meta({
        description:
          'What waits while nobody looks at a client: presence, chat states (typing), notifications of PEP (events), ' +
          'receipts and markers, messages in rooms that do not mention the reader (groupchat).',
      }),
    'max-stanzas': z
      .int()
      .min(1)
      .prefault(1000)
      .meta({ description: 'Stanzas that wait for one client, at most. With more, all are written.' }),
    'max-bytes': z
      .int()
      .min(1024)
      .prefault(256 * 1024)
      .meta({ description: 'Bytes of stanzas that wait for one client, at most. With more, all are written.' }),
    'total-bytes': z
      .int()
      .min(1024)
      .prefault(64 * 1024 * 1024)
      .meta({
        description:
          'Bytes of stanzas that wait for all clients of a host. With more, those are written that most waits for.',
      }),
  }),
  metrics: {
    held: counter('Stanzas held back from inactive clients'),
    superseded: counter('Stanzas held back that later ones made obsolete'),
    flushes: counter('Times that held stanzas were written'),
  },

  setup({ host, config, metrics, router, clock, background }) {
    const holds: ReadonlySet<Category> = new Set(config.hold);
    // whom something is held back from, by this instance
    const waiting = new Set<Session>();
    // what waits for all of them, in bytes
    let held = 0;

    function consider(session: Session, state: Inactive, stanza: Stanza): Verdict | undefined {
      const { shelf } = state;
      const before = shelf.bytes;
      const patient = judge(stanza, state, holds);
      const obsolete = shelf.count === 0 ? undefined : ends(stanza, patient, state);
      if (obsolete !== undefined && shelf.drop(obsolete)) metrics.superseded.inc();
      if (patient === undefined) {
        held += shelf.bytes - before;
        flush(session, state);
        return;
      }
      if (shelf.put(stanza, patient.key, clock.now())) metrics.superseded.inc();
      metrics.held.inc();
      held += shelf.bytes - before;
      waiting.add(session);
      if (shelf.count > config['max-stanzas'] || shelf.bytes > config['max-bytes']) flush(session, state);
      else if (held > config['total-bytes']) makeRoom();
      return 'handled';
    }

    /** Those go first for whom most waits, until there is some room again. */
    function makeRoom(): void {
      const states = [...waiting].map((session) => ({ session, state: session.get(inactive)! }));
      states.sort((a, b) => b.state.shelf.bytes - a.state.shelf.bytes);
      for (const { session, state } of states) {
        if (held <= config['total-bytes'] * RELIEF) return;
        flush(session, state);
      }
    }

    function flush(session: Session, { shelf }: Inactive): void {
      waiting.delete(session);
      if (shelf.count === 0) return;
      metrics.flushes.inc();
      held -= shelf.bytes;
      const now = clock.now();
      for (const { stanza, at } of shelf.take()) session.write(now - at < UNNOTICED ? stanza : stamped(stanza, at));
    }

    /**
     * XEP-0203: when it would have been written; who says so already, said when it was sent. Available presence is what it
     * is now, whenever it became so: there is most of it, and the stamp would be a quarter of it.
     */
    function stamped(stanza: Stanza, at: number): Stanza {
      if (stanza.type === 'available' || stanza.el.getChild('delay', NS.delay) !== undefined) return stanza;
      return replaceElement(stanza, stanza.el.append(delayElement(at, host.domain)));
    }

    function becomeActive(session: Session): void {
      const state = session.get(inactive);
      if (state === undefined) return;
      void session.set(inactive, undefined);
      flush(session, state);
    }

    function becomeInactive(session: Session): void {
      if (session.get(inactive) === undefined) void session.set(inactive, new Inactive(session));
    }

    /** Written now, it shares the fate of whatever else was never acknowledged; where nothing is, it has none of its own. */
    function leave(session: Session): void {
      const state = session.get(inactive);
      if (state === undefined) return;
      void session.set(inactive, undefined);
      if (session.outbox !== undefined) {
        flush(session, state);
        return;
      }
      waiting.delete(session);
      if (state.shelf.count === 0) return;
      held -= state.shelf.bytes;
      const kept = state.shelf.take();
      background(
        Promise.resolve(inOrder(kept, ({ stanza, at }) => router.takeBack(host, stanza, session.sid, at))),
        'return of what an inactive client never got',
      );
    }

    return {
      handlers: [
        on(streamFeatures, ({ stream, features }) => {
          if (stream.user !== undefined) features.push(el('csi', NS.csi));
        }),
        on(bind2Features, ({ namespaces }) => {
          namespaces.push(NS.csi);
        }),
        // XEP-0386 4.2: the session begins in that state
        on(bind2Inline, ({ session, request }) => {
          const last = request.elements().findLast(({ ns }) => ns === NS.csi);
          if (last?.name === 'inactive') becomeInactive(session);
        }),
        nonza(NS.csi, 'active', ({ session }) => {
          if (!isInactive(session)) return;
          becomeActive(session);
          host.notify(clientActive, { session });
        }),
        nonza(NS.csi, 'inactive', ({ session }) => becomeInactive(session)),
        on(sessionOut, { phase: 'queue' }, ({ session, stanza }) => {
          const state = session.get(inactive);
          return state === undefined ? undefined : consider(session, state, stanza);
        }),
        on(presenceOut, { phase: 'handle', before: ['presence'] }, ({ origin, stanza }) => {
          if (origin.kind === 'client') noteRoom(origin.session, stanza);
        }),
        // 5.2: whoever resumes is active; until then what was held back waits in its order with the rest
        on(sessionHibernating, ({ session }) => becomeActive(session)),
        on(sessionClosed, ({ session }) => leave(session)),
      ],
      // the next instance goes on with the same sessions, holding nothing
      stop() {
        for (const session of [...waiting]) flush(session, session.get(inactive)!);
      },
    };
  },
});
