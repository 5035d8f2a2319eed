// XEP-0359: ids that an archive gives to messages, and what others claim that it gave. `by` is the archive's address.
import { Element, el } from '../../xml/element.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';

/** What tells the reader where a message is kept, and under which id. */
export function stanzaIdElement(by: string, id: string): Element {
  return el('stanza-id', NS.stanzaIds, { by, id });
}

/** The message without ids that claim to be of this archive (XEP-0359 3, rule 2); itself when there is none. */
export function withoutStanzaIds(message: Element, by: string): Element {
  for (const child of message.children) {
    if (child instanceof Element && isStanzaId(child, by)) return message.without((one) => isStanzaId(one, by));
  }
  return message;
}

/** The id that this archive gave to a message which comes by a second time. */
export function stanzaIdOf(message: Element, by: string): string | undefined {
  return message.elements().find((child) => isStanzaId(child, by))?.attrs.id;
}

// XEP-0359 3, rule 7: addresses are compared as they are after preparation
function isStanzaId(child: Element, by: string): boolean {
  if (child.ns !== NS.stanzaIds || child.name !== 'stanza-id') return false;
  const claimed = child.attrs.by;
  return claimed !== undefined && (claimed === by || Jid.parse(claimed)?.full === by);
}
