// What a room tells its occupants: one element for all who are to get the same, whatever their number.
import type { MaybePromise } from '../../base/maybe.ts';
import { type Element, el } from '../../xml/element.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Device, Occupant } from './occupant.ts';
import type { Room } from './room.ts';
import { subjectMessage } from './subject.ts';
import { userElement } from './x.ts';

/** Somebody who has just come waits for history; what is said meanwhile waits too, but no more than this. */
const MOST_HELD = 1000;

/** Sends an element, which says whom it is from, to everybody. @returns when other nodes have it for certain, also for those who wait for history */
export function tellAll(room: Room, element: Element, from: Jid): MaybePromise<void> {
  const { audience, waiting } = room;
  const sent = audience.length > 0 ? room.ports.multicast(element, from, audience) : undefined;
  if (waiting.size === 0) return sent;
  return Promise.all([sent, ...hold(room, element, from)]).then(nothing);
}
const nothing = (): void => {};

/** To all devices of these occupants. */
export function tell(room: Room, element: Element, from: Jid, readers: Iterable<Occupant>): void {
  const devices: Device[] = [];
  for (const reader of readers) devices.push(...reader.devices);
  toDevices(room, element, from, devices);
}

/** To these, or to those of them that wait for history after it. */
export function toDevices(room: Room, element: Element, from: Jid, devices: readonly Device[]): void {
  const to: Jid[] = [];
  for (const device of devices) {
    if (device.held === undefined) to.push(device.jid);
    else device.held.items.push([element, from]);
  }
  if (to.length > 0) void room.ports.multicast(element, from, to);
}

/** To one device, though it waits for history. */
export function tellDevice(room: Room, element: Element, from: Jid, to: Jid): void {
  void room.ports.multicast(element, from, [to]);
}

/** The room says something to all who are in it; `codes` as in 10.2.1. */
export function announce(room: Room, ...codes: number[]): void {
  if (room.occupants.size === 0) return;
  void tellAll(room, roomMessageOf(room, userElement(undefined, codes)), room.jid);
}

/** A message of the room itself to everybody. */
export function roomMessageOf(room: Room, ...children: Element[]): Element {
  const { jid, ports } = room;
  return el('message', null, { from: jid.full, id: ports.newId(), type: 'groupchat' }, ...children);
}

/** What only the room may say: it is taken out of what occupants say (16.3), and so is what belongs to the way in. */
export function isReserved(child: Element): boolean {
  return reserved.has(child.ns ?? '');
}
const reserved: ReadonlySet<string> = new Set([
  NS.muc,
  NS.mucUser,
  NS.occupantId,
  NS.hiddenUser,
  NS.hats,
  NS.prosodyHats,
  NS.affiliationVersions,
]);

function hold(room: Room, element: Element, from: Jid): Promise<void>[] {
  const sent: Promise<void>[] = [];
  for (const device of room.waiting) {
    const held = device.held!;
    held.items.push([element, from]);
    sent.push(held.sent);
    if (held.items.length > MOST_HELD) welcome(room, device);
  }
  return sent;
}

/** The end of a way in: the subject, and then what was said meanwhile (7.2.16, 7.2.17). */
export function welcome(room: Room, device: Device): void {
  tellDevice(room, subjectMessage(room), room.jid, device.jid);
  room.release(device);
}
