// Where invitations are kept. All of a host have the owner `''`: whoever comes with a token knows nothing else.
import { kv, map } from '../../storage/specs.ts';
import type { InvitationRow } from './invitation.ts';

/** As in `auth/accounts.ts`: the host's own. */
export const HOST = '';

/** Who let an account in. */
export interface Arrival {
  readonly token: string;
  /** Localpart; not there for the operator. */
  readonly inviter?: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

export const stores = {
  /** By token. */
  invitations: map<InvitationRow>(),
  /** Names that are kept for whoever has the token, by localpart. */
  names: map<string>(),
  /** When those that an account has made, and that can be used, expire: by token. Goes with the account. */
  own: map<number>(),
  arrivals: kv<Arrival>(),
};
