// Host: our serving of one domain, or of one of its services; the unit of isolation. Nothing is shared between hosts but the router.

import type { Accounts } from '../auth/accounts.ts';
import { Roles } from '../auth/roles.ts';
import type { Logger } from '../base/log.ts';
import type { MaybePromise } from '../base/maybe.ts';
import type { Grant } from '../config/components.ts';
import type { Permission } from '../config/roles.ts';
import type { HostSettings } from '../config/server.ts';
import type { ServiceKind } from '../config/services.ts';
import { Jid } from '../xmpp/jid.ts';
import { type Collect, type Gate, HookTable, type Notify, type Verdict } from './hooks.ts';
import { IqTable } from './iq.ts';
import type { AnyModule, Installed, Service } from './module.ts';
import { NonzaTable } from './nonzas.ts';

export type HostKind = 'users' | ServiceKind;

/** A module as it is installed on a host. */
export interface Instance {
  readonly name: string;
  readonly definition: AnyModule;
  readonly installed: Installed;
  /** Work that nobody waits for but its end. */
  background(work: Promise<unknown>, what: string): void;
  /** Stops its timers, waits for its detached work, then calls its own `stop`. */
  stop(): Promise<void>;
}

interface Tables {
  readonly hooks: HookTable;
  readonly iqs: IqTable;
  readonly nonzas: NonzaTable;
  readonly services: ReadonlyMap<string, unknown>;
  readonly instances: readonly Instance[];
}

export interface HostParts {
  readonly domain: string;
  readonly settings: HostSettings;
  /** Those of a host of kind `users`. */
  readonly accounts?: Accounts;
  /** What a host below another one is for. */
  readonly service?: { readonly kind: ServiceKind; readonly parent: Host };
  readonly log: Logger;
}

export class Host {
  readonly domain: string;
  readonly jid: Jid;
  readonly kind: HostKind;
  readonly log: Logger;
  /** The host whose service this one is: whose people it is for, and whose settings hold here too. */
  readonly parent: Host | undefined;
  settings: HostSettings;
  /** The hosts of services below this one. */
  readonly below = new Set<Host>();
  /** Who may do what: for a service, as on the host above. */
  readonly roles: Roles;
  /** The domains of the services below this one, for disco#items. */
  services: readonly string[] = [];
  /** What components may do for the people here, by their domains; modules are installed anew when it changes. */
  grants: ReadonlyMap<string, Grant> = new Map();
  private readonly own: Accounts | undefined;
  private tables: Tables;

  constructor({ domain, settings, accounts, service, log }: HostParts) {
    this.domain = domain;
    this.jid = Jid.of('', domain);
    this.kind = service?.kind ?? 'users';
    this.parent = service?.parent;
    this.settings = settings;
    this.own = accounts;
    this.roles = service?.parent.roles ?? new Roles({ domain, settings: () => this.settings, accounts });
    this.log = log.child({ host: domain });
    this.tables = {
      hooks: new HookTable([], () => {}),
      iqs: new IqTable([]),
      nonzas: new NonzaTable([]),
      services: new Map(),
      instances: [],
    };
  }

  /** The accounts of a host of kind `users`. @throws Error on others: they have none */
  get accounts(): Accounts {
    if (this.own === undefined) throw new Error(`${this.domain} has no accounts`);
    return this.own;
  }

  /**
   * Whether somebody, of whatever domain, may do something here: by role, or because the settings name an admin. At once where the account was
   * looked at lately.
   */
  may(who: Jid, permission: Permission): MaybePromise<boolean> {
    return this.roles.may(who, permission);
  }

  /** The modules that are installed, in the order of their installation. */
  get instances(): readonly Instance[] {
    return this.tables.instances;
  }

  get iqs(): IqTable {
    return this.tables.iqs;
  }

  get nonzas(): NonzaTable {
    return this.tables.nonzas;
  }

  /** What a module here offers to others, for the hosts below this one; undefined where it is switched off. */
  find<T>({ name }: Service<T>): T | undefined {
    return this.tables.services.get(name) as T | undefined;
  }

  /** Runs every handler of a hook on this host. */
  gate<E>(hook: Gate<E>, event: E): MaybePromise<Verdict | undefined> {
    return this.tables.hooks.runGate(hook, event);
  }

  collect<E>(hook: Collect<E>, event: E): MaybePromise<void> {
    return this.tables.hooks.runCollect(hook, event);
  }

  notify<E>(hook: Notify<E>, event: E): void {
    this.tables.hooks.runNotify(hook, event);
  }

  /** Whether anybody on this host listens to a hook. */
  listens(hook: Gate<never> | Collect<never> | Notify<never>): boolean {
    return this.tables.hooks.has(hook);
  }

  /**
   * Puts other modules in the place of those that are installed, in one assignment: a stanza sees the old set or the new one.
   * @throws Error when two modules claim the same IQ or nonza, or their order cannot be met; the old set stays
   */
  replaceModules(instances: readonly Instance[]): void {
    const registrations = instances.flatMap(({ name, installed }) =>
      (installed.handlers ?? []).map((registration) => ({ module: name, registration })),
    );
    const byName = new Map(instances.map((instance) => [instance.name, instance]));
    const hooks = new HookTable(
      registrations.flatMap(({ module, registration }) =>
        registration.kind === 'hook' ? [{ ...registration.handler, module }] : [],
      ),
      (hook, module, error) => this.log.error({ hook, module, err: error }, 'a handler failed'),
      (module, work) => byName.get(module)?.background(work, 'what a handler goes on with'),
    );
    const iqs = new IqTable(
      registrations.flatMap(({ module, registration }) =>
        registration.kind === 'iq' ? [{ ...registration, module }] : [],
      ),
    );
    const nonzas = new NonzaTable(
      registrations.flatMap(({ module, registration }) =>
        registration.kind === 'nonza' ? [{ ...registration, module }] : [],
      ),
    );
    const services = new Map(
      registrations.flatMap(({ registration }) =>
        registration.kind === 'provide' ? [[registration.service.name, registration.implementation] as const] : [],
      ),
    );
    this.tables = { hooks, iqs, nonzas, services, instances };
  }
}
