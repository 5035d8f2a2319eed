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
  /** Several of one owner, by key, in one step: all of them or none. */
  setAll(owner: string, values: ReadonlyMap<string, T | undefined>): Promise<void>;
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

/** What later messages call a message by: its `id` or origin-id, which is one only together with who sent it (XEP-0308, XEP-0424). */
export interface MessageRef {
  /** Bare JID, or an occupant's full one: what has to be the same in the message that refers to this one. */
  readonly sender: string;
  readonly id: string;
}

/** A message on its way into an archive. */
export interface NewArchived {
  /** One that `mint` has made, where it had to be known before; of its own, unless said. */
  readonly id?: string | undefined;
  /** Bare JID of the other party; in a room's archive, of whoever spoke. */
  readonly with: string;
  /** Resource of the other party, or the empty text; in a room's archive, the nick, and nothing where nobody has to read it ({@link ArchiveStore.unread}). */
  readonly resource: string;
  /** The message as it is replayed. */
  readonly xml: string;
  readonly ref?: MessageRef | undefined;
  /** When it was received, for what is brought in from elsewhere, in milliseconds since 1970; now, unless said. */
  readonly at?: number | undefined;
}

export interface Archived {
  readonly id: string;
  /** When it was received, in milliseconds since 1970. */
  readonly at: number;
  readonly xml: string;
}

/** Which messages of an archive; all conditions hold together, and text that is no id lies nowhere. */
export interface ArchiveRange {
  /** Bare JID of the other party. */
  readonly with?: string | undefined;
  /** Only together with `with`: exactly this resource of the other party. */
  readonly resource?: string | undefined;
  /** Milliseconds since 1970, inclusive. */
  readonly start?: number | undefined;
  readonly end?: number | undefined;
  /** Exclusive. */
  readonly afterId?: string | undefined;
  readonly beforeId?: string | undefined;
  readonly ids?: readonly string[] | undefined;
}

export interface ArchiveSearch {
  /** Free text: messages that have all of its words, in whatever order, case, accents and (where known) inflection. */
  readonly text: string;
  /** Languages (RFC 5646) that the words may be in. Messages that name no language are taken to be in the first. */
  readonly languages: readonly string[];
}

export interface ArchiveQuery extends ArchiveRange {
  readonly search?: ArchiveSearch | undefined;
  /** Where the page before ended, exclusive. */
  readonly after?: string | undefined;
  readonly before?: string | undefined;
  /** The last entries of what is asked for, instead of the first. */
  readonly backwards?: boolean | undefined;
  readonly limit: number;
}

export interface ArchivePage {
  /** Always in the order of time, whichever way the page was reached. */
  readonly entries: readonly Archived[];
  /** Whether nothing lies beyond this page in the direction of travel. */
  readonly complete: boolean;
}

/**
 * Messages of an account or a room, in the order of ids that are minted here: rising with time, unguessable, never used again.
 * What a process has appended, it finds. Any text may be given for an id; reading waits for the database only so long, and then
 * throws `StorageUnavailable`.
 */
export interface ArchiveStore {
  /**
   * Asked once before a message is put into several archives: what is let in here is not refused later for want of room.
   * @throws StorageUnavailable at once, when much waits for the database already
   */
  begin(): void;
  /** An id for one message, of now. */
  mint(): string;
  /**
   * The id is known at once; `durable` is settled when the message is on disk, or never will be.
   * @throws StorageUnavailable at once, when too much waits for the database already
   * @throws UnstorableValue for text that no database can hold
   */
  append(owner: string, message: NewArchived): { readonly id: string; readonly durable: Promise<void> };
  /** A page; `undefined` when an id that the query names is not in this archive (XEP-0313 4.1.3 and 4.3.2). */
  find(owner: string, query: ArchiveQuery): Promise<ArchivePage | undefined>;
  /** How many, where they can be counted quickly: `undefined` when there are more than `most`. */
  count(owner: string, range: ArchiveRange, most: number): Promise<number | undefined>;
  /** In each of many archives, how many messages with a resource there are, `most` where there are more; all in one question. */
  unread(asked: readonly Unread[], most: number): Promise<readonly number[]>;
  /** The first and the last message's id and time; `undefined` for an empty archive. */
  ends(owner: string): Promise<{ readonly first: ArchiveEnd; readonly last: ArchiveEnd } | undefined>;
  /** The newest message of a conversation that is called so. */
  lookup(owner: string, from: { readonly with: string; readonly ref: MessageRef }): Promise<Archived | undefined>;
  /** Puts a tombstone in the place of a message, under its id and time; false when it is not there. Searches do not find the old text. */
  replace(owner: string, id: string, xml: string): Promise<boolean>;
  /** Removes the first `most` of these, for good; returns how many there were. */
  remove(owner: string, range: ArchiveRange, most: number): Promise<number>;
  /** Everybody who has an archive, in order, one page at a time; perhaps also some who have had one. */
  owners(after?: string, limit?: number): Promise<readonly string[]>;
}
/** What of an archive somebody may not have read yet. */
export interface Unread {
  readonly owner: string;
  /** Exclusive; text that is no id counts as nothing. */
  readonly afterId?: string | undefined;
  /** Milliseconds since 1970, inclusive. */
  readonly start?: number | undefined;
  /** Bare JID of who has said what need not be read. */
  readonly except?: string | undefined;
}
export type ArchiveEnd = Pick<Archived, 'id' | 'at'>;

/**
 * One value for each pair of a thing (left) and somebody who has to do with it (right), a row of its own, listed from either side. Who is
 * affiliated with a node, say: `left(owner, node)` tells everybody of a node, `right(owner, jid)` every node of somebody's.
 */
export interface PairsStore<T> {
  get(owner: string, left: string, right: string): Promise<T | undefined>;
  /** `undefined` removes. */
  set(owner: string, left: string, right: string, value: T | undefined): Promise<void>;
  /** Several of one thing, by right key, in one step: all of them or none. */
  setAll(owner: string, left: string, values: ReadonlyMap<string, T | undefined>): Promise<void>;
  /** All of a thing, by right key. */
  left(owner: string, left: string): Promise<ReadonlyMap<string, T>>;
  /** All of somebody's, by left key. */
  right(owner: string, right: string): Promise<ReadonlyMap<string, T>>;
  /** Removes all of a thing; returns how many there were. */
  clear(owner: string, left: string): Promise<number>;
}

/** An item on its way into a node. */
export interface NewItem {
  readonly id: string;
  /** The payload; the empty text where there is none. */
  readonly xml: string;
  /** Who published it. */
  readonly publisher: string;
  /** When that was, in milliseconds since 1970. */
  readonly at: number;
  /** From when on it is not there any more, in milliseconds since 1970; for good, unless said. */
  readonly until?: number | undefined;
}
export interface Item extends NewItem {
  /** When an item of this id was published first, in milliseconds since 1970. */
  readonly createdAt: number;
}

/** What `newest` is asked about. */
export interface NodeName {
  readonly owner: string;
  readonly node: string;
}

/** A page of a node's items; without a place to start from, the first one. */
export interface ItemsQuery {
  /**
   * By when each was published last (`published`, unless said otherwise), or published first (`created`), oldest first
   * (XEP-0060 12.1, XEP-0413).
   */
  readonly by?: 'published' | 'created' | undefined;
  /** The other way round, in all that follows. */
  readonly newestFirst?: boolean | undefined;
  /** Ids, exclusive: where the page begins, or ends. */
  readonly after?: string | undefined;
  readonly before?: string | undefined;
  /** The last items of what is asked for, instead of the first; as for `before`, always. */
  readonly backwards?: boolean | undefined;
  /** 0 asks how many there are, and for nothing else. */
  readonly limit: number;
}
export interface ItemsPage {
  /** In the order that was asked for, whichever way the page was reached. */
  readonly items: readonly Item[];
  /** Whether nothing lies beyond this page in the direction of travel. */
  readonly complete: boolean;
  /** How many the node has; those that expired some moments ago may be among them. */
  readonly total: number;
}

/** How much somebody keeps. */
export interface ItemsUsage {
  readonly items: number;
  /** Of payloads, in UTF-8. */
  readonly bytes: number;
}

/**
 * The items of nodes (XEP-0060), by id and in the order of publication: an item that is published again becomes the newest. What is
 * written is written in the order in which it was asked for, and on disk when the promise resolves; any number may be under way at a time. What
 * this process has written, it reads. An item that has expired is not found.
 *
 * Writing throws `StorageUnavailable` at once when too much waits for the database already, and `UnstorableValue` for text that no
 * database can hold.
 */
export interface ItemsStore {
  /** Publishes in this order; of what the node has then, the oldest beyond `most` go. Returns the ids of those that were there before and went. */
  put(owner: string, node: string, items: readonly NewItem[], most: number): Promise<readonly string[]>;
  /** Those of these that there are, in the order in which they are asked for. */
  get(owner: string, node: string, ids: readonly string[]): Promise<readonly Item[]>;
  /** A page; `undefined` when the item where it is to begin or end is not in the node (XEP-0059 2.2). */
  page(owner: string, node: string, query: ItemsQuery): Promise<ItemsPage | undefined>;
  /** The newest item of each of many nodes, `undefined` for those without; all in one question. */
  newest(asked: readonly NodeName[]): Promise<readonly (Item | undefined)[]>;
  /** What all nodes of an owner have, or one; told quickly, however much that is. Those that expired some moments ago may be counted. */
  usage(owner: string, node?: string): Promise<ItemsUsage>;
  /** Removes; returns the ids of those that were there. */
  remove(owner: string, node: string, ids: readonly string[]): Promise<readonly string[]>;
  /** Removes all; returns how many there were. */
  clear(owner: string, node: string): Promise<number>;
  /** Keeps only the newest `most`, as when a node's limit is lowered; returns the ids of those that went. */
  trim(owner: string, node: string, most: number): Promise<readonly string[]>;
  /** Lets what the node has expire so many milliseconds after it was published, or never. What is there from now on says for itself. */
  expire(owner: string, node: string, ttl: number | undefined): Promise<void>;
  /** Makes room: removes the first `most` of all that has expired, of whatever owner, perhaps of other hosts too; returns how many there were. */
  sweep(most: number): Promise<number>;
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
  /**
   * From now on this process writes in the name of that life. What it wanted to write in the name of one before, and has not, is
   * refused with StorageUnavailable.
   */
  identify(life: string): Promise<void>;
  /**
   * When it has resolved, nothing that was under way in the name of that life can be written any more: it is there to be read, or
   * will never be. Refused is also what it begins.
   * @throws StorageUnavailable where that is not certain
   */
  fence(life: string): Promise<void>;
  /** Whether the database answers; for `/readyz`. */
  ping(): Promise<void>;
  /** Writes out what waits, and closes. */
  close(): Promise<void>;
}
