// What other modules that speak HTTP may ask about the tokens that people have given to clients.
import { defineService } from '../../core/module.ts';
import type { Jid } from '../../xmpp/jid.ts';

/** Somebody who comes with a token. */
export interface Bearer {
  /** The account, bare. */
  readonly jid: Jid;
  readonly scopes: readonly string[];
  /** The token may speak for the account. */
  readonly speaks: boolean;
  /** The token is for administration, and the account may administer the host. */
  readonly administers: boolean;
  /** The account has changed its password by this token, which is to hold on. */
  keep(): Promise<void>;
}

export interface AccessTokens {
  /** Whoever comes with an access token of this host; undefined where it is none. Rejects with StorageUnavailable. */
  find(token: string): Promise<Bearer | undefined>;
}

export const accessTokens = defineService<AccessTokens>('access-tokens');
