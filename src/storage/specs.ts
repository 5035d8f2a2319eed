// How a module declares its stores: values that a driver turns into tables.
import { StorageMismatch } from './errors.ts';
import type {
  ArchiveStore,
  EphemeralStore,
  ItemsStore,
  KvStore,
  LogStore,
  MapStore,
  MessageRef,
  PairsStore,
} from './ports.ts';

/** Version N of a stored value made from version N-1; keyed by N. */
export type Migrations = Readonly<Record<number, (old: unknown) => unknown>>;

export interface StoreOptions {
  /** Keep recently used values in memory (invalidated across the cluster). */
  readonly cache?: boolean;
  /** Version of the stored values' shape; 1 unless said otherwise. */
  readonly version?: number;
  readonly migrate?: Migrations;
}

/** What searches go by, of one archived message. */
export interface Searchable {
  readonly text: string;
  /** RFC 5646, where the message says. */
  readonly language?: string | undefined;
  /** The message that this one corrects: its text is not found any more. */
  readonly replaces?: MessageRef | undefined;
}
/** `undefined` when there is nothing to find it by, as in what is encrypted. Called when somebody searches, not when a message comes. */
export type ReadSearchable = (xml: string) => Searchable | undefined;

/** Declares something of type T that is opened for a module before its `setup`. */
export interface Spec<T> {
  readonly kind: 'kv' | 'map' | 'pairs' | 'log' | 'archive' | 'items' | 'ephemeral';
  readonly version: number;
  readonly migrate: Migrations;
  readonly cache: boolean;
  /** For logs: the names of the indexed columns. */
  readonly index: readonly string[];
  /** For archives: what of a message can be searched. */
  readonly searchable?: ReadSearchable;
  /** Only carries the type. */
  readonly __opens?: T;
}
export type Opened<S> = { readonly [K in keyof S]: S[K] extends Spec<infer T> ? T : never };

function spec<T>(kind: Spec<T>['kind'], options: StoreOptions, index: readonly string[] = []): Spec<T> {
  return {
    kind,
    version: options.version ?? 1,
    migrate: options.migrate ?? {},
    cache: options.cache ?? false,
    index,
  };
}

/** One value per owner. Values are JSON. */
export const kv = <T>(options: StoreOptions = {}): Spec<KvStore<T>> => spec('kv', options);

/** Many keyed values per owner, a row each. Values are JSON. */
export const map = <T>(options: StoreOptions = {}): Spec<MapStore<T>> => spec('map', options);

/** A value for each pair of keys per owner, listed by either; see {@link PairsStore}. Values are JSON. */
export const pairs = <T>(options: Omit<StoreOptions, 'cache'> = {}): Spec<PairsStore<T>> => spec('pairs', options);

/** A time-ordered sequence per owner, with indexed text columns. Values are JSON. */
export const log = <T, I extends Record<string, string>>(
  options: StoreOptions & { readonly index: readonly (keyof I & string)[] },
): Spec<LogStore<T, I>> => spec('log', options, options.index);

/** Messages in the order of time; see {@link ArchiveStore}. Without `searchable` there is nothing that a search would find. */
export const archive = (options: { readonly searchable?: ReadSearchable } = {}): Spec<ArchiveStore> => ({
  ...spec<ArchiveStore>('archive', {}),
  ...options,
});

/** What is published at nodes, in the order of publication; see {@link ItemsStore}. */
export const items = (): Spec<ItemsStore> => spec('items', {});

/** Keyed values per owner that expire. */
export const ephemeral = <T>(): Spec<EphemeralStore<T>> => spec('ephemeral', {});

/** Throws {@link StorageMismatch} when a step between version 1 and the declared one is missing. */
export function checkMigrations(name: string, spec: Spec<unknown>): void {
  for (let version = 2; version <= spec.version; version++) {
    if (spec.migrate[version] === undefined) {
      throw new StorageMismatch(`${name} declares version ${spec.version} but no migration to version ${version}`);
    }
  }
}

/** A value stored as version `from`, as the declared version has it. */
export function migrateValue(spec: Spec<unknown>, from: number, value: unknown): unknown {
  let current = value;
  for (let version = from + 1; version <= spec.version; version++) current = spec.migrate[version]!(current);
  return current;
}
