// The settings of invitations, which offline administration reads too.
import { z } from 'zod';
import { duration } from '../../config/schema.ts';

export const settings = z.strictObject({
  ttl: duration().prefault('7d').meta({ description: 'How long an invitation holds, unless said otherwise.' }),
  'per-account': z
    .int()
    .min(1)
    .prefault(50)
    .meta({ description: 'Invitations of one account that can be used at a time.' }),
  'password-length': z
    .int()
    .min(1)
    .max(128)
    .prefault(8)
    .meta({ description: 'Characters of a password that somebody chooses who was invited, at least.' }),
});
export type InvitationSettings = z.output<typeof settings>;
