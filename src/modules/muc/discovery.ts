// What a room tells of itself (XEP-0045 6.4, 6.5, 7.12, 17.3.1; XEP-0128): its identity, what it is and can do, `muc#roominfo`, who is inside.
//
// - 15.5.4: `muc#roominfo_contactjid` is left out: it would give the addresses of owners to whoever collects addresses.
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import { parseElement } from '../../xml/document.ts';
import { type Element, el } from '../../xml/element.ts';
import { booleanField, type Field, integerField, resultElement, textField } from '../../xmpp/dataform.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { NS } from '../../xmpp/ns.ts';
import { pageElement, pageOf, parsePageRequest } from '../../xmpp/rsm.ts';
import { isAtLeast } from './associations.ts';
import type { RoomConfig } from './config.ts';
import { type RoomInfo, roomInfo } from './hooks.ts';
import type { RoomContext } from './request.ts';
import type { Room } from './room.ts';
import type { Subject } from './rows.ts';
import { memberInvites } from './settings.ts';

/** The node of one's own registered nick (7.12). */
const ownNickNode = 'x-roomuser-item';
/** Occupants in one answer. */
const MOST_ITEMS = 1000;

/** What a room is called for people. */
export function nameOf(room: Room): string {
  return room.config.name || room.jid.local;
}

/**
 * The answer to disco#info.
 * @throws StanzaError `item-not-found` for a node that is not known, `service-unavailable` for that of the traffic: all of it passes
 */
export function describeRoom(context: RoomContext, query: Element): MaybePromise<Element> {
  const { room, asker } = context;
  const { node } = query.attrs;
  if (node === ownNickNode) {
    const nick = room.affiliations.get(asker.bare)?.nick;
    return el('query', NS.discoInfo, { node }, ...(nick === undefined ? [] : [identity(nick)]));
  }
  // 17.3.1
  if (node === NS.mucTraffic) throw new StanzaError('service-unavailable', 'everything passes');
  if (node !== undefined && node !== '') throw new StanzaError('item-not-found', 'there is no such node');
  const info: RoomInfo = { context, features: featuresOf(room.config), fields: {}, values: {}, forms: [] };
  return andThen(room.ports.hooks.collect(roomInfo, info), () => {
    const fields: Record<string, Field<unknown>> = { ...infoFields, ...info.fields };
    const values: Record<string, unknown> = { ...infoOf(context), ...info.values };
    const features = [...new Set(info.features)].sort();
    return el(
      'query',
      NS.discoInfo,
      { node },
      identity(nameOf(room)),
      ...features.map((name) => el('feature', NS.discoInfo, { var: name })),
      resultElement({ formType: NS.mucRoomInfo, fields }, values),
      ...info.forms,
    );
  });
}

function identity(name: string): Element {
  return el('identity', NS.discoInfo, { category: 'conference', type: 'text', name });
}

/** 15.3. */
function featuresOf(config: RoomConfig): string[] {
  return [
    NS.discoInfo,
    NS.discoItems,
    NS.muc,
    NS.mucStableId,
    NS.mucSelfPing,
    NS.affiliationVersions,
    NS.mucRoomConfig,
    NS.mucRoomInfo,
    NS.register,
    NS.mucRegister,
    ...(config.isModerated && config.allowVoiceRequests ? [NS.mucRequest] : []),
    config.isPublic ? 'muc_public' : 'muc_hidden',
    config.isMembersOnly ? 'muc_membersonly' : 'muc_open',
    config.isPersistent ? 'muc_persistent' : 'muc_temporary',
    config.isModerated ? 'muc_moderated' : 'muc_unmoderated',
    config.whois === 'anyone' ? 'muc_nonanonymous' : 'muc_semianonymous',
    config.password === '' ? 'muc_unsecured' : 'muc_passwordprotected',
  ];
}

const infoFields = {
  'muc#roominfo_description': textField('Description'),
  'muc#roominfo_subject': textField('Subject'),
  'muc#roominfo_subjectmod': booleanField('Participants may change the subject'),
  // what it was called in an example once, and is called by Converse.js still
  'muc#roominfo_changesubject': booleanField('Participants may change the subject'),
  'muc#roominfo_occupants': integerField('Number of occupants'),
  'muc#roominfo_lang': textField('Language of discussion'),
  'muc#maxhistoryfetch': integerField('Past messages that are sent on entry, at most'),
  'muc#roomconfig_roomname': textField('Name'),
  'muc#roomconfig_roomdesc': textField('Description'),
  'muc#roomconfig_changesubject': booleanField('Participants may change the subject'),
  'muc#roomconfig_allowinvites': booleanField('Members may invite others'),
  [memberInvites]: booleanField('Members may invite others to a members-only room'),
  'muc#roomconfig_pubsub': textField('Address of a node of publish-subscribe'),
};

/** 6.4, 15.5.4. What is talked about is for those who might come in and hear it. */
function infoOf(context: RoomContext): Readonly<Record<keyof typeof infoFields, unknown>> {
  const { room } = context;
  const { config, subject, occupants } = room;
  return {
    'muc#roominfo_description': config.description,
    'muc#roominfo_subject': maySeeInside(context) ? subject && textOf(subject) : undefined,
    'muc#roominfo_subjectmod': config.changeSubject,
    // (whose value is not looked at, only whether it is there)
    'muc#roominfo_changesubject': config.changeSubject || undefined,
    'muc#roominfo_occupants': occupants.size,
    'muc#roominfo_lang': config.language || undefined,
    'muc#maxhistoryfetch': config.maxHistory,
    'muc#roomconfig_roomname': config.name,
    'muc#roomconfig_roomdesc': config.description,
    'muc#roomconfig_changesubject': config.changeSubject,
    'muc#roomconfig_allowinvites': config.allowInvites,
    [memberInvites]: config.allowInvites,
    'muc#roomconfig_pubsub': config.pubsub || undefined,
  };
}

function textOf({ xml }: Subject): string | undefined {
  return parseElement(xml).getChildText('subject') || undefined;
}

/**
 * Whether what goes on inside is no secret to somebody: who is in the room or belongs to it, and everybody where anybody may come in and see,
 * and was to find the room.
 */
function maySeeInside({ room, occupant, affiliation }: RoomContext): boolean {
  if (occupant !== undefined || isAtLeast(affiliation, 'member')) return true;
  const { isMembersOnly, isPublic, password } = room.config;
  return affiliation !== 'outcast' && isPublic && !isMembersOnly && password === '';
}

/** The answer to disco#items (6.5): the occupants, or nothing. @throws StanzaError for a page or a node that is not there */
export function listOccupants(context: RoomContext, query: Element): Element {
  const { room } = context;
  const { node } = query.attrs;
  if (node !== undefined && node !== '') throw new StanzaError('item-not-found', 'there is no such node');
  const request = parsePageRequest(query);
  const isPaged = query.getChild('set', NS.rsm) !== undefined;
  if (!room.config.listOccupants || !maySeeInside(context)) {
    return el('query', NS.discoItems, { node }, ...(isPaged ? [pageElement({ count: 0 })] : []));
  }
  const visible = [...room.occupants.values()].filter(({ role }) =>
    role === 'none' ? false : room.config.presenceBroadcast.includes(role),
  );
  const { items, result } = pageOf(visible, ({ nick }) => nick, request, MOST_ITEMS);
  const isPart = isPaged || items.length < visible.length;
  return el(
    'query',
    NS.discoItems,
    { node },
    ...items.map(({ jid, nick }) => el('item', NS.discoItems, { jid: jid.full, name: nick })),
    ...(isPart ? [pageElement(result)] : []),
  );
}
