// What a module keeps for an account, in the words of XEP-0227: how it is written into a file, and read from one. A module that keeps anything
// for accounts declares a portion of their files; modules/portability puts them together.
import type { MaybePromise } from '../base/maybe.ts';
import type { Element } from '../xml/element.ts';
import type { Jid } from '../xmpp/jid.ts';

/** What became of the parts of one account: counts by what they are (`contacts`, `messages`), and what people have to know. */
export interface Notes {
  /** There was none, and now there is (or would be). */
  added(what: string, count?: number): void;
  /** It is there already, the same. */
  same(what: string, count?: number): void;
  /** There is another one, which stays. */
  kept(what: string, detail: string): void;
  /** It cannot be taken. */
  ignored(what: string, detail: string): void;
}

export interface Reading {
  /** The bare JID. */
  readonly user: Jid;
  readonly notes: Notes;
  /** Nothing is to be changed: it is only told what would be. */
  readonly isDry: boolean;
}

export interface PortionReader {
  /** Takes a child of `<user/>`, or of what is opened below it: `around` has the start tags of that, without the user's. */
  take(element: Element, around: readonly Element[]): MaybePromise<void>;
  /** What was opened is closed. */
  close?(tag: Element, around: readonly Element[]): MaybePromise<void>;
  /** Everything of the account has been read, the portions of others too. */
  end?(): MaybePromise<void>;
}

export interface Portion {
  /** Whether it takes such a child of `<user/>`, which may be a start tag alone. */
  takes(element: Element): boolean;
  /** Whether an element is too long to be read at once: its children come one by one. */
  opens?(tag: Element, around: readonly Element[]): boolean;
  /** The children of `<user/>` that it makes, as XML, in pieces of bounded size; in an order that is always the same. */
  write(user: Jid): AsyncIterable<string> | Iterable<string>;
  read(reading: Reading): PortionReader;
}
