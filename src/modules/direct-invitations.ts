// XEP-0249: Direct MUC Invitations. They go from one person to another without the room; where the room is one of ours and for members
// only, it is told, and lets in who was invited by somebody who may do that (XEP-0249 4, XEP-0045 9.5).
import { messageOut } from '../core/events.ts';
import { defineModule, on } from '../core/module.ts';
import { el } from '../xml/element.ts';
import { Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import { type Iq, stanzaOf } from '../xmpp/stanza.ts';

export default defineModule({
  xeps: ['XEP-0249 1.2'],
  summary: 'Lets those in who are invited to members-only rooms directly',

  setup({ host, router, background, signal }) {
    return {
      handlers: [
        on(messageOut, { phase: 'check' }, ({ stanza }) => {
          if (stanza.type === 'error' || stanza.type === 'groupchat') return;
          const x = stanza.el.getChild('x', NS.conference);
          const room = x && Jid.parse(x.attrs.jid ?? '');
          if (room === undefined || room.local === '' || router.hostOf(room.domain)?.kind !== 'rooms') return;
          // in the room's own invitations it stands for the mediated one
          if (stanza.to.bare === room.bare) return;
          const { from, to } = stanza;
          // the room has this before the invitation is read by anybody
          const asked = router.request(
            host,
            (id) => {
              const child = el('x', NS.conference, { jid: to.bare });
              const iq = el('iq', null, { type: 'set', id, from: from.full, to: room.bare }, child);
              return stanzaOf(iq, from, room.withResource('')) as Iq;
            },
            { signal },
          );
          // whether it lets anybody in is its own affair
          background(asked, 'telling a room of an invitation');
        }),
      ],
    };
  },
});
