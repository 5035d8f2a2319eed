// What administrators may do with the archives of a host, whether its server runs or only its store is open.
import type { AdminArchives } from '../../core/commands.ts';
import type { Opened } from '../../storage/specs.ts';
import { COUNTED } from './query.ts';
import { Retention, removeBefore } from './retention.ts';
import type { stores } from './settings.ts';

/** @param usual how long messages are kept on this host, in milliseconds; Infinity for good */
export function archiveAdministration(
  opened: Pick<Opened<typeof stores>, 'messages' | 'retention'>,
  usual: number,
): AdminArchives {
  const { messages } = opened;
  const retention = new Retention({ messages, retention: opened.retention, default: usual });
  return {
    async state(user) {
      const ends = await messages.ends(user);
      return {
        ends: ends && { first: ends.first.at, last: ends.last.at },
        count: await messages.count(user, {}, COUNTED),
        retention: await retention.of(user),
      };
    },
    async message(user, id) {
      return (await messages.find(user, { ids: [id], limit: 1 }))?.entries[0]?.xml;
    },
    async setRetention(user, ms) {
      await retention.set(user, ms);
      return retention.of(user);
    },
    purge: (user, before) => removeBefore(messages, user, before),
  };
}
