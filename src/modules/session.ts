// RFC 3921 section 3: session establishment. Nothing happens, but clients of that age ask for it (RFC 6121 1.4).
import { streamFeatures } from '../core/events.ts';
import { defineModule, iqSet, on } from '../core/module.ts';
import { el } from '../xml/element.ts';
import { NS } from '../xmpp/ns.ts';

export default defineModule({
  xeps: [],
  summary: 'Session establishment for clients from before RFC 6121',
  setup: () => ({
    handlers: [
      on(streamFeatures, ({ stream, features }) => {
        if (stream.user !== undefined) features.push(el('session', NS.session, undefined, el('optional', NS.session)));
      }),
      iqSet(['self', 'host'], NS.session, 'session', () => {}),
    ],
  }),
});
