// Who may make rooms, and what they are to begin with (XEP-0045 10.1.1); names for rooms that nobody has yet (XEP-0307).
import { randomBytes } from 'node:crypto';
import { presetOf } from '../config/rooms.ts';
import { defineModule, iqGet, on } from '../core/module.ts';
import { el } from '../xml/element.ts';
import { StanzaError } from '../xmpp/errors.ts';
import type { Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import { roomCreating } from './muc/hooks.ts';
import { configOf } from './muc/presets.ts';

export default defineModule({
  xeps: ['XEP-0307 0.1'],
  summary: 'Decides who may make rooms, and what a new room is',
  hosts: ['rooms'],

  setup({ host }) {
    const { parent } = host;

    function mayCreate(creator: Jid): boolean {
      switch (host.settings.rooms.creation) {
        case 'anyone':
          return true;
        case 'local':
          return creator.domain === parent?.domain && creator.local !== '';
        case 'admins':
          return host.settings.admins.includes(creator.bare);
      }
    }

    return {
      features: { server: [NS.mucUnique] },
      handlers: [
        on(roomCreating, { phase: 'check' }, (event) => {
          const { rooms } = host.settings;
          if (!mayCreate(event.creator)) return new StanzaError('not-allowed', 'you may not make rooms here');
          event.config = configOf(presetOf(rooms, rooms['default-preset']) ?? {});
          return undefined;
        }),
        // XEP-0307 2: 72 bits of chance are nobody's name
        iqGet('host', NS.mucUnique, 'unique', () =>
          el('unique', NS.mucUnique, undefined, randomBytes(9).toString('hex')),
        ),
      ],
    };
  },
});
