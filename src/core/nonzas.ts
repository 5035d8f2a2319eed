// Dispatch of nonzas: top-level elements that are not stanzas, on streams with a bound resource.
import type { NonzaHandler, Registration } from './module.ts';

type NonzaRegistration = Extract<Registration, { kind: 'nonza' }> & { readonly module: string };

/** The nonza handlers of one host. */
export class NonzaTable {
  private readonly handlers = new Map<string, NonzaHandler>();

  /** @throws Error when two modules take the same element */
  constructor(registrations: readonly NonzaRegistration[]) {
    const owners = new Map<string, string>();
    for (const { module, ns, name, fn } of registrations) {
      const key = `${name} ${ns}`;
      const other = owners.get(key);
      if (other !== undefined) throw new Error(`${module} and ${other} both take <${name} xmlns='${ns}'/>`);
      owners.set(key, module);
      this.handlers.set(key, fn);
    }
  }

  find(ns: string, name: string): NonzaHandler | undefined {
    return this.handlers.get(`${name} ${ns}`);
  }
}
