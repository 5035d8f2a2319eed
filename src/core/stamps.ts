// The addresses on a stanza: whom a client may name, and what is written there for everybody else (RFC 6120 8.1).
import type { Element } from '../xml/element.ts';
import { StreamError } from '../xmpp/errors.ts';
import { Jid } from '../xmpp/jid.ts';
import type { Session } from './sessions.ts';

/** RFC 6120 8.1.2.1: a client may only name itself, by its full or its bare JID. */
export function checkFrom(session: Session, element: Element): void {
  const { from } = element.attrs;
  if (from === undefined || from === session.jid.full || from === session.jid.bare) return;
  const claimed = Jid.parse(from);
  if (claimed?.full !== session.jid.full && claimed?.full !== session.jid.bare) throw new StreamError('invalid-from');
}

/** Presence that manages subscriptions speaks for the account, everything else for the resource (RFC 6121 3.1.2). */
const fromBare: ReadonlySet<string | undefined> = new Set(['subscribe', 'subscribed', 'unsubscribe', 'unsubscribed']);

/** The addresses as everybody compares them (RFC 7622 3.1), whatever the client wrote. */
export function stamp(element: Element, from: Jid, to: Jid): Element {
  const { attrs } = element;
  const name = element.name === 'presence' && fromBare.has(attrs.type) ? from.bare : from.full;
  if (attrs.to !== undefined && attrs.to !== to.full) return element.with({ from: name, to: to.full });
  return attrs.from === name ? element : element.with({ from: name });
}

export function restamp(element: Element, from: Jid, to: Jid): Element {
  const { attrs } = element;
  return attrs.from === from.full && attrs.to === to.full ? element : element.with({ from: from.full, to: to.full });
}
