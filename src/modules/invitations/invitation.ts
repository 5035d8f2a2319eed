// What an invitation is, how it is stored, and the links that it is handed on as (XEP-0147, XEP-0379 3.2, XEP-0401, XEP-0445 2).
import { randomBytes } from 'node:crypto';
import type { Invitation, InvitationKind, InvitationState } from '../../core/invitations.ts';
import { Jid } from '../../xmpp/jid.ts';

/** Somebody is just using an invitation: the account is being made, or the password set. */
export interface Claim {
  /** Tells it from an earlier one for the same name. */
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** As stored, by its token. */
export interface InvitationRow {
  readonly kind: InvitationKind;
  /** Localpart of the name that the account is to have, or of the account whose password is to be set. */
  readonly user?: string;
  /** Localpart of whoever invites; not there for the operator. */
  readonly inviter?: string;
  /** A contact invitation that makes no accounts (XEP-0401 4.1: without `ibr=y`). */
  readonly withoutAccount?: true;
  /** Whoever comes by it and the inviter are each other's contacts. */
  readonly befriends?: true;
  /** What the account is to be; as everybody, unless said. */
  readonly role?: string;
  readonly groups?: readonly string[];
  readonly note?: string;
  /** By what it was made. */
  readonly source?: string;
  /** How many may use it. */
  readonly uses: number;
  /** Bare JIDs of those who did. */
  readonly by: readonly string[];
  /** By localpart; not there where there are none. */
  readonly claims?: Readonly<Record<string, Claim>>;
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly expires: number;
  readonly revoked?: true;
}

/** Base32 of 120 random bits: no two letters that differ by case alone (XEP-0379 6.1 suggests 80 bits). */
export function newToken(): string {
  return Array.from(randomBytes(TOKEN_LENGTH), (byte) => alphabet[byte % alphabet.length]).join('');
}
const TOKEN_LENGTH = 24;
const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';

/** Whether a text can be a token: what cannot is not looked for. */
export const isToken = (text: string): boolean => /^[a-z2-7]{24}$/.test(text);

export function stateOf({ revoked, by, uses, expires }: InvitationRow, now: number): InvitationState {
  if (by.length >= uses) return 'used';
  if (revoked === true) return 'revoked';
  return now >= expires ? 'expired' : 'open';
}

/** Whether somebody may make an account by it, as far as it is concerned. */
export const makesAccount = ({ kind, withoutAccount }: InvitationRow): boolean =>
  kind === 'account' || (kind === 'contact' && withoutAccount !== true);

/** Where the page for an invitation is. */
export const pathOf = (token: string): string => `/join/${token}`;

/** The link that clients open; only what has to be is escaped (RFC 5122 2.2). */
export function uriOf(token: string, row: InvitationRow, domain: string): string {
  const { kind, user, inviter } = row;
  const at = (local: string | undefined): string =>
    local === undefined ? domain : `${encodeURIComponent(local)}@${domain}`;
  if (kind !== 'contact') return `xmpp:${at(user)}?register;preauth=${token}`;
  return `xmpp:${at(inviter)}?roster;preauth=${token}${makesAccount(row) ? ';ibr=y' : ''}`;
}

/** @param page makes the address of its page */
export function invitationOf(
  token: string,
  row: InvitationRow,
  domain: string,
  now: number,
  page: (token: string) => string | undefined,
): Invitation {
  return {
    token,
    kind: row.kind,
    state: stateOf(row, now),
    user: row.user,
    inviter: row.inviter === undefined ? undefined : Jid.of(row.inviter, domain).bare,
    makesAccount: makesAccount(row),
    befriends: row.befriends === true,
    role: row.role,
    groups: row.groups ?? [],
    note: row.note,
    source: row.source,
    uses: row.uses,
    usedBy: row.by,
    created: row.created,
    expires: row.expires,
    uri: uriOf(token, row, domain),
    page: page(token),
  };
}
