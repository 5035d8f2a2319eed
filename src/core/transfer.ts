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
  /**
   * A `<user/>`, as XML, in pieces of bounded size; undefined where there is no such account.
   * @param only what these modules keep, and nothing of the account itself: no keys; everything, unless given
   */
  write(user: string, only?: ReadonlySet<string>): Promise<AsyncIterable<string> | undefined>;
  /** @param tag the start tag of a `<user/>` */
  read(tag: Element, isDry: boolean): AccountReader;
}
export const portability = defineService<Portability>('portability');

/** Of one host, or one account of it; all unless said. */
export interface Wanted {
  readonly host?: string | undefined;
  readonly user?: string | undefined;
}

export interface Exported {
  readonly file: string;
  readonly accounts: number;
  readonly bytes: number;
}

export interface Imported {
  /** Nothing was changed: it is told what would be. */
  readonly dry: boolean;
  readonly accounts: readonly AccountReport[];
  /** What of the file is for nobody here. */
  readonly lines: readonly string[];
}

/** Accounts with all they have, into files and out of them. All reject with CommandError for what is refused. */
export interface AdminTransfer {
  /** Writes a file that nobody else can read. */
  exportTo(file: string, wanted: Wanted): Promise<Exported>;
  /** Reads a file, or the files of a folder. What is there already stays, so that it can be done again. */
  importFrom(path: string, isDry: boolean): Promise<Imported>;
  /** The same, of what is written and read elsewhere: over the network. */
  document(wanted: Wanted): AsyncIterable<string>;
  importDocument(document: AsyncIterable<Uint8Array>, isDry: boolean): Promise<Imported>;
}
