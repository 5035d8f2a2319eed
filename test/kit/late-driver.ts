// A storage that answers reads later, as databases do: what is at once with a memory becomes a promise.
import type { Driver } from '../../src/storage/ports.ts';

/** The methods of stores that may answer without a promise. */
const reads: ReadonlySet<PropertyKey> = new Set(['get', 'all']);

/** @param wait what each answer waits for */
export function lateDriver(inner: Driver, wait: () => Promise<unknown>): Driver {
  const late = (store: object): object =>
    new Proxy(store, {
      get(target, name) {
        const method = Reflect.get(target, name) as unknown;
        if (typeof method !== 'function') return method;
        if (!reads.has(name)) return method.bind(target) as unknown;
        return async (...args: unknown[]) => {
          await wait();
          return method.apply(target, args) as unknown;
        };
      },
    });
  return {
    open: async (host, module, specs) => {
      const stores = await inner.open(host, module, specs);
      return Object.fromEntries(Object.entries(stores).map(([name, store]) => [name, late(store as object)]));
    },
    purge: (host, owner) => inner.purge(host, owner),
    identify: (life) => inner.identify(life),
    fence: (life) => inner.fence(life),
    ping: () => inner.ping(),
    close: () => inner.close(),
  };
}
