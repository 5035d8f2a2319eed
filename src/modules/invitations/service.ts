// What others may do with invitations: the commands of operators, REST, the page, and registration from a client.
import type { ClientStream } from '../../core/events.ts';
import { defineService } from '../../core/module.ts';
import type { Invitation, InvitationKind } from './invitation.ts';

export type { Invitation, InvitationKind } from './invitation.ts';

/** What an invitation is to be. */
export interface NewInvitation {
  readonly kind: InvitationKind;
  /** Name that the account is to have and that is kept for it; for a reset, the account. Need not be prepared. */
  readonly user?: string | undefined;
  /** Localpart of whoever invites; a contact invitation needs one. */
  readonly inviter?: string | undefined;
  /** A contact invitation that lets make no account. */
  readonly withoutAccount?: boolean | undefined;
  /** Whether the new account and the inviter become contacts; yes where there is an inviter, unless said. */
  readonly befriends?: boolean | undefined;
  /** The role that the account gets. Whoever calls sees to it that it may be given. */
  readonly role?: string | undefined;
  readonly groups?: readonly string[] | undefined;
  readonly note?: string | undefined;
  readonly source?: string | undefined;
  /** How many may use it: 1, unless said. */
  readonly uses?: number | undefined;
  /** How long it holds, in milliseconds; as configured, unless said. */
  readonly ttl?: number | undefined;
}

/** Why an invitation, or what is done with it, is refused; `problem` is for programs, the message for people. */
export class InvitationRefusal extends Error {
  override readonly name = 'InvitationRefusal';
  readonly problem: InvitationProblem;
  constructor(problem: InvitationProblem, message: string) {
    super(message);
    this.problem = problem;
  }
}
export type InvitationProblem =
  /** There is no such invitation. */
  | 'unknown'
  | 'expired'
  | 'used'
  | 'revoked'
  /** Others are just using it, and it is not certain yet whether there is room for one more. */
  | 'busy'
  /** It is not for this: no account can be made by it, or by anybody here. */
  | 'not-allowed'
  /** The name is somebody's, or kept for somebody. */
  | 'taken'
  | 'invalid-name'
  | 'invalid-password'
  | 'weak-password'
  /** There is no such account. */
  | 'no-account'
  /** There are too many already. */
  | 'too-many'
  /** What is asked for makes no sense. */
  | 'bad-request';

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
export interface Invitations {
  create(wanted: NewInvitation): Promise<Invitation>;
  /** All there are, those that are used, expired or revoked too until they are forgotten; the latest first. */
  list(): Promise<readonly Invitation[]>;
  /** Undefined where there is none. */
  show(token: string): Promise<Invitation | undefined>;
  /** Whether there is an invitation, which cannot be used any more from now on. */
  revoke(token: string): Promise<boolean>;
  /** An invitation that can be used now. Rejects where it cannot, with why. */
  open(token: string, lateness?: number): Promise<Invitation>;
  /** Makes the account, or sets the password. Returns the localpart, prepared. */
  redeem(how: Redemption): Promise<{ readonly user: string; readonly isNew: boolean }>;
  /** The token that a client has presented on its stream, before login (XEP-0445 4). */
  presentedOn(stream: ClientStream): string | undefined;
}

export const invitations = defineService<Invitations>('invitations');
