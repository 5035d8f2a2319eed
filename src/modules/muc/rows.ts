// What is stored of rooms: rows that survive restarts (docs: one row of a room, one for each person with an affiliation, and the same from
// the person's side, so that the rooms of an account are listed without waking any of them).
import type { Life } from '../../core/transit.ts';
import type { BareJid } from '../../xmpp/jid.ts';
import type { Affiliation, Role, RoomConfig } from './config.ts';

/** Owner: the room's localpart. */
export interface RoomRow {
  readonly config: RoomConfig;
  readonly subject?: Subject;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** Nobody but its creator may enter until the owner has configured it (10.1.1). */
  readonly isLocked?: boolean;
  /** Of what changed with this version of the affiliations, or before it, not everything is known any more (XEP-0463). */
  readonly versionFloor?: number;
}

/** What the room is about (8.1). */
export interface Subject {
  /** The children of the message: one `<subject/>` for each language, and whose they are (XEP-0421). */
  readonly xml: string;
  /** Nick of whoever set it; `''`: the room itself. */
  readonly by: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** Owner: the room's localpart; key: a bare JID, or a domain (bans). One of `none` is left of an affiliation that was taken away (versions.ts). */
export interface AffiliationRow {
  readonly affiliation: Affiliation;
  readonly reason?: string;
  /** The nick that is registered for this person alone (7.10). */
  readonly nick?: string;
  /** Bare JID of whoever gave it. */
  readonly by?: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** The version of the affiliations that came with it (XEP-0463); 0, unless said. */
  readonly version?: number;
  /** The version since which this person has belonged to the room without a break; 0, unless said. */
  readonly memberSince?: number;
}

/** Owner: the person's bare JID; key: the room's localpart. */
export interface MembershipRow {
  readonly affiliation: Affiliation;
  readonly nick?: string;
  /** When the person first had to do with the room, in milliseconds since 1970. */
  readonly since?: number;
  /** Id, in the room's archive, of the last message that the person has read. */
  readonly lastRead?: string;
  /** When the person said so, in milliseconds since 1970. */
  readonly readAt?: number;
}

/** One device of an occupant, for the next owner of the room after a crash. Owner: the room's localpart; key: the device's full JID. */
export interface OccupantRow {
  readonly nick: string;
  readonly role: Role;
  /** Its presence without addresses. */
  readonly xml: string;
  /** It keeps track of affiliations by their versions (XEP-0463). */
  readonly follows?: true;
  /** The session that has entered. */
  readonly life?: Life;
}

/** What is told of a room to those who look for one, without waking it. Owner: `''`; key: the room's localpart. */
export interface DirectoryRow {
  /** What it is called, where it has another name than its address. */
  readonly name?: string;
  /** Milliseconds since 1970. */
  readonly createdAt?: number;
  readonly description?: string;
  readonly language?: string;
  readonly isPublic: boolean;
  readonly isMembersOnly: boolean;
  readonly isPersistent: boolean;
  /** It asks for a password. */
  readonly isProtected: boolean;
  readonly whois: RoomConfig['whois'];
}

/** A room that was destroyed and goes on elsewhere (10.9). Owner: the room's localpart. */
export interface GoneRow {
  /** The address of the other room. */
  readonly venue: string;
  readonly reason?: string;
  /** Bare JIDs of those who may know where, where it was not for everybody. */
  readonly for?: readonly BareJid[];
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** What is left of the occupants when the server stops with nobody to take over; read and removed by the next life. Owner: the room. */
export interface ParkedRow {
  readonly occupants: readonly SavedOccupant[];
  /** Milliseconds since 1970. */
  readonly at: number;
}
/** An occupant, written down as JSON. */
export interface SavedOccupant {
  readonly nick: string;
  readonly role: Role;
  readonly devices: readonly {
    readonly jid: string;
    readonly xml: string;
    readonly follows?: true;
    readonly life?: Life;
  }[];
  readonly slots?: Readonly<Record<string, unknown>>;
}
