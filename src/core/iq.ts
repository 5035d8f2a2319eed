// IQ dispatch: which handler answers a request (RFC 6120 8.2.3, RFC 6121 8.5.2.1.3). Exactly one reply, always.
import type { IqHandler, Registration, Target } from './module.ts';

type IqRegistration = Extract<Registration, { kind: 'iq' }> & { readonly module: string };

/** The IQ handlers of one host, by type, payload and target. */
export class IqTable {
  private readonly handlers = new Map<string, IqHandler>();

  /** @throws Error when two modules answer the same request */
  constructor(registrations: readonly IqRegistration[]) {
    const owners = new Map<string, string>();
    for (const { module, type, targets, ns, name, fn } of registrations) {
      for (const target of targets) {
        const key = keyOf(target, type, ns, name);
        const other = owners.get(key);
        if (other !== undefined) throw new Error(`${module} and ${other} both answer ${key}`);
        owners.set(key, module);
        this.handlers.set(key, fn);
      }
    }
  }

  /** The handler for a payload sent to one of these targets, the first that has one. */
  find(targets: readonly Target[], type: string, ns: string | null, name: string): IqHandler | undefined {
    if (ns === null) return undefined;
    for (const target of targets) {
      const fn = this.handlers.get(keyOf(target, type, ns, name));
      if (fn !== undefined) return fn;
    }
    return undefined;
  }
}

function keyOf(target: Target, type: string, ns: string, name: string): string {
  return `${target} ${type} ${ns} ${name}`;
}
