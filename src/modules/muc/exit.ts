// Leaving (XEP-0045 7.14), and being made to: kicks, bans and the like (8.2, 9.1, 9.4, 10.9), devices that are gone (7.14, 18.1.2).
import type { Element } from '../../xml/element.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { isReserved } from './fan-out.ts';
import { roomDestroyed, roomLeft } from './hooks.ts';
import type { Device, Occupant } from './occupant.ts';
import { type GoneParts, sayGone, sayGoneToOthers, showAddress, showToOthers } from './presence.ts';
import type { Room } from './room.ts';

/** A device leaves by unavailable presence, to whatever nick; who is not in the room is ignored (16.3). */
export function exit(room: Room, device: Jid, presence: Element): void {
  const occupant = room.occupantOf(device);
  const leaving = occupant?.device(device);
  if (occupant === undefined || leaving === undefined) return;
  const children = presence.elements().filter((child) => !isReserved(child));
  removeDevice(room, occupant, leaving, { children, id: presence.attrs.id });
}

/**
 * A device is gone without a word, or cannot be reached (18.1.2: ghosts). One that has entered anew meanwhile stays.
 * @param isSucceeded another session has its address, which is not told: it has not entered yet
 */
export function removeGhost(room: Room, device: Device | undefined, isSucceeded = false): void {
  const occupant = device && room.occupantOf(device.jid);
  if (occupant?.devices.includes(device!)) removeDevice(room, occupant, device!, { codes: [333] }, isSucceeded);
}

/** Takes one device out; the occupant stays as long as others are left. */
function removeDevice(room: Room, occupant: Occupant, device: Device, parts: GoneParts, isQuiet = false): void {
  const { hooks, rows } = room.ports;
  const wasShown = occupant.shown === device;
  const isLast = occupant.devices.length === 1;
  rows.saveDevice(device.jid, undefined);
  device.held?.settle();
  if (!isQuiet) sayGone(room, occupant, [device], parts);
  if (isLast) {
    // it keeps the device, whose address is told to those who may know it
    room.displace(occupant);
    sayGoneToOthers(room, occupant, parts);
  } else {
    room.removeDevice(occupant, device);
    if (wasShown && occupant.shown.presence !== device.presence) showToOthers(room, occupant);
    else if (wasShown) showAddress(room, occupant);
  }
  hooks.notify(roomLeft, { room, occupant, device, isLast });
  vanishIfEmpty(room);
}

/**
 * Takes an occupant out, with all devices, and tells these. The others are to be told after who asked for it has been answered (8.2).
 * @returns how to tell the others
 */
export function evict(room: Room, occupant: Occupant, parts: GoneParts): () => void {
  const { hooks, rows } = room.ports;
  room.displace(occupant);
  occupant.role = 'none';
  for (const device of occupant.devices) {
    device.held?.settle();
    device.held = undefined;
    rows.saveDevice(device.jid, undefined);
  }
  sayGone(room, occupant, occupant.devices, parts);
  return () => {
    sayGoneToOthers(room, occupant, parts);
    const last = occupant.devices.length - 1;
    occupant.devices.forEach((device, index) => {
      hooks.notify(roomLeft, { room, occupant, device, isLast: index === last });
    });
    vanishIfEmpty(room);
  };
}

/** 7.14: a room that is not persistent goes with its last occupant, and so does one that was never configured (10.1). */
export function vanishIfEmpty(room: Room): void {
  if (room.isOver || room.occupants.size > 0 || (room.config.isPersistent && !room.isLocked)) return;
  room.ports.background(endRoom(room, false), 'removing a room that everybody has left');
}

/** A room is over; it is empty already. Resolves when nothing is stored of it any more. */
export async function endRoom(room: Room, isByOwner: boolean): Promise<void> {
  room.isOver = true;
  const { rows, hooks } = room.ports;
  hooks.notify(roomDestroyed, { room, isByOwner });
  const people = [...room.affiliations.keys(), ...room.versions.removed.keys()];
  const gone = rows.saveAffiliations(new Map(people.map((person) => [person, undefined])));
  await Promise.all([rows.saveRoom(undefined), gone]);
}

/** 10.9: everybody goes, and hears of it alone; what the owner said of it is in `more`. */
export function evictAll(room: Room, parts: Pick<GoneParts, 'codes' | 'more'>): void {
  const { rows, hooks } = room.ports;
  for (const occupant of [...room.occupants.values()]) {
    room.displace(occupant);
    // as the XEP has it: nobody is anything in a room that is not there
    occupant.affiliation = 'none';
    sayGone(room, occupant, occupant.devices, parts);
    for (const device of occupant.devices) {
      rows.saveDevice(device.jid, undefined);
      device.held?.settle();
      hooks.notify(roomLeft, { room, occupant, device, isLast: device === occupant.shown });
    }
  }
}
