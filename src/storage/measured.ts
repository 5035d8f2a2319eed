// Times what a driver does, for metrics.
import { isPromise } from '../base/maybe.ts';
import type { Driver } from './ports.ts';

/** Told of every operation: `store.method`, how long it took in milliseconds, and whether it went well. */
export type Measure = (operation: string, ms: number, ok: boolean) => void;

/** The same driver, timed. What answers at once is not an operation. */
export function measured(driver: Driver, measure: Measure): Driver {
  const time = <T>(operation: string, work: Promise<T>): Promise<T> => {
    const start = performance.now();
    work.then(
      () => measure(operation, performance.now() - start, true),
      () => measure(operation, performance.now() - start, false),
    );
    return work;
  };
  const wrap = (store: unknown, kind: string): unknown => {
    const timed: Record<string, unknown> = {};
    for (const [name, method] of Object.entries(store as Record<string, (...args: unknown[]) => unknown>)) {
      const operation = `${kind}.${name}`;
      timed[name] = (...args: unknown[]): unknown => {
        const result = method(...args);
        if (isPromise(result)) return time(operation, result);
        const { durable } = (result ?? {}) as { durable?: unknown };
        if (name === 'append' && isPromise(durable)) void time(operation, durable).catch(() => {});
        return result;
      };
    }
    return timed;
  };
  return {
    async open(host, module, specs) {
      const opened = await driver.open(host, module, specs);
      return Object.fromEntries(Object.entries(opened).map(([name, store]) => [name, wrap(store, specs[name]!.kind)]));
    },
    purge: (host, owner) => time('purge', driver.purge(host, owner)),
    identify: (life) => driver.identify(life),
    fence: (life) => time('fence', driver.fence(life)),
    ping: () => driver.ping(),
    close: () => driver.close(),
  };
}
