// What modules store, and what a driver must do for them. Every row belongs to a host and an owner (a localpart, or a room's).
import type { MaybePromise } from '../base/maybe.ts';
import type { Spec } from './specs.ts';

/** One value per owner. */
export interface KvStore<T> {
  get(owner: string): MaybePromise<T | undefined>;
  /** `undefined` removes. */
  set(owner: string, value: T | undefined): Promise<void>;
  /** Reads, changes and writes with nobody in between; returns what is stored afterwards. */
  update(owner: string, change: (old: T | undefined) => T | undefined): Promise<T | undefined>;
  /** Every owner that has a value, in order, one page at a time. */
  owners(after?: string, limit?: number): Promise<readonly string[]>;
}

/** Many values per owner, each a row of its own. */
export interface MapStore<T> {
  get(owner: string, key: string): MaybePromise<T | undefined>;
  set(owner: string, key: string, value: T | undefined): Promise<void>;
  /** As in {@link KvStore.update}. */
  update(owner: string, key: string, change: (old: T | undefined) => T | undefined): Promise<T | undefined>;
  all(owner: string): MaybePromise<ReadonlyMap<string, T>>;
}

export interface LogEntry<T, I> {
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly value: T;
  readonly index: I;
}
export interface LogRange<I> {
  readonly where?: Partial<I>;
  /** Milliseconds since 1970, inclusive. */
  readonly start?: number;
  readonly end?: number;
  readonly ids?: readonly string[];
}
export interface LogQuery<I> extends LogRange<I> {
  readonly after?: string;
  readonly before?: string;
  readonly limit: number;
  readonly backwards?: boolean;
}
export interface LogPage<T, I> {
  /** Always in the order of time, whichever way the page was reached. */
  readonly entries: readonly LogEntry<T, I>[];
  /** Whether nothing lies beyond this page in the direction of travel. */
  readonly complete: boolean;
}

/** An append-only sequence per owner, ordered by ids that are minted here and rise with time. */
export interface LogStore<T, I> {
  append(owner: string, value: T, index: I): { readonly id: string; readonly durable: Promise<void> };
  find(owner: string, query: LogQuery<I>): Promise<LogPage<T, I>>;
  count(owner: string, range: LogRange<I>): Promise<number>;
  remove(owner: string, range: LogRange<I>): Promise<number>;
  /** Removes and returns, in one step, so that two takers never get the same entry; in the order of time. */
  take(owner: string, limit: number): Promise<readonly LogEntry<T, I>[]>;
}

/** Values that expire; shared between nodes where there are several. */
export interface EphemeralStore<T> {
  get(owner: string, key: string): MaybePromise<T | undefined>;
  /** `ttl` in milliseconds. */
  set(owner: string, key: string, value: T | undefined, ttl: number): MaybePromise<void>;
  all(owner: string): MaybePromise<ReadonlyMap<string, T>>;
}

/** A database, as the server sees it. */
export interface Driver {
  /** Creates or migrates the tables of a module's stores, and opens them for one host. */
  open(
    host: string,
    module: string,
    specs: Readonly<Record<string, Spec<unknown>>>,
  ): Promise<Readonly<Record<string, unknown>>>;
  /** Removes every row of an owner on a host, in every table there is. */
  purge(host: string, owner: string): Promise<void>;
  /** Whether the database answers; for `/readyz`. */
  ping(): Promise<void>;
  /** Writes out what waits, and closes. */
  close(): Promise<void>;
}
