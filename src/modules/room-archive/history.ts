// What somebody who enters is told of the past (XEP-0045 7.2.13 to 7.2.15): from the archive, the last of what there was to read.
import type { Archived, ArchiveStore } from '../../storage/ports.ts';
import type { Element } from '../../xml/element.ts';
import { delayElement } from '../../xmpp/delay.ts';
import { stanzaIdElement } from '../mam/stanza-ids.ts';
import type { HistoryRequest } from '../muc/hooks.ts';
import type { Room } from '../muc/room.ts';
import { defineRoomSlot } from '../muc/slots.ts';
import { isSubjectChange } from '../muc/subject.ts';
import { withoutSpeaker } from './said.ts';

/** Who reads the past of a room while it goes on. */
interface Reading {
  /** What was said since: it comes by itself. */
  readonly later: Set<string>;
}
const readings = defineRoomSlot<Set<Reading>>('history-readings');

/** Entries of the archive that are looked through for one that enters: so many pages, with so many more than are wanted on each. */
const PAGES = 4;
const MORE = 20;

/** Something was said, and kept under this id. */
export function sayLater(room: Room, id: string): void {
  for (const { later } of room.get(readings) ?? []) later.add(id);
}

/** The messages to send, the oldest first; each is from the occupant JID, and without `to`. */
export async function historyOf(store: ArchiveStore, room: Room, request: HistoryRequest): Promise<Element[]> {
  const most = Math.min(request.maxStanzas ?? wanted(room, request), room.config.maxHistory);
  if (most === 0 || request.maxChars === 0) return [];
  const all = room.get(readings) ?? new Set();
  room.set(readings, all);
  const reading: Reading = { later: new Set() };
  all.add(reading);
  try {
    return await read(store, room, { ...request, most }, reading.later);
  } finally {
    all.delete(reading);
  }
}

/** Who says from when on wants all of it (7.2.14). */
function wanted({ config }: Room, { since }: HistoryRequest): number {
  return since === undefined ? config.defaultHistory : config.maxHistory;
}

async function read(
  store: ArchiveStore,
  room: Room,
  { since = 0, maxChars = Number.POSITIVE_INFINITY, most }: HistoryRequest & { readonly most: number },
  later: ReadonlySet<string>,
): Promise<Element[]> {
  const start = Math.max(since, room.createdAt);
  const found: Element[] = [];
  let left = maxChars;
  for (let page = 0, before: string | undefined; page < PAGES; page++) {
    const { entries, complete } = (await store.find(room.jid.local, {
      start,
      before,
      backwards: true,
      limit: most - found.length + MORE,
    })) ?? { entries: [], complete: true };
    for (const entry of [...entries].reverse()) {
      const message = later.has(entry.id) ? undefined : told(room, entry);
      if (message === undefined) continue;
      // 7.2.14: of the whole stanzas
      left -= message.toXml().length;
      if (left < 0) return found.reverse();
      found.push(message);
      if (found.length === most) return found.reverse();
    }
    if (complete) break;
    before = entries[0]!.id;
  }
  return found.reverse();
}

/** An entry, where it is something that was said: not the subject, which comes last, nor what only matters together with other messages. */
function told(room: Room, { id, xml, at }: Archived): Element | undefined {
  if (!xml.includes('<body')) return undefined;
  const message = withoutSpeaker(xml);
  if (message.getChild('body') === undefined || isSubjectChange(message)) return undefined;
  return message.append(stanzaIdElement(room.jid.bare, id), delayElement(at, room.jid.bare));
}
