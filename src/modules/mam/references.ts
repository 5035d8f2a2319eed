// How messages refer to earlier ones: by the sender and what the sender called the message (XEP-0308 3, XEP-0424 4).
import type { MessageRef } from '../../storage/ports.ts';
import type { Element } from '../../xml/element.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Message } from '../../xmpp/stanza.ts';

/** Who has sent a message that was stored, as references name senders; undefined where that cannot be told. */
export type StoredSender = (message: Element) => string | undefined;

/** What later messages call this one by; undefined where they cannot. */
export function refOf({ el: element, from }: Message): MessageRef | undefined {
  return refBy(element, senderOf(element, from));
}

/** The same, of a message by a sender who is known. */
export function refBy(message: Element, sender: string): MessageRef | undefined {
  const id = message.attrs.id ?? message.getChild('origin-id', NS.stanzaIds)?.attrs.id;
  return id === undefined || id === '' ? undefined : { sender, id };
}

/** Who may correct or take back a message: any device of the account, but in a room only the occupant. */
export function senderOf(message: Element, from: Jid): string {
  return message.getChild('x', NS.mucUser) === undefined ? from.bare : from.full;
}

/** The message that this one takes back (XEP-0424 3, and version 0.3.0 of it inside XEP-0422). */
export function retractedBy(message: Element, from: Jid): MessageRef | undefined {
  const id = retractedId(message);
  return id === undefined ? undefined : { sender: senderOf(message, from), id };
}

/** What is called by a message that takes something back. */
export function retractedId(message: Element): string | undefined {
  return (message.getChild('retract', NS.retraction) ?? oldRetraction(message))?.attrs.id;
}

function oldRetraction(message: Element): Element | undefined {
  const fastened = message.getChild('apply-to', NS.fastening);
  return fastened?.getChild('retract', NS.retraction0) === undefined ? undefined : fastened;
}

/** What is called by a message that corrects another (XEP-0308 3). */
export function correctedId(message: Element): string | undefined {
  return message.getChild('replace', NS.correction)?.attrs.id;
}

/** Who sent a message that is in the archive of an account. */
export const senderInAccount: StoredSender = (message) => {
  const from = Jid.parse(message.attrs.from ?? '');
  return from && senderOf(message, from);
};
