// Visitors ask for voice, and moderators give it (XEP-0045 7.13, 8.6).
import { type Element, el } from '../../xml/element.ts';
import {
  booleanField,
  choiceField,
  formElement,
  jidField,
  readForm,
  textField,
  type Values,
} from '../../xmpp/dataform.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { NS } from '../../xmpp/ns.ts';
import { actorOf } from './actor.ts';
import { tell } from './fan-out.ts';
import type { Occupant } from './occupant.ts';
import type { RoomContext } from './request.ts';
import { changeRoles } from './roles.ts';
import { defineRoomSlot } from './slots.ts';

/** Nobody asks twice within so many milliseconds. */
const PATIENCE = 60_000;

/** When an occupant asked, in milliseconds since 1970. */
const askedAt = defineRoomSlot<number>('voice-request', { kept: { save: (at) => at, restore: (at) => at as number } });

const requested = choiceField('Requested role', { participant: 'Participant' });
const form = {
  formType: NS.mucRequest,
  title: 'Voice request',
  instructions: 'Somebody who has no voice in this room asks for it.',
  fields: {
    'muc#role': requested,
    'muc#jid': jidField('Address'),
    'muc#roomnick': textField('Nick'),
    'muc#request_allow': booleanField('Grant voice to this person?'),
  },
};

/**
 * A filled-in form of muc#request: somebody asks for voice, or a moderator answers.
 * @throws StanzaError `bad-request`, `not-acceptable`, `forbidden`, `not-allowed`, `item-not-found`, and of type `wait` where nobody is there to ask
 */
export function takeVoiceForm(context: RoomContext, x: Element): void {
  const answers = readForm(form, x);
  if (answers['muc#request_allow'] === undefined) {
    if (answers['muc#role'] === undefined) throw new StanzaError('bad-request', 'which role?');
    askForVoice(context);
  } else answer(context, answers);
}

function answer(context: RoomContext, answers: Values<(typeof form)['fields']>): void {
  const { room } = context;
  const actor = actorOf(context);
  if (actor.role !== 'moderator') throw new StanzaError('forbidden', 'voice is given by moderators');
  if (!answers['muc#request_allow']) return;
  const jid = answers['muc#jid'];
  const target = jid === undefined ? room.occupants.get(answers['muc#roomnick'] ?? '') : room.occupantOf(jid);
  if (target === undefined) throw new StanzaError('item-not-found', 'whoever asked for voice is not here any more');
  // meanwhile somebody else may have been quicker
  if (target.role !== 'visitor') return;
  changeRoles(room, actor, [{ nick: target.nick, role: 'participant' }])();
}

function askForVoice({ room, asker, occupant }: RoomContext): void {
  if (occupant === undefined) throw new StanzaError('forbidden', 'you are not in the room');
  // who has voice has nothing to ask for
  if (occupant.role !== 'visitor') return;
  const { allowVoiceRequests } = room.config;
  if (!allowVoiceRequests) throw new StanzaError('not-allowed', 'nobody may ask for voice in this room');
  const now = room.ports.now();
  if (now - (occupant.get(askedAt) ?? Number.NEGATIVE_INFINITY) < PATIENCE) {
    throw new StanzaError('resource-constraint', 'you have just asked');
  }
  const moderators: Occupant[] = [...room.occupants.values()].filter(({ role }) => role === 'moderator');
  if (moderators.length === 0) throw new StanzaError('recipient-unavailable', 'no moderator is here');
  occupant.set(askedAt, now);
  const request = formElement(form, {
    'muc#role': 'participant',
    'muc#jid': asker,
    'muc#roomnick': occupant.nick,
    'muc#request_allow': false,
  });
  tell(room, el('message', null, { from: room.jid.full, id: room.ports.newId() }, request), room.jid, moderators);
}
