// THE LIST: every hook of rooms, and what a handler may do. All are run through the rooms host, on the node that owns the room, in the
// room's turn: nothing else happens in the room until a gate's or a collect's promise is settled, so promises are for what is quick.
// Elements in events are without `to`; `from` is the occupant JID. Handlers read rooms and occupants; they change them by the functions
// of this folder only, and after the hook, never inside (`room.run`).
import { collect, gate, notify } from '../../core/hooks.ts';
import type { Element } from '../../xml/element.ts';
import type { Field } from '../../xmpp/dataform.ts';
import type { BareJid, Jid } from '../../xmpp/jid.ts';
import type { Cause } from './affiliations.ts';
import type { Affiliation, Role, RoomConfig } from './config.ts';
import type { Device, Occupant } from './occupant.ts';
import type { RoomContext } from './request.ts';
import type { Room } from './room.ts';
import type { AffiliationRow } from './rows.ts';
import type { ExtraField } from './settings.ts';

/** Somebody wants to make a room by entering it (XEP-0045 10.1): `check` may refuse, and may put another `config` in place. */
export const roomCreating = gate<{ readonly room: Jid; readonly creator: Jid; config: RoomConfig }>()('room-creating', [
  'check',
]);

/** An owner has filled in the form (10.2): `check` may refuse what the room would be then. */
export const roomConfiguring = gate<{ readonly room: Room; readonly by: Jid; readonly config: RoomConfig }>()(
  'room-configuring',
  ['check'],
);

/** A room was made, and is empty still. Its creator is its owner already. */
export const roomCreated = notify<{ readonly room: Room; readonly creator: Jid }>('room-created');

/** A room comes from the stores, or from another node: handlers read what they keep of it. Nobody is in it yet. */
export const roomOpening = collect<{ readonly room: Room }>('room-opening');

/** Somebody wants to enter, or to come in with one more device (7.2); what the XEP says of it is checked before. */
export interface RoomJoin {
  readonly room: Room;
  /** Its real full JID. */
  readonly jid: Jid;
  readonly nick: string;
  readonly affiliation: Affiliation;
  /** With which role; a handler may give another. */
  role: Role;
  /** The presence, as it was sent. */
  readonly presence: Element;
  /** Already inside, with this or another device. */
  readonly occupant: Occupant | undefined;
}
/** `check` may refuse. */
export const roomJoin = gate<RoomJoin>()('room-join', ['check']);

/** Somebody wants another nick (7.6), which is free. */
export interface RoomNick {
  readonly room: Room;
  readonly occupant: Occupant;
  readonly nick: string;
}
/** `check` may refuse. */
export const roomNick = gate<RoomNick>()('room-nick', ['check']);

/** A device that is inside sends other presence of itself (7.7). `check` may refuse, or take it upon itself to have it shown later. */
export interface RoomShow {
  readonly room: Room;
  readonly occupant: Occupant;
  readonly device: Device;
  readonly presence: Element;
}
export const roomShow = gate<RoomShow>()('room-show', ['check']);

/** A device is inside, and everybody has been told; `isFirst`: with it, its occupant. */
export const roomJoined = notify<{
  readonly room: Room;
  readonly occupant: Occupant;
  readonly device: Device;
  readonly isFirst: boolean;
}>('room-joined');

/** A device is gone, and everybody has been told; `isLast`: with it, its occupant. */
export const roomLeft = notify<{
  readonly room: Room;
  readonly occupant: Occupant;
  readonly device: Device;
  readonly isLast: boolean;
}>('room-left');

/** What a device that joins asks for of the past (7.2.14); undefined where it does not say. */
export interface HistoryRequest {
  readonly maxChars: number | undefined;
  readonly maxStanzas: number | undefined;
  /** Milliseconds since 1970: the later of what `since` and `seconds` say. */
  readonly since: number | undefined;
}
/**
 * A device comes in; handlers push the messages that it is to get before the subject, in order, without `to`. This one hook does not
 * hold up the room: what is said meanwhile waits for the device alone.
 */
export const roomHistory = collect<{
  readonly room: Room;
  readonly occupant: Occupant;
  readonly request: HistoryRequest;
  readonly messages: Element[];
}>('room-history');

/** A message to everybody (7.4), also one that changes the subject (8.1). */
export interface RoomMessage {
  readonly room: Room;
  /** Who speaks; undefined: the room itself. */
  readonly occupant: Occupant | undefined;
  /** The real full JID of who speaks. */
  readonly sender: Jid;
  /** As it will be sent: from the occupant JID, without `to`. `change` may put another one here. */
  element: Element;
  readonly isSubject: boolean;
  /** `archive` sets it: what the archive knows it by. The handler adds `<stanza-id/>` to `element` itself. */
  stanzaId?: string;
  /** `archive` sets it: the acknowledgement to the sender waits for it, the others do not. */
  durable?: Promise<unknown>;
}
/** `check`: voice, limits, moderation; may refuse. `change` replaces the element. `archive` stores it. After that it goes out. */
export const roomMessage = gate<RoomMessage>()('room-message', ['check', 'change', 'archive']);

/** A message was sent to everybody. */
export const roomMessageSent = notify<RoomMessage>('room-message-sent');

/** A private message (7.5), to each device of its reader. `check` may refuse, `change` may replace the element. */
export const roomPrivate = gate<{
  readonly room: Room;
  readonly occupant: Occupant;
  readonly reader: Occupant;
  readonly sender: Jid;
  element: Element;
}>()('room-private', ['check', 'change']);

/** Somebody who may do so invites people through the room (7.8.2), or lets them in who are invited directly (XEP-0249). `check` may refuse. */
export interface RoomInvitation {
  readonly room: Room;
  /** The real full JID of the inviter. */
  readonly inviter: Jid;
  readonly people: readonly Jid[];
}
export const roomInvitation = gate<RoomInvitation>()('room-invitation', ['check']);

/**
 * The presence of an occupant is being made, for all who see it: handlers push elements that stand beside `<x/>`, which stays the last
 * one; at once, without a promise. Not called for each reader, but when something changed: `showPresence` (presence.ts) says so.
 */
export const roomPresence = collect<{
  readonly room: Room;
  readonly occupant: Occupant;
  /** Unavailable presence: what tells who it is belongs there too. */
  readonly isLeaving: boolean;
  readonly children: Element[];
}>('room-presence');

/** The configuration has another value, and everybody has been told (10.2.1). `by`: the real JID of who did it; undefined: an operator. */
export const roomChanged = notify<{ readonly room: Room; readonly before: RoomConfig; readonly by: Jid | undefined }>(
  'room-changed',
);

/** Somebody has another affiliation, or registered nick. Told after everybody in the room was. */
export const roomAffiliation = notify<{
  readonly room: Room;
  /** Bare JID or domain. */
  readonly jid: BareJid;
  readonly before: AffiliationRow | undefined;
  readonly now: AffiliationRow | undefined;
  /** Bare JID of who gave it; undefined: an operator, or the room. */
  readonly by: BareJid | undefined;
  readonly cause: Cause;
}>('room-affiliation');

/** A room is over: destroyed (10.9), or left by everybody and not persistent. What modules store of it is to be removed. */
export const roomDestroyed = notify<{ readonly room: Room; readonly isByOwner: boolean }>('room-destroyed');

/** What a room is about to tell of itself to whoever asks by disco#info (6.4). */
export interface RoomInfo {
  readonly context: RoomContext;
  readonly features: string[];
  /** Fields of `muc#roominfo` with their values, beside those of the configuration. */
  readonly fields: Record<string, Field<unknown>>;
  readonly values: Record<string, unknown>;
  /** Other forms (XEP-0128). */
  readonly forms: Element[];
}
/** Handlers push what they know. */
export const roomInfo = collect<RoomInfo>('room-info');

/**
 * The owner's form is being made, or one that was filled in is read (10.2): handlers push fields of their own, the same each time. What is
 * chosen in them is kept with the configuration; `chosen` (settings.ts) tells it.
 */
export const roomFields = collect<{ readonly room: Room; readonly fields: ExtraField<unknown>[] }>('room-fields');
