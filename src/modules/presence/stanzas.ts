// Presence stanzas: made, re-addressed, and read (RFC 6121 4.7). Pure.
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import type { Presence, PresenceType } from '../../xmpp/stanza.ts';

/** A presence stanza of the server's own. */
export function presenceOf(type: PresenceType, from: Jid, to: Jid): Presence {
  const attrs = { type: type === 'available' ? undefined : type, from: from.full, to: to.full };
  return { kind: 'presence', type, el: el('presence', null, attrs), from, to, id: undefined };
}

/** The same presence for somebody else; the body is shared, so that it is serialised once for all. */
export function sentTo(stanza: Presence, to: Jid): Presence {
  const element = stanza.el.with({ to: to.full });
  return { kind: 'presence', type: stanza.type, el: element, from: stanza.from, to, id: stanza.id };
}

/**
 * The priority of a resource (RFC 6121 4.7.2.3); 0 when the presence does not say.
 * @throws StanzaError `bad-request` when it is not an integer from -128 to 127
 */
export function parsePriority(presence: Element): number {
  const text = presence.getChildText('priority')?.trim();
  if (text === undefined) return 0;
  const value = /^[+-]?\d{1,4}$/.test(text) ? Number(text) : Number.NaN;
  // not a number compares as false, too
  if (!(value >= -128 && value <= 127)) throw new StanzaError('bad-request', 'a priority is from -128 to 127');
  return value;
}
