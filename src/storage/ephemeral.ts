// Values that expire, in the memory of one process: what a cluster of one needs.
import type { Clock } from '../base/clock.ts';
import type { MaybePromise } from '../base/maybe.ts';
import { checkText, stored } from './json.ts';
import type { EphemeralStore } from './ports.ts';

const sweepEvery = 60_000;

interface Expiring {
  readonly value: unknown;
  readonly until: number;
}

/** A store, as drivers keep it. */
export interface Ephemeral extends EphemeralStore<unknown> {
  purge(owner: string): MaybePromise<void>;
  /** Forgets what this process remembers. */
  close(): void;
}
/** Makes the store of a host; `title`: `module.store`. */
export type OpenEphemeral = (host: string, title: string) => Ephemeral;

export function createEphemeral(clock: Clock): Ephemeral {
  const owners = new Map<string, Map<string, Expiring>>();
  let cancel: (() => void) | undefined;

  const remove = (owner: string, key: string): void => {
    const entries = owners.get(owner);
    if (entries?.delete(key) && entries.size === 0) owners.delete(owner);
  };
  const sweep = (): void => {
    cancel = undefined;
    const now = clock.now();
    for (const [owner, entries] of owners) {
      for (const [key, entry] of entries) if (entry.until <= now) remove(owner, key);
    }
    if (owners.size > 0) cancel = clock.after(sweepEvery, sweep);
  };

  return {
    get(owner, key) {
      const entry = owners.get(owner)?.get(key);
      return entry !== undefined && entry.until > clock.now() ? entry.value : undefined;
    },
    set(owner, key, value, ttl) {
      if (value === undefined) return remove(owner, key);
      let entries = owners.get(checkText(owner));
      const entry = { value: stored(value), until: clock.now() + ttl };
      checkText(key);
      if (entries === undefined) {
        entries = new Map();
        owners.set(owner, entries);
      }
      entries.set(key, entry);
      cancel ??= clock.after(sweepEvery, sweep);
    },
    all(owner) {
      const now = clock.now();
      const live = new Map<string, unknown>();
      for (const [key, entry] of owners.get(owner) ?? []) if (entry.until > now) live.set(key, entry.value);
      return live;
    },
    purge(owner) {
      owners.delete(owner);
    },
    close() {
      cancel?.();
      owners.clear();
    },
  };
}
