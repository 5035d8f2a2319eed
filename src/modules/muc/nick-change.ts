// Another nick (XEP-0045 7.6), and other presence (7.7).
import { andThen, isPromise, type MaybePromise } from '../../base/maybe.ts';
import type { Element } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { checkNick, checkNickIsFree } from './enter.ts';
import { type RoomNick, type RoomShow, roomNick, roomShow } from './hooks.ts';
import { type Device, deviceRow, Occupant } from './occupant.ts';
import { presenceXml, sayGone, sayGoneToOthers, showPresence, showToOthers, showToSelf } from './presence.ts';
import type { Room } from './room.ts';

/** A device that is inside sends other presence of itself. @throws StanzaError where a module refuses it */
export function changePresence(event: RoomShow): MaybePromise<void> {
  const { hooks } = event.room.ports;
  if (!hooks.listens(roomShow)) return applyPresence(event);
  return andThen(hooks.gate(roomShow, event), (verdict) => {
    if (verdict instanceof StanzaError) throw verdict;
    if (verdict === undefined && event.occupant.device(event.device.jid) !== undefined) applyPresence(event);
  });
}

/** The same, without asking anybody. */
export function applyPresence({ room, occupant, device, presence }: RoomShow): void {
  device.presence = presenceXml(presence);
  // what was said last is what is shown
  occupant.devices.push(...occupant.devices.splice(occupant.devices.indexOf(device), 1));
  room.ports.rows.saveDevice(device.jid, deviceRow(occupant, device));
  showPresence(room, occupant, { asked: { device, id: presence.attrs.id } });
}

/**
 * A device wants to be called otherwise. Where its occupant has other devices, these keep the old nick, and it becomes another occupant.
 * @throws StanzaError jid-malformed, conflict
 */
export function changeNick(
  room: Room,
  occupant: Occupant,
  device: Device,
  nick: string,
  presence: Element,
): MaybePromise<void> {
  checkNick(room.jid, nick);
  checkNickIsFree(room, device.jid, nick);
  const event: RoomNick = { room, occupant, nick };
  const verdict = room.ports.hooks.gate(roomNick, event);
  if (!isPromise(verdict)) return settle(verdict, event, device, presence);
  return verdict.then((settled) => settle(settled, event, device, presence));
}

function settle(
  verdict: 'handled' | StanzaError | undefined,
  { room, occupant, nick }: RoomNick,
  device: Device,
  presence: Element,
): void {
  if (verdict instanceof StanzaError) throw verdict;
  if (verdict !== undefined || occupant.device(device.jid) === undefined) return;
  device.presence = presenceXml(presence);
  const own = room.occupants.get(nick);
  const target = own ?? (occupant.devices.length === 1 ? occupant : undefined);
  sayGone(room, occupant, [device], { codes: [303], nick });
  if (target === occupant) rename(room, occupant, nick);
  else depart(room, occupant, device, nick);
  const now = target ?? new Occupant(room.jid.withResource(nick), occupant.bare, occupant.role, occupant.affiliation);
  if (target === undefined) {
    now.devices.push(device);
    room.place(now);
  } else if (target !== occupant) room.placeDevice(target, device);
  room.ports.rows.saveDevice(device.jid, deviceRow(now, device));
  showToOthers(room, now);
  showToSelf(room, now, { asked: { device, id: presence.attrs.id } });
  // its own old nick is still there, with the other devices
  if (now !== occupant && occupant.devices.length > 0) showToOthers(room, occupant);
}

/** The same occupant under another nick: what modules know of it stays. */
function rename(room: Room, occupant: Occupant, nick: string): void {
  room.displace(occupant);
  sayGoneToOthers(room, occupant, { codes: [303], nick });
  occupant.jid = room.jid.withResource(nick);
  room.place(occupant);
}

/** One device leaves its occupant for another nick. */
function depart(room: Room, occupant: Occupant, device: Device, nick: string): void {
  if (occupant.devices.length > 1) {
    room.removeDevice(occupant, device);
    return;
  }
  room.displace(occupant);
  sayGoneToOthers(room, occupant, { codes: [303], nick });
  occupant.devices.length = 0;
}
