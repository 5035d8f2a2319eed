// What administrative commands may do, over a running server or over the opened store of a stopped one.
import { type Accounts, accountStores, openAccounts } from './auth/accounts.ts';
import { createPasswordHasher } from './auth/credentials.ts';
import { type TokenRow, Tokens, tokenStore } from './auth/tokens.ts';
import { type Clock, systemClock } from './base/clock.ts';
import { type Logger, silent } from './base/log.ts';
import { softwareVersion } from './base/software.ts';
import { examineRedis } from './composition/redis-state.ts';
import { exportAccounts, importDocument, importFile, writeExport } from './composition/transfer.ts';
import { configuredWeb } from './composition/web.ts';
import { moduleSettings } from './config/load.ts';
import { roleTable } from './config/roles.ts';
import type { Config } from './config/server.ts';
import { domainsOf, serviceHosts } from './config/services.ts';
import {
  type AdminArchives,
  type AdminContext,
  type AdminTokens,
  type ClusterStatus,
  CommandError,
  type OfflineContext,
  type ReloadReport,
  type RestartReport,
  type ServerStatus,
  type TokenGrant,
} from './core/commands.ts';
import type { LogLevel } from './core/log.ts';
import { peopleOf } from './modules/administration/people.ts';
import { announcements } from './modules/announcements/index.ts';
import { circles } from './modules/circles/service.ts';
import { openInvitations } from './modules/invitations/administration.ts';
import { invitations } from './modules/invitations/service.ts';
import { type InvitationSettings, settings as invitationSettings } from './modules/invitations/settings.ts';
import { archiveAdministration } from './modules/mam/administration.ts';
import { settings, stores } from './modules/mam/settings.ts';
import { moves } from './modules/moved.ts';
import { roomAdministration } from './modules/muc/administration.ts';
import { stores as roomStores } from './modules/muc/stores.ts';
import { peers } from './modules/peers.ts';
import { nodeAdministration } from './modules/pubsub/administration.ts';
import { stores as nodeStores } from './modules/pubsub/stores.ts';
import { reports } from './modules/reports/index.ts';
import { settings as roomArchiveSettings, stores as roomArchiveStores } from './modules/room-archive/settings.ts';
import { uploads } from './modules/upload/service.ts';
import { workspaces } from './modules/workspace.ts';
import type { Server } from './server.ts';
import { openStorage } from './storage/open.ts';
import type { Driver, MapStore } from './storage/ports.ts';
import type { Opened } from './storage/specs.ts';
import { StreamError } from './xmpp/errors.ts';
import { Jid } from './xmpp/jid.ts';

/** What only the process around the server knows. */
export interface AdminOptions {
  readonly reload: () => Promise<ReloadReport>;
  readonly stop: () => void;
  /** Replaces the nodes of this machine; absent where there is one process. */
  readonly restart?: () => Promise<RestartReport>;
  readonly logLevel: (part: string, level: LogLevel, forMs?: number) => void;
  /** The latest lines of level error, the latest first. */
  readonly errors: () => ServerStatus['errors'];
}

const notHere = (): never => {
  throw new CommandError('refused', 'whoever started the server looks after its process');
};
/** Of a server in a process that administrators have no part in. */
export const untouchable: AdminOptions = {
  reload: async () => notHere(),
  stop: notHere,
  logLevel: notHere,
  errors: () => [],
};

/** The administration of a running server. */
export function adminContext(server: Server, options: AdminOptions): AdminContext {
  const { administration } = server;
  let tokens: Promise<AdminTokens> | undefined;
  administration.setLogLevel = ({ part, level, forMs }) => options.logLevel(part, level, forMs);
  return {
    get hosts() {
      return Object.keys(server.config.hosts);
    },
    get rooms() {
      return domainsOf('rooms', server.config.hosts);
    },
    get pubsub() {
      return domainsOf('pubsub', server.config.hosts);
    },
    accounts(domain) {
      const host = server.hosts.get(domain);
      return host?.kind === 'users' ? host.accounts : undefined;
    },
    parentOf: (domain) =>
      server.config.hosts[domain] === undefined ? serviceHosts(server.config.hosts).get(domain)?.parent : domain,
    tokens() {
      tokens ??= openTokens(server.driver, server.clock);
      // what could not be opened may be opened later
      tokens.catch(() => {
        tokens = undefined;
      });
      return tokens;
    },
    rolesOf: (domain) => server.hosts.get(domain)?.roles.table,
    adminsOf: (domain) => server.config.hosts[domain]?.admins ?? [],
    archives: (domain) => openArchives(server.driver, server.config, domain),
    roomsOf(domain) {
      const host = server.hosts.get(domain);
      return host?.kind === 'rooms' ? roomAdministration(host, server.router) : undefined;
    },
    async nodesOf(domain) {
      const host = server.hosts.get(domain);
      if (!host?.instances.some(({ name }) => name === 'pubsub')) return undefined;
      const known = { nodes: nodeStores.nodes, items: nodeStores.items };
      const opened = (await server.driver.open(domain, 'pubsub', known)) as Opened<typeof known>;
      return nodeAdministration(host, server.router, opened);
    },
    circlesOf: (domain) => server.hosts.get(domain)?.find(circles),
    workspaceOf: (domain) => server.hosts.get(domain)?.find(workspaces),
    movesOf: (domain) => server.hosts.get(domain)?.find(moves),
    uploadsOf: (domain) => {
      for (const below of server.hosts.get(domain)?.below ?? [])
        if (below.kind === 'upload') return below.find(uploads);
      return undefined;
    },
    transfer: () => ({
      exportTo: (file, wanted) => writeExport(file, exportAccounts(server.hosts.values(), wanted)),
      importFrom: (path, isDry) => importFile(server.hosts, path, isDry),
      document: (wanted) => exportAccounts(server.hosts.values(), wanted),
      importDocument: (document, isDry) => importDocument(server.hosts, document, isDry),
    }),
    invitationsOf: (domain) => server.hosts.get(domain)?.find(invitations),
    announcementsOf: (domain) => server.hosts.get(domain)?.find(announcements),
    peersOf: (domain) => server.config.hosts[domain] && server.hosts.get(domain)?.find(peers),
    reportsOf: (domain) => server.hosts.get(domain)?.find(reports),
    peopleOf: (domain) => peopleOf(server.hosts.get(domain)),
    sessions: () => administration.sessions(),
    unknown: () => administration.unknown(),
    kick: (text, reason) => kick(server, text, reason),
    servers: () => administration.servers(),
    closeServer: (domain) => administration.closeServer(domain),
    reachServer: async (domain, host) => {
      const report = await server.federation.probe(domain, host);
      if (report === undefined) {
        const isOn = server.hosts.get(host)?.settings.s2s.enabled === true;
        const why = isOn ? `does not talk to ${domain} (s2s.policy)` : 'talks to no other server (s2s.enabled)';
        throw new CommandError('refused', `by its settings ${host} ${why}`);
      }
      return {
        domain,
        host,
        reached: report.isReached,
        steps: report.steps.map(({ isOk, ...step }) => ({ ...step, ok: isOk })),
      };
    },
    reload: options.reload,
    stop: options.stop,
    status: () => status(server, options.errors()),
    cluster: () => clusterStatus(server),
    async drain(node, isOn) {
      const report = await administration.drain(node, isOn);
      if (report === undefined)
        throw new CommandError('not-found', `there is no node ${node}; "cluster status" lists them`);
      return report;
    },
    restart() {
      if (options.restart !== undefined) return options.restart();
      throw new CommandError(
        'refused',
        'there is one process: it cannot be replaced without a break ("cluster.processes")',
      );
    },
    async logLevel(part, level, forMs) {
      await administration.logLevel({ part, level, ...(forMs === undefined ? {} : { forMs }) });
    },
  };
}

/** What is stored of a stopped server: its store is opened for as long as the command runs. */
export async function openOffline(config: Config, log: Logger = silent): Promise<OfflineContext> {
  if (config.database === 'memory') {
    throw new CommandError('not-running', 'the server is not running, and its database is kept in memory only');
  }
  const none = { publish() {}, subscribe: () => () => {}, onGap: () => () => {} };
  const driver = await openStorage({
    database: config.database,
    data: config.data,
    log,
    clock: systemClock,
    invalidation: none,
  });
  const hasher = createPasswordHasher();
  const hosts = new Map<string, Accounts>();
  try {
    for (const [domain, settings] of Object.entries(config.hosts)) {
      const stores = (await driver.open(domain, 'auth', accountStores)) as never;
      const purge = (owner: string): Promise<void> => driver.purge(domain, owner);
      hosts.set(
        domain,
        await openAccounts({ domain, stores, hasher, clock: systemClock, purge, clients: () => settings.clients }),
      );
    }
  } catch (error) {
    await driver.close();
    throw error;
  }
  return {
    hosts: [...hosts.keys()],
    accounts: (domain) => hosts.get(domain),
    rolesOf: (domain) => config.hosts[domain] && roleTable(config.hosts[domain].roles),
    adminsOf: (domain) => config.hosts[domain]?.admins ?? [],
    archives: (domain) => openArchives(driver, config, domain),
    invitationsOf: (domain) => {
      const chosen = moduleSettings(config, domain, 'invitations', invitationSettings);
      const accounts = hosts.get(domain);
      if (chosen === false || accounts === undefined) return undefined;
      return openInvitations({
        driver,
        domain,
        settings: chosen as InvitationSettings,
        clock: systemClock,
        exists: async (user) => accounts.exists(user),
        page: (path) => configuredWeb(config, domain).url(path),
      });
    },
    tokens: () => openTokens(driver, systemClock),
    close: () => driver.close(),
  };
}

const apiStores = { tokens: tokenStore<TokenGrant>() };

/** The tokens of the REST interface belong to the whole server: to no host. */
async function openTokens(driver: Driver, clock: Clock): Promise<AdminTokens> {
  const { tokens } = (await driver.open('', 'api', apiStores)) as { readonly tokens: MapStore<TokenRow<TokenGrant>> };
  return new Tokens(tokens, clock);
}

/** Nothing for hosts that keep no archives. */
async function openArchives(driver: Driver, config: Config, domain: string): Promise<AdminArchives | undefined> {
  // people who are never here again have none
  if (config.hosts[domain]?.authentication === 'anonymous') return undefined;
  const service = serviceHosts(config.hosts).get(domain);
  if (service !== undefined && service.kind !== 'rooms') return undefined;
  if (service !== undefined) return openRoomArchives(driver, config, domain, service.parent);
  const chosen = moduleSettings(config, domain, 'mam', settings);
  if (chosen === false) return undefined;
  // not the preferences: what is opened anew has another cache than the module's
  const wanted = { messages: stores.messages, retention: stores.retention };
  const opened = (await driver.open(domain, 'mam', wanted)) as Opened<typeof wanted>;
  return archiveAdministration(opened, (chosen as { readonly retention: number }).retention);
}

async function openRoomArchives(
  driver: Driver,
  config: Config,
  domain: string,
  parent: string,
): Promise<AdminArchives | undefined> {
  const chosen = moduleSettings(config, parent, 'room-archive', roomArchiveSettings);
  if (chosen === false) return undefined;
  const opened = (await driver.open(domain, 'room-archive', roomArchiveStores)) as Opened<typeof roomArchiveStores>;
  // no more than that: what is opened anew has another cache than the module's
  const known = { rooms: roomStores.rooms };
  const { rooms } = (await driver.open(domain, 'muc', known)) as Opened<typeof known>;
  return {
    ...archiveAdministration(opened, (chosen as { readonly retention: number }).retention),
    isRoom: async (name) => (await rooms.get(name)) !== undefined,
  };
}

async function kick(server: Server, text: string, reason?: string): Promise<number> {
  const jid = Jid.parse(text);
  if (jid === undefined || jid.local === '')
    throw new CommandError('bad-arguments', `"${text}" is not the JID of a session`);
  const error = new StreamError('policy-violation', reason ?? 'disconnected by an administrator');
  return server.sessions.closings.closeAccount(
    jid.bare,
    error,
    ({ jid: { resource } }) => jid.isBare || resource === jid.resource,
  );
}

async function status(server: Server, errors: ServerStatus['errors']): Promise<ServerStatus> {
  const { config } = server;
  const { sessions, components, nodes } = await server.administration.status();
  const unknown = await server.administration.unknown();
  const database: ServerStatus['database'] = {
    kind: config.database === 'embedded' || config.database === 'memory' ? config.database : 'postgres',
    ...(await server.driver.ping().then(
      () => ({ ok: true }),
      (error: unknown) => ({ ok: false, problem: error instanceof Error ? error.message : String(error) }),
    )),
  };
  return {
    version: softwareVersion(),
    pid: process.pid,
    started: server.started,
    ...(config.source.file === undefined ? {} : { config: config.source.file }),
    data: config.data,
    hosts: Object.keys(config.hosts),
    rooms: domainsOf('rooms', config.hosts),
    pubsub: domainsOf('pubsub', config.hosts),
    listeners: server.listening,
    sessions,
    ...(nodes.length > 1 ? { nodes } : {}),
    ...(unknown.length > 0 ? { unknown } : {}),
    ...(server.isDraining ? { draining: true } : {}),
    components,
    certificates: server.certificates(),
    database,
    errors,
  };
}

async function clusterStatus(server: Server): Promise<ClusterStatus> {
  const { redis } = server.config;
  const [members, state] = await Promise.all([
    server.administration.members(),
    redis === null ? undefined : examineRedis(redis, server.log),
  ]);
  return {
    ...(state === undefined ? {} : { redis: state }),
    nodes: members.map((member) => ({
      name: member.name,
      version: member.version,
      started: member.started,
      sessions: member.sessions,
      inbox: member.inbox,
      lag: member.lag,
      owned: member.owned,
      moved: member.moved,
      rebuilt: member.rebuilt,
      draining: member.isDraining,
      self: member.isSelf,
      ...(member.condition === 'serving' ? {} : { [member.condition]: true }),
      ...(member.differs ? { differs: member.differs } : {}),
    })),
  };
}
