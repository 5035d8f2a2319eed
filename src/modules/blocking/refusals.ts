// What is answered to whoever is blocked, and to the account that has blocked (XEP-0191 3.3). Pure.
//
// A room takes an error `service-unavailable` for the word that the occupant is gone (XEP-0045 18.1.2), and puts him out. So what a room passes
// on of an occupant who is blocked is dropped in silence where it is for all (`groupchat`), and refused by another condition where it is private.
import type { Verdict } from '../../core/hooks.ts';
import { Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Iq, Message, Stanza } from '../../xmpp/stanza.ts';
import type { BlockList } from './list.ts';

/** To the account itself, which may not send to whom it has blocked. */
export function isBlocked(): StanzaError {
  return new StanzaError('not-acceptable', undefined, {
    type: 'cancel',
    extra: el('blocked', NS.blockingErrors),
  });
}

/** Whether a stanza is that error, which comes "from" whoever is blocked. Nobody else can say anything in what looks like it. */
export function tellsOfBlocking({ type, el: element }: Stanza): boolean {
  const error = type === 'error' ? element.getChild('error') : undefined;
  return (
    error?.children.length === 2 &&
    isEmpty(error.getChild('not-acceptable', NS.stanzas)) &&
    isEmpty(error.getChild('blocked', NS.blockingErrors)) &&
    // (that of presence for a room, XEP-0045 7.2)
    element.children.every(
      (child) => child === error || (child instanceof Element && child.is('x', NS.muc) && isEmpty(child)),
    )
  );
}

function isEmpty(element: Element | undefined): boolean {
  return element?.children.length === 0;
}

/** What becomes of a message for an account that has that list; undefined: it passes. */
export function judgeMessage(list: BlockList, message: Message, isAgain: boolean): Verdict | undefined {
  if (list.has(message.from)) {
    // what is of the moment has no answer from who is away either; what was delivered before is not refused now
    if (isAgain || message.type === 'groupchat' || message.type === 'headline' || message.type === 'error') {
      return 'handled';
    }
    return new StanzaError(isOfOccupant(message) ? 'not-acceptable' : 'service-unavailable');
  }
  const inviter = inviterOf(message);
  return inviter !== undefined && list.has(inviter) ? new StanzaError('service-unavailable') : undefined;
}

/** The same of an IQ. */
export function judgeIq(list: BlockList, iq: Iq): Verdict | undefined {
  if (!list.has(iq.from)) return undefined;
  return iq.type === 'get' || iq.type === 'set' ? new StanzaError('service-unavailable') : 'handled';
}

/** XEP-0045 7.5: rooms mark private messages. */
function isOfOccupant({ from, el: element }: Message): boolean {
  return !from.isBare && element.getChild('x', NS.mucUser) !== undefined;
}

/** XEP-0045 7.8.2: who has asked a room to invite. */
function inviterOf({ el: element }: Message): Jid | undefined {
  const from = element.getChild('x', NS.mucUser)?.getChild('invite')?.attrs.from;
  return from === undefined ? undefined : Jid.parse(from);
}
