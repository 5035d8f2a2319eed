// XEP-0202: Entity Time.
import { defineModule, iqGet } from '../core/module.ts';
import { el } from '../xml/element.ts';
import { formatDateTime, formatOffset } from '../xmpp/datetime.ts';
import { NS } from '../xmpp/ns.ts';

export default defineModule({
  xeps: ['XEP-0202 2.0', 'XEP-0082 1.1.1'],
  summary: 'Tells what time it is',
  hosts: ['users', 'rooms', 'pubsub', 'upload', 'proxy'],

  setup({ clock }) {
    return {
      features: { server: [NS.time] },
      handlers: [
        iqGet('host', NS.time, 'time', () => {
          const now = clock.now();
          // getTimezoneOffset counts westwards
          const offset = -new Date(now).getTimezoneOffset();
          return el(
            'time',
            NS.time,
            undefined,
            el('tzo', NS.time, undefined, formatOffset(offset)),
            el('utc', NS.time, undefined, formatDateTime(now)),
          );
        }),
      ],
    };
  },
});
