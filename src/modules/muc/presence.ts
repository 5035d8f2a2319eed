// Presence of occupants, as the room tells it (XEP-0045 7.2.3 to 7.2.5, 16.3): with the real JID for those who may see it, without it for
// the others, and with status 110 for the occupant's own devices. `<x/>` is the last child of all of them: there are clients that look
// for it there. What has not changed is made once, however many come to see it.

import { parseElement, unfoldable } from '../../xml/document.ts';
import { type Element, el } from '../../xml/element.ts';
import { flatten } from '../../xml/flatten.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { isReserved, tell, tellDevice, toDevices } from './fan-out.ts';
import { follows, stepElement } from './following.ts';
import { roomPresence } from './hooks.ts';
import type { Device, Occupant } from './occupant.ts';
import type { Room } from './room.ts';
import type { Step } from './versions.ts';
import { type Because, itemElement, userElement } from './x.ts';

/** Characters. What is sent to everybody who comes in is not for pictures. */
const MOST_PRESENCE = 10_000;

/**
 * What a device says of itself, as it is kept: without addresses and without what belongs to rooms.
 * @throws StanzaError policy-violation for more than there is a place for
 */
export function presenceXml(presence: Element): string {
  const children = presence.children.filter(
    (child) => typeof child === 'string' || !('ns' in child) || !isReserved(child),
  );
  const { 'xml:lang': lang } = presence.attrs;
  const xml = el('presence', null, { 'xml:lang': lang }, ...children).toXml();
  if (xml.length > MOST_PRESENCE) throw new StanzaError('policy-violation', 'presence in rooms is shorter');
  return flatten(xml);
}

/** What others see of an occupant who is here. */
export function presenceFor(room: Room, occupant: Occupant, mayKnow: boolean): Element {
  occupant.seen ??= { full: undefined, plain: undefined };
  const form = mayKnow ? 'full' : 'plain';
  // kept as text: its elements are of no use any more
  occupant.seen[form] ??= unfoldable(flatten(made(room, occupant, mayKnow, { codes: [] }).toXml()));
  return occupant.seen[form];
}

/** Something of an occupant's presence changed: the others, and its own devices, are told (7.7). */
export function showPresence(room: Room, occupant: Occupant, parts: ShowParts = {}): void {
  showToOthers(room, occupant, parts);
  showToSelf(room, occupant, parts);
}

export interface ShowParts {
  /** Who changed it, and why. */
  readonly by?: Because | undefined;
  /** It changed with the occupant's affiliation (XEP-0463). */
  readonly step?: Step | undefined;
  /** What the occupant's own devices are told beside 110. */
  readonly codes?: readonly number[];
  /** The device that asked for it, and the `id` by which it did: it finds it again in the answer. */
  readonly asked?: { readonly device: Device; readonly id: string | undefined } | undefined;
}

/** The others' part; who has just lost the right to be seen goes away for them. */
export function showToOthers(room: Room, occupant: Occupant, { by, step }: Omit<ShowParts, 'codes'> = {}): void {
  occupant.seen = undefined;
  occupant.isUncertain = false;
  if (!isBroadcast(room, occupant)) {
    sayGoneToOthers(room, occupant);
    return;
  }
  occupant.isShown = true;
  toOthers(room, occupant, step, (jid, more) =>
    by === undefined && more.length === 0
      ? presenceFor(room, occupant, jid)
      : made(room, occupant, jid, { codes: [], by, more }),
  );
}

/**
 * Another device of an occupant's is shown, which says what the one before has said: its address is all that is new, and for those who
 * see real JIDs (4.2).
 */
export function showAddress(room: Room, occupant: Occupant): void {
  occupant.seen = undefined;
  if (!occupant.isShown) return;
  const seeing = [...room.occupants.values()].filter((reader) => reader !== occupant && room.showsJidsTo(reader));
  if (seeing.length > 0) tell(room, presenceFor(room, occupant, true), occupant.jid, seeing);
}

/** The occupant's own part (7.2.3). */
export function showToSelf(room: Room, occupant: Occupant, { by, step, codes = [], asked }: ShowParts): void {
  const jid = room.showsJidsTo(occupant);
  const own = (sorted: readonly number[], more: readonly Element[]): Element =>
    made(room, occupant, jid, { codes: sorted, by, more });
  const others = occupant.devices.filter((device) => device !== asked?.device);
  const [following, rest] = parted(others, (device) => follows(room, occupant, device));
  if (rest.length > 0) toDevices(room, own([110], []), occupant.jid, rest);
  if (following.length > 0) toDevices(room, own([110], [stepElement(room, step)]), occupant.jid, following);
  if (asked === undefined) return;
  const { device, id } = asked;
  const more = follows(room, occupant, device) ? [stepElement(room, step)] : [];
  const answer = own([110, ...codes].toSorted(rising), more);
  tellDevice(room, answer.with({ id }), occupant.jid, device.jid);
}

/** What one of an occupant's own devices sees of it, at any time. */
export function ownPresence(room: Room, occupant: Occupant, device: Device): Element {
  const more = follows(room, occupant, device) ? [stepElement(room, undefined)] : [];
  return made(room, occupant, room.showsJidsTo(occupant), { codes: [110], more });
}

/** Whether the presence of an occupant is for all (7.2.3: `presencebroadcast`). */
export function isBroadcast({ config }: Room, { role }: Occupant): boolean {
  return role !== 'none' && config.presenceBroadcast.includes(role);
}

export interface GoneParts {
  /** Beside 110 for its own devices. */
  readonly codes?: readonly number[];
  readonly by?: Because | undefined;
  /** It goes with the occupant's affiliation (XEP-0463). */
  readonly step?: Step | undefined;
  /** What it said when it left: `<status/>` (7.14). */
  readonly children?: readonly Element[];
  /** The nick that it has from now on (7.6). */
  readonly nick?: string;
  /** Beside the item and the codes. */
  readonly more?: readonly Element[];
  /** Of the presence with which it left: it finds it again in the answer. */
  readonly id?: string | undefined;
}

/** Tells devices that were an occupant's that they are not in the room any more. */
export function sayGone(room: Room, occupant: Occupant, devices: readonly Device[], parts: GoneParts = {}): void {
  const { id, codes = [] } = parts;
  const own = gone(room, occupant, room.showsJidsTo(occupant), { ...parts, codes: [110, ...codes] }).with({ id });
  for (const { jid } of devices) tellDevice(room, own, occupant.jid, jid);
}

/** Tells all others that an occupant, who is out of the room already, has gone. */
export function sayGoneToOthers(room: Room, occupant: Occupant, parts: GoneParts = {}): void {
  if (!occupant.isShown) return;
  occupant.isShown = false;
  toOthers(room, occupant, parts.step, (jid, more) =>
    gone(room, occupant, jid, more.length === 0 ? parts : { ...parts, more: [...(parts.more ?? []), ...more] }),
  );
}

/** Everybody else who is to be seen, for somebody who comes in (7.2.3). */
export function showOthersTo(room: Room, occupant: Occupant, device: Device): void {
  const jid = room.showsJidsTo(occupant);
  for (const other of room.occupants.values()) {
    if (other !== occupant && other.isShown) tellDevice(room, presenceFor(room, other, jid), other.jid, device.jid);
  }
}

/** `form` is given whether its readers may see the real JID, and what else is for them in `<x/>`. */
function toOthers(
  room: Room,
  occupant: Occupant,
  step: Step | undefined,
  form: (mayKnow: boolean, more: readonly Element[]) => Element,
): void {
  const seeing: Occupant[] = [];
  const others: Occupant[] = [];
  for (const reader of room.occupants.values()) {
    if (reader !== occupant) (room.showsJidsTo(reader) ? seeing : others).push(reader);
  }
  if (others.length > 0) tell(room, form(false, []), occupant.jid, others);
  if (seeing.length === 0) return;
  if (step === undefined) {
    tell(room, form(true, []), occupant.jid, seeing);
    return;
  }
  const devices = seeing.map((reader) => parted(reader.devices, (device) => follows(room, reader, device)));
  const following = devices.flatMap(([first]) => first);
  const rest = devices.flatMap(([, second]) => second);
  if (following.length > 0) toDevices(room, form(true, [stepElement(room, step)]), occupant.jid, following);
  if (rest.length > 0) toDevices(room, form(true, []), occupant.jid, rest);
}

/** Those of which something is true, and the others. */
function parted<T>(all: readonly T[], test: (one: T) => boolean): [T[], T[]] {
  const parts: [T[], T[]] = [[], []];
  for (const one of all) parts[test(one) ? 0 : 1].push(one);
  return parts;
}

interface MadeParts {
  readonly codes: readonly number[];
  readonly by?: Because | undefined;
  readonly more?: readonly Element[];
}

function made(room: Room, occupant: Occupant, mayKnow: boolean, { codes, by, more = [] }: MadeParts): Element {
  const { affiliation, role, shown } = occupant;
  const said = parseElement(shown.presence);
  const item = itemElement({ affiliation, role, jid: mayKnow ? shown.jid.full : undefined, by });
  const attrs = { from: occupant.jid.full, 'xml:lang': said.attrs['xml:lang'] };
  return el(
    'presence',
    null,
    attrs,
    ...said.children,
    ...beside(room, occupant, false),
    userElement(item, codes, ...more),
  );
}

function gone(room: Room, occupant: Occupant, mayKnow: boolean, parts: GoneParts): Element {
  const { affiliation } = occupant;
  const { nick, by, codes = [], children = [], more = [] } = parts;
  // 7.6: who goes on under another nick keeps the role
  const role = nick === undefined ? 'none' : occupant.role;
  const real = mayKnow ? occupant.shown.jid.full : undefined;
  const item = itemElement({ affiliation, role, jid: real, nick, by });
  const attrs = { from: occupant.jid.full, type: 'unavailable' };
  const x = userElement(item, codes.toSorted(rising), ...more);
  return el('presence', null, attrs, ...children, ...beside(room, occupant, true), x);
}

/** What modules put beside `<x/>`. */
function beside(room: Room, occupant: Occupant, isLeaving: boolean): readonly Element[] {
  const { hooks } = room.ports;
  if (!hooks.listens(roomPresence)) return nothing;
  const children: Element[] = [];
  void hooks.collect(roomPresence, { room, occupant, isLeaving, children });
  return children;
}
const nothing: readonly Element[] = [];

function rising(a: number, b: number): number {
  return a - b;
}
