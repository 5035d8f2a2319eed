// The items of nodes in memory: a map for each node, in the order of publication.
import type { Clock } from '../base/clock.ts';
import { checkText } from './json.ts';
import type { Item, ItemsQuery, ItemsStore, ItemsUsage, NewItem } from './ports.ts';

interface Entry extends Item {
  /** Rises with every id that is published for the first time. */
  readonly first: number;
  readonly bytes: number;
}
/** By id; the last is the newest. */
type Node = Map<string, Entry>;

/** The store, and how the driver empties it. */
export interface MemoryItems {
  readonly store: ItemsStore;
  purge(owner: string): void;
  close(): void;
}

/** `check` throws when the driver is closed. */
export function createMemoryItems(check: () => void, clock: Pick<Clock, 'now'>): MemoryItems {
  const owners = new Map<string, Map<string, Node>>();
  let published = 0;

  const nodeOf = (owner: string, node: string): Node | undefined => {
    check();
    checkText(node);
    return owners.get(checkText(owner))?.get(node);
  };
  const makeNode = (owner: string, node: string): Node => {
    let nodes = owners.get(owner);
    if (nodes === undefined) {
      nodes = new Map();
      owners.set(owner, nodes);
    }
    const made = nodes.get(node) ?? new Map<string, Entry>();
    nodes.set(node, made);
    return made;
  };
  const tidy = (owner: string, node: string): void => {
    const nodes = owners.get(owner);
    if (nodes?.get(node)?.size === 0) nodes.delete(node);
    if (nodes?.size === 0) owners.delete(owner);
  };
  const isThere = ({ until }: Entry): boolean => until === undefined || until > clock.now();

  const put = (node: Node, { id, xml, publisher, at, until }: NewItem): void => {
    const old = node.get(id);
    const isNew = old === undefined || !isThere(old);
    const [createdAt, first] = isNew ? [at, published++] : [old.createdAt, old.first];
    node.delete(id);
    node.set(id, { id, xml, publisher, at, until, createdAt, first, bytes: Buffer.byteLength(xml) });
  };
  const removeFrom = (owner: string, node: string, ids: Iterable<string>): string[] => {
    const from = nodeOf(owner, node);
    const gone = [...new Set(ids)].filter((id) => from?.delete(id));
    tidy(owner, node);
    return gone;
  };
  const trim = (owner: string, node: string, most: number): string[] => {
    const ids = [...(nodeOf(owner, node)?.keys() ?? [])];
    return removeFrom(owner, node, ids.slice(0, Math.max(0, ids.length - most)));
  };

  const store: ItemsStore = {
    async put(owner, node, items, most) {
      nodeOf(owner, node);
      for (const { id, xml, publisher } of items) for (const text of [id, xml, publisher]) checkText(text);
      if (items.length > 0) {
        const into = makeNode(owner, node);
        for (const item of items) put(into, item);
      }
      return trim(owner, node, most);
    },
    async get(owner, node, ids) {
      const from = nodeOf(owner, node);
      for (const id of ids) checkText(id);
      const found = ids.map((id) => from?.get(id)).filter((entry) => entry !== undefined);
      return found.filter(isThere).map(itemOf);
    },
    async page(owner, node, query) {
      const from = nodeOf(owner, node);
      const { after, before } = query;
      for (const id of [after, before]) checkText(id ?? '');
      const listed = inOrder(from, query).filter(isThere);
      const start = after === undefined ? 0 : listed.findIndex(({ id }) => id === after) + 1;
      const end = before === undefined ? listed.length : listed.findIndex(({ id }) => id === before);
      if ((after !== undefined && start === 0) || end === -1) return undefined;
      const range = listed.slice(start, Math.max(start, end));
      const limit = Math.max(0, query.limit);
      const cut = isBackwards(query) ? Math.max(0, range.length - limit) : 0;
      const entries = range.slice(cut, cut + limit);
      return { items: entries.map(itemOf), complete: entries.length === range.length, total: from?.size ?? 0 };
    },
    async newest(asked) {
      return asked.map(({ owner, node }) => {
        const last = [...(nodeOf(owner, node)?.values() ?? [])].findLast(isThere);
        return last === undefined ? undefined : itemOf(last);
      });
    },
    async usage(owner, node) {
      check();
      for (const text of [owner, node]) checkText(text ?? '');
      const nodes = owners.get(owner);
      return usageOf(node === undefined ? [...(nodes?.values() ?? [])] : [nodes?.get(node) ?? new Map()]);
    },
    async remove(owner, node, ids) {
      for (const id of ids) checkText(id);
      const from = nodeOf(owner, node);
      const expired = new Set(ids.filter((id) => from?.has(id) && !isThere(from.get(id)!)));
      return removeFrom(owner, node, ids).filter((id) => !expired.has(id));
    },
    async clear(owner, node) {
      return removeFrom(owner, node, nodeOf(owner, node)?.keys() ?? []).length;
    },
    trim: async (owner, node, most) => trim(owner, node, most),
    async expire(owner, node, ttl) {
      const from = nodeOf(owner, node);
      for (const [id, entry] of from ?? []) {
        from!.set(id, { ...entry, until: ttl === undefined ? undefined : entry.at + ttl });
      }
    },
    async sweep(most) {
      check();
      const expired: { owner: string; node: string; entry: Entry }[] = [];
      for (const [owner, nodes] of owners) {
        for (const [node, entries] of nodes) {
          for (const entry of entries.values()) if (!isThere(entry)) expired.push({ owner, node, entry });
        }
      }
      expired.sort((one, other) => one.entry.until! - other.entry.until!);
      const first = expired.slice(0, Math.max(0, most));
      for (const { owner, node, entry } of first) removeFrom(owner, node, [entry.id]);
      return first.length;
    },
  };
  return { store, purge: (owner) => void owners.delete(owner), close: () => owners.clear() };
}

const isBackwards = ({ backwards, before }: ItemsQuery): boolean => backwards === true || before !== undefined;

function inOrder(node: Node | undefined, { by, newestFirst }: ItemsQuery): Entry[] {
  const entries = [...(node?.values() ?? [])];
  if (by === 'created') entries.sort((one, other) => one.first - other.first);
  return newestFirst ? entries.reverse() : entries;
}

function usageOf(nodes: readonly Node[]): ItemsUsage {
  const usage = { items: 0, bytes: 0 };
  for (const node of nodes) {
    usage.items += node.size;
    for (const { bytes } of node.values()) usage.bytes += bytes;
  }
  return usage;
}

const itemOf = ({ id, xml, publisher, at, until, createdAt }: Entry): Item =>
  Object.freeze({ id, xml, publisher, at, createdAt, ...(until !== undefined && { until }) });
