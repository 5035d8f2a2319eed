// Scopes: what a token may be used for (RFC 6749 3.3). Names of roles are scopes, as in Prosody, whose names its tools know; `xmpp` is all
// that the account may do.
import { ADMIN, GUEST, MEMBER } from '../../config/roles.ts';

/** The role of those who are named in the settings: they administer the server. */
export const OPERATOR = 'prosody:operator';
export const ADMINISTRATOR = 'prosody:admin';
export const WHOLE = 'xmpp';
export const OPENID = 'openid';
/** Asks for a token that others can be had with (OpenID Connect Core 11). */
export const OFFLINE = 'offline_access';

const names: Readonly<Record<string, string>> = {
  [ADMIN]: ADMINISTRATOR,
  [MEMBER]: 'prosody:registered',
  limited: 'prosody:restricted',
  [GUEST]: 'prosody:guest',
};
const OWN = 'parley:';

/** What a role is called outside. */
export function roleScope(role: string): string {
  return names[role] ?? `${OWN}${role}`;
}

/** The role that is called so; undefined for what is no name of a role. */
export function roleOfScope(scope: string): string | undefined {
  if (scope === OPERATOR) return ADMIN;
  const known = Object.keys(names).find((role) => names[role] === scope);
  if (known !== undefined) return known;
  return scope.startsWith(OWN) ? scope.slice(OWN.length) : undefined;
}

/** The words of a list. */
export function parseScopes(text: string | undefined): readonly string[] {
  return [...new Set((text ?? '').split(' ').filter((word) => word !== ''))];
}

export interface Standing {
  readonly role: string;
  /** Whether the settings name the account among the admins. */
  readonly isNamed: boolean;
}

/** What of the scopes that are asked for an account can give: of roles, its own. */
export function grantable(asked: readonly string[], { role, isNamed }: Standing): readonly string[] {
  return asked.filter(
    (scope) =>
      scope === WHOLE ||
      scope === OPENID ||
      scope === OFFLINE ||
      scope === roleScope(role) ||
      (scope === OPERATOR && isNamed),
  );
}

/** Whether a token may speak for its account. */
export function speaks(scopes: readonly string[]): boolean {
  return scopes.some((scope) => scope === WHOLE || roleOfScope(scope) !== undefined);
}

/** Whether a token may administer, if its account may. */
export function administers(scopes: readonly string[]): boolean {
  return scopes.some(
    (scope) => scope === WHOLE || scope === ADMINISTRATOR || scope === OPERATOR || scope.startsWith(OWN),
  );
}
