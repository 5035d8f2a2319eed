// What announced hashes stand for, once that was verified: in memory what is used, in the database what every node has learnt. Nothing
// unverified comes in here (XEP-0390 6.2.1).
import type { Clock } from '../../base/clock.ts';
import { LruCache } from '../../base/lru.ts';
import { isPromise, type MaybePromise } from '../../base/maybe.ts';
import { StorageUnavailable } from '../../storage/errors.ts';
import type { KvStore } from '../../storage/ports.ts';
import { flatten } from '../../xml/flatten.ts';

/** What somebody can do who has announced a hash. */
export interface Capabilities {
  /** That all share who have announced it. */
  readonly key: string;
  readonly features: ReadonlySet<string>;
  /** The nodes whose events are asked for by `NODE+notify` (XEP-0163 4.2). */
  readonly wants: ReadonlySet<string>;
}

/** As it is stored. */
export interface KnownCapabilities {
  readonly features: readonly string[];
  /** When it was of use, in milliseconds since 1970, to within a week. */
  readonly at: number;
}

interface Held extends Capabilities {
  at: number;
}

const DAY = 24 * 3_600_000;
/** So often it is noted that a hash is still of use; what was of none for this long is forgotten. */
const NOTED_EVERY = 7 * DAY;
const KEPT_FOR = 60 * DAY;
/** In memory, of the hashes that are used. There are a few hundred in a large public server. */
const MOST_HELD = 4096;
/** In the database. */
const MOST_KEPT = 20_000;
const PAGE = 500;

const NOTIFY = '+notify';

/** @param key kept as it is */
export function capabilities(key: string, features: Iterable<string>): Capabilities {
  const all = new Set(features);
  const wants = new Set<string>();
  for (const feature of all) {
    if (feature.length > NOTIFY.length && feature.endsWith(NOTIFY))
      wants.add(flatten(feature.slice(0, -NOTIFY.length)));
  }
  return { key, features: all, wants };
}

export interface KnownParts {
  readonly store: KvStore<KnownCapabilities>;
  readonly clock: Clock;
  readonly background: (work: Promise<unknown>, what: string) => void;
}

export class Known {
  private readonly parts: KnownParts;
  private readonly held = new LruCache<string, Held>(MOST_HELD);
  private readonly loading = new Map<string, Promise<Capabilities | undefined>>();

  constructor(parts: KnownParts) {
    this.parts = parts;
  }

  /** What is in memory. */
  peek(key: string): Capabilities | undefined {
    const held = this.held.get(key);
    if (held !== undefined && held.at + NOTED_EVERY < this.parts.clock.now()) this.keep(held);
    return held;
  }

  /** Undefined where nobody has learnt it yet, or the database is away. */
  find(key: string): MaybePromise<Capabilities | undefined> {
    const held = this.peek(key);
    if (held !== undefined) return held;
    const under = this.loading.get(key);
    if (under !== undefined) return under;
    const loaded = this.load(flatten(key));
    if (isPromise(loaded)) {
      this.loading.set(key, loaded);
      void loaded.finally(() => this.loading.delete(key));
    }
    return loaded;
  }

  /** @returns when the other nodes can find it, too; where the database is away, at once */
  async learn(key: string, features: readonly string[]): Promise<Capabilities> {
    const held: Held = { ...capabilities(flatten(key), features), at: this.parts.clock.now() };
    this.held.set(held.key, held);
    await this.write(held);
    return held;
  }

  /** Forgets in the database what was of no use for long, and what is too much. */
  async sweep(): Promise<void> {
    const { store, clock } = this.parts;
    const kept: [key: string, at: number][] = [];
    let page: readonly string[] = [];
    do {
      page = await store.owners(page.at(-1), PAGE);
      for (const key of page) {
        const { at } = (await store.get(key)) ?? { at: 0 };
        if (at + KEPT_FOR < clock.now()) await store.set(key, undefined);
        else kept.push([key, at]);
      }
    } while (page.length === PAGE);
    kept.sort(([, a], [, b]) => b - a);
    for (const [key] of kept.slice(MOST_KEPT)) await store.set(key, undefined);
  }

  private load(key: string): MaybePromise<Capabilities | undefined> {
    const hold = (known: KnownCapabilities | undefined): Capabilities | undefined => {
      if (known === undefined) return undefined;
      this.held.set(key, { ...capabilities(key, known.features), at: known.at });
      return this.peek(key);
    };
    const away = (error: unknown): undefined => {
      if (!(error instanceof StorageUnavailable)) throw error;
    };
    try {
      const known = this.parts.store.get(key);
      return isPromise(known) ? known.then(hold, away) : hold(known);
    } catch (error) {
      return away(error);
    }
  }

  private keep(held: Held): void {
    held.at = this.parts.clock.now();
    this.parts.background(this.write(held), 'noting that capabilities are of use');
  }

  private async write(held: Held): Promise<void> {
    const { key, features, at } = held;
    try {
      await this.parts.store.set(key, { features: [...features], at });
    } catch (error) {
      if (!(error instanceof StorageUnavailable)) throw error;
      // the next who uses it tries once more
      held.at = 0;
    }
  }
}
