// The settings of push notifications.
import { z } from 'zod';
import { duration } from '../../config/schema.ts';

export const settings = z.strictObject({
  'include-sender': z.boolean().prefault(false).meta({
    description: 'Whether app servers are told who has written: people that nobody here has chosen to trust.',
  }),
  'include-body': z.boolean().prefault(false).meta({
    description:
      'Whether app servers are told the text of messages. Clients that ask for encryption get both, which only they can read.',
  }),
  placeholder: z.string().max(200).prefault('New message').meta({
    description:
      'Stands for the text of a message where that is not told. Some app servers take what has no text for unimportant. Empty: nothing does.',
  }),
  inactive: z.boolean().prefault(true).meta({
    description: 'Whether clients that say that nobody looks at them are told even while they are connected.',
  }),
  'max-registrations': z.int().min(1).max(100).prefault(10).meta({
    description: 'Clients of one account that are told; with more, those that have not registered for longest are not.',
  }),
  interval: duration().prefault('2s').meta({
    description:
      'Between two notifications for one client, at least, but for calls. What comes meanwhile is told together.',
  }),
  'per-second': z.number().positive().prefault(100).meta({
    description: 'Notifications for one app server by each node, in the long run. The others wait their turn.',
  }),
  burst: z
    .int()
    .positive()
    .prefault(500)
    .meta({ description: 'As many as that may be sent at once before the rate counts.' }),
  'max-errors': z.int().min(1).prefault(16).meta({
    description:
      'Times in a row that an app server may be out of reach or fail for the moment, until a registration is forgotten. Each time the pause is twice as long, from a minute to six hours.',
  }),
});
