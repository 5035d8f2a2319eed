// Published items as tables: what is written goes through the batcher, in order; pages are found by key (never by offset).
import type { Clock } from '../../base/clock.ts';
import { checkText } from '../json.ts';
import type { Item, ItemsPage, ItemsQuery, ItemsStore, NodeName } from '../ports.ts';
import { roundUp } from './archive-statements.ts';
import { textArray } from './arrays.ts';
import type { Batcher } from './batch.ts';
import type { Database, Row } from './database.ts';
import { between, createItemsTarget, type ItemWrite, itemTables, nodeNamed, orderBy } from './items-tables.ts';
import type { TableShape } from './tables.ts';

export interface ItemsParts {
  readonly database: Database;
  readonly batcher: Batcher;
  readonly clock: Pick<Clock, 'now'>;
}

/** The shared part: one batch target however many hosts open it. */
export function createItemsTable(shape: TableShape, parts: ItemsParts): (host: string) => ItemsStore {
  const { database, batcher, clock } = parts;
  const target = createItemsTarget(shape, database);
  const statements = readStatements(shape);

  async function write<W extends ItemWrite>(asked: W, size: number): Promise<W['result']> {
    await batcher.append<ItemWrite>(target, asked, size, true);
    return asked.result;
  }
  async function read(text: string, values: readonly unknown[]): Promise<readonly Row[]> {
    await batcher.caughtUp(target, database.patience);
    return database.run(text, values, true);
  }

  return (host) => {
    const named = (owner: string, node: string) => ({ host, owner: checkText(owner), node: checkText(node) });
    return {
      async put(owner, node, items, most) {
        let size = 0;
        for (const { id, xml, publisher } of items) {
          for (const text of [id, xml, publisher]) checkText(text);
          size += xml.length;
        }
        return write({ kind: 'put', ...named(owner, node), items, most, now: clock.now(), result: [] }, size);
      },
      async get(owner, node, ids) {
        for (const id of ids) checkText(id);
        const { owner: own, node: name } = named(owner, node);
        const rows = await read(statements.get, [host, own, name, clock.now(), textArray(ids, (id) => id)]);
        return rows.map((row) => itemOf(row));
      },
      async page(owner, node, query) {
        const { owner: own, node: name } = named(owner, node);
        const { after, before } = query;
        const anchors = [after, before].filter((id) => id !== undefined).map(checkText);
        return toPage(await read(statements.page(query), [host, own, name, clock.now(), ...anchors]), query);
      },
      async newest(asked) {
        for (const { owner, node } of asked) named(owner, node);
        if (asked.length === 0) return [];
        const rows = await read(statements.newest, [host, ...columns(asked), clock.now()]);
        const found = new Map(rows.map((row) => [Number(row[fields]), itemOf(row)]));
        return asked.map((_, i) => found.get(i + 1));
      },
      async usage(owner, node) {
        const values = node === undefined ? [host, checkText(owner)] : [host, checkText(owner), checkText(node)];
        const [row] = await read(node === undefined ? statements.usage : statements.usageOfNode, values);
        return { items: Number(row![0]), bytes: Number(row![1]) };
      },
      async remove(owner, node, ids) {
        for (const id of ids) checkText(id);
        return write({ kind: 'remove', ...named(owner, node), ids, now: clock.now(), result: [] }, 0);
      },
      clear: async (owner, node) => write({ kind: 'clear', ...named(owner, node), result: 0 }, 0),
      trim: async (owner, node, most) => write({ kind: 'trim', ...named(owner, node), most, result: [] }, 0),
      expire: async (owner, node, ttl) => write({ kind: 'expire', ...named(owner, node), ttl, result: undefined }, 0),
      async sweep(most) {
        const { life } = database;
        const [row] = await database.run(statements.sweep, [clock.now(), Math.max(0, most)], true, life);
        return Number(row![0]);
      },
    };
  };
}

const columns = (asked: readonly NodeName[]): string[] => [
  textArray(asked, ({ owner }) => owner),
  textArray(asked, ({ node }) => node),
];

/** How many columns an item is read from. */
const fields = 6;

function itemOf(row: Row): Item {
  const [id, xml, publisher, at, createdAt, until] = row as string[];
  return {
    id: id!,
    xml: xml!,
    publisher: publisher!,
    at: Number(at),
    createdAt: Number(createdAt),
    ...(until !== null && { until: Number(until) }),
  };
}

const isBackwards = ({ backwards, before }: ItemsQuery): boolean => backwards === true || before !== undefined;

/** Rows of an item, how many there are, and whether each place that was named is there; without an item where the page has none. */
function toPage(rows: readonly Row[], query: ItemsQuery): ItemsPage | undefined {
  const isNamed = query.after !== undefined || query.before !== undefined;
  const [first] = rows;
  if (first === undefined) return isNamed ? undefined : { items: [], complete: true, total: 0 };
  if (first[fields + 1] !== true) return undefined;
  const found = rows.filter((row) => row[0] !== null);
  const limit = Math.max(0, query.limit);
  const items = found.slice(0, limit).map(itemOf);
  if (isBackwards(query)) items.reverse();
  return { items, complete: found.length <= limit, total: Number(first[fields]) };
}

export function readStatements(shape: TableShape) {
  const { items, nodes } = itemTables(shape);
  const item = ['id', 'xml', 'publisher', 'at', 'created', 'until'];
  const own = item.map((column) => `i.${column}`).join(', ');
  const chosen = item.map((column) => `p.${column}`).join(', ');
  const isThere = (now: string): string => `(i.until IS NULL OR i.until > ${now})`;
  const usage = `SELECT coalesce(sum(items), 0), coalesce(sum(bytes), 0) FROM ${nodes} WHERE host = $1 AND owner = $2`;
  return {
    get:
      `SELECT ${chosen} FROM ${nodeNamed(nodes, '$1', '$2', '$3')} CROSS JOIN unnest($5::text[]) WITH ORDINALITY AS a (id, n) ` +
      `CROSS JOIN LATERAL (SELECT ${own} FROM ${items} AS i WHERE i.node = n.key AND i.id = a.id AND ${isThere('$4')} LIMIT 1) AS p ` +
      'ORDER BY a.n',
    page(query: ItemsQuery): string {
      const { after, before, newestFirst = false } = query;
      const column = query.by === 'created' ? 'first' : 'seq';
      let from = nodeNamed(nodes, '$1', '$2', '$3');
      const bounds: { above?: string; below?: string } = {};
      let known = 'true';
      const bound = (side: 'above' | 'below', parameter: string): void => {
        const place = `SELECT i.${column} AS place FROM ${items} AS i WHERE i.node = n.key AND i.id = ${parameter} AND ${isThere('$4')} LIMIT 1`;
        from += ` LEFT JOIN LATERAL (${place}) AS ${side} ON true`;
        bounds[side] = `${side}.place`;
        known += ` AND ${side}.place IS NOT NULL`;
      };
      if (after !== undefined) bound(newestFirst ? 'below' : 'above', '$5');
      if (before !== undefined) bound(newestFirst ? 'above' : 'below', after === undefined ? '$5' : '$6');
      const page =
        `SELECT ${own} FROM ${items} AS i WHERE ${between(column, bounds.above, bounds.below)} AND ${isThere('$4')} ` +
        `${orderBy(column, newestFirst !== isBackwards(query) ? 'DESC' : 'ASC')} LIMIT ${roundUp(Math.max(0, query.limit) + 1)}`;
      return `SELECT ${chosen}, n.items, ${known} FROM ${from} LEFT JOIN LATERAL (${page}) AS p ON true`;
    },
    newest:
      `SELECT ${chosen}, a.n FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS a (owner, node, n) ` +
      `CROSS JOIN LATERAL ${nodeNamed(nodes, '$1', 'a.owner', 'a.node')} CROSS JOIN LATERAL ` +
      `(SELECT ${own} FROM ${items} AS i WHERE ${between('seq')} AND ${isThere('$4')} ${orderBy('seq', 'DESC')} LIMIT 1) AS p`,
    usage,
    usageOfNode: `${usage} AND node = $3`,
    sweep:
      `WITH old AS MATERIALIZED (SELECT i.ctid, i.node FROM ${items} AS i WHERE i.until <= $1 ORDER BY i.until LIMIT $2), ` +
      // (what somebody writes just now waits for the next time)
      `locked AS MATERIALIZED (SELECT key FROM ${nodes} WHERE key = ANY(ARRAY(SELECT DISTINCT node FROM old)) FOR NO KEY UPDATE SKIP LOCKED), ` +
      `gone AS (DELETE FROM ${items} WHERE until <= $1 AND ctid = ANY(ARRAY(SELECT old.ctid FROM old JOIN locked ON key = node)) RETURNING 1) ` +
      'SELECT count(*) FROM gone',
  };
}
