// Parley as a library: as many servers in one program as one likes, each with its own listeners and store.
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Clock } from './base/clock.ts';
import type { Logger } from './base/log.ts';
import type { Cluster } from './cluster/cluster.ts';
import { parseConfig } from './config/load.ts';
import { ConfigError, type ConfigProblem } from './config/problems.ts';
import type { Config, ConfigInput, ListenerName } from './config/server.ts';
import { adminCommands } from './core/admin-commands.ts';
import { CommandError, runCommand } from './core/commands.ts';
import { findModules, importModule, type Modules } from './core/loader.ts';
import { createLog } from './core/log.ts';
import type { NameServer } from './net/dns.ts';
import type { StreamView } from './s2s/federation.ts';
import { Server } from './server.ts';
import type { Driver } from './storage/ports.ts';
import { Jid } from './xmpp/jid.ts';

export { AccountError } from './auth/accounts.ts';
export type { Clock } from './base/clock.ts';
export type { Logger } from './base/log.ts';
export type { Lease } from './cluster/cluster.ts';
export { ConfigError } from './config/problems.ts';
export type { ConfigInput, ListenerName } from './config/server.ts';
export * from './core/events.ts';
export { counter, gauge, histogram } from './core/metrics.ts';
export { defineModule, defineService, iqGet, iqSet, nonza, on, provide } from './core/module.ts';
export type { Kind, Owned } from './core/owners/kind.ts';
export { defineSlot } from './core/sessions.ts';
export { defineNote } from './core/transit.ts';
export { WebRefusal, type WebReply, type WebRequest, type WebRoute } from './core/web.ts';
export type { NameServer, SrvRecord } from './net/dns.ts';
export type { StreamView } from './s2s/federation.ts';
export { archive, ephemeral, items, kv, log, map, pairs } from './storage/specs.ts';
export { Element, el } from './xml/element.ts';
export { StanzaError, StreamError } from './xmpp/errors.ts';
export { Jid } from './xmpp/jid.ts';
export { NS } from './xmpp/ns.ts';
export { replaceElement, stanzaOf } from './xmpp/stanza.ts';

/** What a program may put in the place of the usual parts; mostly for tests. */
export interface Ports {
  readonly log?: Logger;
  readonly clock?: Clock;
  readonly cluster?: Cluster;
  /** An open store, in place of the configured database; the program closes it. */
  readonly driver?: Driver;
  /** What {@link loadModules} has loaded, once for many servers. */
  readonly modules?: Modules;
  /** Rounds of hashing for new passwords; the default is right for everything but tests. */
  readonly iterations?: number;
  /** Whom to ask where other servers are, in place of DNS. */
  readonly nameServer?: NameServer;
}

/** Accounts by JID, over all hosts of a server. */
export interface LibraryAccounts {
  /** @throws AccountError; Error for a JID that is not of a host served here */
  create(jid: string, password: string): Promise<void>;
  remove(jid: string): Promise<void>;
  setPassword(jid: string, password: string): Promise<void>;
  exists(jid: string): Promise<boolean>;
}

/** A running server. */
export interface ParleyServer extends AsyncDisposable {
  readonly accounts: LibraryAccounts;
  /**
   * Runs an administrative command, such as `user role`, with its arguments as for `--json`.
   * @throws CommandError for what is refused
   */
  run(command: string, args?: object): Promise<object>;
  /** The streams with other servers that there are now. */
  federation(): readonly StreamView[];
  /** Where a listener listens. @throws Error when it is switched off */
  address(name: ListenerName): { readonly address: string; readonly port: number };
  /** Closes every connection, timer and handle. */
  stop(): Promise<void>;
}

/**
 * Starts a server with settings of the form of parley.yaml; resolves when it listens. It logs only where `log` is given.
 * @throws ConfigError, or an Error with a sentence on what cannot be started
 */
export async function createServer(input: ConfigInput = {}, ports: Ports = {}): Promise<ParleyServer> {
  const config = parseConfig(input);
  const log = ports.log ?? (input.log === undefined ? undefined : createLog({ ...config.log }));
  const server = await Server.start(config, {
    ...ports,
    modules: ports.modules ?? (await loadModules(config)),
    ...(log === undefined ? {} : { log }),
  });
  return {
    accounts: libraryAccounts(server),
    async run(name, args) {
      const command = adminCommands.find((one) => one.name === name);
      if (command === undefined) throw new CommandError('unknown-command', `there is no command "${name}"`);
      return runCommand(command, server.admin, args);
    },
    federation: () => server.federation.streams(),
    address(name) {
      const found = server.address(name);
      if (found === undefined) throw new Error(`the listener "${name}" is switched off`);
      return found;
    },
    stop: () => server.stop(),
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

/**
 * The modules that come with the server, and those that the configuration names.
 * @throws ConfigError with every plugin that cannot be loaded
 */
export async function loadModules(
  config: Pick<Config, 'plugins'> & { readonly source: Pick<Config['source'], 'folder' | 'nearOrigin'> },
): Promise<Modules> {
  const { folder, nearOrigin } = config.source;
  const modules = new Map(await findModules(new URL('./modules/', import.meta.url)));
  const problems: ConfigProblem[] = [];
  for (const [i, plugin] of config.plugins.entries()) {
    const specifier = /^\.{0,2}\//.test(plugin) ? pathToFileURL(resolve(folder, plugin)).href : plugin;
    const name = plugin.replace(/^.*\//, '').replace(/\.[cm]?[jt]s$/, '');
    try {
      modules.set(name, await importModule(specifier));
    } catch (error) {
      const path = ['plugins', i];
      const message = error instanceof Error ? error.message : String(error);
      const why = message.replace(/ imported from \S*core[\\/]loader\.[jt]s$/, '');
      problems.push({ path, message: `${plugin} cannot be loaded: ${why}`, origin: nearOrigin(path) });
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return modules;
}

function libraryAccounts(server: Server): LibraryAccounts {
  const find = (text: string) => {
    const jid = Jid.parse(text);
    const host = jid && server.hosts.get(jid.domain);
    if (jid === undefined || host?.kind !== 'users' || jid.local === '' || !jid.isBare) {
      throw new Error(`"${text}" is not an account of a host served here`);
    }
    return { accounts: host.accounts, local: jid.local };
  };
  return {
    async create(jid, password) {
      const { accounts, local } = find(jid);
      await accounts.create(local, password);
    },
    async remove(jid) {
      const { accounts, local } = find(jid);
      await accounts.remove(local);
    },
    async setPassword(jid, password) {
      const { accounts, local } = find(jid);
      await accounts.setPassword(local, password);
    },
    async exists(jid) {
      const { accounts, local } = find(jid);
      return accounts.exists(local);
    },
  };
}
