// What an owner decides about a room (XEP-0045 4.2, 10.2), and the sets of it that a new room may begin with.

/** What somebody may do while in the room (XEP-0045 5.1), from the least to the most. */
export const roles = ['none', 'visitor', 'participant', 'moderator'] as const;
export type Role = (typeof roles)[number];

/** What somebody is to the room for good (XEP-0045 5.2), from the least to the most. */
export const affiliations = ['outcast', 'none', 'member', 'admin', 'owner'] as const;
export type Affiliation = (typeof affiliations)[number];

/** From 0, the least. */
export const roleRank = (role: Role): number => roles.indexOf(role);
/** From 0, the least. */
export const affiliationRank = (affiliation: Affiliation): number => affiliations.indexOf(affiliation);

/** The configuration of a room: plain JSON, as it is stored and handed on. Replaced as a whole when it changes. */
export interface RoomConfig {
  /** For people; `''` where there is none. */
  readonly name: string;
  readonly description: string;
  /** A language tag, `''` for none in particular. */
  readonly language: string;
  /** It stays when the last occupant leaves. */
  readonly isPersistent: boolean;
  /** It is listed among the rooms of the host. */
  readonly isPublic: boolean;
  /** Only who is a member, or more than that, may enter. */
  readonly isMembersOnly: boolean;
  /** Who has no affiliation enters without voice. */
  readonly isModerated: boolean;
  /** In a moderated room members enter without voice, too. */
  readonly membersListen: boolean;
  /** Somebody publishes what is said: who enters is warned. */
  readonly isLogged: boolean;
  /** Asked for on entry; `''` where none is. */
  readonly password: string;
  /** Who sees the real addresses of occupants: `anyone` makes the room non-anonymous, `moderators` semi-anonymous. */
  readonly whois: 'anyone' | 'moderators';
  /** Participants may change the subject, not moderators alone. */
  readonly changeSubject: boolean;
  /** Members may invite to a members-only room, and make others members, not admins alone; in an open room, participants may invite. */
  readonly allowInvites: boolean;
  /** Who may send private messages. */
  readonly allowPm: 'anyone' | 'participants' | 'moderators' | 'none';
  /** Visitors may ask for voice. */
  readonly allowVoiceRequests: boolean;
  /** People may register with the room, and so become members, by themselves; members may reserve a nick in any case. */
  readonly allowRegistration: boolean;
  /** Occupants at a time; 0 for as many as the host allows. */
  readonly maxUsers: number;
  /** Of which roles presence is told to others. */
  readonly presenceBroadcast: readonly Exclude<Role, 'none'>[];
  /** Occupants are listed to those who are in the room or might enter it (XEP-0045 6.5). */
  readonly listOccupants: boolean;
  /** Messages that somebody who enters is sent at most, and where they do not say how many. */
  readonly maxHistory: number;
  readonly defaultHistory: number;
  /** The XMPP URI of a node that belongs to the room, `''` for none. */
  readonly pubsub: string;
  /** What was chosen in fields that modules have added to the owner's form (settings.ts), by the fields' names. */
  readonly more?: Readonly<Record<string, readonly string[]>>;
}

/** What a room is that nobody has said anything about: open to all, found by all, and gone when the last one leaves. */
export const plainConfig: RoomConfig = {
  name: '',
  description: '',
  language: '',
  isPersistent: false,
  isPublic: true,
  isMembersOnly: false,
  isModerated: false,
  membersListen: false,
  isLogged: false,
  password: '',
  whois: 'moderators',
  changeSubject: false,
  allowInvites: false,
  allowPm: 'anyone',
  allowVoiceRequests: true,
  allowRegistration: true,
  maxUsers: 0,
  presenceBroadcast: ['moderator', 'participant', 'visitor'],
  listOccupants: true,
  maxHistory: 50,
  defaultHistory: 20,
  pubsub: '',
};
