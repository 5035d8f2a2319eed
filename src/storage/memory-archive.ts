// Message archives in memory: one array per owner, in the order of ids. Searching compares words as they are written, without
// inflection.
import { idBounds, idTime, isId, type MintId } from './ids.ts';
import { checkText } from './json.ts';
import type { Archived, ArchiveQuery, ArchiveRange, ArchiveStore, MessageRef } from './ports.ts';
import type { ReadSearchable } from './specs.ts';
import { fold, wordsOf } from './words.ts';

interface Entry extends Archived {
  readonly with: string;
  readonly resource: string;
  readonly ref: MessageRef | undefined;
}

/** The store, and how the driver empties it. */
export interface MemoryArchive {
  readonly store: ArchiveStore;
  purge(owner: string): void;
  close(): void;
}

/** `check` throws when the driver is closed. */
export function createMemoryArchive(
  check: () => void,
  mint: MintId,
  searchable: ReadSearchable = () => undefined,
): MemoryArchive {
  const owners = new Map<string, Entry[]>();
  const entriesOf = (owner: string): readonly Entry[] => {
    check();
    return owners.get(checkText(owner)) ?? [];
  };

  /** The first of these messages, at most so many. */
  const select = (entries: readonly Entry[], range: ArchiveRange): Entry[] => {
    const [above, below] = idBounds({
      ...(range.start !== undefined && { start: range.start }),
      ...(range.end !== undefined && { end: range.end }),
    });
    const { afterId, beforeId, ids } = range;
    for (const text of [range.with, range.resource, afterId, beforeId, ...(ids ?? [])]) checkText(text ?? '');
    const wanted = ids === undefined ? undefined : new Set(ids);
    if ([afterId, beforeId].some((id) => id !== undefined && !isId(id))) return [];
    return entries.filter(
      (entry) =>
        entry.id > above &&
        entry.id < below &&
        (afterId === undefined || entry.id > afterId) &&
        (beforeId === undefined || entry.id < beforeId) &&
        (wanted === undefined || wanted.has(entry.id)) &&
        (range.with === undefined || entry.with === range.with) &&
        (range.with === undefined || range.resource === undefined || entry.resource === range.resource),
    );
  };

  const put = (owner: string, entry: Entry): void => {
    const entries = owners.get(owner);
    if (entries === undefined) {
      owners.set(owner, [entry]);
      return;
    }
    let place = entries.length;
    while (place > 0 && entries[place - 1]!.id > entry.id) place--;
    entries.splice(place, 0, entry);
  };

  const store: ArchiveStore = {
    begin: check,
    mint: () => mint(),
    append(owner, message) {
      check();
      for (const text of [owner, message.with, message.resource, message.xml]) checkText(text);
      if (message.ref !== undefined) checkText(message.ref.sender + message.ref.id);
      const id = message.id ?? mint(message.at);
      const { with: party, resource, xml, ref } = message;
      put(owner, { id, at: idTime(id), xml, with: party, resource, ref });
      return { id, durable: Promise.resolve() };
    },
    async find(owner, query) {
      const all = entriesOf(owner);
      if (!hasAll(all, query)) return undefined;
      let found = select(all, query);
      if (query.search !== undefined) found = matching(all, found, query.search.text, searchable);
      const { after, before } = query;
      if (after !== undefined) found = found.filter((entry) => entry.id > after);
      if (before !== undefined) found = found.filter((entry) => entry.id < before);
      const limit = Math.max(0, query.limit);
      const cut = query.backwards ? Math.max(0, found.length - limit) : 0;
      const entries = found.slice(cut, cut + limit);
      return { entries: entries.map(archived), complete: entries.length === found.length };
    },
    async count(owner, range, most) {
      const { length } = select(entriesOf(owner), range);
      return length > most ? undefined : length;
    },
    async unread(asked, most) {
      return asked.map(({ owner, afterId, start, except }) => {
        const range = { start, afterId: afterId !== undefined && isId(checkText(afterId)) ? afterId : undefined };
        const counted = select(entriesOf(owner), range).filter(
          (entry) => entry.resource !== '' && entry.with !== checkText(except ?? ''),
        );
        return Math.min(counted.length, most);
      });
    },
    async ends(owner) {
      const entries = entriesOf(owner);
      const [first, last] = [entries[0], entries.at(-1)];
      if (first === undefined || last === undefined) return undefined;
      return { first: { id: first.id, at: first.at }, last: { id: last.id, at: last.at } };
    },
    async lookup(owner, { with: party, ref }) {
      checkText(party + ref.sender + ref.id);
      const isIt = (entry: Entry): boolean => entry.with === party && isSame(entry.ref, ref);
      const entry = entriesOf(owner).findLast(isIt);
      return entry === undefined ? undefined : archived(entry);
    },
    async replace(owner, id, xml) {
      checkText(id + xml);
      const entries = entriesOf(owner) as Entry[];
      const place = entries.findIndex((entry) => entry.id === id);
      if (place === -1) return false;
      entries[place] = { ...entries[place]!, xml };
      return true;
    },
    async remove(owner, range, most) {
      const entries = entriesOf(owner);
      const gone = new Set(select(entries, range).slice(0, Math.max(0, most)));
      if (gone.size < entries.length) {
        owners.set(
          owner,
          entries.filter((entry) => !gone.has(entry)),
        );
      } else {
        owners.delete(owner);
      }
      return gone.size;
    },
    async owners(after = '', limit = 1000) {
      check();
      return [...owners.keys()]
        .filter((owner) => owner > after)
        .sort()
        .slice(0, limit);
    },
  };
  return { store, purge: (owner) => void owners.delete(owner), close: () => owners.clear() };
}

const archived = ({ id, at, xml }: Entry): Archived => ({ id, at, xml });

const isSame = (one: MessageRef | undefined, other: MessageRef): boolean =>
  one !== undefined && one.id === other.id && one.sender === other.sender;

/** Whether every id that a query names is there. */
function hasAll(entries: readonly Entry[], query: ArchiveQuery): boolean {
  const named = [query.after, query.before, query.afterId, query.beforeId, ...(query.ids ?? [])];
  const has = new Set(entries.map((entry) => entry.id));
  return named.every((id) => id === undefined || has.has(checkText(id)));
}

/** Those that have all the words, and that no later message corrects. */
function matching(
  all: readonly Entry[],
  candidates: readonly Entry[],
  text: string,
  searchable: ReadSearchable,
): Entry[] {
  const wanted = [...wordsOf(text)].map(fold);
  if (wanted.length === 0) return [];
  const corrections = all.flatMap((entry) => {
    const replaces = searchable(entry.xml)?.replaces;
    return replaces === undefined ? [] : [{ entry, replaces }];
  });
  const isCorrected = (entry: Entry): boolean => {
    const own = searchable(entry.xml)?.replaces;
    return corrections.some(
      ({ entry: later, replaces }) =>
        later.with === entry.with && later.id > entry.id && (isSame(entry.ref, replaces) || isSame(own, replaces)),
    );
  };
  return candidates.filter((entry) => {
    const read = searchable(entry.xml);
    if (read === undefined) return false;
    const has = new Set([...wordsOf(read.text)].map(fold));
    return wanted.every((word) => has.has(word)) && !isCorrected(entry);
  });
}
