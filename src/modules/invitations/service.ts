// What others may do with invitations: the commands of operators, REST, the page, and registration from a client.
import type { ClientStream } from '../../core/events.ts';
import type { AdminInvitations, Invitation } from '../../core/invitations.ts';
import { defineService } from '../../core/module.ts';

export {
  type AdminInvitations,
  type Invitation,
  type InvitationProblem,
  InvitationRefusal,
} from '../../core/invitations.ts';

/** How an invitation is to be used. */
export interface Redemption {
  readonly token: string;
  /** The name that somebody has chosen; where the invitation names one, it may be left out. */
  readonly user?: string | undefined;
  readonly password: string;
  /** So many milliseconds after its end it may still be used, by somebody who began in time. */
  readonly lateness?: number | undefined;
}

/** All reject with {@link InvitationRefusal} for what is refused, and StorageUnavailable while the database is away. */
export interface Invitations extends AdminInvitations {
  /** An invitation that can be used now. Rejects where it cannot, with why. */
  open(token: string, lateness?: number): Promise<Invitation>;
  /** Makes the account, or sets the password. Returns the localpart, prepared. */
  redeem(how: Redemption): Promise<{ readonly user: string; readonly isNew: boolean }>;
  /** The token that a client has presented on its stream, before login (XEP-0445 4). */
  presentedOn(stream: ClientStream): string | undefined;
}

export const invitations = defineService<Invitations>('invitations');
