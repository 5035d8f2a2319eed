// Tells the service of publish-subscribe below a domain when its people come online and go: what XEP-0060 12.4 needs subscriptions to presence for.
import { sessionClosed, sessionOrphaned, sessionPresence } from '../core/events.ts';
import { defineModule, on } from '../core/module.ts';
import { el } from '../xml/element.ts';
import { Jid } from '../xmpp/jid.ts';
import { stanzaOf } from '../xmpp/stanza.ts';

export default defineModule({
  xeps: [],
  summary: 'Tells the nodes of a domain who of its people comes online and goes',

  setup({ host, router }) {
    function tell(who: Jid, type: 'unavailable' | undefined): void {
      for (const domain of host.services) {
        if (router.hostOf(domain)?.kind !== 'pubsub') continue;
        const presence = el('presence', null, { from: who.full, to: domain, type });
        void router.tell(stanzaOf(presence, who, Jid.of('', domain)), host);
      }
    }

    return {
      handlers: [
        on(sessionPresence, ({ session, was }) => {
          if (session.available === (was !== undefined)) return;
          tell(session.jid, session.available ? undefined : 'unavailable');
        }),
        on(sessionClosed, ({ session, isOrphan }) => {
          if (session.available && !isOrphan) tell(session.jid, 'unavailable');
        }),
        on(sessionOrphaned, ({ entry }) => {
          if (entry.available) tell(entry.jid, 'unavailable');
        }),
      ],
    };
  },
});
