// Circles: people whom an administrator brings together. All members are each other's contacts, and in all rooms of the circle, which
// they find among their bookmarks. Whoever is invited into a circle is in it when the account is made.
import { z } from 'zod';
import { CircleRefusal } from '../../core/circles.ts';
import { accountInvited, accountRemoving } from '../../core/events.ts';
import { defineModule, on, provide } from '../../core/module.ts';
import { map } from '../../storage/specs.ts';
import { pep } from '../pep/service.ts';
import { subscribing } from '../presence/index.ts';
import { roster } from '../roster/index.ts';
import { type CircleRow, Circles } from './book.ts';
import { circles } from './service.ts';

export default defineModule({
  xeps: [],
  summary: 'Circles: people who are each other’s contacts, and in rooms together, because an administrator says so',
  needs: [roster, subscribing],
  provides: [circles],
  config: z.strictObject({
    'max-members': z.int().min(2).prefault(200).meta({ description: 'People of one circle, at most.' }),
    'max-circles': z.int().min(1).prefault(200).meta({ description: 'Circles of one host, at most.' }),
  }),
  stores: { rows: map<CircleRow>() },

  setup({ host, config, stores, admin, use, log }) {
    const book = new Circles({
      domain: host.domain,
      rows: stores.rows,
      exists: (user) => host.accounts.exists(user),
      roster: use(roster),
      subscribing: use(subscribing),
      pep: () => host.find(pep),
      rooms: async () => {
        const domain = admin.rooms.find((one) => admin.parentOf(one) === host.domain);
        const found = domain === undefined ? undefined : await admin.roomsOf(domain);
        return domain === undefined || found === undefined ? undefined : { domain, admin: found };
      },
      most: { members: config['max-members'], circles: config['max-circles'] },
    });
    if (host.settings.authentication === 'anonymous') return {};
    return {
      handlers: [
        provide(circles, book),
        on(accountInvited, async ({ user, circles: ids }) => {
          for (const id of ids) {
            try {
              await book.add(id, user);
            } catch (error) {
              // the invitation may be older than what became of the circle
              if (!(error instanceof CircleRefusal)) throw error;
              log.warn({ user, circle: id, problem: error.problem }, 'somebody who was invited is not in the circle');
            }
          }
        }),
        on(accountRemoving, ({ user }) => book.forget(user)),
      ],
    };
  },
});
