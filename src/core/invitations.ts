// Invitations, as those see them who make and look after them; modules/invitations keeps them.

/** `account`: to make an account; `contact`: to become somebody's contact, also with a new account; `reset`: to choose a new password. */
export type InvitationKind = 'account' | 'contact' | 'reset';

export type InvitationState = 'open' | 'used' | 'expired' | 'revoked';

/** An invitation, as whoever may look at it sees it. */
export interface Invitation {
  /** Its name, and all that is needed to use it. */
  readonly token: string;
  readonly kind: InvitationKind;
  readonly state: InvitationState;
  /** Localpart of the name that the account is to have, or of the account whose password is to be set. */
  readonly user: string | undefined;
  /** Bare JID of whoever invites; undefined for the operator. */
  readonly inviter: string | undefined;
  /** Whether it lets make an account. */
  readonly makesAccount: boolean;
  /** Whether whoever comes by it and the inviter are each other's contacts. */
  readonly befriends: boolean;
  readonly role: string | undefined;
  readonly groups: readonly string[];
  readonly note: string | undefined;
  readonly source: string | undefined;
  /** How many may use it, and the bare JIDs of those who did. */
  readonly uses: number;
  readonly usedBy: readonly string[];
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly expires: number;
  /** The `xmpp:` link. */
  readonly uri: string;
  /** The address of the page for it; undefined where there is none. */
  readonly page: string | undefined;
}

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

/** The invitations of one host. All reject with {@link InvitationRefusal} for what is refused. */
export interface AdminInvitations {
  create(wanted: NewInvitation): Promise<Invitation>;
  /** All there are, those that are used, expired or revoked too until they are forgotten; the latest first. */
  list(): Promise<readonly Invitation[]>;
  /** Undefined where there is none. */
  show(token: string): Promise<Invitation | undefined>;
  /** Whether there is an invitation, which cannot be used any more from now on. */
  revoke(token: string): Promise<boolean>;
}
