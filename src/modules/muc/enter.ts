// Entering a room (XEP-0045 7.2): who may, and what they are told, in the order of 7.1: the others' presence, their own, history,
// the subject, and only then what happens. A device that is inside and enters again is told all of it again.
import { isPromise, type MaybePromise } from '../../base/maybe.ts';
import type { Life } from '../../core/transit.ts';
import { type Element, el } from '../../xml/element.ts';
import { parseDateTime } from '../../xmpp/datetime.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { initialRole, isAtLeast } from './associations.ts';
import type { Affiliation } from './config.ts';
import { tellDevice, welcome } from './fan-out.ts';
import { tellAffiliations } from './following.ts';
import { type HistoryRequest, type RoomJoin, roomHistory, roomJoin, roomJoined } from './hooks.ts';
import { areTwo, lifeOf } from './lives.ts';
import { isNick } from './nicks.ts';
import { type Device, deviceRow, Occupant } from './occupant.ts';
import { presenceXml, showAddress, showOthersTo, showToOthers, showToSelf } from './presence.ts';
import type { Room } from './room.ts';
import { itemElement, userElement } from './x.ts';

/** Admins and owners get in beyond the limit of occupants, but not more of them than this (7.2.9). */
const EXTRA = 20;
/** Devices of one occupant. */
const MOST_DEVICES = 30;

/**
 * Lets a device in, or refuses it.
 * @param presence with `<x/>` of muc
 * @param life the session that it is, where that is known
 * @param isNew the room was made for it
 * @throws StanzaError by 7.2.17
 */
export function enter(
  room: Room,
  jid: Jid,
  nick: string,
  presence: Element,
  life?: Life,
  isNew = false,
): MaybePromise<void> {
  const affiliation = room.affiliationOf(jid);
  const x = presence.getChild('x', NS.muc);
  checkEntry(room, jid, affiliation, x);
  const occupant = room.occupantOf(jid) ?? ownOccupant(room, jid, nick);
  checkPlace(room, jid, nick, affiliation, occupant);
  const role = occupant?.role ?? initialRole(affiliation, room.config);
  const event: RoomJoin = { room, jid, nick, affiliation, role, presence, occupant };
  const verdict = room.ports.hooks.gate(roomJoin, event);
  if (!isPromise(verdict)) {
    if (verdict instanceof StanzaError) throw verdict;
    if (verdict === undefined) come(event, historyRequest(x, room.ports.now()), life, isNew);
    return;
  }
  return verdict.then((settled) => {
    if (settled instanceof StanzaError) throw settled;
    if (settled !== undefined) return;
    come(event, historyRequest(x, room.ports.now()), life, isNew);
  });
}

/** 7.2.18: presence without `<x/>` from somebody who is not in the room: who believes to be is told otherwise. */
export function notInside(room: Jid, nick: string): Element {
  const by = { reason: 'You are not in the room.' };
  const item = itemElement({ affiliation: 'none', role: 'none', by });
  const from = room.withResource(nick).full;
  return el('presence', null, { from, type: 'unavailable' }, userElement(item, [110, 307, 333]));
}

/** @throws StanzaError jid-malformed for what is no nick (7.2.1, 16.1) */
export function checkNick(room: Jid, nick: string): void {
  if (nick === '') throw new StanzaError('jid-malformed', `enter by presence to ${room.full}/nick`);
  if (!isNick(nick)) throw new StanzaError('jid-malformed', 'a nick is visible, and not too long');
}

/** @throws StanzaError conflict where the nick is, or looks like, another person's (7.2.8, 7.6) */
export function checkNickIsFree(room: Room, jid: Jid, nick: string): void {
  if (room.isNickOfAnother(nick, jid.bare)) {
    throw new StanzaError('conflict', 'that nick, or one that looks like it, is somebody else’s');
  }
}

/** The occupant that a person is under a nick: one more device comes to it. */
function ownOccupant(room: Room, jid: Jid, nick: string): Occupant | undefined {
  const occupant = room.occupants.get(nick);
  return occupant?.bare === jid.bare ? occupant : undefined;
}

function checkEntry(room: Room, jid: Jid, affiliation: Affiliation, x: Element | undefined): void {
  // 7.2.7
  if (affiliation === 'outcast') throw new StanzaError('forbidden', 'you are banned from this room');
  // 7.2.10; its owner configures it from inside, perhaps from another device
  if (room.isLocked && affiliation !== 'owner') throw new StanzaError('item-not-found', 'there is no such room yet');
  const { config } = room;
  // 7.2.6
  if (config.isMembersOnly && !isAtLeast(affiliation, 'member')) {
    throw new StanzaError('registration-required', 'this room is for its members');
  }
  // 7.2.5; who is inside has given it
  if (config.password !== '' && room.occupantOf(jid) === undefined) {
    if (x?.getChildText('password', NS.muc) !== config.password) throw new StanzaError('not-authorized');
  }
}

function checkPlace(
  room: Room,
  jid: Jid,
  nick: string,
  affiliation: Affiliation,
  occupant: Occupant | undefined,
): void {
  if (occupant === undefined) {
    checkNickIsFree(room, jid, nick);
    const { maxUsers } = room.config;
    const most = maxUsers > 0 ? Math.min(maxUsers, room.ports.mostOccupants) : room.ports.mostOccupants;
    // 7.2.9
    const limit = isAtLeast(affiliation, 'admin') ? most + EXTRA : most;
    if (room.occupants.size >= limit) {
      throw new StanzaError('service-unavailable', 'the room is full', { type: 'wait' });
    }
  } else if (occupant.devices.length >= MOST_DEVICES && occupant.device(jid) === undefined) {
    throw new StanzaError('resource-constraint', 'too many of your devices are in the room');
  }
}

function come(
  { room, jid, nick, affiliation, role, presence, ...event }: RoomJoin,
  history: HistoryRequest,
  life: Life | undefined,
  isNew: boolean,
): void {
  const { rows, hooks } = room.ports;
  const xml = presenceXml(presence);
  const isFirst = event.occupant === undefined;
  const occupant =
    event.occupant ?? new Occupant(room.jid.withResource(nick), jid.withResource('').bare, role, affiliation);
  const former = occupant.device(jid);
  const before = isFirst ? undefined : { ...occupant.shown };
  // what waits for history goes on waiting for it
  const held = areTwo(former?.life, life) ? undefined : former?.held;
  const device: Device = { jid, presence: xml, held, follows: false, life: life && lifeOf(life) };
  if (former !== undefined) room.replaceDevice(occupant, former, device);
  room.hold(device);
  const asked = presence.getChild('x', NS.muc)?.getChild('mav', NS.affiliationVersions);
  device.follows = asked !== undefined && tellAffiliations(room, jid, occupant, asked, presence.attrs.id);
  showOthersTo(room, occupant, device);
  if (isFirst) {
    occupant.devices.push(device);
    room.place(occupant);
  } else if (former === undefined) room.placeDevice(occupant, device);
  rows.saveDevice(jid, deviceRow(occupant, device));
  const { shown } = occupant;
  if (before?.presence !== shown.presence || occupant.isUncertain) showToOthers(room, occupant);
  else if (before.jid.full !== shown.jid.full) showAddress(room, occupant);
  showToSelf(room, occupant, { codes: entryCodes(room, isNew), asked: { device, id: presence.attrs.id } });
  sendHistory(room, occupant, device, history);
  if (former === undefined) hooks.notify(roomJoined, { room, occupant, device, isFirst });
}

/** What somebody who comes in is told beside 110: 7.2.4, 7.2.13, 10.1.1. */
function entryCodes({ config }: Room, isNew: boolean): number[] {
  const codes: number[] = [];
  if (config.whois === 'anyone') codes.push(100);
  if (config.isLogged) codes.push(170);
  if (isNew) codes.push(201);
  return codes;
}

/** 7.2.14 to 7.2.17: what was said, then the subject; what is said while it is read comes after it. */
function sendHistory(room: Room, occupant: Occupant, device: Device, request: HistoryRequest): void {
  const { hooks } = room.ports;
  const messages: Element[] = [];
  const done = (): void => {
    // who has left meanwhile, or has come anew, has no use for it
    if (!room.waiting.has(device)) return;
    for (const message of messages) tellDevice(room, message, room.jid, device.jid);
    welcome(room, device);
  };
  const read = hooks.listens(roomHistory)
    ? hooks.collect(roomHistory, { room, occupant, request, messages })
    : undefined;
  if (isPromise(read)) room.ports.background(read.then(done, done), 'reading the history of a room');
  else done();
}

/** 7.2.14: what it asks for of the past. */
function historyRequest(x: Element | undefined, now: number): HistoryRequest {
  const attrs = x?.getChild('history', NS.muc)?.attrs ?? {};
  const since = attrs.since === undefined ? undefined : parseDateTime(attrs.since);
  const seconds = countOf(attrs.seconds);
  const times = [since, seconds === undefined ? undefined : now - seconds * 1000].filter((time) => time !== undefined);
  return {
    maxChars: countOf(attrs.maxchars),
    maxStanzas: countOf(attrs.maxstanzas),
    since: times.length === 0 ? undefined : Math.max(...times),
  };
}

function countOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}
