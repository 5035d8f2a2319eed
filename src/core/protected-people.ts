// What the administrator of one domain must not do to those who administer others as well: whoever could set their password, or be given
// their name, would administer what they do.
import { prepareLocal } from '../xmpp/jid.ts';
import { type AdminAccounts, CommandError } from './commands.ts';
import type { AdminInvitations, Invitation } from './invitations.ts';

/** Refuses what concerns somebody, by localpart. */
type Check = (user: string) => void;

/** @param above localparts of those who are protected */
function checkOf(above: ReadonlySet<string>): Check {
  return (user) => {
    if (!above.has(prepareLocal(user) ?? user)) return;
    throw new CommandError('forbidden', `${user} administers other domains, too: this is for administrators of those`);
  };
}

/** Accounts of which those are only looked at. */
export function protectAccounts(accounts: AdminAccounts, above: ReadonlySet<string>): AdminAccounts {
  if (above.size === 0) return accounts;
  const check = checkOf(above);
  const guarded =
    <A extends readonly unknown[], R>(work: (user: string, ...others: A) => Promise<R>) =>
    async (user: string, ...others: A): Promise<R> => {
      check(user);
      return work.call(accounts, user, ...others);
    };
  return {
    exists: (user) => accounts.exists(user),
    facts: (user) => accounts.facts(user),
    list: (after, limit) => accounts.list(after, limit),
    clientsOf: (user) => accounts.clientsOf(user),
    create: guarded(accounts.create),
    setRole: guarded(accounts.setRole),
    setPassword: guarded(accounts.setPassword),
    remove: guarded(accounts.remove),
    disable: guarded(accounts.disable),
    enable: guarded(accounts.enable),
    revokeClient: guarded(accounts.revokeClient),
  };
}

/** Invitations of which those for them, their names and their passwords, are neither made nor shown. */
export function protectInvitations(invitations: AdminInvitations, above: ReadonlySet<string>): AdminInvitations {
  if (above.size === 0) return invitations;
  const check = checkOf(above);
  const isShown = ({ user }: Invitation): boolean => user === undefined || !above.has(user);
  const show = async (token: string): Promise<Invitation | undefined> => {
    const found = await invitations.show(token);
    return found !== undefined && isShown(found) ? found : undefined;
  };
  return {
    async create(wanted) {
      if (wanted.user !== undefined) check(wanted.user);
      return invitations.create(wanted);
    },
    list: async () => (await invitations.list()).filter(isShown),
    show,
    revoke: async (token) => (await show(token)) !== undefined && invitations.revoke(token),
  };
}
