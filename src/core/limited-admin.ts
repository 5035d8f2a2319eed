// What the administrator of one domain may do: all that concerns it and its services, and nothing of the others or of the server.
// Every member of AdminContext is named here, so that none that comes is open by accident.
import type { MaybePromise } from '../base/maybe.ts';
import { Jid } from '../xmpp/jid.ts';
import { type AdminContext, CommandError } from './commands.ts';

/** As the administration of a server, of one of its domains only. What is for the whole server is refused as `forbidden`. */
export function limitTo(admin: AdminContext, host: string): AdminContext {
  const isOurs = (domain: string | undefined): boolean => domain !== undefined && admin.parentOf(domain) === host;
  const ours = <T>(domain: string, work: () => T): T | undefined => (isOurs(domain) ? work() : undefined);
  const isOurJid = (text: string): boolean => isOurs(Jid.parse(text)?.domain);
  const forbidden = (): never => {
    throw new CommandError('forbidden', `this is for administrators of the whole server, not of ${host} alone`);
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
    accounts: (domain) => ours(domain, () => admin.accounts(domain)),
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
    invitationsOf: (domain) => ours(domain, () => admin.invitationsOf(domain)),
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
