// What a SASL mechanism is, on the server's side (RFC 4422 5). Mechanisms know nothing of how their messages travel.
import type { MaybePromise } from '../base/maybe.ts';
import type { TlsInfo } from '../net/tls.ts';
import type { ScramCredentials, ScramHash } from './credentials.ts';

/** Whom an exchange authenticated. */
interface Identity {
  /** A localpart, prepared. */
  readonly local: string;
  /** A temporary identity without an account (XEP-0175). */
  readonly anonymous: boolean;
  /** The account's, as it was when the proof was verified: what is granted for a password ends with it. 0 for guests. */
  readonly epoch: number;
  /** The id of the token that was proved, where it was one (XEP-0484). */
  readonly token?: string;
}

/** What a step leads to: one more challenge, or success with the additional data that goes with it (RFC 4422 3.6). */
export type Step = { readonly challenge: Buffer } | { readonly success: Identity; readonly data: Buffer | undefined };

/** `none` for names that have no account. */
export type AccountState = 'active' | 'disabled' | 'none';

/** How an account stands at one moment. */
export interface Standing {
  readonly state: AccountState;
  /** Another one for every password, and whenever the account is disabled. */
  readonly epoch: number;
}

/**
 * What a SCRAM exchange is verified against. The state is `none` where the credentials are made up, always the same, because
 * there are no such ones: nothing can prove them.
 */
export interface ScramLookup extends Standing {
  readonly credentials: ScramCredentials;
}

/** What mechanisms ask of the accounts of a host. `local` is prepared, or undefined for what is no localpart at all. */
export interface AccountAuthority {
  /** `raw` is the name as it was sent: made-up credentials depend on it where there is no localpart. */
  scram(local: string | undefined, raw: string, hash: ScramHash): MaybePromise<ScramLookup>;
  /** The account whose password this is; the state is `none` also for a wrong password. Takes as long either way. */
  plain(local: string | undefined, password: string): Promise<Standing>;
}

/** A token as a mechanism verifies it. */
export interface KnownToken {
  readonly id: string;
  /** What the client was given. */
  readonly secret: string;
  /** It is too old, or the account has another password now. */
  readonly isExpired: boolean;
}

/** What mechanisms ask about tokens (XEP-0484). */
export interface TokenAuthority {
  /** The tokens that the client which is connecting may have for an account and a mechanism, the newest first. */
  tokens(local: string | undefined, mechanism: string): MaybePromise<readonly KnownToken[]>;
  standing(local: string | undefined): MaybePromise<Standing>;
}

export interface MechanismContext {
  readonly domain: string;
  /** Undefined on a connection without TLS. */
  readonly tls: TlsInfo | undefined;
  /** The mechanisms that were offered on this connection. */
  readonly offered: readonly string[];
  readonly accounts: AccountAuthority;
  /** Undefined where the client has not said which one it is, and so cannot have a token. */
  readonly tokens: TokenAuthority | undefined;
  /** The bare JID that the client named in its stream header, where that matters (XEP-0388 2.3). */
  readonly from: string | undefined;
  /**
   * Called as soon as it is known who wants in, before anything is verified.
   * @throws SaslError when there were too many failures already
   */
  identify(name: string): void;
  /** Printable, without a comma (RFC 5802 7), and never the same again. */
  nonce(): string;
  /** Attributes for the first message of a SCRAM server, with their commas. */
  attributes(hash: ScramHash): string;
}

/**
 * Takes what the client sends, one message at a time; undefined first when there was no initial response.
 * @throws SaslError
 */
export type Conversation = (data: Buffer | undefined) => MaybePromise<Step>;

export interface Mechanism {
  /** As registered with IANA. */
  readonly name: string;
  begin(context: MechanismContext): Conversation;
}
