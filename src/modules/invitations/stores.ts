// Where invitations are kept. All of a host have the owner `''`: whoever comes with a token knows nothing else.
import { map } from '../../storage/specs.ts';
import type { InvitationRow } from './invitation.ts';

/** As in `auth/accounts.ts`: the host's own. */
export const HOST = '';

export const stores = {
  /** By token. */
  invitations: map<InvitationRow>(),
  /** Names that are kept for whoever has the token, by localpart. */
  names: map<string>(),
};
