// XEP-0500: MUC Slow Mode. So many seconds have to pass between two messages of the same person, whatever the device and the nick; not for
// admins and owners, and only what has a body counts.
import { defineModule, on } from '../core/module.ts';
import { integerField, rangeField } from '../xmpp/dataform.ts';
import { StanzaError } from '../xmpp/errors.ts';
import type { BareJid } from '../xmpp/jid.ts';
import { isAtLeast } from './muc/associations.ts';
import { type RoomMessage, roomFields, roomInfo, roomMessage, roomMessageSent } from './muc/hooks.ts';
import { chosen, type ExtraField } from './muc/settings.ts';
import { defineRoomSlot } from './muc/slots.ts';

/** A day, in seconds. */
const LONGEST = 86_400;
/** People that are remembered before it is looked who need not be any more. */
const MANY = 256;

const duration: ExtraField<number> = {
  name: 'muc#roomconfig_slow_mode_duration',
  field: rangeField('Slow mode', {
    desc: 'Seconds between two messages of the same person; 0 for no such limit.',
    min: 0,
    max: LONGEST,
  }),
  fallback: 0,
};

/** When people have spoken last, in milliseconds since 1970. */
const spoken = defineRoomSlot<Map<BareJid, number>>('slow-mode', {
  kept: {
    save: (times) => [...times],
    restore: (saved) => new Map(saved as [BareJid, number][]),
  },
});

export default defineModule({
  xeps: ['XEP-0500 0.1.1', 'XEP-0122 1.0.2'],
  summary: 'Lets owners of rooms slow the conversation down',
  hosts: ['rooms'],

  setup({ clock }) {
    return {
      handlers: [
        on(roomFields, ({ fields }) => void fields.push(duration as ExtraField<unknown>)),
        on(roomInfo, ({ context, fields, values }) => {
          fields['muc#roominfo_slow_mode_duration'] = integerField('Seconds between two messages of the same person');
          values['muc#roominfo_slow_mode_duration'] = chosen(context.room.config, duration);
        }),
        on(roomMessage, { phase: 'check' }, (event) => {
          const seconds = limitOf(event);
          if (seconds === 0) return;
          const last = event.room.get(spoken)?.get(event.occupant!.bare);
          if (last === undefined || clock.now() - last >= seconds * 1000) return;
          const text = `in this room ${seconds} seconds have to pass between two messages of yours`;
          return new StanzaError('policy-violation', text, { type: 'wait' });
        }),
        on(roomMessageSent, (event) => {
          const seconds = limitOf(event);
          if (seconds === 0) return;
          const times = event.room.get(spoken) ?? new Map<BareJid, number>();
          event.room.set(spoken, times);
          const now = clock.now();
          if (times.size >= MANY) {
            for (const [person, at] of times) if (now - at >= seconds * 1000) times.delete(person);
          }
          times.set(event.occupant!.bare, now);
        }),
      ],
    };
  },
});

/** Seconds that have to pass after such a message; 0 where it is not limited. */
function limitOf({ room, occupant, element }: RoomMessage): number {
  if (room.config.more === undefined || occupant === undefined || isAtLeast(occupant.affiliation, 'admin')) return 0;
  return element.getChild('body') === undefined ? 0 : chosen(room.config, duration);
}
