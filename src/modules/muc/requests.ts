// The requests that a room answers (XEP-0045 6, 7.10 to 7.12, 8 to 10), and where each is answered.
import type { MaybePromise } from '../../base/maybe.ts';
import { type IqHandler, type IqRequest, iqGet, iqSet, type Registration } from '../../core/module.ts';
import type { Element } from '../../xml/element.ts';
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
  iqGet(
    'room',
    NS.discoInfo,
    'query',
    open((request) => describeRoom(roomOf(request), request.payload)),
  ),
  iqGet(
    'room',
    NS.discoItems,
    'query',
    open((request) => listOccupants(roomOf(request), request.payload)),
  ),
  iqGet('room', NS.mucAdmin, 'query', open(answerList)),
  iqSet('room', NS.mucAdmin, 'query', open(makeChanges)),
  iqGet('room', NS.mucOwner, 'query', open(answerOwner)),
  iqSet('room', NS.mucOwner, 'query', open(obeyOwner)),
  iqGet('room', NS.register, 'query', open(answerRegistration)),
  iqSet('room', NS.register, 'query', open(register)),
  // what the server asks for its people who invite others directly
  iqSet('room', NS.conference, 'x', open(admitInvited)),
];

/** 10.1.1, 16.2: a room that its creator has not configured yet is not there for others. */
function open(answer: (request: IqRequest) => MaybePromise<Element | undefined | void>): IqHandler {
  return (request) => {
    const { room, affiliation } = roomOf(request);
    if (room.isLocked && affiliation !== 'owner') throw new StanzaError('item-not-found', 'there is no such room yet');
    return answer(request);
  };
}

function admitInvited(request: IqRequest): Promise<void> {
  const to = Jid.parse(request.payload.attrs.jid ?? '');
  if (to === undefined) throw new StanzaError('jid-malformed');
  return admit(roomOf(request), to);
}
