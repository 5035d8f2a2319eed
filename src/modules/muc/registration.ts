// Registration with a room (XEP-0045 7.10, 9.9; XEP-0077): somebody becomes a member, and a nick is theirs alone.
//
// - Of the form's fields of 15.5.1 only the nick is asked for: a room has no use for names and addresses.
// - Where membership is worth something (members-only and moderated rooms), admins are asked: those who are in the room, else all of them.
//   Their form has the address of who wants to register besides, without which nobody could decide (9.9 lets it be added).
// - A nick that is registered is nobody else's; its owner may wear others (7.12). So nicks are never changed by the room (210).
import type { IqRequest } from '../../core/module.ts';
import { type Element, el } from '../../xml/element.ts';
import { booleanField, findForm, formElement, formTypeOf, jidField, readForm, textField } from '../../xmpp/dataform.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { operator } from './actor.ts';
import { peopleOf } from './admin.ts';
import { readNick } from './admin-items.ts';
import { changeAffiliations } from './affiliations.ts';
import { isAtLeast } from './associations.ts';
import type { Affiliation } from './config.ts';
import { tell } from './fan-out.ts';
import { type RoomContext, roomOf } from './request.ts';
import type { Room } from './room.ts';
import { defineRoomSlot } from './slots.ts';

/** People who wait for an answer, at most. */
const MOST_WAITING = 100;
/** Nobody asks for another nick within so many milliseconds. */
const PATIENCE = 60_000;

interface Wish {
  /** `''`: taken back. */
  readonly nick: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}
/** Who has asked, by bare JID. */
const waiting = defineRoomSlot<Map<string, Wish>>('registrations', {
  kept: { save: (all) => [...all], restore: (saved) => new Map(saved as [string, Wish][]) },
});

const nickField = textField('Nick', { required: true });
const form = {
  formType: NS.mucRegister,
  title: 'Registration',
  instructions: 'Choose the nick that is to be yours in this room.',
  fields: { 'muc#register_roomnick': nickField },
};
const approval = {
  formType: NS.mucRegister,
  title: 'Registration request',
  instructions: 'Somebody wants to be a member of this room.',
  fields: {
    'muc#jid': jidField('Address'),
    'muc#register_roomnick': textField('Nick'),
    'muc#register_allow': booleanField('Allow this person to register with the room?'),
  },
};

/** The form, or what is registered already. @throws StanzaError `not-allowed` */
export function answerRegistration(request: IqRequest): Element {
  const context = roomOf(request);
  checkMayRegister(context);
  const nick = context.room.affiliations.get(context.asker.bare)?.nick;
  const parts =
    nick === undefined
      ? [el('instructions', NS.register, undefined, form.instructions)]
      : [el('registered', NS.register), el('username', NS.register, undefined, nick)];
  const values = nick === undefined ? {} : { 'muc#register_roomnick': nick };
  return el('query', NS.register, undefined, ...parts, formElement(form, values));
}

/** 7.10: members may reserve a nick in any case, others become members where the room lets them. */
function checkMayRegister({ room, affiliation }: RoomContext): void {
  if (affiliation === 'outcast') throw new StanzaError('not-allowed', 'you are banned from this room');
  if (!isAtLeast(affiliation, 'member') && !room.config.allowRegistration) {
    throw new StanzaError('not-allowed', 'nobody registers with this room');
  }
}

/** @throws StanzaError `bad-request`, `not-allowed`, `conflict` where the nick is another person's */
export async function register(request: IqRequest): Promise<void> {
  const context = roomOf(request);
  const { room, asker, affiliation } = context;
  checkMayRegister(context);
  if (request.payload.getChild('remove') !== undefined) {
    const wish = room.get(waiting)?.get(asker.bare);
    if (wish !== undefined) room.get(waiting)?.set(asker.bare, { ...wish, nick: '' });
    if (room.affiliations.has(asker.bare)) {
      const left = isAtLeast(affiliation, 'admin') ? affiliation : 'none';
      request.afterReply(await enrol(room, asker, left, ''));
    }
    return;
  }
  const nick = nickOf(request.payload);
  if (room.isNickOfAnother(nick, asker.bare)) throw new StanzaError('conflict', 'that nick is somebody else’s');
  const { isMembersOnly, isModerated } = room.config;
  if (!isAtLeast(affiliation, 'member') && (isMembersOnly || isModerated)) askAdmins(room, asker, nick);
  else request.afterReply(await enrol(room, asker, isAtLeast(affiliation, 'member') ? affiliation : 'member', nick));
}

/** "If the user did not include a valid data form, the room MUST return a <bad-request/> error" */
function nickOf(query: Element): string {
  const x = findForm(query);
  if (x === undefined || formTypeOf(x) !== NS.mucRegister) throw new StanzaError('bad-request', 'a form is missing');
  try {
    return readNick(readForm(form, x)['muc#register_roomnick'] ?? '');
  } catch (error) {
    if (!(error instanceof StanzaError)) throw error;
    throw new StanzaError('bad-request', error.text);
  }
}

function enrol(room: Room, person: Jid, affiliation: Affiliation, nick: string): Promise<() => void> {
  room.get(waiting)?.delete(person.bare);
  return changeAffiliations(room, operator, [{ jid: person.withResource(''), affiliation, nick }], 'registration');
}

/** 9.9. */
function askAdmins(room: Room, person: Jid, nick: string): void {
  const all = room.get(waiting) ?? new Map<string, Wish>();
  room.set(waiting, all);
  if (all.size >= MOST_WAITING && !all.has(person.bare)) {
    throw new StanzaError('resource-constraint', 'too many people wait for an answer');
  }
  const before = all.get(person.bare);
  if (before?.nick === nick) return;
  const at = room.ports.now();
  if (before !== undefined && at - before.at < PATIENCE) {
    throw new StanzaError('resource-constraint', 'you have just asked', { type: 'wait' });
  }
  all.set(person.bare, { nick, at });
  const request = formElement(approval, {
    'muc#jid': person.withResource(''),
    'muc#register_roomnick': nick,
    'muc#register_allow': false,
  });
  const message = el('message', null, { from: room.jid.full, id: room.ports.newId() }, request);
  const present = [...room.occupants.values()].filter(({ affiliation }) => isAtLeast(affiliation, 'admin'));
  if (present.length > 0) tell(room, message, room.jid, present);
  else
    for (const jid of [...peopleOf(room, 'owner'), ...peopleOf(room, 'admin')]) room.ports.send(message, room.jid, jid);
}

/**
 * An admin has filled in the form of a request.
 * @throws StanzaError `forbidden`, `bad-request`, `item-not-found` where nobody has asked; `conflict` where the nick is taken by now
 */
export async function takeRegistrationAnswer({ room, affiliation }: RoomContext, x: Element): Promise<void> {
  const answers = readForm(approval, x);
  if (!isAtLeast(affiliation, 'admin')) throw new StanzaError('forbidden', 'members are made by admins');
  const jid = answers['muc#jid'];
  if (jid === undefined) throw new StanzaError('bad-request', 'whose request?');
  const nick = room.get(waiting)?.get(jid.bare)?.nick;
  if (!nick) throw new StanzaError('item-not-found', 'nobody of that address waits for an answer');
  if (!answers['muc#register_allow']) {
    room.get(waiting)?.delete(jid.bare);
    return;
  }
  const tellOthers = await enrol(room, jid, 'member', nick);
  tellOthers();
}
