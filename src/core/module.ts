// The form of a module: everything a feature declares sits in one object. See docs/writing-a-module.md.
import type { z } from 'zod';
import type { Throttle } from '../auth/throttle.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { MaybePromise } from '../base/maybe.ts';
import type { Cluster } from '../cluster/cluster.ts';
import type { Bytestreams } from '../net/bytestreams.ts';
import type { Opened, Spec } from '../storage/specs.ts';
import type { Element } from '../xml/element.ts';
import type { Jid } from '../xmpp/jid.ts';
import type { Iq } from '../xmpp/stanza.ts';
import type { AdminContext } from './commands.ts';
import type { AnyHook, Collect, Gate, HookHandler, Notify, Verdict } from './hooks.ts';
import type { Host, HostKind } from './host.ts';
import type { Measure, Measures } from './metrics.ts';
import type { Kind, Owned } from './owners/kind.ts';
import type { Portion } from './portion.ts';
import type { Router } from './router.ts';
import type { Session } from './sessions.ts';
import type { Transit } from './transit.ts';
import type { Web, WebRoute } from './web.ts';

/**
 * Whom an IQ request is for: `self` the sender's own account (also without `to`), `account` any account's bare JID
 * (the sender's own too), `nobody` a bare JID without an account, `host` the domain itself; `room` a room's bare JID, on the
 * node that has the room (the module for rooms asks the table).
 */
export type Target = 'self' | 'account' | 'nobody' | 'host' | 'room';

export interface IqRequest {
  readonly iq: Iq;
  readonly payload: Element;
  /** The session that asks, where it is one of ours on this node. */
  readonly session: Session | undefined;
  readonly transit: Transit<Iq>;
  /** Has something done right after the answer is on its way. */
  afterReply(next: () => void): void;
  /** What comes after the request need not wait for its answer, but for what is done until this is called. */
  release(): void;
}
/** Answers with what it returns (nothing: an empty result) or refuses by throwing a StanzaError. */
export type IqHandler = (request: IqRequest) => MaybePromise<Element | undefined | void>;

export interface Service<T> {
  readonly name: string;
  readonly __type?: (value: T) => void;
}
/** Names something that a module offers to others. */
export function defineService<T>(name: string): Service<T> {
  return { name };
}

/** A top-level element of a client's that is no stanza; the session's stream waits while it is handled. */
export interface NonzaEvent {
  readonly session: Session;
  readonly element: Element;
}
export type NonzaHandler = (event: NonzaEvent) => MaybePromise<void>;

/** One line of a module's `handlers`. */
export type Registration =
  | { readonly kind: 'hook'; readonly handler: Omit<HookHandler, 'module'> }
  | {
      readonly kind: 'iq';
      readonly type: 'get' | 'set';
      readonly targets: readonly Target[];
      readonly ns: string;
      readonly name: string;
      readonly fn: IqHandler;
    }
  | { readonly kind: 'nonza'; readonly ns: string; readonly name: string; readonly fn: NonzaHandler }
  | { readonly kind: 'provide'; readonly service: Service<never>; readonly implementation: unknown };

interface Order {
  /** Modules whose handlers, in the same phase, run first. */
  readonly after?: readonly string[];
  readonly before?: readonly string[];
}
interface Place<P extends string> extends Order {
  readonly phase: NoInfer<P>;
}

/** Attaches a handler to a hook of the host. */
export function on<E, P extends string>(
  hook: Gate<E, P>,
  at: Place<P>,
  fn: (event: E) => MaybePromise<Verdict | undefined | void>,
): Registration;
export function on<E>(hook: Collect<E>, fn: (event: E) => MaybePromise<void>): Registration;
export function on<E>(hook: Collect<E>, at: Order, fn: (event: E) => MaybePromise<void>): Registration;
export function on<E>(hook: Notify<E>, fn: (event: E) => MaybePromise<void>): Registration;
export function on(hook: AnyHook, ...rest: readonly unknown[]): Registration {
  const fn = rest.at(-1) as HookHandler['fn'];
  const at = rest.length === 2 ? (rest[0] as Partial<Place<string>>) : undefined;
  return {
    kind: 'hook',
    handler: { hook, phase: at?.phase, after: at?.after ?? [], before: at?.before ?? [], fn },
  };
}

function iqRegistration(
  type: 'get' | 'set',
  target: Target | readonly Target[],
  ns: string,
  name: string,
  fn: IqHandler,
): Registration {
  return { kind: 'iq', type, targets: typeof target === 'string' ? [target] : target, ns, name, fn };
}

/** Answers IQ requests of type get with that payload. */
export function iqGet(target: Target | readonly Target[], ns: string, name: string, fn: IqHandler): Registration {
  return iqRegistration('get', target, ns, name, fn);
}

/** Answers IQ requests of type set with that payload. */
export function iqSet(target: Target | readonly Target[], ns: string, name: string, fn: IqHandler): Registration {
  return iqRegistration('set', target, ns, name, fn);
}

/** Takes elements that are no stanzas from clients with a bound resource. */
export function nonza(ns: string, name: string, fn: NonzaHandler): Registration {
  return { kind: 'nonza', ns, name, fn };
}

/** Offers an implementation of a service to the other modules of the host; list the service in `provides` too. */
export function provide<T>(service: Service<T>, implementation: NoInfer<T>): Registration {
  return { kind: 'provide', service: service as Service<never>, implementation };
}

/** Something for people to read; `error` where a command was carried out and failed (XEP-0050 3.5). */
export interface CommandNote {
  readonly type: 'info' | 'warn' | 'error';
  readonly text: string;
}
/** What a command has done (XEP-0050). */
export interface CommandResult {
  /** For people to read; of severity `info` where it is only a text. */
  readonly note?: string | readonly CommandNote[];
  /** Values, as a form of type `result`. */
  readonly form?: Element;
}
/** A further form to be filled in. */
export interface CommandStage {
  /**
   * @param answers what was filled in before, of type `submit`, the first form's first
   * @throws StanzaError what the answers are refused with
   */
  form(request: IqRequest, answers: readonly Element[]): MaybePromise<Element>;
  /** Whether the command can be completed without it, and what comes after it. */
  readonly optional?: boolean;
}
/** Something that people do by filling in forms (XEP-0050); `modules/commands` offers it. */
export interface Command {
  readonly target: 'host' | 'room';
  /** What it is known by; unique for the target. */
  readonly node: string;
  /** What people call it. */
  readonly name: string;
  /** Whether whoever asks may run it; it is not listed to others. */
  mayRun(request: IqRequest): MaybePromise<boolean>;
  /** What is to be filled in; without it, the command runs at once. */
  form?(request: IqRequest): MaybePromise<Element>;
  /** What is to be filled in after the first form. */
  readonly further?: readonly CommandStage[];
  /**
   * @param submitted what was filled in last, of type `submit`; undefined where there is no form
   * @param answers all that was filled in, the first form's first
   * @throws StanzaError what it is refused with
   */
  run(
    request: IqRequest,
    submitted: Element | undefined,
    answers: readonly Element[],
  ): MaybePromise<CommandResult | void>;
}

export interface Identity {
  readonly category: string;
  readonly type: string;
  readonly name?: string;
}
export interface Item {
  readonly jid: Jid;
  readonly node?: string;
  readonly name?: string;
}

export interface ModuleOwners {
  /** Declares a kind of things, in `setup`; its name is the module's own. */
  declare<T, Q, A>(name: string, kind: Kind<T, Q, A>): Owned<Q, A>;
}

/** What a module gets when it is installed on a host. */
export interface Setup<C, S, M> {
  readonly host: Host;
  readonly config: C;
  readonly stores: Opened<S>;
  readonly metrics: Measures<M>;
  readonly router: Router;
  readonly cluster: Cluster;
  /** Things that must not be on two nodes at a time. */
  readonly owners: ModuleOwners;
  /** Where the host is on the web; asked for while the server runs, as a free port is known only then. */
  readonly web: Web;
  /** Connections of peers that have something to send each other past the server. */
  readonly bytestreams: Bytestreams;
  readonly clock: Clock;
  readonly log: Logger;
  /** What administrators may do, on the whole server: for modules by which they do it. Nothing of it may be used before `setup` is over. */
  readonly admin: AdminContext;
  /** Slows down those who guess passwords, at whatever door: the same for all of the server. Not asked where `limits.enabled` is off. */
  readonly throttle: Throttle;
  /** A service that the module lists in `needs`. */
  use<T>(service: Service<T>): T;
  /** A service that may be missing, because its module is switched off. */
  find<T>(service: Service<T>): T | undefined;
  /** Runs a job every `interval` milliseconds for as long as the module is installed. */
  every(interval: number, name: string, job: () => MaybePromise<void>): void;
  /** Work that nobody waits for: failures are logged, the end is awaited at shutdown. */
  background(work: Promise<unknown>, what: string): void;
  /** Aborted when the module is to stop: detached work that waits for somebody else's answer ends then. */
  readonly signal: AbortSignal;
}

/** What an installed module does on its host. */
export interface Installed {
  /** disco#info features of the domain, and of every account on it. */
  readonly features?: { readonly server?: readonly string[]; readonly account?: readonly string[] };
  readonly identities?: { readonly server?: readonly Identity[]; readonly account?: readonly Identity[] };
  /** disco#items of the domain or of an account, as somebody asks for them by a `<query/>`. */
  items?(of: Jid, by: Jid, query: Element): MaybePromise<readonly Item[]>;
  /** Extended disco#info forms of the domain (XEP-0128). */
  readonly info?: readonly Element[];
  readonly handlers?: readonly Registration[];
  readonly commands?: readonly Command[];
  /** What is served over HTTP; a host that is named in the request comes before the others. */
  readonly routes?: readonly WebRoute[];
  /** What it keeps for accounts, for export and import (XEP-0227). */
  readonly portion?: Portion;
  stop?(): MaybePromise<void>;
}

export interface ModuleDefinition<C, S, M> {
  /** Specifications with the version that is met, such as `XEP-0199 2.0.1`; the tables in the docs come from here. */
  readonly xeps: readonly string[];
  /** One sentence for the table of modules. */
  readonly summary: string;
  /** The kinds of host it can be installed on; hosts with users unless said otherwise. */
  readonly hosts?: readonly HostKind[];
  readonly provides?: readonly Service<never>[];
  readonly needs?: readonly Service<never>[];
  /** Settings under `modules.NAME`, with defaults for all of them. */
  readonly config?: z.ZodType<C>;
  readonly stores?: S;
  readonly metrics?: M;
  setup(m: Setup<C, S, M>): MaybePromise<Installed>;
}

/** Types a module by inference from what it declares. */
export function defineModule<
  C = Record<never, never>,
  S extends Readonly<Record<string, Spec<unknown>>> = Record<never, never>,
  M extends Readonly<Record<string, Measure<unknown>>> = Record<never, never>,
>(definition: ModuleDefinition<C, S, M>): ModuleDefinition<C, S, M> {
  return definition;
}

/** A module whose types no longer matter. */
// biome-ignore lint/suspicious/noExplicitAny: the loader treats all modules alike, whatever they declare
export type AnyModule = ModuleDefinition<any, any, any>;
