// Loader: finds modules by their file names, and installs those that a host wants, in the order of what they need.
import { setMaxListeners } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Throttle } from '../auth/throttle.ts';
import type { Clock } from '../base/clock.ts';
import type { MaybePromise } from '../base/maybe.ts';
import type { Cluster } from '../cluster/cluster.ts';
import type { Bytestreams } from '../net/bytestreams.ts';
import type { Driver } from '../storage/ports.ts';
import type { AdminContext } from './commands.ts';
import type { Host, Instance } from './host.ts';
import type { Metrics } from './metrics.ts';
import type { AnyModule, Service, Setup } from './module.ts';
import type { Owners } from './owners/owners.ts';
import type { Router } from './router.ts';
import type { Web } from './web.ts';

/** Definitions by name: `ping` for `modules/ping.ts` or `modules/ping/index.ts`. */
export type Modules = ReadonlyMap<string, AnyModule>;

/** Imports every module of a folder. */
export async function findModules(folder: URL): Promise<Modules> {
  const found = new Map<string, AnyModule>();
  for (const entry of readdirSync(fileURLToPath(folder), { withFileTypes: true })) {
    const file = entry.isDirectory() ? `${entry.name}/index${suffix}` : entry.name;
    if (!/\.(ts|js)$/.test(file) || file.endsWith('.d.ts')) continue;
    // a folder without one is no module
    if (entry.isDirectory() && !existsSync(new URL(file, folder))) continue;
    const name = entry.name.replace(/\.(ts|js)$/, '');
    found.set(name, await importModule(new URL(file, folder).href));
  }
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

// compiled code looks for compiled modules
const suffix = import.meta.url.endsWith('.ts') ? '.ts' : '.js';

/** Imports one module by address or package name. @throws Error when it has no module as its default export */
export async function importModule(specifier: string): Promise<AnyModule> {
  const imported = (await import(specifier)) as { readonly default?: AnyModule };
  if (typeof imported.default?.setup !== 'function')
    throw new Error(`${specifier} has no module as its default export`);
  return imported.default;
}

export interface LoaderParts {
  readonly modules: Modules;
  readonly driver: Driver;
  readonly router: Router;
  readonly cluster: Cluster;
  readonly owners: Owners;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly admin: AdminContext;
  readonly throttle: Throttle;
  /** A module's settings on a host of kind `users`, and on those below it, parsed and with defaults. */
  settingsOf(domain: string, name: string, schema: AnyModule['config']): unknown;
  readonly bytestreams: Bytestreams;
  webOf(host: Host): Web;
}

/**
 * Sets up all modules that a host wants, then puts them in the place of those it has, and stops the old ones.
 * @throws Error when a module cannot be set up; the host keeps what it had
 */
export async function installModules(host: Host, parts: LoaderParts): Promise<void> {
  const old = host.instances;
  const services = new Map<string, unknown>();
  const instances: Instance[] = [];
  try {
    for (const [name, definition] of inOrderOfNeed(wanted(host, parts.modules))) {
      instances.push(await install(host, name, definition, services, parts));
    }
    host.replaceModules(instances);
  } catch (error) {
    await stopModules(instances);
    throw error;
  }
  await stopModules(old);
}

/** Stops modules, the last installed first. */
export async function stopModules(instances: readonly Instance[]): Promise<void> {
  for (const instance of [...instances].reverse()) await instance.stop();
}

function wanted(host: Host, modules: Modules): [string, AnyModule][] {
  return [...modules].filter(
    ([name, definition]) =>
      (definition.hosts ?? ['users']).includes(host.kind) && host.settings.modules[name] !== false,
  );
}

async function install(
  host: Host,
  name: string,
  definition: AnyModule,
  services: Map<string, unknown>,
  parts: LoaderParts,
): Promise<Instance> {
  const log = host.log.child({ module: name });
  const jobs = new Jobs(parts.clock, (error, what) => log.error({ err: error, what }, 'background work failed'));
  const withdrawals: (() => Promise<void>)[] = [];
  const setup: Setup<unknown, unknown, unknown> = {
    host,
    config: parts.settingsOf(host.parent?.domain ?? host.domain, name, definition.config),
    stores: definition.stores === undefined ? {} : await parts.driver.open(host.domain, name, definition.stores),
    metrics: parts.metrics.open(name, definition.metrics ?? {}, { host: host.domain }),
    router: parts.router,
    cluster: parts.cluster,
    owners: {
      declare(kind, definition) {
        const declared = parts.owners.declare(host.domain, `${name}.${kind}`, definition);
        withdrawals.push(declared.withdraw);
        return declared;
      },
    },
    web: parts.webOf(host),
    bytestreams: parts.bytestreams,
    clock: parts.clock,
    log,
    admin: parts.admin,
    throttle: parts.throttle,
    use: (service) => {
      if (!services.has(service.name)) throw new Error(`${name} needs "${service.name}", which no module provides`);
      return services.get(service.name) as never;
    },
    find: (service) => services.get(service.name) as never,
    every: (interval, what, job) => jobs.every(interval, what, job),
    background: (work, what) => jobs.background(work, what),
    signal: jobs.signal,
  };
  for (const service of definition.needs ?? []) setup.use(service);
  const installed = await definition.setup(setup);
  for (const registration of installed.handlers ?? []) {
    if (registration.kind === 'provide') services.set(registration.service.name, registration.implementation);
  }
  return {
    name,
    definition,
    installed,
    background: setup.background,
    async stop() {
      await Promise.all(withdrawals.map((withdraw) => withdraw()));
      await jobs.stop();
      await installed.stop?.();
    },
  };
}

/** Providers before those who need them. @throws Error when modules need each other */
function inOrderOfNeed(modules: readonly [string, AnyModule][]): [string, AnyModule][] {
  const sorted: [string, AnyModule][] = [];
  let waiting = [...modules];
  while (waiting.length > 0) {
    const provided = new Set(waiting.flatMap(([, definition]) => (definition.provides ?? []).map(nameOf)));
    const ready = waiting.filter(
      ([, definition]) => !(definition.needs ?? []).some((service) => provided.has(service.name)),
    );
    if (ready.length === 0) throw new Error(`modules need each other: ${waiting.map(([name]) => name).join(', ')}`);
    sorted.push(...ready);
    waiting = waiting.filter((one) => !ready.includes(one));
  }
  return sorted;
}

const nameOf = (service: Service<never>): string => service.name;

/** The timers and the detached work of one module. */
class Jobs {
  private readonly clock: Clock;
  private readonly failed: (error: unknown, what: string) => void;
  private readonly running = new Set<Promise<unknown>>();
  private readonly timers = new Map<string, () => void>();
  private readonly ending = new AbortController();
  private isStopped = false;

  constructor(clock: Clock, failed: (error: unknown, what: string) => void) {
    this.clock = clock;
    this.failed = failed;
    // every question that waits for an answer listens
    setMaxListeners(0, this.ending.signal);
  }

  get signal(): AbortSignal {
    return this.ending.signal;
  }

  every(interval: number, what: string, job: () => MaybePromise<void>): void {
    const run = async (): Promise<void> => {
      await job();
    };
    const tick = (): void => {
      const work = run();
      this.background(work, what);
      // the next turn is counted from the end of this one: a slow job never overtakes itself
      work
        .catch(() => {})
        .then(
          () => {
            if (!this.isStopped) this.timers.set(what, this.clock.after(interval, tick));
          },
          () => {},
        );
    };
    this.timers.set(what, this.clock.after(interval, tick));
  }

  background(work: Promise<unknown>, what: string): void {
    const watched: Promise<unknown> = work
      .catch((error: unknown) => this.failed(error, what))
      .finally(() => this.running.delete(watched));
    this.running.add(watched);
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    this.ending.abort();
    for (const cancel of this.timers.values()) cancel();
    await Promise.all(this.running);
  }
}
