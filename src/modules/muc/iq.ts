// Requests to a room, which it answers itself (XEP-0045 16.4).
import { andThen, isPromise, type MaybePromise } from '../../base/maybe.ts';
import { Transit } from '../../core/transit.ts';
import type { Element } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { type Iq, iqResult } from '../../xmpp/stanza.ts';
import { isOperator } from './operator.ts';
import { type RoomContext, roomNote } from './request.ts';
import type { Room } from './room.ts';

/** Who asks, and what they are here. */
export function contextOf(room: Room, asker: Jid): RoomContext {
  const occupant = room.occupantOf(asker);
  const affiliation = isOperator(asker, room.jid.domain) ? 'owner' : room.affiliationOf(asker);
  return { room, asker, occupant, affiliation };
}

/**
 * Answers a request to the room.
 * @param refuse answers with an error what the room did not wait for
 * @throws StanzaError what the handler refuses with; service-unavailable where nobody answers such things
 */
export function answer(room: Room, iq: Iq, refuse: (error: unknown) => void): MaybePromise<void> {
  const { payload } = iq;
  const handler = payload && room.ports.handler(iq.type, payload.ns, payload.name);
  if (payload === undefined || handler === undefined) throw new StanzaError('service-unavailable');
  const context = contextOf(room, iq.from);
  // XEP-0045 10.1.1, 16.2: a room that its creator has not configured yet is not there for others
  if (room.isLocked && context.affiliation !== 'owner') {
    throw new StanzaError('item-not-found', 'there is no such room yet');
  }
  let isReleased = false;
  const transit = new Transit<Iq>(iq, { kind: 'server', domain: iq.from.domain });
  const release = (): void => {
    isReleased = true;
  };
  transit.leave(roomNote, context);
  let after: (() => void) | undefined;
  const afterReply = (next: () => void): void => {
    after = next;
  };
  const reply = (result: Element | undefined | void): MaybePromise<void> => {
    const sent = room.ports.answer(iqResult(iq, result ?? undefined).el, iq.to, iq.from);
    // what goes to all takes another way, and must not be there first
    if (after !== undefined) return andThen(sent, after);
  };
  const result = handler({ iq, payload, session: undefined, transit, afterReply, release });
  if (!isPromise(result)) return reply(result);
  const done = result.then(reply);
  if (!isReleased) return done;
  room.ports.background(done.catch(refuse), 'answering a request to a room');
}
