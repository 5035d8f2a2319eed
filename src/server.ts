// Server: the one composition root. Everything is built here, in order, and stopped in the opposite order. Nothing is global.
import { join } from 'node:path';
import { type AdminOptions, adminContext, untouchable } from './admin.ts';
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
import type { Cluster } from './cluster/cluster.ts';
import { checkDatabase, clockOf, databaseCall, fingerprintOf, openCluster, writeAs } from './composition/cluster.ts';
import { ClusterAdmin } from './composition/cluster-admin.ts';
import { Draining } from './composition/draining.ts';
import { checkModules, componentFederation, Hosts, tlsHosts } from './composition/hosts.ts';
import { Listeners } from './composition/listeners.ts';
import { clientMetrics, isOnRedis, observe, observeRedis, streamManagementMetrics } from './composition/measures.ts';
import { webOf } from './composition/web.ts';
import type { Config, ListenerName } from './config/server.ts';
import type { AdminContext } from './core/commands.ts';
import type { Host } from './core/host.ts';
import type { Modules } from './core/loader.ts';
import { Metrics } from './core/metrics.ts';
import { Owners } from './core/owners/owners.ts';
import { Router } from './core/router.ts';
import { Sessions } from './core/sessions.ts';
import { WebRoutes } from './core/web.ts';
import { BytestreamRelay } from './net/bytestreams.ts';
import type { NameServer } from './net/dns.ts';
import { Http } from './net/http.ts';
import { createTlsContexts, type TlsContexts } from './net/tls.ts';
import { Flusher } from './net/transport.ts';
import { Components } from './s2s/components.ts';
import { Federation } from './s2s/federation.ts';
import { openDialbackSecret } from './s2s/secret.ts';
import { openStorage } from './storage/open.ts';
import type { Driver } from './storage/ports.ts';

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
  /** What this node is called among others. */
  readonly name?: string;
  /** Where the embedded database is, if another process looks after it. */
  readonly database?: string;
  /** Other processes of this machine serve the same ports. */
  readonly sharesPorts?: boolean;
  /** There is nothing else in the process: what Node tells of it is among the metrics. It is watched as long as the process lives. */
  readonly ownsProcess?: boolean;
  /** The text of `/metrics`, where it tells of other nodes too. */
  readonly figures?: () => Promise<string>;
  /** What administrators may do with the process; nothing of it unless given. */
  readonly process?: AdminOptions;
}

/** How long an orderly stop waits for clients to go, in milliseconds; for each of several things. */
const STOP_DEADLINE = 3_000;
const STOP_LEAST = 250;
/** How long all of them may take together, in milliseconds: less than a process has to end, by far. */
const STOP_TIME = 7_000;
/** How long what it owns, and sessions, are taken to other nodes then, in milliseconds. */
const HAND_OVER_DEADLINE = 5_000;
/** Those that cannot be handed over are told to go within this time, in milliseconds: their clients come back elsewhere at once. */
const PARTING = 2_000;
/** How long what it owns is given to come to rest, in milliseconds. */
const LET_GO_DEADLINE = 3_000;

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
  readonly owners: Owners;
  config: Config;
  private readonly parts: ServerParts;
  readonly clock: Clock;
  private readonly cluster: Cluster;
  readonly router: Router;
  private readonly throttle: Throttle;
  readonly sm: StreamManagement;
  private readonly restart: SessionRestart;
  private readonly clients: ClientAcceptor;
  private readonly web: Web;
  private readonly http = new Http();
  private readonly listeners: Listeners;
  private readonly relay: BytestreamRelay;
  private readonly served: Hosts;
  private readonly draining: Draining;
  readonly administration: ClusterAdmin;
  /** What administrators may do. */
  readonly admin: AdminContext;
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
    this.sessions = new Sessions(cluster, this.clock);
    this.router = new Router({
      hosts: this.hosts,
      sessions: this.sessions,
      cluster,
      clock: this.clock,
      log: this.log.child({ part: 'router' }),
      remote: {
        send: (transit) =>
          this.components.has(transit.stanza.to.domain) ? this.components.send(transit) : this.federation.send(transit),
        isComponent: (domain) => this.components.has(domain),
      },
    });
    this.components = new Components({
      config: () => this.config,
      router: this.router,
      cluster,
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
      gate: cluster.gate,
      clock: this.clock,
      log: this.log,
      metrics: this.metrics,
      ...(parts.nameServer === undefined ? {} : { nameServer: parts.nameServer }),
    });
    const perAccount = { limit: config.limits['auth-failures-per-account'] };
    const perAddress = { limit: config.limits['auth-failures-per-address'] };
    this.throttle = createThrottle(this.clock, { perAccount, perAddress }, cluster);
    this.c2s = clientSettings(config);
    this.restart = new SessionRestart({ driver, cluster, log: this.log });
    this.sm = new StreamManagement({
      settings: () => this.c2s.streamManagement,
      hosts: this.hosts,
      sessions: this.sessions,
      router: this.router,
      cluster,
      clock: this.clock,
      log: this.log.child({ part: 'c2s' }),
      metrics: this.metrics.open('sm', streamManagementMetrics, {}),
      claim: (host, user, id, how) => this.restart.claim(host, user, id, how),
      forget: (host, id) => this.restart.forget(host, id),
    });
    const context = this.clientContext();
    this.clients = new ClientAcceptor(context);
    this.web = addWebRoutes({
      http: this.http,
      clients: this.clients,
      context,
      cluster,
      httpsPort: () => this.listeners.get('https')?.port,
    });
    this.relay = new BytestreamRelay(this.clock, () => this.listeners.get('proxy65')?.port);
    this.listeners = new Listeners({
      config: () => this.config,
      clients: this.clients,
      federation: this.federation,
      components: this.components,
      relay: this.relay,
      http: this.http,
      tls,
    });
    this.owners = new Owners({
      cluster,
      clock: this.clock,
      log: this.log.child({ part: 'owners' }),
      metrics: this.metrics,
    });
    this.administration = new ClusterAdmin(this, cluster, this.log, dialbackSecret);
    this.admin = adminContext(this, parts.process ?? untouchable);
    this.served = new Hosts(this.hosts, {
      modules: parts.modules,
      driver,
      router: this.router,
      cluster,
      owners: this.owners,
      clock: this.clock,
      metrics: this.metrics,
      admin: this.admin,
      throttle: this.throttle,
      config: () => this.config,
      sessions: this.sessions,
      log: this.log,
      iterations: parts.iterations,
      removed: (host) => this.restart.drop(host),
      webOf: (host) => webOf(host, this.listeners),
      bytestreams: this.relay,
    });
    this.draining = new Draining({
      cluster,
      listeners: this.listeners,
      clients: this.clients,
      sessions: this.sessions,
      clock: this.clock,
      log: this.log,
      sharesPorts: parts.sharesPorts ?? false,
      owners: this.owners,
      handOver: (deadline, goesOn) => this.handOver(deadline, goesOn),
      welcome: (isOn) => {
        this.sm.isWelcoming = isOn;
      },
      resumable: () => this.sm.resumable(),
    });
    cluster.answer(databaseCall, () => fingerprintOf(dialbackSecret));
    this.addRoutes();
    const routes = new WebRoutes(this.hosts, this.log.child({ part: 'web' }));
    this.http.otherwise((request, response, peer) => routes.take(request, response, peer));
    const { metrics, sessions, sm, clients, web } = this;
    observe({ metrics, domains: () => Object.keys(this.config.hosts), sessions, sm, clients, web });
    if (parts.ownsProcess) metrics.process();
    if (isOnRedis(cluster)) observeRedis(metrics, cluster);
  }

  /**
   * Starts a server: storage, certificates, hosts, then listeners. What was started is stopped when something fails.
   * @throws ConfigError when modules are set wrong; Error with a message for the operator
   */
  static async start(config: Config, parts: ServerParts): Promise<Server> {
    checkModules(config, parts.modules);
    const log = parts.log ?? silent;
    const cluster = parts.cluster ?? (await openCluster(config, parts.name, log, parts.clock ?? systemClock));
    const clock = parts.clock ?? clockOf(cluster);
    let driver: Driver | undefined = parts.driver;
    let server: Server | undefined;
    try {
      driver ??= await openStorage(storageOptions(config, parts, log, clock, cluster));
      if (isOnRedis(cluster)) await writeAs(cluster, driver, log);
      const secret = await openDialbackSecret(driver);
      // before anything can be done to the wrong one; and again when it is known who has come at the same time
      await checkDatabase(cluster, fingerprintOf(secret));
      const tls = await createTlsContexts({
        hosts: tlsHosts(config),
        certificates: config.tls.certificates ?? undefined,
        // nothing is to be left behind by a server whose data is not kept either
        local: config.database === 'memory' ? undefined : join(config.data, 'certs'),
        log: log.child({ part: 'tls' }),
        clock,
      });
      server = new Server(config, { ...parts, clock }, driver, cluster, tls, secret);
      server.federation.start();
      const { added } = await server.served.follow();
      server.router.begin();
      await server.restart.bringBack(added, server.sm);
      const running = server;
      cluster.onNode((_node, isUp) => {
        if (!isUp) void running.takeAfter();
      });
      if (server.sessions.count > 0) log.info({ sessions: server.sessions.count }, 'sessions wait to be resumed');
      await checkDatabase(cluster, fingerprintOf(secret));
      await server.listeners.open();
      return server;
    } catch (error) {
      if (server !== undefined) await server.stop();
      else {
        await cluster.close();
        if (parts.driver === undefined) await driver?.close();
      }
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
    return this.listeners.list();
  }

  /** Certificates in use, by host. */
  certificates(): readonly { readonly host: string; readonly issuer: string; readonly expires: number }[] {
    return [...this.hosts.keys()].flatMap((host) => {
      const certificate = this.tls.certificateFor(host);
      return certificate === undefined ? [] : [{ host, issuer: certificate.issuer, expires: certificate.notAfter }];
    });
  }

  /** Lets nobody new in, and gives its sessions to other nodes; resolves when there are none. */
  drain(): Promise<void> {
    return this.draining.begin();
  }

  /** Undoes {@link drain}. @throws ListenError */
  serveAgain(): Promise<void> {
    return this.draining.undo();
  }

  get isDraining(): boolean {
    return this.draining.isOn;
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
    await this.served.dropOld();
    await this.tls.reload(tlsHosts(config));
    const { added, renewed } = await this.served.follow(old);
    await this.restart.bringBack(added, this.sm);
    this.components.reload();
    for (const [host, before] of renewed) this.components.introduce(host, before);
    await this.listeners.open(['component']);
    this.federation.reload();
    await this.administration.configured();
  }

  /** The hosts that have accounts. */
  private peopled(): Host[] {
    return [...this.hosts.values()].filter(({ kind }) => kind === 'users');
  }

  private clientContext(): C2sContext {
    const { router, sessions, clock } = this;
    return {
      host: (domain) => {
        const host = this.hosts.get(domain);
        return host?.kind === 'users' ? host : undefined;
      },
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
      gate: this.cluster.gate,
      clock,
      log: this.log.child({ part: 'c2s' }),
      metrics: this.metrics.open('c2s', clientMetrics, {}),
    };
  }

  private addRoutes(): void {
    this.http.route('GET', '/healthz', async () => ({ status: 200, body: 'ok\n' }));
    this.http.route('GET', '/readyz', async () => this.readiness());
    this.http.route('GET', '/metrics', async ({ encrypted }) =>
      // figures are for the machine's own network: HTTPS is open to the world
      encrypted
        ? { status: 404, body: 'not here: ask on the http listener\n' }
        : {
            status: 200,
            type: this.metrics.registry.contentType,
            body: await (this.parts.figures?.() ?? this.metrics.text()),
          },
    );
  }

  private async readiness(): Promise<{ readonly status: number; readonly body: string }> {
    if (this.stopping !== undefined) return { status: 503, body: 'stopping\n' };
    if (this.isDraining) return { status: 503, body: 'draining\n' };
    if (!this.listeners.has('c2s') && !this.listeners.has('c2s-tls')) return { status: 503, body: 'no listeners\n' };
    try {
      await this.driver.ping();
      return { status: 200, body: 'ready\n' };
    } catch {
      return { status: 503, body: 'the database does not answer\n' };
    }
  }

  /**
   * Takes the sessions of clients that can resume them to other nodes, by load; their connections end as if the network had gone.
   * When nothing listens for clients any more, lest they come back here. Some may stay: for want of other nodes, or of time.
   */
  private async handOver(deadline: number, goesOn: () => boolean = () => true): Promise<void> {
    try {
      const outcome = await this.sm.handOver(deadline, goesOn);
      if (outcome.moved > 0) this.log.info(outcome, 'sessions were handed over to other nodes');
    } catch (error) {
      this.log.warn({ err: error }, 'sessions could not be handed over to other nodes');
    }
  }

  /** Tells the other nodes that this one is about to stop: they hand nothing over to it. */
  async retire(): Promise<void> {
    this.sm.isWelcoming = false;
    try {
      await this.cluster.drain(true);
    } catch (error) {
      this.log.warn({ err: error }, 'the other nodes are not told that this one stops');
    }
  }

  /** What a node that is no more has left in the store, as the last one or by dying, one of those that live takes. */
  private async takeAfter(): Promise<void> {
    if (this.stopping !== undefined || this.cluster.owner('stored sessions') !== this.cluster.self) return;
    try {
      await this.restart.bringBack(this.peopled(), this.sm);
    } catch (error) {
      this.log.error({ err: error }, 'sessions that a node has left could not be brought back');
    }
  }

  /** Takes what this node has to other nodes, and lets those go who cannot be taken there. */
  private async giveAway(): Promise<void> {
    const owned = this.owners.drain(HAND_OVER_DEADLINE);
    await Promise.all([owned, this.handOver(HAND_OVER_DEADLINE), this.draining.finish(PARTING)]);
  }

  // Listeners first, then people, then what they used
  private async stopAll(): Promise<void> {
    const until = this.clock.now() + STOP_TIME;
    // what takes long leaves little for what follows: in the end there must be time to write down what has to be kept
    const patience = (): number => Math.max(Math.min(STOP_DEADLINE, until - this.clock.now()), STOP_LEAST);
    await this.listeners.close(true);
    await this.retire();
    if (this.cluster.nodes.size > 1) await this.giveAway();
    await this.sm.suspend(patience());
    await this.clients.close(patience());
    await this.components.close(patience());
    await this.federation.close(patience());
    this.web.close();
    this.relay.close();
    await this.owners.stop(LET_GO_DEADLINE);
    await this.served.stopModules();
    await this.sm.settle(patience());
    await this.restart.keep(this.peopled(), this.sm);
    this.sm.stored();
    await this.http.close();
    this.sessions.closings.stop();
    await this.cluster.close();
    await this.tls.close();
    if (this.parts.driver === undefined) await this.driver.close();
  }
}

function storageOptions(
  config: Config,
  parts: ServerParts,
  log: Logger,
  clock: Clock,
  cluster: Cluster,
): Parameters<typeof openStorage>[0] {
  return {
    database: parts.database ?? config.database,
    data: config.data,
    log: log.child({ part: 'storage' }),
    clock,
    invalidation: cluster,
    redis: isOnRedis(cluster) ? cluster.redis : undefined,
  };
}
