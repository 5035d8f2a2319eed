// The requests that a room answers (XEP-0045 6, 7.10 to 7.12, 8 to 10), and where each is answered.
import { type IqRequest, iqGet, iqSet, type Registration } from '../../core/module.ts';
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
  iqGet('room', NS.discoInfo, 'query', (request) => describeRoom(roomOf(request), request.payload)),
  iqGet('room', NS.discoItems, 'query', (request) => listOccupants(roomOf(request), request.payload)),
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
