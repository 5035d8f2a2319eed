// The requests that a room answers (XEP-0045 6, 7.10 to 7.12, 8 to 10), and where each is answered.
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import { type NodeAsked, nodeAsked } from '../../core/events.ts';
import { type IqRequest, iqGet, iqSet, type Registration } from '../../core/module.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { answerList, makeChanges } from './admin.ts';
import { describeRoom, listOccupants } from './discovery.ts';
import { admit } from './invitations.ts';
import { answerOwner, obeyOwner } from './owner.ts';
import { answerRegistration, register } from './registration.ts';
import { roomOf } from './request.ts';

/** Of one room, for a module's `handlers`. */
export const requests: readonly Registration[] = [
  iqGet('room', NS.discoInfo, 'query', (request) =>
    askNode(request, 'info', () => describeRoom(roomOf(request), request.payload)),
  ),
  iqGet('room', NS.discoItems, 'query', (request) =>
    askNode(request, 'items', () => listOccupants(roomOf(request), request.payload)),
  ),
  iqGet('room', NS.mucAdmin, 'query', answerList),
  iqSet('room', NS.mucAdmin, 'query', makeChanges),
  iqGet('room', NS.mucOwner, 'query', answerOwner),
  iqSet('room', NS.mucOwner, 'query', obeyOwner),
  iqGet('room', NS.register, 'query', answerRegistration),
  iqSet('room', NS.register, 'query', register),
  // what the server asks for its people who invite others directly
  iqSet('room', NS.conference, 'x', admitInvited),
];

function admitInvited(request: IqRequest): Promise<void> {
  const to = Jid.parse(request.payload.attrs.jid ?? '');
  if (to === undefined) throw new StanzaError('jid-malformed');
  return admit(roomOf(request), to);
}

/** Modules may know nodes of a room that it does not know itself. */
function askNode(
  request: IqRequest,
  what: NodeAsked['what'],
  otherwise: () => MaybePromise<Element>,
): MaybePromise<Element> {
  const { payload } = request;
  const { node } = payload.attrs;
  if (node === undefined || node === '') return otherwise();
  const event: NodeAsked = { request, target: 'room', node, what, answer: undefined };
  return andThen(roomOf(request).room.ports.hooks.collect(nodeAsked, event), () => {
    const { answer } = event;
    if (answer === undefined) return otherwise();
    if (answer instanceof StanzaError) throw answer;
    return el('query', payload.ns, { node }, ...answer);
  });
}
