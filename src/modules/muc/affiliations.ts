// Changes of affiliations (XEP-0045 9.1 to 9.5, 10.3 to 10.8) and of registered nicks (7.10): bans, members, admins, owners. First all is
// checked, then written, then it holds; who is thereby out of the room is out.
import { StanzaError } from '../../xmpp/errors.ts';
import type { BareJid, Jid } from '../../xmpp/jid.ts';
import { type Actor, because } from './actor.ts';
import { initialRole, isAtLeast, mayAs } from './associations.ts';
import type { Affiliation } from './config.ts';
import { evict } from './exit.ts';
import { toDevices } from './fan-out.ts';
import { changeMessage, follows, type ListChange, versioned } from './following.ts';
import { roomAffiliation } from './hooks.ts';
import { isNick, likeness } from './nicks.ts';
import type { Device, Occupant } from './occupant.ts';
import { type GoneParts, isBroadcast, showPresence } from './presence.ts';
import { checkAffiliationChange, checkOwners } from './privileges.ts';
import { setRole } from './roles.ts';
import type { Room } from './room.ts';
import type { AffiliationRow } from './rows.ts';
import type { Step } from './versions.ts';
import type { Because } from './x.ts';

export interface AffiliationChange {
  /** A person, by whatever JID of theirs, or a domain, which can be banned or be let be. */
  readonly jid: Jid;
  readonly affiliation: Affiliation;
  /** The nick that is registered for this person from now on; `''`: none; the one before, unless said. */
  readonly nick?: string | undefined;
  readonly reason?: string | undefined;
}

/** What brought a change about; `roomAffiliation` passes it on. */
export type Cause = 'request' | 'invitation' | 'registration' | 'operator' | 'removal';

/** How many rows a room has, at most. */
const MOST_ROWS = 50_000;

/**
 * Changes affiliations, all or none.
 * @returns when that is stored and holds, and who is out has been told: how to tell the others
 * @throws StanzaError by the sections above
 */
export async function changeAffiliations(
  room: Room,
  actor: Actor,
  changes: readonly AffiliationChange[],
  cause: Cause = 'request',
): Promise<() => void> {
  const rows = new Map<BareJid, Planned>();
  for (const change of changes) {
    const jid = change.jid.withResource('');
    if (cause === 'request') checkChange(room, actor, jid, change);
    rows.set(jid.bare, { row: rowOf(room, actor, jid, change), change, version: undefined });
  }
  checkNicks(room, rows);
  // an account that is removed cannot stay the owner
  if (cause !== 'removal') checkOwnersLeft(room, rows);
  if (room.affiliations.size + rows.size > MOST_ROWS) throw new StanzaError('resource-constraint', 'that list is full');
  const stored = [...rows].map(([person, planned]) => [person, withVersion(room, person, planned, cause)] as const);
  await write(room, stored);
  const steps: (() => void)[] = [];
  for (const [person, { row, kept, change, version }] of stored) {
    const before = room.affiliations.get(person);
    room.setRow(person, row);
    const step = version === undefined ? undefined : room.versions.apply(person, version, kept);
    steps.push(...apply(room, person, change.affiliation, because(actor, change.reason), step));
    steps.push(() =>
      room.ports.hooks.notify(roomAffiliation, { room, jid: person, before, now: row, by: actor.bare, cause }),
    );
  }
  await forgetOld(room);
  return () => {
    for (const step of steps) step();
  };
}

/** A change that may be made. */
interface Planned {
  readonly row: AffiliationRow | undefined;
  readonly change: AffiliationChange;
  /** The version that comes with it (XEP-0463); undefined where only the nick or the reason is another one. */
  readonly version: number | undefined;
}
interface Versioned extends Planned {
  /** What is stored: for those who have no affiliation any more, that they once had one. Nothing is left of accounts that are removed. */
  readonly kept: AffiliationRow | undefined;
}

function withVersion(room: Room, person: BareJid, { row, change }: Planned, cause: Cause): Versioned {
  const before = room.affiliations.get(person);
  if ((row?.affiliation ?? 'none') === (before?.affiliation ?? 'none')) {
    const same = row && { ...versionsOf(before), ...row };
    return { row: same, kept: same, change, version: undefined };
  }
  const version = room.versions.claim();
  const now = row && versioned(row, before, version);
  const removed: AffiliationRow = { affiliation: 'none', at: room.ports.now(), version };
  return { row: now, kept: now ?? (cause === 'removal' ? undefined : removed), change, version };
}

function versionsOf(row: AffiliationRow | undefined): Pick<AffiliationRow, 'version' | 'memberSince'> {
  const { version, memberSince } = row ?? {};
  return { ...(version !== undefined && { version }), ...(memberSince !== undefined && { memberSince }) };
}

async function write(room: Room, rows: readonly (readonly [BareJid, Versioned])[]): Promise<void> {
  const forgotten = rows.flatMap(([, { kept, version = 0 }]) => (kept === undefined ? version : []));
  const work = [room.ports.rows.saveAffiliations(new Map(rows.map(([person, { kept }]) => [person, kept])))];
  // what has nobody's row is not known after a restart, and must not be given again
  if (forgotten.length > 0)
    work.push(room.ports.rows.saveRoom({ ...room.row(), versionFloor: Math.max(...forgotten) }));
  await Promise.all(work);
}

/** Removals are not remembered for ever: whoever knows a version from before them is told all anew. */
async function forgetOld(room: Room): Promise<void> {
  const { ports, versions } = room;
  const { people, floor } = versions.forgettable(ports.now());
  if (people.length === 0) return;
  const work = async (): Promise<void> => {
    await ports.rows.saveRoom({ ...room.row(), versionFloor: floor });
    versions.floor = floor;
    versions.forget(people);
    await ports.rows.saveAffiliations(new Map(people.map((person) => [person, undefined])));
  };
  const done = work();
  ports.background(done, 'forgetting who had an affiliation');
  await done.catch(() => {});
}

/** @throws StanzaError where the actor may not do that (5.2.2) */
function checkChange(room: Room, actor: Actor, jid: Jid, { affiliation, nick }: AffiliationChange): void {
  const from = room.affiliationOf(jid);
  const isSelf = actor.bare !== undefined && (jid.bare === actor.bare || isAt(actor.bare, jid.bare));
  const isOfDomain = jid.local === '';
  const changesNick = nick !== undefined && nick !== (room.affiliations.get(jid.bare)?.nick ?? '');
  const step = { from, to: affiliation, isSelf, isOfDomain, changesNick };
  checkAffiliationChange(actor.affiliation, step, room.config.allowInvites);
  if (isOfDomain && isAtLeast(affiliation, 'admin')) {
    throw new StanzaError('not-allowed', 'a whole domain cannot have that affiliation');
  }
}

/** Nobody gets a nick that another one gets by the same request. */
function checkNicks(room: Room, rows: ReadonlyMap<BareJid, { readonly row: AffiliationRow | undefined }>): void {
  const looks = new Set<string>();
  for (const [person, { row }] of rows) {
    if (row?.nick === undefined || row.nick === room.affiliations.get(person)?.nick) continue;
    const look = likeness(row.nick);
    if (looks.has(look)) throw new StanzaError('conflict', 'two people cannot have one nick');
    looks.add(look);
  }
}

/** 10.4: a room that has an owner keeps one. */
function checkOwnersLeft(room: Room, rows: ReadonlyMap<BareJid, { readonly row: AffiliationRow | undefined }>): void {
  let were = 0;
  let left = 0;
  for (const [person, { affiliation }] of room.affiliations) {
    if (affiliation !== 'owner') continue;
    were++;
    if (!rows.has(person)) left++;
  }
  for (const { row } of rows.values()) if (row?.affiliation === 'owner') left++;
  if (were > 0) checkOwners(left);
}

function rowOf(room: Room, actor: Actor, jid: Jid, change: AffiliationChange): AffiliationRow | undefined {
  const before = room.affiliations.get(jid.bare);
  const { affiliation, reason } = change;
  // 9.1: who is banned has no registered nick
  const nick = affiliation === 'outcast' ? undefined : (change.nick ?? before?.nick);
  if (nick !== undefined && nick !== '' && nick !== before?.nick) {
    if (!isNick(nick)) throw new StanzaError('jid-malformed', 'that is no nick');
    if (room.isNickOfAnother(nick, jid.bare)) throw new StanzaError('conflict', 'that nick is somebody else’s');
  }
  // 7.10: a nick is reserved for members; who is none any more gives it up
  const isKept = nick !== undefined && nick !== '' && isAtLeast(affiliation, 'member');
  if (affiliation === 'none' && !isKept) return undefined;
  // what is said again keeps who said it first, and why
  const isSame = affiliation === before?.affiliation && (isKept ? nick : undefined) === before.nick;
  if (isSame && reason === undefined) return before;
  return {
    affiliation,
    ...(reason !== undefined && { reason }),
    ...(isKept && { nick }),
    ...(actor.bare !== undefined && { by: actor.bare }),
    at: room.ports.now(),
  };
}

/** What follows for those who are in the room; returns how to tell the others. `step`: their list is another one. */
function apply(
  room: Room,
  person: BareJid,
  affiliation: Affiliation,
  by: Because | undefined,
  step: Step | undefined,
): (() => void)[] {
  const present = [...room.occupants.values()].filter(({ bare }) => bare === person || isAt(bare, person));
  const changed: Changed[] = [];
  for (const occupant of present) {
    const now = room.affiliationOf(occupant.shown.jid);
    if (now === occupant.affiliation) continue;
    const was = occupant.affiliation;
    const wasShown = occupant.isShown;
    occupant.affiliation = now;
    const out = outBy(room, now);
    if (out === undefined) {
      const role = roleAfter(room, occupant, was);
      if (role !== occupant.role) setRole(room, occupant, role);
    }
    changed.push({ occupant, out, isTold: wasShown && (out !== undefined || isBroadcast(room, occupant)) });
  }
  // one presence tells of it: the first of the person's own
  const lead = step === undefined ? undefined : changed.find(({ occupant }) => occupant.bare === person);
  const steps: (() => void)[] = [];
  for (const { occupant, out } of changed) {
    const parts = occupant === lead?.occupant ? { by, step } : { by };
    steps.push(
      out === undefined ? () => showPresence(room, occupant, parts) : evict(room, occupant, { ...out, ...parts }),
    );
  }
  if (step === undefined) return steps;
  const isAbsent = present.length === 0;
  return [() => tellByMessage(room, { person, affiliation, by }, step, { isAbsent, lead }), ...steps];
}

/** An occupant whose affiliation is another one now; `isTold`: others hear of it by presence. */
interface Changed {
  readonly occupant: Occupant;
  readonly out: GoneParts | undefined;
  readonly isTold: boolean;
}

function outBy(room: Room, affiliation: Affiliation): GoneParts | undefined {
  if (affiliation === 'outcast') return { codes: [301] };
  // 9.4: only this, and no other presence before it
  if (room.config.isMembersOnly && !isAtLeast(affiliation, 'member')) return { codes: [321] };
  return undefined;
}

/** 5.1.3: what an affiliation brings is had at once; the role of moderator goes with the affiliation that brought it. */
function roleAfter(room: Room, { affiliation, role }: Occupant, was: Affiliation): Occupant['role'] {
  const initial = initialRole(affiliation, room.config);
  if (isAtLeast(was, 'admin') && !isAtLeast(affiliation, 'admin')) return initial;
  return mayAs(role, initial) || affiliation === 'none' ? role : initial;
}

/**
 * 10.3 and its like: who is not there has no presence; those who may see real JIDs are told by a message. So are those who follow the versions
 * and do not learn it from the presence of `lead`.
 */
function tellByMessage(
  room: Room,
  change: ListChange,
  step: Step,
  { isAbsent, lead }: { readonly isAbsent: boolean; readonly lead: Changed | undefined },
): void {
  const plain: Device[] = [];
  const following: Device[] = [];
  for (const reader of room.occupants.values()) {
    const sees = room.showsJidsTo(reader);
    const hears = reader === lead?.occupant || (lead?.isTold === true && sees);
    for (const device of reader.devices) {
      if (!follows(room, reader, device)) {
        if (isAbsent && sees) plain.push(device);
      } else if (!hears) following.push(device);
    }
  }
  if (plain.length > 0) toDevices(room, changeMessage(room, change, undefined), room.jid, plain);
  if (following.length > 0) toDevices(room, changeMessage(room, change, step), room.jid, following);
}

function isAt(person: BareJid, domain: BareJid): boolean {
  return person.endsWith(`@${domain}`);
}
