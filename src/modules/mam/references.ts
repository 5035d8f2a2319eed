// How messages refer to earlier ones: by the sender and what the sender called the message (XEP-0308 3, XEP-0424 4).
import type { MessageRef } from '../../storage/ports.ts';
import type { Element } from '../../xml/element.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Message } from '../../xmpp/stanza.ts';

/** What later messages call this one by; undefined where they cannot. */
export function refOf({ el: element, from, id }: Message): MessageRef | undefined {
  const name = id ?? element.getChild('origin-id', NS.stanzaIds)?.attrs.id;
  return name === undefined || name === '' ? undefined : { sender: senderOf(element, from), id: name };
}

/** Who may correct or take back a message: any device of the account, but in a room only the occupant. */
export function senderOf(message: Element, from: Jid): string {
  return message.getChild('x', NS.mucUser) === undefined ? from.bare : from.full;
}

/** The message that this one takes back (XEP-0424 3, and version 0.3.0 of it inside XEP-0422). */
export function retractedBy(message: Element, from: Jid): MessageRef | undefined {
  const { id } = message.getChild('retract', NS.retraction)?.attrs ?? oldRetraction(message)?.attrs ?? {};
  return id === undefined ? undefined : { sender: senderOf(message, from), id };
}

function oldRetraction(message: Element): Element | undefined {
  const fastened = message.getChild('apply-to', NS.fastening);
  return fastened?.getChild('retract', NS.retraction0) === undefined ? undefined : fastened;
}

/** The message that this one corrects (XEP-0308 3). */
export function correctedBy(message: Element, from: Jid): MessageRef | undefined {
  const { id } = message.getChild('replace', NS.correction)?.attrs ?? {};
  return id === undefined ? undefined : { sender: senderOf(message, from), id };
}

/** Who sent a message that was stored. */
export function storedSender(message: Element): Jid | undefined {
  return Jid.parse(message.attrs.from ?? '');
}
