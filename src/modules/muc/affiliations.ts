// Changes of affiliations (XEP-0045 9.1 to 9.5, 10.3 to 10.8) and of registered nicks (7.10): bans, members, admins, owners. First all is
// checked, then written, then it holds; who is thereby out of the room is out.
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { BareJid, Jid } from '../../xmpp/jid.ts';
import { type Actor, because } from './actor.ts';
import { initialRole, isAtLeast, mayAs } from './associations.ts';
import type { Affiliation } from './config.ts';
import { evict } from './exit.ts';
import { tell } from './fan-out.ts';
import { roomAffiliation } from './hooks.ts';
import { isNick, likeness } from './nicks.ts';
import type { Occupant } from './occupant.ts';
import { type GoneParts, showPresence } from './presence.ts';
import { checkAffiliationChange, checkOwners } from './privileges.ts';
import { setRole } from './roles.ts';
import type { Room } from './room.ts';
import type { AffiliationRow } from './rows.ts';
import { itemElement, userElement } from './x.ts';

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
  const rows = new Map<BareJid, { readonly row: AffiliationRow | undefined; readonly change: AffiliationChange }>();
  for (const change of changes) {
    const jid = change.jid.withResource('');
    if (cause === 'request') checkChange(room, actor, jid, change);
    rows.set(jid.bare, { row: rowOf(room, actor, jid, change), change });
  }
  checkNicks(room, rows);
  // an account that is removed cannot stay the owner
  if (cause !== 'removal') checkOwnersLeft(room, rows);
  if (room.affiliations.size + rows.size > MOST_ROWS) throw new StanzaError('resource-constraint', 'that list is full');
  await Promise.all([...rows].map(([person, { row }]) => room.ports.rows.saveAffiliation(person, row)));
  const steps: (() => void)[] = [];
  for (const [person, { row, change }] of rows) {
    const before = room.affiliations.get(person);
    room.setRow(person, row);
    steps.push(...apply(room, actor, person, change, before));
    steps.push(() =>
      room.ports.hooks.notify(roomAffiliation, { room, jid: person, before, now: row, by: actor.bare, cause }),
    );
  }
  return () => {
    for (const step of steps) step();
  };
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

/** What follows for those who are in the room; returns how to tell the others. */
function apply(
  room: Room,
  actor: Actor,
  person: BareJid,
  change: AffiliationChange,
  before: AffiliationRow | undefined,
): (() => void)[] {
  const by = because(actor, change.reason);
  const steps: (() => void)[] = [];
  const present = [...room.occupants.values()].filter(({ bare }) => bare === person || isAt(bare, person));
  for (const occupant of present) {
    const affiliation = room.affiliationOf(occupant.shown.jid);
    if (affiliation === occupant.affiliation) continue;
    const was = occupant.affiliation;
    occupant.affiliation = affiliation;
    const out = outBy(room, affiliation);
    if (out !== undefined) {
      steps.push(evict(room, occupant, { ...out, by }));
      continue;
    }
    const role = roleAfter(room, occupant, was);
    if (role !== occupant.role) setRole(room, occupant, role);
    steps.push(() => showPresence(room, occupant, { by }));
  }
  const isOther = (before?.affiliation ?? 'none') !== change.affiliation;
  if (present.length === 0 && isOther) steps.push(() => tellOfAbsent(room, person, change.affiliation, by));
  return steps;
}

function outBy(room: Room, affiliation: Affiliation): GoneParts | undefined {
  if (affiliation === 'outcast') return { codes: [301] };
  // 9.4: only this, and no other presence before it
  if (room.config.isMembersOnly && !isAtLeast(affiliation, 'member')) return { codes: [321] };
  return undefined;
}

/** 5.1.3: what an affiliation brings is had at once; the role of moderator goes with the affiliation that brought it. */
function roleAfter(room: Room, { affiliation, role }: Occupant, was: Affiliation): Occupant['role'] {
  const initial = initialRole(affiliation, room.config.isModerated);
  if (isAtLeast(was, 'admin') && !isAtLeast(affiliation, 'admin')) return initial;
  return mayAs(role, initial) || affiliation === 'none' ? role : initial;
}

/** 10.3 and its like: who is not there has no presence; those who may see real JIDs are told by a message. */
function tellOfAbsent(room: Room, person: BareJid, affiliation: Affiliation, by: ReturnType<typeof because>): void {
  const readers = [...room.occupants.values()].filter((occupant) => room.showsJidsTo(occupant));
  if (readers.length === 0) return;
  const x = userElement(itemElement({ affiliation, role: 'none', jid: person, by }), []);
  const message: Element = el('message', null, { from: room.jid.full, id: room.ports.newId() }, x);
  tell(room, message, room.jid, readers);
}

function isAt(person: BareJid, domain: BareJid): boolean {
  return person.endsWith(`@${domain}`);
}
