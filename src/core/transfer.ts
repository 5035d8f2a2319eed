// Accounts with all they have, out of the server and into it (XEP-0227): what there is to call, and how the outcome is told.
import type { Element } from '../xml/element.ts';
import { defineService } from './module.ts';

/** What became of one account. */
export interface AccountReport {
  readonly jid: string;
  /** Whether it is new, was there, or cannot be. */
  readonly state: 'added' | 'there' | 'refused';
  /** By what it is (`contacts`, `messages`): what was added, was there the same, was there otherwise and stays, and was not taken. */
  readonly counts: Readonly<
    Record<string, { readonly added: number; readonly same: number; readonly kept: number; readonly ignored: number }>
  >;
  /** For people. */
  readonly lines: readonly string[];
}

/** Reads one account, piece by piece: children of `<user/>`, and children of those that it opens. `around` never has the user's start tag. */
export interface AccountReader {
  readonly report: AccountReport;
  opens(tag: Element, around: readonly Element[]): boolean;
  take(element: Element, around: readonly Element[]): Promise<void>;
  close(tag: Element, around: readonly Element[]): Promise<void>;
  end(): Promise<void>;
}

/** The accounts of one host. */
export interface Portability {
  /** A `<user/>`, as XML, in pieces of bounded size; undefined where there is no such account. */
  write(user: string): Promise<AsyncIterable<string> | undefined>;
  /** @param tag the start tag of a `<user/>` */
  read(tag: Element, isDry: boolean): AccountReader;
}
export const portability = defineService<Portability>('portability');
