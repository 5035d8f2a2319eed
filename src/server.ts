// Server: the one composition root. Everything is built here, in order, and stopped in the opposite order. Nothing is global.
import { join } from 'node:path';
import { accountStores, openAccounts } from './auth/accounts.ts';
import { createPasswordHasher } from './auth/credentials.ts';
import { createThrottle, type Throttle } from './auth/throttle.ts';
import { SharedBudgets } from './base/budget.ts';
import { type Clock, systemClock } from './base/clock.ts';
import { type Logger, silent } from './base/log.ts';
import { ClientAcceptor } from './c2s/acceptor.ts';
import type { C2sContext, C2sSettings } from './c2s/context.ts';
import { clientSettings } from './c2s/settings.ts';
import { StreamManagement } from './c2s/sm.ts';
import { SessionRestart } from './c2s/sm-restart.ts';
import { addWebRoutes, type Web } from './c2s/web.ts';
import type { Cluster, SessionEntry } from './cluster/cluster.ts';
import { createSolo } from './cluster/solo.ts';
import { grantsOn } from './config/components.ts';
import { moduleSettings, validateModules } from './config/load.ts';
import { ConfigError } from './config/problems.ts';
import type { Config, HostSettings, ListenerName } from './config/server.ts';
import { accountCreated, accountRemoving } from './core/events.ts';
import { Host } from './core/host.ts';
import { installModules, type LoaderParts, type Modules, stopModules } from './core/loader.ts';
import { counter, Metrics } from './core/metrics.ts';
import { Router } from './core/router.ts';
import { clientOf, Sessions } from './core/sessions.ts';
import type { NameServer } from './net/dns.ts';
import { Http } from './net/http.ts';
import { type Listener, listenTcp } from './net/listener.ts';
import { createTlsContexts, type TlsContexts, type TlsHost } from './net/tls.ts';
import { Flusher } from './net/transport.ts';
import { Components, parentOf } from './s2s/components.ts';
import { Federation } from './s2s/federation.ts';
import { openDialbackSecret } from './s2s/secret.ts';
import { openStorage } from './storage/open.ts';
import type { Driver } from './storage/ports.ts';
import { StreamError } from './xmpp/errors.ts';
import { Jid } from './xmpp/jid.ts';

/** What a server is built on; all but the modules have a usual implementation. For tests, and for programs with wishes. */
export interface ServerParts {
  readonly modules: Modules;
  readonly log?: Logger;
  readonly clock?: Clock;
  readonly cluster?: Cluster;
  /** A store that somebody else opened, and will close. */
  readonly driver?: Driver;
  /** Rounds of hashing for new passwords. */
  readonly iterations?: number;
  /** Whom to ask for the addresses of other servers, in place of the name servers that are configured. */
  readonly nameServer?: NameServer;
}

/** How long an orderly stop waits for clients to go, in milliseconds. */
const STOP_DEADLINE = 3_000;

const streamManagementMetrics = {
  enabled: counter('Sessions that switched stream management on'),
  resumed: counter('Sessions that were resumed'),
  failed: counter('Attempts to resume a session that failed'),
  hibernated: counter('Sessions that lost their connection and waited to be resumed'),
  expired: counter('Sessions that waited to be resumed for too long'),
  unanswered: counter('Connections given up because the client did not acknowledge what it was sent'),
  overflowed: counter('Sessions ended because too much waited to be acknowledged'),
  displaced: counter('Sessions ended early because those that waited to be resumed took too much memory'),
  returned: counter('Stanzas that were never acknowledged, and went back through the rules of delivery'),
};

const serverMetrics = {
  stanzasIn: counter('Stanzas received from clients'),
  authOk: counter('Successful authentications'),
  authFailed: counter('Failed authentications'),
  streamErrors: counter('Client streams that ended with an error'),
};

export class Server {
  readonly metrics = new Metrics();
  readonly hosts = new Map<string, Host>();
  readonly started: number;
  readonly sessions: Sessions;
  readonly driver: Driver;
  readonly tls: TlsContexts;
  readonly log: Logger;
  readonly federation: Federation;
  readonly components: Components;
  config: Config;
  private readonly parts: ServerParts;
  private readonly clock: Clock;
  private readonly cluster: Cluster;
  private readonly router: Router;
  private readonly hasher = createPasswordHasher();
  private readonly throttle: Throttle;
  readonly sm: StreamManagement;
  private readonly restart: SessionRestart;
  private readonly clients: ClientAcceptor;
  private readonly web: Web;
  private readonly http = new Http();
  private readonly listeners = new Map<ListenerName, Listener>();
  private c2s: C2sSettings;
  private stopping: Promise<void> | undefined;

  private constructor(
    config: Config,
    parts: ServerParts,
    driver: Driver,
    cluster: Cluster,
    tls: TlsContexts,
    dialbackSecret: string,
  ) {
    this.config = config;
    this.parts = parts;
    this.driver = driver;
    this.cluster = cluster;
    this.tls = tls;
    this.log = parts.log ?? silent;
    this.clock = parts.clock ?? systemClock;
    this.started = this.clock.now();
    this.sessions = new Sessions(cluster, () => this.clock.now());
    this.router = new Router({
      hosts: this.hosts,
      sessions: this.sessions,
      cluster,
      clock: this.clock,
      log: this.log.child({ part: 'router' }),
      remote: {
        send: (transit) =>
          this.components.has(transit.stanza.to.domain) ? this.components.send(transit) : this.federation.send(transit),
      },
    });
    this.components = new Components({
      config: () => this.config,
      router: this.router,
      clock: this.clock,
      log: this.log,
      metrics: this.metrics,
      hosts: this.hosts,
    });
    this.federation = new Federation({
      config: () => this.config,
      settingsOf: (domain) =>
        this.hosts.get(domain)?.settings.s2s ??
        (this.components.has(domain) ? componentFederation(domain, this.config) : undefined),
      router: this.router,
      tls,
      secret: dialbackSecret,
      clock: this.clock,
      log: this.log,
      metrics: this.metrics,
      ...(parts.nameServer === undefined ? {} : { nameServer: parts.nameServer }),
    });
    this.throttle = createThrottle(this.clock, {
      perAccount: { limit: config.limits['auth-failures-per-account'] },
      perAddress: { limit: config.limits['auth-failures-per-address'] },
    });
    this.c2s = clientSettings(config);
    this.restart = new SessionRestart({ driver, node: cluster.self, log: this.log });
    this.sm = new StreamManagement({
      settings: () => this.c2s.streamManagement,
      sessions: this.sessions,
      router: this.router,
      node: cluster.self,
      clock: this.clock,
      log: this.log.child({ part: 'c2s' }),
      metrics: this.metrics.open('sm', streamManagementMetrics, {}),
      forget: (host, id) => this.restart.forget(host, id),
    });
    const context = this.clientContext();
    this.clients = new ClientAcceptor(context);
    this.web = addWebRoutes({
      http: this.http,
      clients: this.clients,
      context,
      httpsPort: () => this.listeners.get('https')?.port,
    });
    this.addRoutes();
    this.observe();
  }

  /**
   * Starts a server: storage, certificates, hosts, then listeners. What was started is stopped when something fails.
   * @throws ConfigError when modules are set wrong; Error with a message for the operator
   */
  static async start(config: Config, parts: ServerParts): Promise<Server> {
    checkModules(config, parts.modules);
    const log = parts.log ?? silent;
    const clock = parts.clock ?? systemClock;
    const cluster = parts.cluster ?? createSolo();
    const driver = parts.driver ?? (await openStorage(storageOptions(config, log, clock, cluster)));
    let server: Server | undefined;
    try {
      const tls = await createTlsContexts({
        hosts: tlsHosts(config),
        certificates: config.tls.certificates ?? undefined,
        // nothing is to be left behind by a server whose data is not kept either
        local: config.database === 'memory' ? undefined : join(config.data, 'certs'),
        log: log.child({ part: 'tls' }),
        clock,
      });
      server = new Server(config, parts, driver, cluster, tls, await openDialbackSecret(driver));
      server.federation.start();
      for (const [domain, settings] of Object.entries(config.hosts)) await server.addHost(domain, settings);
      server.tellServices();
      await server.restart.bringBack(server.hosts.values(), server.sm);
      if (server.sessions.count > 0) log.info({ sessions: server.sessions.count }, 'sessions wait to be resumed');
      await server.listen();
      return server;
    } catch (error) {
      if (server !== undefined) await server.stop();
      else if (parts.driver === undefined) await driver.close();
      throw error;
    }
  }

  /** Where a listener listens; undefined when it is switched off. */
  address(name: ListenerName): { readonly address: string; readonly port: number } | undefined {
    const listener = this.listeners.get(name);
    return listener && { address: listener.address, port: listener.port };
  }

  /** Names, addresses and ports of all listeners. */
  get listening(): readonly { readonly name: ListenerName; readonly address: string; readonly port: number }[] {
    return [...this.listeners].flatMap(([name, { addresses, port }]) =>
      addresses.map((address) => ({ name, address, port })),
    );
  }

  /** Certificates in use, by host. */
  certificates(): readonly { readonly host: string; readonly issuer: string; readonly expires: number }[] {
    return [...this.hosts.keys()].flatMap((host) => {
      const certificate = this.tls.certificateFor(host);
      return certificate === undefined ? [] : [{ host, issuer: certificate.issuer, expires: certificate.notAfter }];
    });
  }

  /** Ends everything in order; the second call waits for the first. */
  stop(): Promise<void> {
    this.stopping ??= this.stopAll();
    return this.stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /**
   * Takes another configuration: connections stay, hosts come and go, modules of hosts that changed are installed anew.
   * What needs a restart is not looked at. @throws ConfigError, and nothing has changed; Error when something cannot be set up; hosts before it have changed
   */
  async reload(config: Config): Promise<void> {
    checkModules(config, this.parts.modules);
    const old = this.config;
    this.config = config;
    this.c2s = clientSettings(config);
    for (const domain of this.hosts.keys()) if (config.hosts[domain] === undefined) await this.removeHost(domain);
    await this.tls.reload(tlsHosts(config));
    const renewed = new Map<Host, Host['grants']>();
    for (const [domain, settings] of Object.entries(config.hosts)) {
      const host = this.hosts.get(domain);
      const grants = host?.grants ?? new Map();
      if (host === undefined) await this.addHost(domain, settings);
      else {
        host.settings = settings;
        host.grants = grantsOn(config.components, domain);
        const isSame =
          JSON.stringify(old.hosts[domain]) === JSON.stringify(settings) &&
          JSON.stringify([...grants]) === JSON.stringify([...host.grants]);
        if (isSame) continue;
        await installModules(host, this.loaderParts());
      }
      renewed.set(this.hosts.get(domain)!, grants);
    }
    this.tellServices();
    this.components.reload();
    for (const [host, before] of renewed) this.components.introduce(host, before);
    await this.listenForComponents();
    this.federation.reload();
  }

  private async addHost(domain: string, settings: HostSettings): Promise<void> {
    const stores = (await this.driver.open(domain, 'auth', accountStores)) as never;
    const accounts = await openAccounts({
      domain,
      stores,
      hasher: this.hasher,
      clock: this.clock,
      purge: (owner) => this.driver.purge(domain, owner),
      clients: () => (this.config.hosts[domain] ?? settings).clients,
      ...(this.parts.iterations === undefined ? {} : { iterations: this.parts.iterations }),
    });
    const host = new Host(domain, 'users', settings, accounts, this.log);
    const close = (user: string, error: StreamError, isMeant?: (entry: SessionEntry) => boolean): Promise<unknown> =>
      this.sessions.closeAccount(Jid.of(user, domain).bare, error, isMeant);
    accounts.listen({
      created: (user) => host.notify(accountCreated, { user }),
      removing: async (user) => {
        await close(user, new StreamError('not-authorized', 'this account is being removed'));
        await host.collect(accountRemoving, { user });
      },
      disabled: async (user) =>
        void (await close(user, new StreamError('not-authorized', 'this account was disabled'))),
      passwordChanged: async (user, by) => {
        await close(user, new StreamError('reset', 'the password was changed'), (entry) => entry.sid !== by);
      },
      clientRevoked: async (user, client) => {
        const error = new StreamError('not-authorized', 'this client was logged out');
        await close(user, error, (entry) => clientOf(entry) === client);
      },
    });
    host.grants = grantsOn(this.config.components, domain);
    await installModules(host, this.loaderParts());
    this.hosts.set(domain, host);
  }

  /** Hosts tell of the components below them. */
  private tellServices(): void {
    const components = Object.keys(this.config.components);
    for (const host of this.hosts.values()) {
      host.services = components.filter((domain) => parentOf(domain, this.hosts.keys()) === host.domain);
    }
  }

  private async removeHost(domain: string): Promise<void> {
    const host = this.hosts.get(domain);
    if (host === undefined) return;
    this.hosts.delete(domain);
    const sessions = [...this.sessions.all()].filter((session) => session.host === host);
    for (const session of sessions) session.close(new StreamError('host-gone'));
    // what was never acknowledged is the modules' to keep
    await Promise.allSettled(sessions.map((session) => this.sessions.close(session)));
    this.restart.drop(host);
    await stopModules(host.instances);
  }

  private loaderParts(): LoaderParts {
    const { modules } = this.parts;
    const { driver, router, cluster, clock, metrics } = this;
    return {
      modules,
      driver,
      router,
      cluster,
      clock,
      metrics,
      settingsOf: (domain, name, schema) => moduleSettings(this.config, domain, name, schema),
    };
  }

  private clientContext(): C2sContext {
    const { router, sessions, clock } = this;
    return {
      host: (domain) => this.hosts.get(domain),
      settings: () => this.c2s,
      tls: (domain) => this.tls.accept({ alpn: ['xmpp-client'], ...(domain === undefined ? {} : { domain }) }),
      defaultDomain: Object.keys(this.config.hosts)[0] ?? 'localhost',
      router,
      sessions,
      sm: this.sm,
      throttle: this.config.limits.enabled ? this.throttle : undefined,
      budgets: new SharedBudgets((ms, fn) => void clock.after(ms, fn)),
      unsettled: { count: 0 },
      flusher: new Flusher(),
      clock,
      log: this.log.child({ part: 'c2s' }),
      metrics: this.metrics.open('c2s', serverMetrics, {}),
    };
  }

  private async listen(): Promise<void> {
    await this.listenOn('c2s', (addresses, port) =>
      listenTcp('clients', addresses, port, (socket) => this.clients.accept(socket)),
    );
    await this.listenOn('c2s-tls', (addresses, port) =>
      listenTcp('clients, direct TLS', addresses, port, (socket) => this.clients.accept(socket, true)),
    );
    await this.listenOn('s2s', (addresses, port) =>
      listenTcp('servers', addresses, port, (socket) => this.federation.accept(socket)),
    );
    await this.listenOn('s2s-tls', (addresses, port) =>
      listenTcp('servers, direct TLS', addresses, port, (socket) => this.federation.accept(socket, true)),
    );
    await this.listenForComponents();
    await this.listenOn('http', (addresses, port) => this.http.listen('HTTP', addresses, port));
    await this.listenOn('https', (addresses, port) => this.http.listen('HTTPS', addresses, port, this.tls));
  }

  /** Once there are any: a port that nobody needs is not taken. */
  private async listenForComponents(): Promise<void> {
    if (Object.keys(this.config.components).length === 0 || this.listeners.has('component')) return;
    await this.listenOn('component', (addresses, port) =>
      listenTcp('components', addresses, port, (socket) => this.components.accept(socket)),
    );
  }

  private async listenOn(
    name: ListenerName,
    start: (addresses: readonly string[], port: number) => Promise<Listener>,
  ): Promise<void> {
    const { port, address } = this.config.listen[name];
    if (port !== null) this.listeners.set(name, await start(address, port));
  }

  private addRoutes(): void {
    this.http.route('GET', '/healthz', async () => ({ status: 200, body: 'ok\n' }));
    this.http.route('GET', '/readyz', async () => this.readiness());
    this.http.route('GET', '/metrics', async ({ encrypted }) =>
      // figures are for the machine's own network: HTTPS is open to the world
      encrypted
        ? { status: 404, body: 'not here: ask on the http listener\n' }
        : { status: 200, type: this.metrics.registry.contentType, body: await this.metrics.text() },
    );
  }

  private async readiness(): Promise<{ readonly status: number; readonly body: string }> {
    if (this.stopping !== undefined) return { status: 503, body: 'stopping\n' };
    if (!this.listeners.has('c2s') && !this.listeners.has('c2s-tls')) return { status: 503, body: 'no listeners\n' };
    try {
      await this.driver.ping();
      return { status: 200, body: 'ready\n' };
    } catch {
      return { status: 503, body: 'the database does not answer\n' };
    }
  }

  private observe(): void {
    this.metrics.observe('sessions', 'Bound resources on this node', ['host'], (gauge) => {
      for (const domain of this.hosts.keys()) gauge.set({ host: domain }, 0);
      for (const session of this.sessions.all()) gauge.inc({ host: session.host.domain });
    });
    this.metrics.observe('sm_hibernating', 'Sessions that wait to be resumed', ['host'], (gauge) => {
      for (const domain of this.hosts.keys()) gauge.set({ host: domain }, 0);
      for (const { session } of this.sm.hibernating()) gauge.inc({ host: session.host.domain });
    });
    this.metrics.observe('c2s_connections', 'Open client connections', [], (gauge) => gauge.set(this.clients.count));
    this.metrics.observe('bosh_sessions', 'Open BOSH sessions', [], (gauge) => gauge.set(this.web.boshSessions));
    this.metrics.process();
  }

  // Listeners first, then people, then what they used
  private async stopAll(): Promise<void> {
    for (const listener of this.listeners.values()) await listener.close();
    await this.sm.suspend(STOP_DEADLINE);
    await this.clients.close(STOP_DEADLINE);
    await this.components.close(STOP_DEADLINE);
    await this.federation.close(STOP_DEADLINE);
    this.web.close();
    for (const host of this.hosts.values()) await stopModules(host.instances);
    await this.restart.keep(this.hosts.values(), this.sm);
    await this.http.close();
    await this.cluster.close();
    await this.tls.close();
    if (this.parts.driver === undefined) await this.driver.close();
  }
}

/** @throws ConfigError */
function checkModules(config: Config, modules: Modules): void {
  const schemas = new Map([...modules].map(([name, { config: schema }]) => [name, schema]));
  const problems = validateModules(config, schemas);
  if (problems.length > 0) throw new ConfigError(problems);
}

function tlsHosts(config: Config): TlsHost[] {
  // other servers ask for components by name
  const components = Object.keys(config.components).filter((domain) => componentFederation(domain, config).enabled);
  return [...Object.keys(config.hosts), ...components].map((domain) => ({ domain }));
}

/** A component talks to other servers as the host above it does. */
function componentFederation(domain: string, { hosts, s2s }: Config): HostSettings['s2s'] {
  return hosts[parentOf(domain, Object.keys(hosts)) ?? '']?.s2s ?? s2s;
}

function storageOptions(
  config: Config,
  log: Logger,
  clock: Clock,
  cluster: Cluster,
): Parameters<typeof openStorage>[0] {
  return {
    database: config.database,
    data: config.data,
    log: log.child({ part: 'storage' }),
    clock,
    invalidation: cluster,
  };
}
