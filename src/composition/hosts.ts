// The hosts of a server: each with its accounts and modules, and those of services below it; added and removed while it runs.
import { accountStores, openAccounts } from '../auth/accounts.ts';
import { createPasswordHasher } from '../auth/credentials.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { SessionEntry } from '../cluster/cluster.ts';
import { grantsOn } from '../config/components.ts';
import { moduleSettings, validateModules } from '../config/load.ts';
import { ConfigError } from '../config/problems.ts';
import type { Config, HostSettings } from '../config/server.ts';
import { publicServices, type Service, serviceHosts } from '../config/services.ts';
import { clientOf } from '../core/client-slot.ts';
import { accountCreated, accountRemoving, clientRevoked, passwordChanged, roleChanged } from '../core/events.ts';
import { Host } from '../core/host.ts';
import { installModules, type LoaderParts, type Modules, stopModules } from '../core/loader.ts';
import type { Sessions } from '../core/sessions.ts';
import type { TlsHost } from '../net/tls.ts';
import { parentOf } from '../s2s/components.ts';
import { StorageUnavailable } from '../storage/errors.ts';
import { StreamError } from '../xmpp/errors.ts';
import { Jid } from '../xmpp/jid.ts';

export interface HostsParts extends Omit<LoaderParts, 'settingsOf'> {
  /** The configuration as it is now. */
  readonly config: () => Config;
  readonly sessions: Sessions;
  readonly clock: Clock;
  readonly log: Logger;
  /** Rounds of hashing for new passwords; undefined for the usual number. */
  readonly iterations: number | undefined;
  /** A host is served no more, and its sessions are over. */
  readonly removed: (host: Host) => void;
}

/** What has become of hosts with accounts. */
export interface Followed {
  readonly added: readonly Host[];
  /** Those with other modules than before, new ones too, and what components could do there. */
  readonly renewed: ReadonlyMap<Host, Host['grants']>;
}

/** On the other nodes, too, an account has another role. */
const ROLE = 'account.role';
/** Who waits on another node for the name of an account may have it. */
const REMOVED = 'account.removed';
interface AccountWord {
  readonly domain: string;
  readonly user: string;
}

export class Hosts {
  /** By domain. */
  private readonly all: Map<string, Host>;
  private readonly parts: HostsParts;
  private readonly loader: LoaderParts;
  private readonly hasher = createPasswordHasher();

  /** @param all is kept true to what is served */
  constructor(all: Map<string, Host>, parts: HostsParts) {
    this.all = all;
    this.parts = parts;
    this.loader = {
      ...parts,
      settingsOf: (domain, name, schema) => moduleSettings(parts.config(), domain, name, schema),
    };
    parts.cluster.subscribe(REMOVED, (body) => {
      const { domain, user } = body as AccountWord;
      const host = all.get(domain);
      if (host?.kind === 'users') host.accounts.removedElsewhere(user);
    });
    parts.cluster.subscribe(ROLE, (body) => {
      const { domain, user } = body as AccountWord;
      all.get(domain)?.notify(roleChanged, { user });
    });
  }

  /** Serves all that are configured, and as they are configured: those that stay keep their sessions. */
  async follow(old?: Config): Promise<Followed> {
    const config = this.parts.config();
    const added: Host[] = [];
    const renewed = new Map<Host, Host['grants']>();
    for (const [domain, settings] of Object.entries(config.hosts)) {
      const host = this.all.get(domain);
      if (host === undefined) added.push(await this.add(domain, settings));
      else {
        const { grants } = host;
        host.settings = settings;
        host.grants = grantsOn(config.components, domain);
        const is = [settings, ...host.grants];
        if (JSON.stringify([old?.hosts[domain], ...grants]) === JSON.stringify(is)) continue;
        await installModules(host, this.loader);
        renewed.set(host, grants);
      }
    }
    const services = serviceHosts(config.hosts);
    for (const [domain, service] of services) await this.followService(domain, service, old?.hosts[service.parent]);
    // hosts tell of what is below them
    const components = Object.keys(config.components);
    for (const domain of Object.keys(config.hosts)) {
      const host = this.all.get(domain);
      if (host === undefined) continue;
      host.services = [
        ...[...services].flatMap(([service, { parent }]) => (parent === domain ? [service] : [])),
        ...components.filter((component) => parentOf(component, Object.keys(config.hosts)) === domain),
      ];
    }
    for (const host of added) renewed.set(host, new Map());
    return { added, renewed };
  }

  /** Ends those that are not configured any more. */
  async dropOld(): Promise<void> {
    const { hosts } = this.parts.config();
    const services = serviceHosts(hosts);
    const isOld = ({ domain, kind, parent }: Host): boolean => {
      if (parent === undefined) return hosts[domain] === undefined;
      const service = services.get(domain);
      return service?.parent !== parent.domain || service.kind !== kind;
    };
    // services before those whose they are
    for (const host of this.latestFirst()) if (isOld(host)) await this.remove(host);
  }

  async stopModules(): Promise<void> {
    for (const host of this.latestFirst()) await stopModules(host.instances);
  }

  private latestFirst(): Host[] {
    return [...this.all.values()].reverse();
  }

  /** Serves a service of a host, as that one is configured. */
  private async followService(domain: string, service: Service, old: HostSettings | undefined): Promise<void> {
    const parent = this.all.get(service.parent);
    if (parent === undefined) return;
    const { settings } = parent;
    let host = this.all.get(domain);
    // what was at the domain was something else
    if (host !== undefined && (host.parent !== parent || host.kind !== service.kind)) {
      await this.remove(host);
      host = undefined;
    }
    if (host !== undefined) {
      host.settings = settings;
      if (JSON.stringify(old) !== JSON.stringify(settings)) await installModules(host, this.loader);
      return;
    }
    host = new Host({ domain, settings, service: { kind: service.kind, parent }, log: this.parts.log });
    await installModules(host, this.loader);
    this.all.set(domain, host);
    parent.below.add(host);
  }

  private async add(domain: string, settings: HostSettings): Promise<Host> {
    const { parts } = this;
    const stores = (await parts.driver.open(domain, 'auth', accountStores)) as never;
    const accounts = await openAccounts({
      domain,
      stores,
      hasher: this.hasher,
      clock: parts.clock,
      purge: (owner) => parts.driver.purge(domain, owner),
      clients: () => (parts.config().hosts[domain] ?? settings).clients,
      ...(parts.iterations === undefined ? {} : { iterations: parts.iterations }),
    });
    const host = new Host({ domain, settings, accounts, log: parts.log });
    const close = async (
      user: string,
      error: StreamError,
      isMeant?: (entry: SessionEntry) => boolean,
    ): Promise<void> => {
      try {
        await parts.sessions.closings.endAccount(Jid.of(user, domain).bare, error, isMeant);
      } catch (err) {
        if (!(err instanceof StorageUnavailable)) throw err;
        const later = 'its sessions cannot be found just now, and are ended when they can be';
        throw new StorageUnavailable(`${later} (${err.message})`, { cause: err });
      }
    };
    accounts.listen({
      created: (user) => host.notify(accountCreated, { user }),
      removing: async (user) => {
        await close(user, new StreamError('not-authorized', 'this account is being removed'));
        for (const one of [host, ...host.below]) await one.collect(accountRemoving, { user });
      },
      removed: (user) => parts.cluster.publish(REMOVED, { domain, user } satisfies AccountWord),
      roleChanged: (user) => {
        parts.cluster.publish(ROLE, { domain, user } satisfies AccountWord);
        host.notify(roleChanged, { user });
      },
      disabled: (user) => close(user, new StreamError('not-authorized', 'this account was disabled')),
      passwordChanged: (user, by) => {
        host.notify(passwordChanged, { user, by });
        return close(user, new StreamError('reset', 'the password was changed'), (entry) => entry.sid !== by);
      },
      clientRevoked: async (user, client) => {
        const error = new StreamError('not-authorized', 'this client was logged out');
        host.notify(clientRevoked, { user, client });
        await close(user, error, (entry) => clientOf(entry) === client);
      },
    });
    host.grants = grantsOn(parts.config().components, domain);
    await installModules(host, this.loader);
    this.all.set(domain, host);
    return host;
  }

  private async remove(host: Host): Promise<void> {
    this.all.delete(host.domain);
    host.parent?.below.delete(host);
    const { sessions } = this.parts;
    const over = [...sessions.all()].filter((session) => session.host === host);
    // (those that wait for their client end right below, where it is waited for)
    for (const session of over) session.stream?.close(new StreamError('host-gone'));
    // what was never acknowledged is the modules' to keep
    await Promise.allSettled(over.map((session) => sessions.close(session)));
    this.parts.removed(host);
    await stopModules(host.instances);
  }
}

/** @throws ConfigError */
export function checkModules(config: Config, modules: Modules): void {
  const schemas = new Map([...modules].map(([name, { config: schema }]) => [name, schema]));
  const problems = validateModules(config, schemas);
  if (problems.length > 0) throw new ConfigError(problems);
}

/** All domains that a certificate is needed for. */
export function tlsHosts(config: Config): TlsHost[] {
  // other servers ask for services and components by name
  const below = [...publicServices(config.hosts)];
  const hosts = Object.entries(config.hosts).map(([domain, { s2s }]) => ({
    domain,
    services: s2s.enabled ? below.flatMap(([service, { parent }]) => (parent === domain ? [service] : [])) : [],
  }));
  const components = Object.keys(config.components).filter((domain) => componentFederation(domain, config).enabled);
  return [...hosts, ...components.map((domain) => ({ domain }))];
}

/** A component talks to other servers as the host above it does. */
export function componentFederation(domain: string, { hosts, s2s }: Config): HostSettings['s2s'] {
  return hosts[parentOf(domain, Object.keys(hosts)) ?? '']?.s2s ?? s2s;
}
