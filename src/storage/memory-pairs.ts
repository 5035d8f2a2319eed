// Pairs in memory: for each owner a map of maps. Somebody's pairs are found by looking at every thing.
import type { MaybePromise } from '../base/maybe.ts';
import { checkText, stored } from './json.ts';
import type { PairsStore } from './ports.ts';

/** The store, and how the driver empties and migrates it. */
export interface MemoryPairs {
  readonly store: PairsStore<unknown>;
  purge(owner: string): MaybePromise<unknown>;
  close(): void;
  migrate(change: (old: unknown) => unknown): void;
}

/** `check` throws when the driver is closed. */
export function createMemoryPairs(check: () => void): MemoryPairs {
  const owners = new Map<string, Map<string, Map<string, unknown>>>();

  const pairsOf = (owner: string, left: string): ReadonlyMap<string, unknown> | undefined => {
    check();
    checkText(left);
    return owners.get(checkText(owner))?.get(left);
  };
  const put = (owner: string, left: string, right: string, value: unknown): void => {
    const things = owners.get(owner) ?? new Map<string, Map<string, unknown>>();
    const pairs = things.get(left) ?? new Map<string, unknown>();
    if (value === undefined) pairs.delete(right);
    else pairs.set(right, value);
    if (pairs.size === 0) things.delete(left);
    else things.set(left, pairs);
    if (things.size === 0) owners.delete(owner);
    else owners.set(owner, things);
  };
  const setAll: PairsStore<unknown>['setAll'] = async (owner, left, values) => {
    pairsOf(owner, left);
    // (all that can be refused is, before anything is written)
    const kept = [...values].map(
      ([right, value]) => [checkText(right), value === undefined ? undefined : stored(value)] as const,
    );
    for (const [right, value] of kept) put(owner, left, right, value);
  };

  const store: PairsStore<unknown> = {
    get: async (owner, left, right) => pairsOf(owner, left)?.get(checkText(right)),
    set: (owner, left, right, value) => setAll(owner, left, new Map([[right, value]])),
    setAll,
    left: async (owner, left) => new Map(pairsOf(owner, left)),
    async right(owner, right) {
      check();
      checkText(right);
      const found = new Map<string, unknown>();
      for (const [left, pairs] of owners.get(checkText(owner)) ?? []) {
        if (pairs.has(right)) found.set(left, pairs.get(right));
      }
      return found;
    },
    async clear(owner, left) {
      const { size = 0 } = pairsOf(owner, left) ?? {};
      const things = owners.get(owner);
      if (things?.delete(left) && things.size === 0) owners.delete(owner);
      return size;
    },
  };
  return {
    store,
    purge: (owner) => owners.delete(owner),
    close: () => owners.clear(),
    migrate(change) {
      for (const [owner, things] of owners) {
        for (const [left, pairs] of things) {
          for (const [right, value] of pairs) {
            const changed = change(value);
            put(owner, left, right, changed === undefined ? undefined : stored(changed));
          }
        }
      }
    },
  };
}
