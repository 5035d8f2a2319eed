// What administrators are told of the accounts of a host, by the modules that know it.
import { andThen } from '../../base/maybe.ts';
import type { AdminContact, AdminPeople } from '../../core/admin-services.ts';
import type { Host } from '../../core/host.ts';
import { lastSeen } from '../last-activity.ts';
import { roster } from '../roster/index.ts';
import { isVisible } from '../roster/item.ts';

/** Nothing for hosts without accounts. */
export function peopleOf(host: Host | undefined): AdminPeople | undefined {
  const book = host?.find(roster);
  if (host === undefined || book === undefined) return undefined;
  return {
    roster: (user) =>
      andThen(book.all(user), (all) =>
        [...all].flatMap(([jid, item]): AdminContact[] => {
          if (!isVisible(item)) return [];
          const { name, groups, subscription, ask } = item;
          return [{ jid, ...(name === undefined ? {} : { name }), groups, subscription, ...(ask && { ask }) }];
        }),
      ),
    lastSeen: (user) => host.find(lastSeen)?.of(user),
  };
}
