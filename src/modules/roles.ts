// What a role does not allow and no other module looks after: stanzas to and from other servers, for accounts that are not to federate.
//
// - Outward they are refused with `forbidden` (RFC 6120 8.3.3.4), but what takes leave always passes: nobody is left behind as online, or
//   subscribed. Errors pass where the server gives them: those of clients may say anything.
// - Inward the account is as one that does not exist (RFC 6121 8.5.1): `service-unavailable`, and nothing for presence; leave is taken there, too.
// - Rooms and nodes speak for themselves: what somebody says in a room here is heard by its occupants of other servers. But they bring nobody
//   there whom the account could not ask itself.
import { andThen, inOrder, isPromise, type MaybePromise } from '../base/maybe.ts';
import { roleChanged, serverIn, serverOut, sessionBeginning, sessionBound, sessionResumed } from '../core/events.ts';
import type { Verdict } from '../core/hooks.ts';
import { defineModule, on } from '../core/module.ts';
import { defineSlot, type Session } from '../core/sessions.ts';
import type { Transit } from '../core/transit.ts';
import { StanzaError } from '../xmpp/errors.ts';
import { Jid } from '../xmpp/jid.ts';
import type { Stanza } from '../xmpp/stanza.ts';
import { type RoomInvitation, roomInvitation } from './muc/hooks.ts';

/** Whether the account of a session may exchange stanzas with other servers: known without asking for every stanza. */
const federates = defineSlot<boolean>('federates');

export default defineModule({
  xeps: [],
  summary: 'Keeps accounts whose role does not let them federate away from other servers',
  hosts: ['users', 'rooms'],

  async setup({ host, router, cluster, background }) {
    if (host.kind === 'rooms') return { handlers: [on(roomInvitation, { phase: 'check' }, checkInvitation)] };

    function checkInvitation({ inviter, people }: RoomInvitation): MaybePromise<Verdict | undefined> {
      if (inviter.domain !== host.parent?.domain || !people.some(({ domain }) => router.isForeign(domain))) return;
      return andThen(host.may(inviter, 'federate'), refusal);
    }

    function look({ local }: Jid): MaybePromise<boolean> {
      return andThen(host.roles.of(local), (role) => role === undefined || host.roles.allows(role, 'federate'));
    }

    function learn(session: Session): MaybePromise<void> {
      return andThen(look(session.jid), (may) => void session.set(federates, may));
    }

    function learnAgain(sessions: readonly Session[]): void {
      const learnt = inOrder(sessions, learn);
      if (isPromise(learnt)) background(learnt, 'learning what sessions may do');
    }

    /** By a session of the account on this node, else by what is stored. Who has no account is not judged here. */
    function mayFederate(account: Jid): MaybePromise<boolean> {
      const known = router.sessionsOfAccount(account.bare)[0]?.get(federates);
      return known ?? look(account);
    }

    function checkOut(transit: Transit): MaybePromise<Verdict | undefined> {
      const { from } = transit.stanza;
      if (from.local === '' || passesOut(transit)) return undefined;
      const may = mayFederate(from);
      return isPromise(may) ? may.then(refusal) : refusal(may);
    }

    function checkIn({ stanza, origin }: Transit): MaybePromise<Verdict | undefined> {
      const { to } = stanza;
      if (to.local === '' || origin.kind !== 'server' || !router.isForeign(origin.domain) || passesIn(stanza))
        return undefined;
      return andThen(mayFederate(to), (may) => {
        if (may) return undefined;
        // presence is not answered, nor is an answer
        const isAsking = stanza.kind === 'message' || stanza.type === 'get' || stanza.type === 'set';
        return isAsking ? new StanzaError('service-unavailable') : 'handled';
      });
    }

    // those that were there before this module was
    await inOrder(router.sessionsOf(host), learn);

    return {
      handlers: [
        on(serverOut, { phase: 'check' }, checkOut),
        on(serverIn, { phase: 'check' }, checkIn),
        on(sessionBeginning, { phase: 'read' }, ({ session }) => learn(session)),
        // its role may have changed after it was read, and before anybody could have told the session
        on(sessionBound, ({ session }) => learnAgain([session])),
        on(sessionResumed, ({ session }) => learnAgain([session])),
        on(roleChanged, ({ user }) => learnAgain(router.sessionsOfAccount(Jid.of(user, host.domain).bare))),
      ],
      stop: cluster.onGap(() => learnAgain(router.sessionsOf(host))),
    };
  },
});

const refusal = (may: boolean): Verdict | undefined =>
  may ? undefined : new StanzaError('forbidden', 'this account may not talk to other servers');

const leaving: ReadonlySet<string> = new Set(['unavailable', 'unsubscribe', 'unsubscribed']);

/** Whether a stanza ends something: nobody is kept from that. */
function takesLeave({ kind, type }: Stanza): boolean {
  return kind === 'presence' && leaving.has(type);
}

/** What goes to other servers whoever its sender is. An error that a client has written is a message like any other. */
export function passesOut({ stanza, origin }: Transit): boolean {
  return takesLeave(stanza) || (stanza.type === 'error' && origin.kind !== 'client' && origin.kind !== 'account');
}

/** What is taken from other servers whoever its sender is. People read messages, also those that say that they are errors. */
export function passesIn(stanza: Stanza): boolean {
  return takesLeave(stanza) || (stanza.type === 'error' && stanza.kind !== 'message');
}
