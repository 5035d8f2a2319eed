// Stanzas on their way to another server or a component: as text, with what an error to their senders needs.
import { type Element, el } from '../xml/element.ts';
import { flatten } from '../xml/flatten.ts';
import type { Jid } from '../xmpp/jid.ts';
import type { Stanza } from '../xmpp/stanza.ts';

/** A stanza that waits: its text, and as much as an error to its sender needs. */
export interface Queued {
  xml: string;
  readonly name: string;
  type: string | undefined;
  id: string | undefined;
  readonly from: Jid;
  readonly to: Jid;
  /** It was written to a stream that ended before it was acknowledged. */
  readonly isResent: boolean;
}

export function queuedOf({ el: element, from, to }: Stanza): Queued {
  const { type, id } = element.attrs;
  return { xml: writeStanza(element, from, to), name: element.name, type, id, from, to, isResent: false };
}

/** A stanza that is going to wait: it keeps no input alive. */
export function keptOf(stanza: Stanza): Queued {
  const queued = queuedOf(stanza);
  keep(queued);
  return queued;
}

/** Copies a stanza out of the input that it came in with. */
export function keep(queued: Queued): void {
  queued.xml = flatten(queued.xml);
  queued.type = queued.type && flatten(queued.type);
  queued.id = queued.id && flatten(queued.id);
}

/** The stanza without its children. */
export function headOf({ name, type, id }: Queued): Element {
  return el(name, null, { type, id });
}

/** RFC 6120 8.1.1.2, 8.1.2.2: between servers a stanza says both whom it is from and whom it is for. */
export function writeStanza(element: Element, from: Jid, to: Jid): string {
  const { attrs } = element;
  if (attrs.from !== undefined && attrs.to !== undefined) return element.toXml();
  return element.with({ from: attrs.from ?? from.full, to: attrs.to ?? to.full }).toXml();
}
