// Who may do what on a host: the one place that judges it. Admins are those whom the settings name, and accounts with that role; the table of
// roles is in config/roles.ts.
import { andThen, type MaybePromise } from '../base/maybe.ts';
import { ADMIN, GUEST, type Permission, type RoleTable, roleTable } from '../config/roles.ts';
import type { HostSettings } from '../config/server.ts';
import { Jid } from '../xmpp/jid.ts';
import type { Accounts } from './accounts.ts';

export interface RolesParts {
  readonly domain: string;
  /** As they are now. */
  readonly settings: () => HostSettings;
  readonly accounts: Pick<Accounts, 'roleOf'> | undefined;
}

export class Roles {
  private readonly parts: RolesParts;
  private made: { readonly of: HostSettings['roles']; readonly table: RoleTable } | undefined;

  constructor(parts: RolesParts) {
    this.parts = parts;
  }

  /** All there are, by name. */
  get table(): RoleTable {
    const { roles } = this.parts.settings();
    if (this.made?.of !== roles) this.made = { of: roles, table: roleTable(roles) };
    return this.made.table;
  }

  /** The role of an account, by localpart; undefined for who has none. At once where the account was looked at lately. */
  of(local: string): MaybePromise<string | undefined> {
    const { settings, accounts, domain } = this.parts;
    const { authentication, admins } = settings();
    if (authentication === 'anonymous') return GUEST;
    if (admins.length > 0 && admins.includes(Jid.of(local, domain).bare)) return ADMIN;
    return accounts?.roleOf(local);
  }

  /** Whether somebody, of this host or of another one, may do something here. At once where the account was looked at lately. */
  may(who: Jid, permission: Permission): MaybePromise<boolean> {
    // somebody of another domain may be named in the settings
    if (this.parts.settings().admins.includes(who.bare)) return true;
    if (who.domain !== this.parts.domain || who.local === '') return false;
    return andThen(this.of(who.local), (role) => this.allows(role, permission));
  }

  /** Whether a role has a permission. One that is no more in the table has none. */
  allows(role: string | undefined, permission: Permission): boolean {
    if (role === undefined) return false;
    const { table } = this;
    return Object.hasOwn(table, role) && table[role]!.includes(permission);
  }
}
