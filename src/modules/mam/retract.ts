// XEP-0424: Message Retraction. What its sender takes back leaves a tombstone in the archive; the retraction itself is kept as well.
//
// The specification does not speak of corrections: those of the message are emptied with it, or its text would still be there.
import type { Archived, ArchiveStore, MessageRef } from '../../storage/ports.ts';
import { parseElement } from '../../xml/document.ts';
import { type Element, el } from '../../xml/element.ts';
import { formatDateTime } from '../../xmpp/datetime.ts';
import { NS } from '../../xmpp/ns.ts';
import { correctedBy, retractedBy, storedSender } from './references.ts';

/** A retraction that was archived. */
export interface Retraction {
  /** Bare JID of the other party. */
  readonly with: string;
  /** What is taken back. */
  readonly ref: MessageRef;
  /** The `id` of the message that takes it back. */
  readonly by: string;
  /** When, in milliseconds since 1970. */
  readonly at: number;
}

/** Messages of a conversation that are looked through for corrections of one: so many pages of so many. */
const PAGES = 20;
const PAGE = 100;
/** Corrections of corrections that are followed to what was said first. (XEP-0308 3 has none.) */
const CHAIN = 20;

/**
 * Puts tombstones in the place of a message and its corrections (XEP-0424 4), whichever of them is called for; returns how many.
 * Retractions stay what they are (XEP-0424 5).
 */
export async function applyRetraction(store: ArchiveStore, owner: string, retraction: Retraction): Promise<number> {
  let emptied = 0;
  for (const { id, xml } of await versions(store, owner, retraction)) {
    const message = parseElement(xml);
    if (message.getChild('retracted', NS.retraction) !== undefined || isRetraction(message)) continue;
    if (await store.replace(owner, id, tombstoneOf(message, retraction).toXml())) emptied++;
  }
  return emptied;
}

/** XEP-0424 4: of the message nothing is left but what it was called, and between whom it was. */
function tombstoneOf(message: Element, { by, at }: Retraction): Element {
  const { from, to, type, id } = message.attrs;
  return el(
    'message',
    null,
    { from, to, type, id },
    el('retracted', NS.retraction, { id: by, stamp: formatDateTime(at) }),
  );
}

/** A message as it was said first, and everything that corrects it. */
async function versions(store: ArchiveStore, owner: string, retraction: Retraction): Promise<Archived[]> {
  const { with: party, ref } = retraction;
  let first = await store.lookup(owner, retraction);
  if (first === undefined) return [];
  const names = new Set([ref.id]);
  for (let step = 0; step < CHAIN; step++) {
    const corrected = correctedIn(first.xml);
    if (corrected === undefined) break;
    names.add(corrected.id);
    const before = await store.lookup(owner, { with: party, ref: corrected });
    if (before === undefined || before.id >= first.id) break;
    first = before;
  }
  const found = [first];
  for (let page = 0, after = first.id; page < PAGES; page++) {
    const next = await store.find(owner, { with: party, after, limit: PAGE });
    if (next === undefined) break;
    for (const entry of next.entries) {
      const corrected = correctedIn(entry.xml);
      if (corrected?.sender !== ref.sender || !names.has(corrected.id)) continue;
      found.push(entry);
      const { id } = parseElement(entry.xml).attrs;
      if (id !== undefined) names.add(id);
    }
    if (next.complete) break;
    after = next.entries.at(-1)!.id;
  }
  return found;
}

function correctedIn(xml: string): MessageRef | undefined {
  // most messages correct nothing, and need not be read
  if (!xml.includes(NS.correction)) return undefined;
  const message = parseElement(xml);
  const sender = storedSender(message);
  return sender === undefined ? undefined : correctedBy(message, sender);
}

function isRetraction(message: Element): boolean {
  const sender = storedSender(message);
  return sender !== undefined && retractedBy(message, sender) !== undefined;
}
