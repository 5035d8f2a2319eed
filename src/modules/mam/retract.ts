// XEP-0424: Message Retraction. What its sender takes back leaves a tombstone in the archive; the retraction itself is kept as well.
//
// The specification does not speak of corrections: those of the message are emptied with it, or its text would still be there.
import type { Archived, ArchiveStore, MessageRef } from '../../storage/ports.ts';
import { parseElement } from '../../xml/document.ts';
import { type Element, el } from '../../xml/element.ts';
import { formatDateTime } from '../../xmpp/datetime.ts';
import { NS } from '../../xmpp/ns.ts';
import { correctedBy, storedSender } from './references.ts';

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

/** Puts tombstones in the place of a message and its corrections (XEP-0424 4); returns how many. */
export async function applyRetraction(store: ArchiveStore, owner: string, retraction: Retraction): Promise<number> {
  const found = await store.lookup(owner, retraction);
  if (found === undefined) return 0;
  let emptied = 0;
  for (const { id, xml } of [found, ...(await corrections(store, owner, retraction, found.id))]) {
    const message = parseElement(xml);
    if (message.getChild('retracted', NS.retraction) !== undefined) continue;
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

async function corrections(
  store: ArchiveStore,
  owner: string,
  { with: party, ref }: Retraction,
  after: string,
): Promise<Archived[]> {
  const found: Archived[] = [];
  for (let page = 0, from = after; page < PAGES; page++) {
    const next = await store.find(owner, { with: party, after: from, limit: PAGE });
    if (next === undefined) break;
    found.push(...next.entries.filter(({ xml }) => corrects(xml, ref)));
    if (next.complete) break;
    from = next.entries.at(-1)!.id;
  }
  return found;
}

function corrects(xml: string, ref: MessageRef): boolean {
  // most messages correct nothing, and need not be read
  if (!xml.includes(NS.correction)) return false;
  const message = parseElement(xml);
  const sender = storedSender(message);
  const corrected = sender === undefined ? undefined : correctedBy(message, sender);
  return corrected?.id === ref.id && corrected.sender === ref.sender;
}
