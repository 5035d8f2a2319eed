// A read cache for stores declared `cache: true`: answers at once what was read or written lately, keeps what is not there too, and is
// told by the other nodes what they have written. The unit is an owner: its value, or the whole map of its values.
//
// What must not happen is that something old stays. So each owner has a slot with an epoch that every write and every word from
// another node moves on; what was read or written is kept only if the epoch is still the one from the start. Between a write on
// another node and its word of it, what was read before is still answered: milliseconds, or as long as this node is cut off from the
// others. Where word may have been lost (a node died between writing and telling, or was cut off) everything is forgotten.
import type { MaybePromise } from '../base/maybe.ts';
import { freeze, stored } from './json.ts';
import type { Driver, KvStore, MapStore } from './ports.ts';

/** How nodes tell one another; `Cluster` is one. */
export interface Invalidation {
  publish(topic: string, body: unknown): void;
  subscribe(topic: string, fn: (body: unknown) => void): () => void;
  /** Word may have been lost; `isOurs`: this node's, too. */
  onGap(fn: (isOurs: boolean) => void): () => void;
}

export interface CacheOptions {
  /** Values kept at most, per store and host. */
  readonly entries?: number;
  readonly invalidation?: Invalidation | undefined;
}

/** What is published; whatever is left out means all. */
interface Stale {
  readonly host?: string;
  /** `module.store` */
  readonly store?: string;
  readonly owner?: string;
}

/** `{}` published here makes every node forget everything, as when word between nodes may have been lost. */
export const invalidationTopic = 'storage.stale';
const defaultEntries = 20_000;

/** A driver whose stores declared `cache: true` are cached. */
export function cached(driver: Driver, options: CacheOptions = {}): Driver {
  const { entries = defaultEntries, invalidation } = options;
  const caches = new Map<string, Map<string, Cache>>();
  const stops = [
    invalidation?.subscribe(invalidationTopic, (body) => forget((body ?? {}) as Stale)),
    invalidation?.onGap((isOurs) => {
      forget({});
      if (isOurs) invalidation.publish(invalidationTopic, {});
    }),
  ];

  const forget = (what: Stale): void => {
    for (const [host, ofHost] of caches) {
      if (what.host !== undefined && what.host !== host) continue;
      for (const [store, cache] of ofHost) {
        if (what.store === undefined || what.store === store) cache.forget(what.owner);
      }
    }
  };

  return {
    async open(host, module, specs) {
      const opened = await driver.open(host, module, specs);
      const stores: Record<string, unknown> = { ...opened };
      for (const [name, spec] of Object.entries(specs)) {
        if (!spec.cache || (spec.kind !== 'kv' && spec.kind !== 'map')) continue;
        const store = `${module}.${name}`;
        let ofHost = caches.get(host);
        if (ofHost === undefined) {
          ofHost = new Map();
          caches.set(host, ofHost);
        }
        const tell = (owner: string): void => invalidation?.publish(invalidationTopic, { host, store, owner });
        const cache = new Cache(entries, tell);
        // opened anew, as after a reload: perhaps in a new version
        ofHost.set(store, cache);
        stores[name] =
          spec.kind === 'kv'
            ? cachedKv(opened[name] as KvStore<unknown>, cache)
            : cachedMap(opened[name] as MapStore<unknown>, cache);
      }
      return stores;
    },
    async purge(host, owner) {
      forget({ host, owner });
      try {
        await driver.purge(host, owner);
      } finally {
        forget({ host, owner });
        invalidation?.publish(invalidationTopic, { host, owner });
      }
    },
    identify: (life) => driver.identify(life),
    fence: (life) => driver.fence(life),
    ping: () => driver.ping(),
    async close() {
      for (const stop of stops) stop?.();
      await driver.close();
    },
  };
}

interface Slot {
  epoch: number;
  writers: number;
  isKept: boolean;
  value: unknown;
  weight: number;
  loading: { readonly promise: Promise<unknown>; readonly epoch: number } | undefined;
}

/** Least recently used goes first. */
class Cache {
  readonly #slots = new Map<string, Slot>();
  readonly #most: number;
  readonly #tell: (owner: string) => void;
  #weight = 0;

  constructor(most: number, tell: (owner: string) => void) {
    this.#most = most;
    this.#tell = tell;
  }

  read(owner: string, load: () => MaybePromise<unknown>): MaybePromise<unknown> {
    const slot = this.#slots.get(owner);
    if (slot?.isKept) {
      this.#slots.delete(owner);
      this.#slots.set(owner, slot);
      return slot.value;
    }
    return this.#load(owner, slot ?? this.#add(owner), load);
  }

  /** What is kept, if anything. */
  peek(owner: string): { readonly value: unknown } | undefined {
    const slot = this.#slots.get(owner);
    return slot?.isKept ? slot : undefined;
  }

  /** Does a write; `result` says what is stored then, or `undefined` where that is not known. */
  async write<R>(
    owner: string,
    work: () => Promise<R>,
    result: (done: R) => { readonly value: unknown } | undefined,
  ): Promise<R> {
    const slot = this.#slots.get(owner) ?? this.#add(owner);
    const start = this.#stale(slot);
    slot.writers++;
    try {
      const done = await work();
      const now = slot.epoch === start && slot.writers === 1 ? result(done) : undefined;
      this.#stale(slot);
      if (now !== undefined) this.#keep(owner, slot, now.value);
      return done;
    } finally {
      // also when it failed: it may have been written all the same
      slot.writers--;
      if (!slot.isKept) this.#stale(slot);
      this.#tidy(owner, slot);
      this.#tell(owner);
    }
  }

  /** Forgets one owner, or all. */
  forget(owner: string | undefined): void {
    const owners = owner === undefined ? [...this.#slots.keys()] : [owner];
    for (const name of owners) {
      const slot = this.#slots.get(name);
      if (slot === undefined) continue;
      this.#stale(slot);
      this.#tidy(name, slot);
    }
  }

  async #load(owner: string, slot: Slot, load: () => MaybePromise<unknown>): Promise<unknown> {
    // one that began before the last change would bring back what was before it
    if (slot.loading?.epoch === slot.epoch) return slot.loading.promise;
    const epoch = slot.epoch;
    const loading = { promise: (async () => freeze(await load()))(), epoch };
    slot.loading = loading;
    try {
      const value = await loading.promise;
      if (slot.epoch === epoch && slot.writers === 0) this.#keep(owner, slot, value);
      return value;
    } finally {
      if (slot.loading === loading) slot.loading = undefined;
      this.#tidy(owner, slot);
    }
  }

  #add(owner: string): Slot {
    const slot: Slot = { epoch: 0, writers: 0, isKept: false, value: undefined, weight: 0, loading: undefined };
    this.#slots.set(owner, slot);
    return slot;
  }

  #stale(slot: Slot): number {
    this.#weight -= slot.weight;
    slot.isKept = false;
    slot.value = undefined;
    slot.weight = 0;
    return ++slot.epoch;
  }

  #keep(owner: string, slot: Slot, value: unknown): void {
    // pushed out in the meantime: nobody would tell this slot of changes
    if (this.#slots.get(owner) !== slot) return;
    slot.isKept = true;
    slot.value = value;
    slot.weight = value instanceof Map ? 1 + value.size : 1;
    this.#weight += slot.weight;
    if (this.#weight <= this.#most) return;
    for (const [name, oldest] of this.#slots) {
      if (this.#weight <= this.#most) break;
      if (!oldest.isKept) continue;
      this.#stale(oldest);
      this.#tidy(name, oldest);
    }
  }

  /** A slot is there while something is kept in it or under way. */
  #tidy(owner: string, slot: Slot): void {
    if (!slot.isKept && slot.writers === 0 && slot.loading === undefined && this.#slots.get(owner) === slot) {
      this.#slots.delete(owner);
    }
  }
}

function cachedKv(store: KvStore<unknown>, cache: Cache): KvStore<unknown> {
  return {
    get: (owner) => cache.read(owner, () => store.get(owner)),
    set(owner, value) {
      const copy = value === undefined ? undefined : stored(value);
      return cache.write(
        owner,
        () => store.set(owner, copy),
        () => ({ value: copy }),
      );
    },
    update: (owner, change) =>
      cache.write(
        owner,
        () => store.update(owner, change),
        (value) => ({ value: freeze(value) }),
      ),
    owners: (after, limit) => store.owners(after, limit),
  };
}

function cachedMap(store: MapStore<unknown>, cache: Cache): MapStore<unknown> {
  type Values = ReadonlyMap<string, unknown>;
  const all = (owner: string): MaybePromise<Values> =>
    cache.read(owner, () => frozenMap(store.all(owner))) as MaybePromise<Values>;
  /** The map as it is after a write, where the map before is known. Readers may hold the old one: it stays as it is. */
  const changed = (old: { readonly value: unknown } | undefined, written: Values) => {
    if (old === undefined) return undefined;
    const values = new Map(old.value as Values);
    for (const [key, value] of written) {
      if (value === undefined) values.delete(key);
      else values.set(key, value);
    }
    return { value: values };
  };
  return {
    all,
    get(owner, key) {
      const values = all(owner);
      return values instanceof Promise ? values.then((loaded) => loaded.get(key)) : values.get(key);
    },
    async set(owner, key, value) {
      const copy = value === undefined ? undefined : stored(value);
      const old = cache.peek(owner);
      const before = old && { value: old.value };
      await cache.write(
        owner,
        () => store.set(owner, key, copy),
        () => changed(before, new Map([[key, copy]])),
      );
    },
    async setAll(owner, values) {
      const copies = new Map([...values].map(([key, value]) => [key, value === undefined ? undefined : stored(value)]));
      const old = cache.peek(owner);
      const before = old && { value: old.value };
      await cache.write(
        owner,
        () => store.setAll(owner, copies),
        () => changed(before, copies),
      );
    },
    update(owner, key, change) {
      const old = cache.peek(owner);
      const before = old && { value: old.value };
      return cache.write(
        owner,
        () => store.update(owner, key, change),
        (value) => changed(before, new Map([[key, freeze(value)]])),
      );
    },
  };
}

async function frozenMap(values: MaybePromise<ReadonlyMap<string, unknown>>): Promise<ReadonlyMap<string, unknown>> {
  const loaded = await values;
  for (const value of loaded.values()) freeze(value);
  return loaded;
}
