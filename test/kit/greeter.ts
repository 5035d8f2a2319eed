// A module for tests: says something to every session at the very moment that it is bound.
import { sessionBound } from '../../src/core/events.ts';
import { defineModule, on } from '../../src/core/module.ts';
import { el } from '../../src/xml/element.ts';
import { stanzaOf } from '../../src/xmpp/stanza.ts';

export default defineModule({
  xeps: [],
  summary: 'Greets',
  setup: ({ host, router }) => ({
    handlers: [
      on(sessionBound, ({ session: { jid } }) => {
        const greeting = el(
          'message',
          null,
          { from: host.domain, to: jid.full, type: 'chat' },
          el('body', null, undefined, 'Welcome'),
        );
        router.send(stanzaOf(greeting, host.jid, jid), host);
      }),
    ],
  }),
});
