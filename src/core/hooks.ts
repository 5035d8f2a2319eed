// Hooks: typed values to which modules attach handlers. Three kinds: a gate may stop, a collect adds, a notify is told.
import { isPromise, type MaybePromise } from '../base/maybe.ts';
import type { StanzaError } from '../xmpp/errors.ts';

/** Ends a gate: somebody took care of the event, or refuses it. */
export type Verdict = 'handled' | StanzaError;

/** Whether somebody has taken what was asked for. @throws the StanzaError by which it was refused */
export function isOver(verdict: Verdict | undefined): boolean {
  if (verdict === undefined) return false;
  if (verdict === 'handled') return true;
  throw verdict;
}

export interface Gate<E, P extends string = string> {
  readonly kind: 'gate';
  readonly name: string;
  readonly phases: readonly P[];
  readonly __event?: (event: E) => void;
}
export interface Collect<E> {
  readonly kind: 'collect';
  readonly name: string;
  readonly __event?: (event: E) => void;
}
export interface Notify<E> {
  readonly kind: 'notify';
  readonly name: string;
  readonly __event?: (event: E) => void;
}
/** What a table of handlers is keyed by. */
export type AnyHook = Gate<never> | Collect<never> | Notify<never>;

/** Handlers run phase by phase; the first verdict ends the run. */
export function gate<E>(): <const P extends string>(name: string, phases: readonly P[]) => Gate<E, P> {
  return (name, phases) => ({ kind: 'gate', name, phases });
}

/** Handlers add to the event, one after another. */
export function collect<E>(name: string): Collect<E> {
  return { kind: 'collect', name };
}

/** Handlers are told, and cannot object. */
export function notify<E>(name: string): Notify<E> {
  return { kind: 'notify', name };
}

/** One handler of one hook, as the loader collected it. */
export interface HookHandler {
  readonly hook: AnyHook;
  readonly module: string;
  readonly phase: string | undefined;
  readonly after: readonly string[];
  readonly before: readonly string[];
  readonly fn: (event: never) => MaybePromise<Verdict | undefined | void>;
}

type Handler = (event: unknown) => MaybePromise<Verdict | undefined | void>;
interface Row {
  readonly fns: readonly Handler[];
  readonly modules: readonly string[];
}
const empty: Row = { fns: [], modules: [] };

/** The handlers of one host, sorted once. Replaced as a whole when the modules of the host change. */
export class HookTable {
  private readonly rows = new Map<AnyHook, Row>();
  private readonly failed: (hook: string, module: string, error: unknown) => void;
  private readonly begun: (module: string, work: Promise<unknown>) => void;

  /**
   * @param failed is told when a handler of a collect or notify hook throws; the others run all the same
   * @param begun is told of what a handler of a notify hook goes on with; it never rejects
   * @throws Error when the wishes for order inside a phase contradict one another
   */
  constructor(
    handlers: readonly HookHandler[],
    failed: (hook: string, module: string, error: unknown) => void,
    begun: (module: string, work: Promise<unknown>) => void = () => {},
  ) {
    this.failed = failed;
    this.begun = begun;
    for (const hook of new Set(handlers.map((handler) => handler.hook))) {
      const sorted = sortHandlers(
        hook,
        handlers.filter((handler) => handler.hook === hook),
      );
      this.rows.set(hook, {
        fns: sorted.map((handler) => handler.fn as Handler),
        modules: sorted.map((handler) => handler.module),
      });
    }
  }

  /** Runs a gate. What a handler throws comes out of here: a check that fails must not let anything pass. */
  runGate<E>(hook: Gate<E>, event: E): MaybePromise<Verdict | undefined> {
    const { fns } = this.rows.get(hook as AnyHook) ?? empty;
    for (let i = 0; i < fns.length; i++) {
      const result = fns[i]!(event);
      if (result === undefined) continue;
      if (isPromise(result)) return continueGate(fns, i + 1, event, result);
      return result;
    }
    return undefined;
  }

  /** Runs a collect hook to its end. */
  runCollect<E>(hook: Collect<E>, event: E): MaybePromise<void> {
    const row = this.rows.get(hook as AnyHook);
    if (row !== undefined) return this.collectFrom(hook.name, row, 0, event);
  }

  private collectFrom(name: string, row: Row, from: number, event: unknown): MaybePromise<void> {
    for (let i = from; i < row.fns.length; i++) {
      try {
        const result = row.fns[i]!(event);
        if (isPromise(result)) {
          return result
            .then(undefined, (error) => this.failed(name, row.modules[i]!, error))
            .then(() => this.collectFrom(name, row, i + 1, event));
        }
      } catch (error) {
        this.failed(name, row.modules[i]!, error);
      }
    }
  }

  /** Tells every handler. Nobody waits for a promise that one returns, but the end of its module does. */
  runNotify<E>(hook: Notify<E>, event: E): void {
    const { fns, modules } = this.rows.get(hook as AnyHook) ?? empty;
    for (let i = 0; i < fns.length; i++) {
      const module = modules[i]!;
      try {
        const result = fns[i]!(event);
        if (isPromise(result)) {
          this.begun(
            module,
            result.then(undefined, (error) => this.failed(hook.name, module, error)),
          );
        }
      } catch (error) {
        this.failed(hook.name, module, error);
      }
    }
  }

  /** Whether anybody listens; lets a hot path skip making the event. */
  has(hook: Gate<never> | Collect<never> | Notify<never>): boolean {
    return this.rows.has(hook);
  }
}

async function continueGate(
  fns: readonly Handler[],
  from: number,
  event: unknown,
  first: Promise<Verdict | undefined | void>,
): Promise<Verdict | undefined> {
  let result = await first;
  for (let i = from; result === undefined && i < fns.length; i++) result = await fns[i]!(event);
  return result as Verdict | undefined;
}

/** By phase, if there are any, then by `after` and `before`, else by module name, so that the order never depends on loading. */
function sortHandlers(hook: AnyHook, handlers: readonly HookHandler[]): HookHandler[] {
  const byName = [...handlers].sort((a, b) => (a.module < b.module ? -1 : a.module > b.module ? 1 : 0));
  if (hook.kind !== 'gate') return sortPhase(hook.name, byName);
  return hook.phases.flatMap((phase) =>
    sortPhase(
      hook.name,
      byName.filter((handler) => handler.phase === phase),
    ),
  );
}

function sortPhase(hook: string, handlers: readonly HookHandler[]): HookHandler[] {
  const sorted: HookHandler[] = [];
  let waiting = [...handlers];
  while (waiting.length > 0) {
    const ready = waiting.find((one) => !waiting.some((other) => other !== one && mustPrecede(other, one)));
    if (ready === undefined) {
      throw new Error(`hook ${hook}: ${waiting.map((one) => one.module).join(', ')} each want to run before the other`);
    }
    sorted.push(ready);
    waiting = waiting.filter((one) => one !== ready);
  }
  return sorted;
}

function mustPrecede(first: HookHandler, second: HookHandler): boolean {
  return second.after.includes(first.module) || first.before.includes(second.module);
}
