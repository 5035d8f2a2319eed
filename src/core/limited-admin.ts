// What the administrator of one domain may do: all that concerns it and its services, and nothing of the others or of the server.
// Every member of AdminContext is named here, so that none that comes is open by accident.
//
// An account of the domain may be an admin of others, by their settings: who could log in with it would be one, too. So it is not theirs to set
// its password, or to put another account in its place.
import type { MaybePromise } from '../base/maybe.ts';
import { Jid } from '../xmpp/jid.ts';
import { type AdminAccounts, type AdminContext, CommandError } from './commands.ts';
import type { AdminInvitations, Invitation } from './invitations.ts';

/**
 * As the administration of a server, of one of its domains only. What is for the whole server is refused as `forbidden`.
 * @param isOperator it is for who administers the other domains as well
 */
export function limitTo(admin: AdminContext, host: string, isOperator = false): AdminContext {
  const isOurs = (domain: string | undefined): boolean => domain !== undefined && admin.parentOf(domain) === host;
  const ours = <T>(domain: string, work: () => T): T | undefined => (isOurs(domain) ? work() : undefined);
  const isOurJid = (text: string): boolean => isOurs(Jid.parse(text)?.domain);
  const forbidden = (): never => {
    throw new CommandError('forbidden', `this is for administrators of the whole server, not of ${host} alone`);
  };
  /** Whether an account administers other domains, and whoever asks does not. */
  const isAbove = (domain: string, user: string): boolean => {
    const bare = isOperator ? undefined : Jid.parse(`${user}@${domain}`)?.bare;
    return bare !== undefined && admin.hosts.some((other) => other !== host && admin.adminsOf(other).includes(bare));
  };
  /** @throws CommandError `forbidden` for an account that administers other domains */
  const checkAccount = (domain: string, user: string): void => {
    if (!isAbove(domain, user)) return;
    throw new CommandError(
      'forbidden',
      `${user}@${domain} is an admin of other domains, too: this is for administrators of the whole server`,
    );
  };
  return {
    get hosts() {
      return admin.hosts.filter((domain) => domain === host);
    },
    get rooms() {
      return admin.rooms.filter(isOurs);
    },
    get pubsub() {
      return admin.pubsub.filter(isOurs);
    },
    parentOf: (domain) => (isOurs(domain) ? host : undefined),
    tokens: forbidden,
    accounts: (domain) => ours(domain, () => sparing(admin.accounts(domain), (user) => checkAccount(domain, user))),
    rolesOf: (domain) => ours(domain, () => admin.rolesOf(domain)),
    adminsOf: (domain) => ours(domain, () => admin.adminsOf(domain)) ?? [],
    archives: (domain) => ours(domain, () => admin.archives(domain)),
    roomsOf: (domain) => ours(domain, () => admin.roomsOf(domain)),
    nodesOf: (domain) => ours(domain, () => admin.nodesOf(domain)),
    circlesOf: (domain) => ours(domain, () => admin.circlesOf(domain)),
    workspaceOf: (domain) => ours(domain, () => admin.workspaceOf(domain)),
    movesOf: (domain) => ours(domain, () => admin.movesOf(domain)),
    uploadsOf: (domain) => ours(domain, () => admin.uploadsOf(domain)),
    // files have the accounts of all domains
    transfer: forbidden,
    invitationsOf: (domain) =>
      ours(domain, async () =>
        withoutResets(
          await admin.invitationsOf(domain),
          (user) => checkAccount(domain, user),
          ({ user }) => user === undefined || !isAbove(domain, user),
        ),
      ),
    announcementsOf: (domain) => ours(domain, () => admin.announcementsOf(domain)),
    peersOf: (domain) => ours(domain, () => admin.peersOf(domain)),
    reportsOf: (domain) => ours(domain, () => admin.reportsOf(domain)),
    peopleOf: (domain) => ours(domain, () => admin.peopleOf(domain)),
    sessions: () => filtered(admin.sessions(), ({ jid }) => isOurJid(jid)),
    unknown: () => admin.unknown(),
    kick: (jid, reason) => (isOurJid(jid) ? admin.kick(jid, reason) : 0),
    servers: () => filtered(admin.servers(), (stream) => isOurs(stream.host)),
    // the streams of all domains end together
    closeServer: forbidden,
    reachServer: (domain, from) => (isOurs(from) ? admin.reachServer(domain, from) : forbidden()),
    reload: forbidden,
    stop: forbidden,
    status: forbidden,
    cluster: forbidden,
    drain: forbidden,
    restart: forbidden,
    logLevel: forbidden,
  };
}

async function filtered<T>(list: MaybePromise<readonly T[]>, isWanted: (one: T) => boolean): Promise<readonly T[]> {
  return (await list).filter(isWanted);
}

/** Accounts, but for those that nobody may log in with: `check` throws for them. */
function sparing(accounts: AdminAccounts | undefined, check: (user: string) => void): AdminAccounts | undefined {
  return (
    accounts && {
      exists: (user) => accounts.exists(user),
      async create(user, password, role) {
        check(user);
        return accounts.create(user, password, role);
      },
      async setPassword(user, password, by) {
        check(user);
        return accounts.setPassword(user, password, by);
      },
      async remove(user) {
        check(user);
        return accounts.remove(user);
      },
      async disable(user) {
        check(user);
        return accounts.disable(user);
      },
      enable: (user) => accounts.enable(user),
      setRole: (user, role) => accounts.setRole(user, role),
      facts: (user) => accounts.facts(user),
      list: (after, limit) => accounts.list(after, limit),
      clientsOf: (user) => accounts.clientsOf(user),
      revokeClient: (user, client) => accounts.revokeClient(user, client),
    }
  );
}

/** Invitations set passwords, and keep names: those for them are neither made nor found, since a link is all that it takes. */
function withoutResets(
  invitations: AdminInvitations | undefined,
  check: (user: string) => void,
  isShown: (invitation: Invitation) => boolean,
): AdminInvitations | undefined {
  if (invitations === undefined) return undefined;
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
