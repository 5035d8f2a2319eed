// Who may make rooms, and what they are to begin with (XEP-0045 10.1.1); names for rooms that nobody has yet (XEP-0307).
import { randomBytes } from 'node:crypto';
import { andThen, type MaybePromise } from '../base/maybe.ts';
import { presetOf } from '../config/rooms.ts';
import { defineModule, iqGet, on } from '../core/module.ts';
import { el } from '../xml/element.ts';
import { StanzaError } from '../xmpp/errors.ts';
import type { Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import type { RoomConfig } from './muc/config.ts';
import { roomConfiguring, roomCreating } from './muc/hooks.ts';
import { configOf } from './muc/presets.ts';

export default defineModule({
  xeps: ['XEP-0307 0.1'],
  summary: 'Decides who may make rooms, and what a new room is',
  hosts: ['rooms'],

  setup({ host }) {
    const { parent } = host;

    function mayCreate(creator: Jid): MaybePromise<boolean> {
      const { creation } = host.settings.rooms;
      if (creation === 'anyone' && creator.domain !== parent?.domain) return true;
      return host.may(creator, creation === 'admins' ? 'administer' : 'create-rooms');
    }

    /** Whether a room with that configuration is listed when somebody has made it: others make it with less than they may. */
    function mayList({ isPublic }: RoomConfig, by: Jid): MaybePromise<boolean> {
      if (!isPublic || by.domain !== parent?.domain) return isPublic;
      return host.may(by, 'public-rooms');
    }

    return {
      features: { server: [NS.mucUnique] },
      handlers: [
        on(roomCreating, { phase: 'check' }, (event) => {
          const { rooms } = host.settings;
          return andThen(mayCreate(event.creator), (may) => {
            if (!may) return new StanzaError('not-allowed', 'you may not make rooms here');
            const config = configOf(presetOf(rooms, rooms['default-preset']) ?? {});
            return andThen(mayList(config, event.creator), (isPublic) => {
              event.config = { ...config, isPublic };
              return undefined;
            });
          });
        }),
        on(roomConfiguring, { phase: 'check' }, ({ room, config, by }) => {
          // what is listed already stays so, whoever changes something else
          if (!config.isPublic || (room.config.isPublic && !room.isLocked)) return undefined;
          return andThen(mayList(config, by), (may) =>
            may ? undefined : new StanzaError('forbidden', 'you may not make rooms that are listed'),
          );
        }),
        // XEP-0307 2: 72 bits of chance are nobody's name
        iqGet('host', NS.mucUnique, 'unique', () =>
          el('unique', NS.mucUnique, undefined, randomBytes(9).toString('hex')),
        ),
      ],
    };
  },
});
