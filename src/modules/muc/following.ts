// XEP-0463: MUC Affiliations Versioning. Whoever enters with `<mav/>` is told the affiliations, or what of them has changed since a version,
// and from then on by which version each change came.
//
// - 2.2: who has not asked is sent nothing of the kind: there are clients that take nothing in `<x/>` but what XEP-0045 has there.
// - 2.2.3: everybody is told what they would be told by the lists (XEP-0045 9.2, 9.5, 10.5, 10.8). Who is on a list that is not for a reader is
//   `none` to that one. Nicks and reasons are in the lists alone.
// - 2.2.2: a change is in the presence of whom it is about, where a reader sees by it who that is; else in a message.
// - 4: in a room that not everybody may enter and see, versions from before a reader belonged to it are refused. Who does not belong to it
//   and is in it all the same is told all, as nobody knows what they have seen.
// - An account that is removed is not remembered: older versions are not known any more then.
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { BareJid, Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { isAtLeast } from './associations.ts';
import type { Affiliation } from './config.ts';
import { tellDevice } from './fan-out.ts';
import type { Device, Occupant } from './occupant.ts';
import { mayReadAffiliations, type Standing } from './privileges.ts';
import type { Room } from './room.ts';
import type { AffiliationRow } from './rows.ts';
import type { Step } from './versions.ts';
import { type Because, itemElement, userElement } from './x.ts';

/** In one message. */
const MOST_ITEMS = 500;

const lists: readonly Affiliation[] = ['owner', 'admin', 'member', 'outcast'];

/**
 * Tells a device that enters what it asks for; before anything else.
 * @param asked `<mav/>` of its presence
 * @param id that of its presence
 * @returns whether it is told of changes from now on
 */
export function tellAffiliations(
  room: Room,
  device: Jid,
  standing: Standing,
  asked: Element,
  id: string | undefined,
): boolean {
  const sees = seen(room, standing);
  const known = asked.attrs.since === undefined ? undefined : numberOf(room, asked.attrs.since);
  if (sees.size === 0 || (known !== undefined && isFromBefore(room, device, standing, known))) {
    const error = new StanzaError('forbidden', 'those affiliations are not for you');
    const attrs = { from: room.jid.full, type: 'error', id: id ?? room.ports.newId() };
    tellDevice(room, el('message', null, attrs, error.toElement(room.jid.full)), room.jid, device);
    return false;
  }
  const since = isAllKnown(room, standing, known) ? known : undefined;
  if (since !== room.versions.current) tellChanges(room, device, sees, since);
  return true;
}

/** In messages that join one another: each a state that there has been, as far as it is still of interest. */
function tellChanges(room: Room, device: Jid, sees: ReadonlySet<Affiliation>, since: number | undefined): void {
  const { versions, affiliations } = room;
  const changed: { readonly version: number; readonly item: Element }[] = [];
  for (const { person, version } of versions.changedAfter(since ?? -1, affiliations)) {
    const own = affiliations.get(person)?.affiliation ?? 'none';
    const affiliation = sees.has(own) ? own : 'none';
    if (since === undefined && affiliation === 'none') continue;
    changed.push({ version, item: itemElement({ affiliation, jid: person }) });
  }
  let from = since;
  for (let start = 0; start < changed.length || start === 0; ) {
    let end = Math.min(start + MOST_ITEMS, changed.length);
    // what came at once stays together
    while (end < changed.length && changed[end]!.version === changed[end - 1]!.version) end++;
    const until = end < changed.length ? changed[end - 1]!.version : versions.current;
    const items = changed.slice(start, end).map(({ item }) => item);
    const x = el('x', NS.mucUser, undefined, versionElement(room, from, until), ...items);
    tellDevice(room, el('message', null, { from: room.jid.full, id: room.ports.newId() }, x), room.jid, device);
    from = until;
    start = Math.max(end, 1);
  }
}

/** The lists that somebody may read. */
function seen({ config }: Room, { affiliation, role }: Standing): ReadonlySet<Affiliation> {
  const { whois, isMembersOnly } = config;
  return new Set(lists.filter((list) => mayReadAffiliations({ affiliation, role, whois, isMembersOnly }, list)));
}

/** 4: the version is one of a time that this one was no part of. */
function isFromBefore(room: Room, person: Jid, { affiliation }: Standing, version: number): boolean {
  if (isOpen(room) || !isAtLeast(affiliation, 'member')) return false;
  return version < (room.affiliations.get(person.withResource('').bare)?.memberSince ?? 0);
}

/** Whether all that has changed since a version is known, and may be told. */
function isAllKnown(room: Room, { affiliation }: Standing, version: number | undefined): boolean {
  if (version === undefined || version < room.versions.floor) return false;
  return version === room.versions.current || isOpen(room) || isAtLeast(affiliation, 'member');
}

/** Everybody may come in and see who is who. */
function isOpen({ config }: Room): boolean {
  return config.whois === 'anyone' && !config.isMembersOnly && config.password === '';
}

/** Whether a device of an occupant is told of versions. */
export function follows(room: Room, occupant: Occupant, device: Device): boolean {
  return device.follows && seen(room, occupant).size > 0;
}

/** `<mav/>` for a change, or for what holds. */
export function stepElement(room: Room, step: Step | undefined): Element {
  return versionElement(room, step?.since, step?.until ?? room.versions.current);
}

/** A change of a list. */
export interface ListChange {
  readonly person: BareJid;
  readonly affiliation: Affiliation;
  readonly by: Because | undefined;
}

/** A change that its reader learns by a message: of somebody who is not there, or of whom presence does not tell who it is. */
export function changeMessage(room: Room, { person, affiliation, by }: ListChange, step: Step | undefined): Element {
  const item = itemElement({ affiliation, role: 'none', jid: person, by });
  const x = step === undefined ? userElement(item, []) : userElement(item, [], stepElement(room, step));
  return el('message', null, { from: room.jid.full, id: room.ports.newId() }, x);
}

function versionElement(room: Room, since: number | undefined, until: number): Element {
  const attrs = { since: since === undefined ? undefined : textOf(room, since), until: textOf(room, until) };
  return el('mav', NS.affiliationVersions, attrs);
}

// of two rooms that have had the same name, one does not know the versions of the other
function textOf(room: Room, version: number): string {
  return `${room.createdAt.toString(36)}.${version.toString(36)}`;
}

/** Undefined for what is no version of this room. */
function numberOf(room: Room, text: string): number | undefined {
  const digits = /\.([0-9a-z]{1,9})$/.exec(text)?.[1];
  const version = digits === undefined ? undefined : Number.parseInt(digits, 36);
  return version !== undefined && version <= room.versions.current && textOf(room, version) === text
    ? version
    : undefined;
}

/** With the version that a change of somebody's affiliation is to bring, and since when they belong to the room. */
export function versioned(row: AffiliationRow, before: AffiliationRow | undefined, version: number): AffiliationRow {
  if (!isAtLeast(row.affiliation, 'member')) return { ...row, version };
  const wasMember = before !== undefined && isAtLeast(before.affiliation, 'member');
  const memberSince = wasMember ? before.memberSince : version;
  return { ...row, version, ...(memberSince !== undefined && { memberSince }) };
}
