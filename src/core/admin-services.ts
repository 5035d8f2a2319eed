// What modules of a host offer to its administrators, beside what every host has. All methods may reject with StorageUnavailable.
import type { MaybePromise } from '../base/maybe.ts';

/** What the people of a host are told by it. */
export interface AdminAnnouncements {
  /** Tells everybody who is connected now, on all nodes. */
  announce(text: string, subject?: string): MaybePromise<void>;
  /** What everybody is told once, now or when they come next; undefined where there is nothing. */
  motd(): MaybePromise<string | undefined>;
  /** `isCorrection`: who has seen the last one is not told again. Undefined: nobody is told any more. */
  setMotd(text: string | undefined, isCorrection?: boolean): Promise<void>;
  /** What new people are told. */
  welcome(): MaybePromise<string | undefined>;
  setWelcome(text: string | undefined): Promise<void>;
}

/** With whom of other servers a host and its services talk, beside what its settings say: domains, accounts, or resources. */
export interface AdminPeers {
  /** Nobody talks with these. */
  blocked(): MaybePromise<readonly string[]>;
  /** Where there are any, nobody talks with others than these. */
  allowed(): MaybePromise<readonly string[]>;
  /** Holds at once, on all nodes. The addresses are prepared. */
  setBlocked(jids: readonly string[]): Promise<void>;
  setAllowed(jids: readonly string[]): Promise<void>;
}

export interface AdminContact {
  readonly jid: string;
  readonly name?: string;
  readonly groups: readonly string[];
  readonly subscription: 'none' | 'to' | 'from' | 'both';
  readonly ask?: true;
}
/** What is known of the accounts of a host, by localpart. */
export interface AdminPeople {
  roster(user: string): MaybePromise<readonly AdminContact[]>;
  /** When an account was last there that is not now, in milliseconds since 1970; undefined where nobody knows. */
  lastSeen(user: string): MaybePromise<number | undefined>;
}

/** What somebody has said of an address that they blocked (XEP-0377). */
export interface AdminReport {
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Bare JIDs, the second one as it was blocked. */
  readonly reporter: string;
  readonly reported: string;
  /** A URI, such as `urn:xmpp:reporting:spam`. */
  readonly reason: string;
  readonly texts: readonly { readonly lang?: string; readonly text: string }[];
  /** Messages that were reported, as XML, as they are in the archive. */
  readonly messages: readonly string[];
  /** Ids of messages that were not found, or are of somebody else. */
  readonly missing: number;
  /** What the reporter lets be done with it. */
  readonly mayTellOrigin: boolean;
  readonly mayTellOthers: boolean;
  /** How often it was said again since. */
  readonly again: number;
  readonly closed?: { readonly at: number; readonly note?: string };
}

/** The queue of reports of a host. */
export interface AdminReports {
  /** The oldest first. */
  list(state: 'open' | 'closed'): MaybePromise<readonly AdminReport[]>;
  get(id: string): MaybePromise<AdminReport | undefined>;
  /** False where there is no such open report. */
  close(id: string, note?: string): Promise<boolean>;
}
