// The owner's form of a room (XEP-0045 10.1.3, 10.2, 15.5.3): what of a configuration it shows, and what a filled-in one makes of it.
//
// - `muc#roomconfig_maxusers` has no type: there are clients that read no form where it is anything but the list of choices that is registered,
//   and others that read none where it is one. Without a type it is to each what it takes it for.
// - `muc#roomconfig_enablelogging` publishes nothing: it is for owners who do, by a bot or otherwise, and warns those who come in (7.2.13).
// - Left out: `muc#roomconfig_getmemberlist` (9.5 decides).
import { type Element, el } from '../../xml/element.ts';
import {
  booleanField,
  choiceField,
  choicesField,
  type Field,
  type Form,
  formElement,
  integerField,
  jidsField,
  passwordField,
  readForm,
  textField,
} from '../../xmpp/dataform.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { RoomConfig } from './config.ts';

/** The other name under which Prosody's clients know `muc#roomconfig_allowinvites`. */
export const memberInvites = '{http://prosody.im/protocol/muc}roomconfig_allowmemberinvites';

const MAX_NAME = 255;
const MAX_TEXT = 4096;

/** One line of text of so many characters at most. */
function limited(field: Field<string>, max: number): Field<string> {
  return {
    ...field,
    decode(values) {
      const text = field.decode(values)?.trim();
      return text === undefined || text.length > max ? undefined : text;
    },
  };
}

/** A number of people, where nothing, `none` and 0 stand for as many as like. */
function limit(label: string): Field<number> {
  const number = integerField(label, { min: 0, max: 1_000_000 });
  return {
    ...number,
    type: undefined,
    encode: (value) => (value === 0 ? [] : [String(value)]),
    decode: (values) => (values.every((text) => text === '' || text === 'none') ? 0 : number.decode(values)),
  };
}

/** RFC 5646 2.1, near enough: what cannot be a language tag is refused. */
function languageField(label: string): Field<string> {
  const text = textField(label);
  return {
    ...text,
    decode(values) {
      const tag = text.decode(values)?.trim();
      return tag !== undefined && /^([a-z]{2,8}(-[a-z0-9]{1,8})*)?$/i.test(tag) ? tag : undefined;
    },
  };
}

const broadcast = { moderator: 'Moderators', participant: 'Participants', visitor: 'Visitors' } as const;

const fields = {
  'muc#roomconfig_roomname': limited(textField('Name'), MAX_NAME),
  'muc#roomconfig_roomdesc': limited(textField('Description'), MAX_TEXT),
  'muc#roomconfig_lang': languageField('Language of discussion'),
  'muc#roomconfig_persistentroom': booleanField('Keep the room when the last occupant leaves'),
  'muc#roomconfig_publicroom': booleanField('List the room publicly'),
  'muc#roomconfig_membersonly': booleanField('Only members may enter'),
  'muc#roomconfig_moderatedroom': booleanField('Moderated: only those with voice may speak'),
  'muc#roomconfig_memberslisten': booleanField('Moderated: members listen, too, until they are given voice'),
  'muc#roomconfig_enablelogging': booleanField('What is said is published: warn those who come in'),
  'muc#roomconfig_passwordprotectedroom': booleanField('A password is required to enter'),
  'muc#roomconfig_roomsecret': limited(passwordField('Password'), MAX_NAME),
  'muc#roomconfig_whois': choiceField('Who may see real addresses', {
    moderators: 'Moderators only',
    anyone: 'Everybody in the room',
  }),
  'muc#roomconfig_changesubject': booleanField('Participants may change the subject'),
  'muc#roomconfig_allowinvites': booleanField('Members may invite others'),
  [memberInvites]: booleanField('Members may invite others to a members-only room'),
  'muc#roomconfig_allowpm': choiceField('Who may send private messages', {
    anyone: 'Everybody',
    participants: 'Participants',
    moderators: 'Moderators',
    none: 'Nobody',
  }),
  'muc#roomconfig_allowvoicerequests': booleanField('Visitors may ask for voice'),
  'muc#roomconfig_allow_registration': booleanField('People may register with the room'),
  'muc#roomconfig_maxusers': limit('How many may be in the room at a time'),
  'muc#roomconfig_presencebroadcast': choicesField('Roles whose presence is sent to others', broadcast),
  'muc#roomconfig_public_list': booleanField('List the occupants to those who may enter'),
  'muc#maxhistoryfetch': integerField('Past messages that are sent on entry, at most', { min: 0, max: 1000 }),
  'muc#roomconfig_defaulthistorymessages': integerField('Past messages that are sent on entry, unless asked for more', {
    min: 0,
    max: 1000,
  }),
  'muc#roomconfig_pubsub': limited(textField('Address of a node of publish-subscribe'), MAX_TEXT),
  'muc#roomconfig_roomadmins': jidsField('Administrators'),
  'muc#roomconfig_roomowners': jidsField('Owners'),
};

/** The values of the form, by the fields' names. */
type Answers = { -readonly [K in keyof typeof fields]?: (typeof fields)[K] extends Field<infer T> ? T : never };

/** The fields of which each is a property of the configuration, and which. Two names may stand for one property. */
const properties = {
  'muc#roomconfig_roomname': 'name',
  'muc#roomconfig_roomdesc': 'description',
  'muc#roomconfig_lang': 'language',
  'muc#roomconfig_persistentroom': 'isPersistent',
  'muc#roomconfig_publicroom': 'isPublic',
  'muc#roomconfig_membersonly': 'isMembersOnly',
  'muc#roomconfig_moderatedroom': 'isModerated',
  'muc#roomconfig_memberslisten': 'membersListen',
  'muc#roomconfig_enablelogging': 'isLogged',
  'muc#roomconfig_whois': 'whois',
  'muc#roomconfig_changesubject': 'changeSubject',
  'muc#roomconfig_allowinvites': 'allowInvites',
  [memberInvites]: 'allowInvites',
  'muc#roomconfig_allowpm': 'allowPm',
  'muc#roomconfig_allowvoicerequests': 'allowVoiceRequests',
  'muc#roomconfig_allow_registration': 'allowRegistration',
  'muc#roomconfig_maxusers': 'maxUsers',
  'muc#roomconfig_presencebroadcast': 'presenceBroadcast',
  'muc#roomconfig_public_list': 'listOccupants',
  'muc#maxhistoryfetch': 'maxHistory',
  'muc#roomconfig_defaulthistorymessages': 'defaultHistory',
  'muc#roomconfig_pubsub': 'pubsub',
} as const satisfies { readonly [K in keyof typeof fields]?: keyof RoomConfig };

/** A field that a module adds to the form. What is chosen is in `config.more` by its name, and read by {@link chosen}. */
export interface ExtraField<T> {
  readonly name: string;
  readonly field: Field<T>;
  /** The value where nobody has chosen one. */
  readonly fallback: T;
}

/** What an owner has chosen for a field that a module added. */
export function chosen<T>({ more = {} }: RoomConfig, { name, field, fallback }: ExtraField<T>): T {
  const values = more[name];
  return (values && field.decode(values)) ?? fallback;
}

/** What a room is to an owner's form. */
export interface Settings {
  readonly config: RoomConfig;
  readonly admins: readonly Jid[];
  readonly owners: readonly Jid[];
}

/** A form with all that belongs to a room's configuration. */
function formOf(
  room: Jid,
  own: Readonly<Record<string, Field<unknown>>>,
  extras: readonly ExtraField<unknown>[],
): Form<Record<string, Field<unknown>>> {
  const all: Record<string, Field<unknown>> = { ...own };
  for (const { name, field } of extras) all[name] = field;
  return {
    formType: NS.mucRoomConfig,
    title: `Configuration of ${room.bare}`,
    instructions: 'What you leave out stays as it is.',
    fields: all,
  };
}

/** The form with what holds now, for `muc#owner` (10.2). */
export function settingsForm(room: Jid, settings: Settings, extras: readonly ExtraField<unknown>[] = []): Element {
  const { config } = settings;
  const values: Record<string, unknown> = {};
  for (const [name, property] of Object.entries(properties)) values[name] = config[property];
  values['muc#roomconfig_passwordprotectedroom'] = config.password !== '';
  values['muc#roomconfig_roomsecret'] = config.password;
  values['muc#roomconfig_roomadmins'] = settings.admins;
  values['muc#roomconfig_roomowners'] = settings.owners;
  for (const extra of extras) values[extra.name] = chosen(config, extra);
  return el('query', NS.mucOwner, undefined, formElement(formOf(room, fields, extras), values));
}

/** What a filled-in form says: the configuration that comes of it, and the full lists of admins and owners where it names them. */
export interface Submitted {
  /** The very one that was given, where nothing changes. */
  readonly config: RoomConfig;
  readonly admins: readonly Jid[] | undefined;
  readonly owners: readonly Jid[] | undefined;
}

/**
 * Reads a filled-in form. Only what it names, and what is not what it was, changes: of two names for the same thing that one counts which was
 * changed, as whoever sends back a form that they were shown changes one of them.
 * @throws StanzaError `not-acceptable` for values that are not allowed, with the field in its text; `bad-request` where it is no such form
 */
export function readSettings(
  room: Jid,
  config: RoomConfig,
  x: Element,
  extras: readonly ExtraField<unknown>[] = [],
): Submitted {
  const answers = readForm(formOf(room, fields, extras), x) as Answers & Record<string, unknown>;
  const changes: Record<string, unknown> = {};
  for (const [name, property] of Object.entries(properties)) {
    const value = answers[name];
    if (value !== undefined && !isSame(value, config[property])) changes[property] = value;
  }
  const password = passwordOf(config, answers);
  if (password !== config.password) changes.password = password;
  const more = { ...config.more };
  for (const { name, field, fallback } of extras) {
    const value = answers[name];
    if (value !== undefined && !isSame(field.encode(value), more[name] ?? field.encode(fallback))) {
      more[name] = field.encode(value);
      changes.more = more;
    }
  }
  const next = Object.keys(changes).length === 0 ? config : { ...config, ...changes };
  return {
    config: checked(next),
    admins: answers['muc#roomconfig_roomadmins'],
    owners: answers['muc#roomconfig_roomowners'],
  };
}

/** 10.1.3: a room that asks for a password needs one. One that is given where nothing is said of asking for it is to be asked for. */
function passwordOf({ password }: RoomConfig, answers: Answers): string {
  const secret = answers['muc#roomconfig_roomsecret'];
  switch (answers['muc#roomconfig_passwordprotectedroom']) {
    case false:
      return '';
    case true:
      if ((secret ?? password) === '') throw notAcceptable('muc#roomconfig_roomsecret', 'there must be one to ask for');
      return secret ?? password;
    default:
      return secret ?? password;
  }
}

/** What no room may be. */
function checked(config: RoomConfig): RoomConfig {
  if (config.defaultHistory > config.maxHistory) return { ...config, defaultHistory: config.maxHistory };
  return config;
}

function isSame(one: unknown, other: unknown): boolean {
  if (!Array.isArray(one) || !Array.isArray(other)) return one === other;
  return one.length === other.length && one.every((value) => other.includes(value));
}

function notAcceptable(name: keyof typeof fields, why: string): StanzaError {
  return new StanzaError('not-acceptable', `"${fields[name].label ?? name}": ${why}`);
}
