// Who may do what to whom in a room (XEP-0045 5.1.1, 5.1.3, 5.2.1, 5.2.2, and the conditions of 8 to 10): tables, and nothing else.
import { StanzaError } from '../../xmpp/errors.ts';
import { isAtLeast } from './associations.ts';
import { type Affiliation, affiliationRank, type Role } from './config.ts';

/** Who acts, or is acted upon. Admins and owners are moderators from outside, too (`actorOf`). */
export interface Standing {
  readonly affiliation: Affiliation;
  readonly role: Role;
}

/**
 * May changes of this kind be asked for at all? To be asked before anybody is looked for: else the answer would tell who is in the room, or
 * belongs to it.
 * @throws StanzaError `forbidden` (8, 9)
 */
export function checkMayChange(actor: Standing, kind: 'role' | 'affiliation', membersInvite: boolean): void {
  if (kind === 'role') {
    if (actor.role !== 'moderator') throw forbidden('moderator');
  } else if (!isAtLeast(actor.affiliation, membersInvite ? 'member' : 'admin')) throw forbidden('admin');
}

/**
 * May this role be given to somebody who is in the room?
 * @throws StanzaError `forbidden` for those who may not do such things at all, `not-allowed` for a target that they may not do it to
 */
export function checkRoleChange(actor: Standing, target: Standing, role: Role): void {
  if (actor.role !== 'moderator') throw forbidden('moderator');
  if (role === target.role) return;
  const isAdmin = isAtLeast(actor.affiliation, 'admin');
  const isProtected = isAtLeast(target.affiliation, 'admin');
  if (role === 'none') {
    // 8.2, and 5.1.3: a moderator is kicked by an admin or owner
    if (isAbove(target, actor) || (target.role === 'moderator' && !isAdmin)) throw notAllowed('kicked');
  } else if (role === 'visitor') {
    // 8.4: those who are no more than the moderator, and who are nobody in particular
    if (isProtected || (!isAbove(actor, target) && target.affiliation !== 'none')) throw notAllowed('silenced');
    if (target.role === 'moderator' && !isAdmin) throw forbidden('admin');
  } else if (role === 'moderator') {
    if (!isAdmin) throw forbidden('admin');
  } else if (target.role === 'moderator') {
    // 9.7
    if (isProtected) throw notAllowed('made less than a moderator');
    if (!isAdmin) throw forbidden('admin');
  }
}

/** A change of somebody's affiliation, before it is made. */
export interface AffiliationStep {
  readonly from: Affiliation;
  readonly to: Affiliation;
  /** It is the affiliation of whoever changes it. */
  readonly isSelf: boolean;
  /** It is that of a whole domain. */
  readonly isOfDomain?: boolean;
  /** Another nick is registered with it, or none any more. */
  readonly changesNick?: boolean;
}

/**
 * May this affiliation be given?
 * @param membersInvite members may make others members (`muc#roomconfig_allowinvites`)
 * @throws StanzaError `forbidden`, `not-allowed`, or `conflict` (9.1: nobody bans themselves)
 */
export function checkAffiliationChange(
  actor: Affiliation,
  { from, to, isSelf, isOfDomain = false, changesNick = false }: AffiliationStep,
  membersInvite: boolean,
): void {
  if (!isAtLeast(actor, 'admin')) {
    // 9.5: "an implementation MAY provide a configuration option that opens invitation privileges to any member"
    const isInvitation = to === 'member' && (from === 'none' || from === 'member') && !isOfDomain && !changesNick;
    if (membersInvite && isInvitation && actor === 'member') return;
    throw forbidden('admin');
  }
  if (to === 'outcast' && isSelf) throw new StanzaError('conflict', 'nobody bans themselves');
  if (actor === 'owner' || (from === to && !changesNick) || (from === to && isSelf)) return;
  // 9.1, 5.2.2: owners ban admins; who bans somebody above them is told so, who edits a list that is not theirs, too
  if (to === 'outcast' && isAtLeast(from, 'admin')) throw notAllowed('banned');
  if (isAtLeast(from, 'admin') || isAtLeast(to, 'admin')) throw forbidden('owner');
}

/** 10.4: "Every room MUST have at least one owner". @throws StanzaError `conflict` */
export function checkOwners(ownersLeft: number): void {
  if (ownersLeft === 0) throw new StanzaError('conflict', 'a room has an owner');
}

/** Who asks for a list, and of what room. */
export interface Reader extends Standing {
  /** `anyone`: the room is non-anonymous. */
  readonly whois: 'anyone' | 'moderators';
  readonly isMembersOnly: boolean;
}

/**
 * May this list of affiliations be read? Bans by admins and owners. The others by members: of any members-only room, whose members know one another
 * (there are clients that show them so), and of any room where real addresses are no secret (9.5, 10.5, 10.8), and there by whoever is inside. Else
 * the members by admins, and admins and owners by owners.
 */
export function mayReadAffiliations({ affiliation, role, whois, isMembersOnly }: Reader, list: Affiliation): boolean {
  if (affiliation === 'owner') return true;
  if (affiliation === 'admin' && !isAtLeast(list, 'admin')) return true;
  if (!isAtLeast(list, 'member')) return false;
  if ((isMembersOnly || whois === 'anyone') && isAtLeast(affiliation, 'member')) return true;
  return whois === 'anyone' && role !== 'none';
}

/** @throws StanzaError `forbidden` where {@link mayReadAffiliations} says no */
export function checkAffiliationList(reader: Reader, list: Affiliation): void {
  if (!mayReadAffiliations(reader, list)) throw new StanzaError('forbidden', 'this list is not for you');
}

/** May the list of those in this role be read? (8.5, 9.8) @throws StanzaError `forbidden` */
export function checkRoleList(reader: Standing, list: Role): void {
  if (reader.role !== 'moderator') throw forbidden('moderator');
  if (list === 'moderator' && !isAtLeast(reader.affiliation, 'admin')) throw forbidden('admin');
}

function isAbove(one: Standing, other: Standing): boolean {
  return affiliationRank(one.affiliation) > affiliationRank(other.affiliation);
}

function forbidden(who: 'moderator' | 'admin' | 'owner'): StanzaError {
  return new StanzaError('forbidden', `this takes ${who === 'moderator' ? 'a' : 'an'} ${who}`);
}

function notAllowed(what: string): StanzaError {
  return new StanzaError('not-allowed', `cannot be ${what} by you`);
}
