// XEP-0012: Last Activity. Of the server: for how long it runs; of an account: when it was last there.
import { andThen, type MaybePromise } from '../base/maybe.ts';
import type { SessionEntry } from '../cluster/cluster.ts';
import { iqIn, presenceOut, sessionOrphaned, sessionPresence } from '../core/events.ts';
import type { Verdict } from '../core/hooks.ts';
import { defineModule, defineService, type IqRequest, iqGet, on, provide } from '../core/module.ts';
import { defineSlot } from '../core/sessions.ts';
import type { Transit } from '../core/transit.ts';
import { kv } from '../storage/specs.ts';
import { type Element, el } from '../xml/element.ts';
import { StanzaError } from '../xmpp/errors.ts';
import { NS } from '../xmpp/ns.ts';
import type { Iq, Presence } from '../xmpp/stanza.ts';
import { roster as rosterService } from './roster/index.ts';

interface LastSeen {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** What the user said when leaving. */
  readonly status?: string;
}

/** When an account was last there, in milliseconds since 1970, as far as it is known; by localpart. */
export const lastSeen = defineService<{ of(user: string): MaybePromise<number | undefined> }>('last-seen');

/** What the user says in the unavailable presence that is being handled. */
const farewell = defineSlot<string>('farewell');

export default defineModule({
  xeps: ['XEP-0012 2.0'],
  summary: 'Tells contacts when somebody was last online, and everybody how long the server has been running',
  provides: [lastSeen],
  needs: [rosterService],
  stores: { seen: kv<LastSeen>() },

  setup({ stores, cluster, clock, use }) {
    const roster = use(rosterService);

    async function ofAccount({ iq }: IqRequest): Promise<Element> {
      if (!(await roster.canSee(iq.to, iq.from))) throw new StanzaError('forbidden');
      // 3: a connected resource is enough
      if ((await cluster.directory.sessions(iq.to.bare)).length > 0) return lastElement(0);
      const seen = await stores.seen.get(iq.to.local);
      if (seen === undefined) throw new StanzaError('item-not-found', 'was never online');
      return lastElement(clock.now() - seen.at, seen.status);
    }

    /** 4: what a resource would say is not for those who may not even know that it is there. */
    function guardResources({ stanza }: Transit<Iq>): MaybePromise<Verdict | undefined> {
      if (stanza.type !== 'get' || stanza.to.isBare || stanza.payload?.ns !== NS.lastActivity) return;
      return andThen(roster.canSee(stanza.to.withResource(''), stanza.from), (may) =>
        may ? undefined : new StanzaError('forbidden'),
      );
    }

    function noteFarewell({ stanza, origin }: Transit<Presence>): void {
      if (origin.kind !== 'client' || stanza.el.attrs.to !== undefined) return;
      const status = stanza.type === 'unavailable' ? stanza.el.getChildText('status') : undefined;
      void origin.session.set(farewell, status);
    }

    async function remember(session: SessionEntry, status: string | undefined): Promise<void> {
      const others = await cluster.directory.sessions(session.jid.bare);
      if (others.some((entry) => entry.available && entry.sid !== session.sid)) return;
      await stores.seen.set(session.jid.local, { at: clock.now(), ...(status === undefined ? {} : { status }) });
    }

    return {
      features: { server: [NS.lastActivity], account: [NS.lastActivity] },
      handlers: [
        provide(lastSeen, { of: (user) => andThen(stores.seen.get(user), (seen) => seen?.at) }),
        iqGet('host', NS.lastActivity, 'query', () => lastElement(process.uptime() * 1000)),
        // whether an account exists is nobody's business either
        iqGet(['account', 'nobody'], NS.lastActivity, 'query', ofAccount),
        on(iqIn, { phase: 'check' }, guardResources),
        on(presenceOut, { phase: 'check' }, noteFarewell),
        on(sessionPresence, ({ session, was }) =>
          was !== undefined && !session.available ? remember(session, session.get(farewell)) : undefined,
        ),
        on(sessionOrphaned, ({ entry }) => (entry.available ? remember(entry, undefined) : undefined)),
      ],
    };
  },
});

function lastElement(ms: number, status?: string): Element {
  const seconds = String(Math.max(0, Math.floor(ms / 1000)));
  return el('query', NS.lastActivity, { seconds }, ...(status === undefined ? [] : [status]));
}
