// XEP-0424: Message Retraction. What its sender takes back leaves a tombstone in the archive; the retraction itself is kept as well.
//
// The specification does not speak of corrections: those of the message are emptied with it, or its text would still be there.
import type { Archived, ArchiveStore, MessageRef } from '../../storage/ports.ts';
import { parseElement } from '../../xml/document.ts';
import { type Element, el } from '../../xml/element.ts';
import { formatDateTime } from '../../xmpp/datetime.ts';
import { NS } from '../../xmpp/ns.ts';
import { correctedId, retractedId, type StoredSender, senderInAccount } from './references.ts';

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

/** What is to become of a message. */
export interface Burial {
  /** Bare JID of the other party; in a room, of whoever spoke. */
  readonly with: string;
  /** As references name whoever sent it. */
  readonly sender: string;
  readonly senderOf: StoredSender;
  /** What corrections may call it, beside its own id. */
  readonly name?: string;
  /** What stands in its place: with it, only the children that `isKept` are left. */
  readonly stone: Element;
  isKept(child: Element): boolean;
  /** Told of each message in whose place there is a tombstone now. */
  buried(message: Element): void;
}

/** Messages of a conversation that are looked through for corrections of one: so many pages of so many. */
const PAGES = 20;
const PAGE = 100;
/** Corrections of corrections that are followed to what was said first. (XEP-0308 3 has none.) */
const CHAIN = 20;

/**
 * Puts tombstones in the place of a message and its corrections (XEP-0424 4), whichever of them is called for; returns how many.
 */
export async function applyRetraction(
  store: ArchiveStore,
  owner: string,
  retraction: Retraction,
  buried: (message: Element) => void,
): Promise<number> {
  const { with: party, ref, by, at } = retraction;
  const found = await store.lookup(owner, retraction);
  if (found === undefined) return 0;
  return bury(store, owner, found, {
    with: party,
    sender: ref.sender,
    senderOf: senderInAccount,
    name: ref.id,
    stone: retractedElement(by, at),
    isKept: () => false,
    buried,
  });
}

/** XEP-0424 4: says that what was here has been taken back, by the message with the id `by`. */
export function retractedElement(by: string, at: number, ...more: Element[]): Element {
  return el('retracted', NS.retraction, { id: by, stamp: formatDateTime(at) }, ...more);
}

/** Whether nothing is left of a message to be taken back: it was, or takes back itself (XEP-0424 5). */
export function isBeyondRetraction(message: Element): boolean {
  return message.getChild('retracted', NS.retraction) !== undefined || retractedId(message) !== undefined;
}

/** Puts tombstones in the place of a message and its corrections; returns how many. */
export async function bury(store: ArchiveStore, owner: string, found: Archived, burial: Burial): Promise<number> {
  let buried = 0;
  for (const { id, xml } of await versions(store, owner, found, burial)) {
    const message = parseElement(xml);
    if (isBeyondRetraction(message)) continue;
    if (!(await store.replace(owner, id, tombstoneOf(message, burial).toXml()))) continue;
    burial.buried(message);
    buried++;
  }
  return buried;
}

/** XEP-0424 4: of the message nothing is left but what it was called, and between whom it was. */
function tombstoneOf(message: Element, { stone, isKept }: Burial): Element {
  const { from, to, type, id } = message.attrs;
  return el('message', null, { from, to, type, id }, stone, ...message.elements().filter(isKept));
}

/** A message as it was said first, and everything that corrects it. */
async function versions(store: ArchiveStore, owner: string, found: Archived, burial: Burial): Promise<Archived[]> {
  const { with: party, sender, name } = burial;
  let first = found;
  const names = new Set([name, parseElement(first.xml).attrs.id]);
  for (let step = 0; step < CHAIN; step++) {
    const corrected = correctedIn(first.xml, burial);
    if (corrected === undefined) break;
    names.add(corrected);
    const before = await store.lookup(owner, { with: party, ref: { sender, id: corrected } });
    if (before === undefined || before.id >= first.id) break;
    first = before;
  }
  const all = [first];
  for (let page = 0, after = first.id; page < PAGES; page++) {
    const next = await store.find(owner, { with: party, after, limit: PAGE });
    if (next === undefined) break;
    for (const entry of next.entries) {
      const corrected = correctedIn(entry.xml, burial);
      if (corrected === undefined || !names.has(corrected)) continue;
      all.push(entry);
      names.add(parseElement(entry.xml).attrs.id);
    }
    if (next.complete) break;
    after = next.entries.at(-1)!.id;
  }
  return all;
}

/** What a message by the same sender corrects. */
function correctedIn(xml: string, { sender, senderOf }: Burial): string | undefined {
  // most messages correct nothing, and need not be read
  if (!xml.includes(NS.correction)) return undefined;
  const message = parseElement(xml);
  return senderOf(message) === sender ? correctedId(message) : undefined;
}
