// The tables of published items, and how they are written: in batches, each of which is one transaction in the order of what was asked.
//
// A row for each node that has items, with how many there are and of which size, which triggers keep true, whoever writes; and a row for
// each item. `seq` rises with every publication, `first` is the one with which the id came. Purging an owner's nodes takes the items along.
import type pg from 'pg';
import { StorageUnavailable } from '../errors.ts';
import type { NewItem } from '../ports.ts';
import { plainArray, textArray } from './arrays.ts';
import type { Target } from './batch.ts';
import type { Database } from './database.ts';
import { qualified, quoted, schema, type TableShape } from './tables.ts';

export interface ItemTables {
  readonly items: string;
  readonly nodes: string;
}

export function itemTables(shape: TableShape): ItemTables {
  return { items: qualified(shape), nodes: `${schema}.${quoted(`${shape.name}_nodes`)}` };
}

const sequence = (shape: TableShape): string => `${schema}.${quoted(`${shape.name}_published`)}`;

/** The statements that make them. */
export function createItems(shape: TableShape): string[] {
  const { items, nodes } = itemTables(shape);
  const count = `${schema}.${quoted(`${shape.name}_count`)}`;
  const change = (rows: string): string =>
    `UPDATE ${nodes} AS n SET items = n.items + c.items, bytes = n.bytes + c.bytes ` +
    `FROM (SELECT node, sum(items) AS items, sum(bytes) AS bytes FROM (${rows}) AS r GROUP BY node) AS c WHERE n.key = c.node`;
  const rows = (table: string, sign: string): string =>
    `SELECT node, ${sign}1 AS items, ${sign}octet_length(xml) AS bytes FROM ${table}`;
  const trigger = (event: string, referencing: string): string =>
    `CREATE TRIGGER ${quoted(`${shape.name}_${event.toLowerCase()}`)} AFTER ${event} ON ${items} ` +
    `REFERENCING ${referencing} FOR EACH STATEMENT EXECUTE FUNCTION ${count}()`;
  return [
    `CREATE TABLE ${nodes} (key bigint GENERATED ALWAYS AS IDENTITY UNIQUE, items bigint NOT NULL DEFAULT 0,
      bytes bigint NOT NULL DEFAULT 0, host text COLLATE "C" NOT NULL, owner text COLLATE "C" NOT NULL,
      node text COLLATE "C" NOT NULL, PRIMARY KEY (host, owner, node)) WITH (fillfactor = 70)`,
    `CREATE SEQUENCE ${sequence(shape)}`,
    `CREATE TABLE ${items} (node bigint NOT NULL REFERENCES ${nodes} (key) ON DELETE CASCADE, seq bigint NOT NULL,
      first bigint NOT NULL, at bigint NOT NULL, created bigint NOT NULL, until bigint, id text COLLATE "C" NOT NULL,
      publisher text COLLATE "C" NOT NULL, xml text COLLATE "C" NOT NULL, PRIMARY KEY (id, node))`,
    // the only one that begins with the node: the planner cannot take another for a page, and sort (see archive-statements.ts)
    `CREATE INDEX ${quoted(`${shape.name}_seq`)} ON ${items} (node, seq)`,
    `CREATE INDEX ${quoted(`${shape.name}_first`)} ON ${items} ((node + 0), first)`,
    `CREATE INDEX ${quoted(`${shape.name}_until`)} ON ${items} (until) WHERE until IS NOT NULL`,
    // as for archives
    `DO $$ BEGIN EXECUTE 'ALTER TABLE ${items} ALTER COLUMN xml SET COMPRESSION lz4';
      EXCEPTION WHEN OTHERS THEN NULL; END $$`,
    // (the rows of a statement are few, those of the table are not: it must be found by its key)
    `CREATE FUNCTION ${count}() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$ BEGIN
      IF TG_OP = 'INSERT' THEN ${change(rows('new_rows', ''))};
      ELSIF TG_OP = 'DELETE' THEN ${change(rows('old_rows', '-'))};
      ELSE ${change(`${rows('new_rows', '')} UNION ALL ${rows('old_rows', '-')}`)};
      END IF; RETURN NULL; END $$`,
    trigger('INSERT', 'NEW TABLE AS new_rows'),
    trigger('DELETE', 'OLD TABLE AS old_rows'),
    trigger('UPDATE', 'NEW TABLE AS new_rows OLD TABLE AS old_rows'),
  ];
}

interface Write<K extends string, R> {
  readonly kind: K;
  readonly host: string;
  readonly owner: string;
  readonly node: string;
  /** What came of it. */
  result: R;
}
interface Put extends Write<'put', string[]> {
  readonly items: readonly NewItem[];
  readonly most: number;
  /** What has expired by then, in milliseconds since 1970, was not there. */
  readonly now: number;
}
interface Remove extends Write<'remove', string[]> {
  readonly ids: readonly string[];
  readonly now: number;
}
interface Clear extends Write<'clear', number> {}
interface Trim extends Write<'trim', string[]> {
  readonly most: number;
}
interface Expire extends Write<'expire', undefined> {
  readonly ttl: number | undefined;
}
/** What is asked of the tables. */
export type ItemWrite = Put | Remove | Clear | Trim | Expire;

type Run = (text: string, values: readonly unknown[]) => Promise<readonly (readonly unknown[])[]>;

/** What goes for any node, in one text. */
const nameOf = ({ host, owner, node }: Omit<Write<string, unknown>, 'result'>): string => `${host}\0${owner}\0${node}`;

/** Writes what is asked, in that order: what is of one kind and comes together goes in one statement. */
export function createItemsTarget(shape: TableShape, database: Database): Target<ItemWrite> {
  const statements = itemStatements(shape);

  async function put(run: Run, writes: readonly Put[]): Promise<void> {
    // of several under one id the last counts, in its place
    const last = new Map<string, { readonly write: Put; readonly item: NewItem }>();
    for (const write of writes) {
      for (const item of write.items) {
        const name = `${nameOf(write)}\0${item.id}`;
        last.delete(name);
        last.set(name, { write, item });
      }
    }
    const rows = [...last.values()];
    const nodes = [...new Map(writes.map((write) => [nameOf(write), write])).values()];
    const published = await run(statements.publish, [
      ...names(rows.map(({ write }) => write)),
      textArray(rows, ({ item }) => item.id),
      textArray(rows, ({ item }) => item.publisher),
      textArray(rows, ({ item }) => item.xml),
      plainArray(rows, ({ item }) => Math.trunc(item.at)),
      plainArray(rows, ({ item }) => expiry(item.until)),
      writes.at(-1)!.now,
    ]);
    if (published.length < rows.length) throw new StorageUnavailable('a node was removed by another process');
    await trim(run, nodes);
  }

  async function trim(run: Run, writes: readonly (Put | Trim)[]): Promise<void> {
    // (of several of one node the last counts; the first of them need not be told what went for it)
    const asked = new Map(writes.map((write) => [nameOf(write), write]));
    const values = [...asked.values()];
    const most = plainArray(values, (write) => Math.min(Math.max(0, write.most), Number.MAX_SAFE_INTEGER));
    for (const [host, owner, node, id] of await run(statements.trim, [...names(values), most])) {
      const write = asked.get(`${host}\0${owner}\0${node}`)!;
      write.result.push(id as string);
    }
  }

  async function remove(run: Run, writes: readonly Remove[]): Promise<void> {
    const asked = new Map<string, { readonly write: Remove; readonly id: string }>();
    for (const write of writes) {
      for (const id of write.ids) {
        const name = `${nameOf(write)}\0${id}`;
        if (!asked.has(name)) asked.set(name, { write, id });
      }
    }
    const all = [...asked.values()];
    const values = [...names(all.map(({ write }) => write)), textArray(all, ({ id }) => id), writes.at(-1)!.now];
    const there = new Set<unknown>((await run(statements.remove, values)).map(([place]) => Number(place)));
    for (const [i, { write, id }] of all.entries()) if (there.has(i + 1)) write.result.push(id);
  }

  async function clear(run: Run, writes: readonly Clear[]): Promise<void> {
    const counts = new Map<string, number>();
    for (const [host, owner, node, items] of await run(statements.clear, names(writes))) {
      counts.set(`${host}\0${owner}\0${node}`, Number(items));
    }
    for (const write of writes) {
      write.result = counts.get(nameOf(write)) ?? 0;
      counts.delete(nameOf(write));
    }
  }

  async function expire(run: Run, writes: readonly Expire[]): Promise<void> {
    for (const { host, owner, node, ttl } of writes) await run(statements.expire, [host, owner, node, ttl ?? null]);
  }

  function group(run: Run, writes: readonly ItemWrite[]): Promise<void> {
    switch (writes[0]!.kind) {
      case 'put':
        return put(run, writes as readonly Put[]);
      case 'remove':
        return remove(run, writes as readonly Remove[]);
      case 'clear':
        return clear(run, writes as readonly Clear[]);
      case 'trim':
        return trim(run, writes as readonly Trim[]);
      case 'expire':
        return expire(run, writes as readonly Expire[]);
    }
  }

  return {
    last: undefined,
    async write(client, writes) {
      const run = runner(client, database);
      const puts = new Set(writes.filter(({ kind }) => kind === 'put').map(nameOf));
      // a plan that is made while there is little in the tables must do when there is much
      await client.query('BEGIN; SET LOCAL enable_seqscan = off');
      try {
        const nodes = [...new Map(writes.map((write) => [nameOf(write), write])).values()];
        const lock = [...names(nodes), plainArray(nodes, (one) => String(puts.has(nameOf(one))))];
        const [locked] = await run(statements.lock, lock);
        // another process has made one of them at this very moment
        if (Number(locked?.[0]) < puts.size) await run(statements.lock, lock);
        for (const together of grouped(writes)) await group(run, together);
        if (writes.some(({ kind }) => kind !== 'put')) await run(statements.tidy, names(nodes));
        await client.query('COMMIT');
      } catch (error) {
        for (const write of writes) write.result = nothingOf(write);
        // (it fails where the connection is lost, and nothing is open then)
        await client.query('ROLLBACK').catch(() => {});
        throw error;
      }
    },
  };
}

const runner =
  (client: pg.Client, database: Database): Run =>
  async (text, values) =>
    (await client.query({ name: database.nameOf(text), text, values: values as unknown[], rowMode: 'array' })).rows;

const nothingOf = ({ kind }: ItemWrite): never => (kind === 'clear' ? 0 : kind === 'expire' ? undefined : []) as never;

const expiry = (until: number | undefined): number | string => (until === undefined ? 'NULL' : Math.trunc(until));

/** Three arrays: of hosts, owners and nodes. */
const names = (of: readonly Pick<ItemWrite, 'host' | 'owner' | 'node'>[]): string[] => [
  textArray(of, ({ host }) => host),
  textArray(of, ({ owner }) => owner),
  textArray(of, ({ node }) => node),
];

/** Runs of the same kind. Only one trim of a node is told what went. */
function* grouped(writes: readonly ItemWrite[]): Generator<readonly ItemWrite[]> {
  let together: ItemWrite[] = [];
  let trimmed = new Set<string>();
  for (const write of writes) {
    const isOther = together.length > 0 && together[0]!.kind !== write.kind;
    if (isOther || (write.kind === 'trim' && trimmed.has(nameOf(write)))) {
      yield together;
      together = [];
      trimmed = new Set();
    }
    together.push(write);
    if (write.kind === 'trim') trimmed.add(nameOf(write));
  }
  if (together.length > 0) yield together;
}

const lastSeq = '9223372036854775807';

/** By when items were published last, or first: the columns of the index that has them in that order. */
export type ItemOrder = 'seq' | 'first';
const ordered: Readonly<Record<ItemOrder, string>> = { seq: 'i.node, i.seq', first: '(i.node + 0), i.first' };

/** What of the items of a node, `n`, lies between two places, not included; all of them, unless said. */
export const between = (order: ItemOrder, above = '0', below = lastSeq): string =>
  `(${ordered[order]}) > (n.key, ${above}) AND (${ordered[order]}) < (n.key, ${below})`;

export const orderBy = (order: ItemOrder, direction: 'ASC' | 'DESC'): string =>
  `ORDER BY ${ordered[order].replace(', ', ` ${direction}, `)} ${direction}`;

/** The key, and what else is known, of a node whose names are at hand. */
export const nodeNamed = (nodes: string, host: string, owner: string, node: string): string =>
  `(SELECT key, items FROM ${nodes} WHERE host = ${host} AND owner = ${owner} AND node = ${node} LIMIT 1) AS n`;

export function itemStatements(shape: TableShape) {
  const { items, nodes } = itemTables(shape);
  const list = (columns: string, ...more: string[]): string =>
    `unnest(${['$1::text[]', '$2::text[]', '$3::text[]', ...more].join(', ')}) WITH ORDINALITY AS a (host, owner, node, ${columns}n)`;
  const named = `CROSS JOIN LATERAL ${nodeNamed(nodes, 'a.host', 'a.owner', 'a.node')}`;
  const published =
    `SELECT n.key, a.id, a.publisher, a.xml, a.at, a.until FROM ` +
    `${list('id, publisher, xml, at, until, ', '$4::text[]', '$5::text[]', '$6::text[]', '$7::bigint[]', '$8::bigint[]')} ${named} ORDER BY a.n`;
  const isExpired = 'i.until IS NOT NULL AND i.until <= $9';
  const oldest =
    `SELECT old.ctid FROM ${list('most, ', '$4::bigint[]')} ${named} CROSS JOIN LATERAL ` +
    `(SELECT i.ctid FROM ${items} AS i WHERE ${between('seq')} ${orderBy('seq', 'ASC')} LIMIT greatest(n.items - a.most, 0)) AS old`;
  const one = `SELECT i.ctid, i.until FROM ${items} AS i WHERE i.node = n.key AND i.id = a.id LIMIT 1`;
  return {
    // in one order, and before anything else, so that no two wait for each other
    lock:
      `WITH enrolled AS (INSERT INTO ${nodes} (host, owner, node) SELECT a.host, a.owner, a.node FROM ${list('is_new, ', '$4::boolean[]')} ` +
      'WHERE a.is_new ORDER BY a.host, a.owner, a.node ON CONFLICT DO NOTHING RETURNING 1) ' +
      `SELECT (SELECT count(*) FROM enrolled) + count(*) FILTER (WHERE a.is_new) FROM (SELECT * FROM ${list('is_new, ', '$4::boolean[]')} ORDER BY a.host, a.owner, a.node) AS a CROSS JOIN LATERAL ` +
      `(SELECT key FROM ${nodes} WHERE host = a.host AND owner = a.owner AND node = a.node LIMIT 1 FOR NO KEY UPDATE) AS n`,
    publish:
      `INSERT INTO ${items} AS i (node, seq, first, at, created, until, id, publisher, xml) ` +
      `SELECT key, s, s, at, at, until, id, publisher, xml FROM (SELECT nextval('${sequence(shape)}') AS s, p.* FROM (${published}) AS p) AS q ` +
      'ON CONFLICT (id, node) DO UPDATE SET seq = excluded.seq, at = excluded.at, until = excluded.until, ' +
      'publisher = excluded.publisher, xml = excluded.xml, ' +
      `first = CASE WHEN ${isExpired} THEN excluded.first ELSE i.first END, ` +
      `created = CASE WHEN ${isExpired} THEN excluded.created ELSE i.created END RETURNING 1`,
    trim:
      `WITH gone AS (DELETE FROM ${items} WHERE ctid = ANY(ARRAY(${oldest})) RETURNING node, seq, id) ` +
      `SELECT n.host, n.owner, n.node, gone.id FROM gone JOIN ${nodes} AS n ON n.key = gone.node ORDER BY gone.seq`,
    remove:
      `WITH asked AS MATERIALIZED (SELECT a.n, one.ctid, one.until FROM ${list('id, ', '$4::text[]')} ${named} CROSS JOIN LATERAL (${one}) AS one), ` +
      `gone AS (DELETE FROM ${items} WHERE ctid = ANY(ARRAY(SELECT ctid FROM asked))) ` +
      'SELECT n FROM asked WHERE until IS NULL OR until > $5',
    clear:
      `WITH asked AS MATERIALIZED (SELECT DISTINCT n.key, n.items, a.host, a.owner, a.node FROM ${list('')} ${named}), ` +
      `gone AS (DELETE FROM ${items} WHERE node = ANY(ARRAY(SELECT key FROM asked))) SELECT host, owner, node, items FROM asked`,
    tidy: `DELETE FROM ${nodes} WHERE items = 0 AND key = ANY(ARRAY(SELECT n.key FROM ${list('')} ${named}))`,
    expire: `UPDATE ${items} AS i SET until = i.at + $4::bigint FROM ${nodeNamed(nodes, '$1', '$2', '$3')} WHERE i.node = n.key`,
  };
}
