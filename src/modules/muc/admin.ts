// Lists of a room, read and changed (XEP-0045 8.5, 9.2, 9.5, 9.8, 10.5, 10.8), and with them kicks, bans, voice and all other changes of roles
// and affiliations, for these are changes of a list by one item. The lists of muc#owner, as they once were, are the same.
import type { IqRequest } from '../../core/module.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { type BareJid, Jid } from '../../xmpp/jid.ts';
import { actorOf } from './actor.ts';
import {
  type AffiliationItem,
  affiliationItem,
  type Change,
  type RoleItem,
  readChanges,
  readListRequest,
  roleItem,
} from './admin-items.ts';
import { type AffiliationChange, changeAffiliations } from './affiliations.ts';
import type { Affiliation, Role } from './config.ts';
import { checkAffiliationList, checkMayChange, checkRoleList } from './privileges.ts';
import { roomOf } from './request.ts';
import { changeRoles, type RoleChange } from './roles.ts';
import type { Room } from './room.ts';

/** Answers a request for a list. @throws StanzaError `bad-request`, `forbidden` */
export function answerList(request: IqRequest): Element {
  const context = roomOf(request);
  const { ns } = request.payload;
  const asked = readListRequest(request.payload);
  const standing = actorOf(context);
  if (asked.kind === 'role') {
    checkRoleList(standing, asked.role);
    return el('query', ns, undefined, ...roleList(context.room, ns, asked.role));
  }
  const { whois, isMembersOnly } = context.room.config;
  checkAffiliationList({ ...standing, whois, isMembersOnly }, asked.affiliation);
  return el('query', ns, undefined, ...affiliationList(context.room, ns, asked.affiliation));
}

function affiliationList({ affiliations }: Room, ns: string | null, wanted: Affiliation): Element[] {
  const items: Element[] = [];
  for (const [jid, row] of affiliations) {
    if (row.affiliation === wanted) items.push(affiliationItem(ns, jid, wanted, row));
  }
  return items;
}

// 16.4: the full JID; moderators, who ask, may see it in any room. Of several devices that one is told whose presence is shown.
function roleList({ occupants }: Room, ns: string | null, wanted: Role): Element[] {
  const items: Element[] = [];
  for (const { nick, role, affiliation, shown } of occupants.values()) {
    if (role === wanted) items.push(roleItem(ns, nick, role, affiliation, shown.jid));
  }
  return items;
}

/**
 * Makes the changes of a request, all or none of them.
 * @throws StanzaError `bad-request`, `jid-malformed`, `item-not-found`, `forbidden`, `not-allowed`, `conflict`, `not-acceptable`
 */
export async function makeChanges(request: IqRequest): Promise<void> {
  const context = roomOf(request);
  const { room } = context;
  const changes = readChanges(request.payload);
  const actor = actorOf(context);
  const roles = changes.filter(isOfRole);
  const others = changes.filter(isOfAffiliation);
  // neither kind knows whether the other will be refused
  if (roles.length > 0 && others.length > 0) throw new StanzaError('bad-request', 'roles or affiliations, not both');
  checkMayChange(actor, roles.length > 0 ? 'role' : 'affiliation', room.config.allowInvites);
  const tellOthers =
    roles.length > 0
      ? changeRoles(
          room,
          actor,
          roles.map((item) => roleChange(room, item)),
        )
      : await changeAffiliations(room, actor, distinct(others.map((item) => affiliationChange(room, item))));
  // 8.2: the one who asked is answered before all the others hear of it
  request.afterReply(tellOthers);
}

const isOfRole = (change: Change): change is RoleItem => change.kind === 'role';
const isOfAffiliation = (change: Change): change is AffiliationItem => change.kind === 'affiliation';

/** Who is meant by an address is meant by the nick of that device, or of any device of that person. */
function roleChange(room: Room, { nick, jid, role, reason }: RoleItem): RoleChange {
  if (nick !== undefined) return { nick, role, reason };
  const occupant = jid && (room.occupantOf(jid) ?? room.occupantsOf(jid.bare).next().value);
  if (occupant === undefined) throw new StanzaError('item-not-found', 'there is no such person in the room');
  return { nick: occupant.nick, role, reason };
}

/** Who is meant by nothing but a nick is the person who is in the room under it. */
function affiliationChange(room: Room, { jid, nick, affiliation, reason }: AffiliationItem): AffiliationChange {
  if (jid !== undefined) return { jid, nick, affiliation, reason };
  const occupant = nick === undefined ? undefined : room.occupants.get(nick);
  if (occupant === undefined) throw new StanzaError('item-not-found', 'there is no such person in the room');
  return { jid: occupant.shown.jid, affiliation, reason };
}

function distinct(changes: readonly AffiliationChange[]): readonly AffiliationChange[] {
  const seen = new Set(changes.map(({ jid }) => jid.bare));
  if (seen.size < changes.length) throw new StanzaError('bad-request', 'somebody is named twice');
  return changes;
}

/** Those of an affiliation. */
export function peopleOf({ affiliations }: Room, wanted: Affiliation): Jid[] {
  const people: Jid[] = [];
  for (const [jid, { affiliation }] of affiliations) if (affiliation === wanted) people.push(jidOf(jid));
  return people;
}

/** An address as rows have it. */
function jidOf(bare: BareJid): Jid {
  const jid = Jid.parse(bare);
  if (jid === undefined) throw new Error(`${bare} in a row is no address`);
  return jid;
}
