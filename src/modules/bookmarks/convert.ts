// Bookmarks of today (XEP-0402) and of before (XEP-0048): one made of the other, without losing what only one of them has. Pure.
import { Element, el } from '../../xml/element.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';

/** A room, and what is kept of it: `<conference/>` of today. */
export interface Bookmark {
  /** The id of the item: the room's address as its client has written it. */
  readonly id: string;
  readonly conference: Element;
}

/** The one list of before. */
export interface List {
  /** Conferences of before, by the bare address of the room; of two for one room, the last. */
  readonly rooms: ReadonlyMap<string, Element>;
  /** What else is in it: pages of the web, rooms without an address, and what nobody knows. */
  readonly others: readonly Element[];
}

const FIELDS: ReadonlySet<string> = new Set(['nick', 'password']);

export function readList(storage: Element): List {
  const rooms = new Map<string, Element>();
  const others: Element[] = [];
  for (const child of storage.elements()) {
    const room = child.is('conference', NS.bookmarksLegacy) ? Jid.parse(child.attrs.jid ?? '') : undefined;
    if (room === undefined) others.push(child);
    else rooms.set(room.bare, child);
  }
  return { rooms, others };
}

/** 5.3.1: "casting them into the 'storage:bookmarks' namespace and setting the jid attribute to the item id". */
export function listOf(bookmarks: readonly Bookmark[], others: readonly Element[]): Element {
  return el('storage', NS.bookmarksLegacy, undefined, ...bookmarks.map(toLegacy), ...others);
}

/** What clients of before have put beside the nick stands where they look for it; those of today have it among the extensions. */
function toLegacy({ id, conference }: Bookmark): Element {
  const fields = conference.elements().filter(isField);
  const cast = fields.map((field) => el(field.name, NS.bookmarksLegacy, field.attrs, ...field.children));
  return el('conference', NS.bookmarksLegacy, { ...conference.attrs, jid: id }, ...cast, ...extensionsOf(conference));
}

const isField = ({ name, ns }: Element): boolean =>
  FIELDS.has(name) && (ns === NS.bookmarks || ns === NS.bookmarksLegacy);

const isExtensions = (child: Element): boolean => child.is('extensions', NS.bookmarks);

function extensionsOf(conference: Element): Element[] {
  return conference.getChild('extensions', NS.bookmarks)?.elements() ?? [];
}

/**
 * A bookmark of today that says what one of before says. What clients of before do not know, and have left out, stays as it was.
 * @param before the bookmark that it takes the place of; returned as it is where it says the same
 */
export function fromLegacy(legacy: Element, before: Element | undefined): Element {
  const { jid = '', ...said } = legacy.attrs;
  const { name: _name, autojoin: _autojoin, ...kept } = before?.attrs ?? {};
  const children = legacy.elements();
  const fields = children.filter(isField);
  const cast = fields.map((field) => el(field.name, NS.bookmarks, field.attrs, ...field.children));
  const resource = Jid.parse(jid)?.resource ?? '';
  // an address with a nick, as some have written it
  if (resource !== '' && !fields.some(({ name }) => name === 'nick'))
    cast.push(el('nick', NS.bookmarks, undefined, resource));
  const unknown = before?.elements().filter((child) => !isField(child) && !isExtensions(child)) ?? [];
  const extensions = merged(
    before === undefined ? [] : extensionsOf(before),
    children.filter((child) => !isField(child)),
  );
  const box = before?.getChild('extensions', NS.bookmarks)?.attrs;
  const boxes = extensions.length > 0 || box !== undefined ? [el('extensions', NS.bookmarks, box, ...extensions)] : [];
  const conference = el('conference', NS.bookmarks, { ...kept, ...said }, ...cast, ...boxes, ...unknown);
  return before !== undefined && essence(before) === essence(conference) ? before : conference;
}

/** Those of before, but where there are others of the same name. */
function merged(before: readonly Element[], now: readonly Element[]): Element[] {
  const replaced = new Set(now.map(nameOf));
  return [...before.filter((child) => !replaced.has(nameOf(child))), ...now];
}

const nameOf = ({ name, ns }: Element): string => `{${ns}}${name}`;

/** Whether two lists of before say the same, in whatever order. */
export function isSameList(one: Element, other: Element): boolean {
  return listEssence(one) === listEssence(other);
}

function listEssence(storage: Element): string {
  const { rooms, others } = readList(storage);
  const all = [...rooms].map(([room, legacy]) => [room, essence(fromLegacy(legacy, undefined))].join(' '));
  return JSON.stringify([all.sort(), others.map((other) => other.toXml('')).sort()]);
}

/** The same text for bookmarks that say the same. */
function essence({ attrs: { autojoin, ...attrs }, children }: Element): string {
  const isJoined = autojoin === 'true' || autojoin === '1';
  const parts = children.flatMap((child) => {
    if (!(child instanceof Element)) return [];
    const inside = isExtensions(child) ? child.elements() : [child];
    return inside.map((one) => one.toXml(''));
  });
  return JSON.stringify([isJoined, Object.entries(attrs).sort(), parts.sort()]);
}
