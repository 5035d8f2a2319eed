// The statements that read and remove archived messages. Each is answered by one of the two indexes, in the order that is asked
// for, so that it touches what it returns and no more: by archive, or where a party is named, by conversation. (A resource is looked
// up in the rows of its conversation.)
//
// The planner must not take a long archive for one of average length: it would gather all of it and sort. So where order counts,
// ranges are comparisons of rows, `(owner, id) >= ($1, $2)`, which it holds for a good part of the table; then only the index that
// has the order is of use. This asks for plans without values in them (see the pool in database.ts).
import { isId } from '../ids.ts';
import type { ArchiveQuery, ArchiveRange, MessageRef, Unread } from '../ports.ts';
import { type ArchiveKeys, firstUuid, lastUuid, type Span, uuidBounds, uuidOf } from './archive-keys.ts';
import type { ArchiveTables } from './archive-tables.ts';
import { plainArray } from './arrays.ts';

/** A statement and its values, as `Database.run` takes them. */
export type Statement = readonly [text: string, values: readonly unknown[]];

/** For every word that is searched, the forms that may stand for it in a message. */
export type Wanted = readonly (readonly string[])[];

// as few different statements as there are sizes of pages; the limit stands in the text, for the planner to see
const sizes = [2, 6, 11, 21, 31, 51, 101, 201, 301, 501, 1001];
export const roundUp = (rows: number): number => sizes.find((size) => size >= rows) ?? rows;

// messages that nobody has to read (markers, reactions) are more than the others, but not without end
const LOOKED_THROUGH = 20;

/** Every id that a query names, once. */
export const namedIds = (query: ArchiveQuery): string[] => {
  const named = [query.after, query.before, query.afterId, query.beforeId, ...(query.ids ?? [])];
  return [...new Set(named.filter((id) => id !== undefined))];
};

const uuidArray = (ids: readonly string[]): string => `{${ids.filter(isId).map(uuidOf).join(',')}}`;

/** Those of one archive table, for one host. Ids that queries name are ids of ours. */
export class ArchiveStatements {
  readonly #tables: ArchiveTables;
  readonly #keys: ArchiveKeys;

  constructor(tables: ArchiveTables, keys: ArchiveKeys) {
    this.#tables = tables;
    this.#keys = keys;
  }

  /** At least a page and one more; a row of nothing where an id that the query names is not there. */
  page(owner: string, query: ArchiveQuery): Statement {
    const values: unknown[] = [];
    const rows = roundUp(Math.max(0, query.limit) + 1);
    const page = this.#select('id, xml', owner, query, values, query.backwards ? 'DESC' : 'ASC', rows);
    const named = namedIds(query);
    if (named.length === 0) return [page, values];
    const [known] = this.existence(owner, named, values);
    const all = `$${values.push(named.length)}`;
    const text =
      `WITH known AS MATERIALIZED (${known}) ` +
      `SELECT p.id, p.xml FROM known CROSS JOIN LATERAL (${page}) AS p WHERE known.n = ${all} ` +
      `UNION ALL SELECT NULL, NULL FROM known WHERE known.n < ${all}`;
    return [text, values];
  }

  /** How many of these ids there are. */
  existence(owner: string, ids: readonly string[], values: unknown[] = []): Statement {
    const key = `$${values.push(this.#keys.owner(owner))}`;
    const one = `SELECT 1 FROM ${this.#tables.messages} WHERE owner = ${key} AND id = asked.id`;
    const text = `SELECT count(*)::int AS n FROM ${asked(`$${values.push(uuidArray(ids))}`)} ${each(one)}`;
    return [text, values];
  }

  /** How many, up to one more than `most`. */
  count(owner: string, range: ArchiveRange, most: number): Statement {
    const values: unknown[] = [];
    const some = this.#select('id', owner, range, values, 'ASC', most + 1);
    return [`SELECT count(*)::int FROM (${some}) AS counted`, values];
  }

  /** One row for each archive, in order. Of each, so much is looked through as tells whether there are `most`, or soon ends. */
  unread(asked: readonly Unread[], most: number): Statement {
    const { messages } = this.#tables;
    const latest =
      `SELECT talk, resource FROM ${messages} WHERE (owner, id) >= (asked.owner, asked.first) ` +
      `AND (owner, id) <= (asked.owner, '${lastUuid}'::uuid) ORDER BY owner, id LIMIT $5`;
    const counted = `SELECT 1 FROM (${latest}) AS l WHERE resource <> '' AND talk IS DISTINCT FROM asked.talk LIMIT $4`;
    const text =
      `SELECT (SELECT count(*)::int FROM (${counted}) AS c) ` +
      'FROM unnest($1::bigint[], $2::uuid[], $3::bigint[]) WITH ORDINALITY AS asked (owner, first, talk, n) ORDER BY n';
    const values = [
      plainArray(asked, ({ owner }) => this.#keys.owner(owner)),
      plainArray(asked, ({ afterId, start }) => {
        const id = afterId !== undefined && isId(afterId) ? afterId : undefined;
        return uuidBounds({ start, afterId: id }).from ?? firstUuid;
      }),
      plainArray(asked, ({ owner, except }) => (except === undefined ? 'NULL' : this.#keys.talk(owner, except))),
      most,
      most * LOOKED_THROUGH,
    ];
    return [text, values];
  }

  ends(owner: string): Statement {
    const id = `SELECT id FROM ${this.#tables.messages} WHERE owner = $1 ORDER BY id`;
    return [`SELECT (${id} LIMIT 1), (${id} DESC LIMIT 1)`, [this.#keys.owner(owner)]];
  }

  lookup(owner: string, party: string, ref: MessageRef): Statement {
    const values = [this.#keys.talk(owner, party), this.#keys.ref(ref), this.#keys.owner(owner)];
    const isIt = `talk = $1 AND ref = $2 AND ${isOwner('$3')}`;
    return [`SELECT id, xml FROM ${this.#tables.messages} WHERE ${isIt} ORDER BY id DESC LIMIT 1`, values];
  }

  replace(owner: string, id: string, xml: string): Statement {
    const { messages, words } = this.#tables;
    const text =
      `WITH w AS (DELETE FROM ${words} WHERE owner = $1 AND id = $2) ` +
      `UPDATE ${messages} SET xml = $3 WHERE owner = $1 AND id = $2 RETURNING 1`;
    return [text, [this.#keys.owner(owner), uuidOf(id), xml]];
  }

  /** Removes the first so many; says how many there were. */
  remove(owner: string, range: ArchiveRange, most: number): Statement {
    const { messages, words } = this.#tables;
    const values: unknown[] = [];
    const first = this.#select('id, ctid', owner, range, values, 'ASC', Math.max(0, most));
    const word = `SELECT ctid FROM ${words} WHERE owner = $${values.push(this.#keys.owner(owner))} AND id = asked.id`;
    const text =
      `WITH asked AS MATERIALIZED (${first}), ` +
      `w AS (DELETE FROM ${words} WHERE ctid = ANY(ARRAY(SELECT one.ctid FROM asked ${each(word)}))), ` +
      `m AS (DELETE FROM ${messages} WHERE ctid = ANY(ARRAY(SELECT ctid FROM asked)) RETURNING 1) ` +
      'SELECT count(*)::int FROM m';
    return [text, values];
  }

  /** The first so many of a page of what has the words. */
  search(owner: string, query: ArchiveQuery, wanted: Wanted, size: number): Statement {
    const { messages, words } = this.#tables;
    const values: unknown[] = [this.#keys.owner(owner)];
    const place = (value: unknown): string => `$${values.push(value)}`;
    // the words' index is to be used, and no other: what has the words is gathered first
    const hits = wanted.map(
      (forms) => `words && ARRAY(SELECT hashtextextended(f, $1::bigint) FROM unnest(${place(forms)}::text[]) AS f)`,
    );
    hits.push(isOwner('$1'));
    if (query.with !== undefined) hits.push(unplanned(`talk = ${place(this.#keys.talk(owner, query.with))}`));
    let page = `true${idsWithin(query, place)}`;
    if (query.with !== undefined && query.resource !== undefined) {
      const same = `m.owner = $1 AND m.id = hits.id AND m.resource = ${place(query.resource)}`;
      page += ` AND EXISTS (SELECT FROM ${messages} AS m WHERE ${same})`;
    }
    const order = query.backwards ? 'DESC' : 'ASC';
    const text =
      `WITH hits AS MATERIALIZED (SELECT id FROM ${words} WHERE ${hits.join(' AND ')}), ` +
      `page AS MATERIALIZED (SELECT id FROM hits WHERE ${page} ORDER BY id ${order} LIMIT ${place(size)}) ` +
      'SELECT m.id, m.xml FROM page CROSS JOIN LATERAL ' +
      `(SELECT id, xml FROM ${messages} WHERE owner = $1 AND id = page.id) AS m ORDER BY m.id ${order}`;
    return [text, values];
  }

  /** The first rows of a range, in this direction. */
  #select(
    columns: string,
    owner: string,
    range: ArchiveRange & Span,
    values: unknown[],
    direction: 'ASC' | 'DESC',
    limit: number,
  ): string {
    const place = (value: unknown): string => `$${values.push(value)}`;
    const { messages } = this.#tables;
    const key = this.#keys.owner(owner);
    const column = range.with === undefined ? 'owner' : 'talk';
    const own = place(range.with === undefined ? key : this.#keys.talk(owner, range.with));
    let more = range.with === undefined ? '' : ` AND ${isOwner(place(key))}`;
    if (range.with !== undefined && range.resource !== undefined) {
      more += ` AND ${unplanned(`resource = ${place(range.resource)}`)}`;
    }
    const { from = firstUuid, to } = uuidBounds(range);
    if (range.ids !== undefined) {
      const within = to === undefined ? '' : ` AND asked.id < ${place(to)}`;
      const one = `SELECT ${columns} FROM ${messages} WHERE ${column} = ${own} AND id = asked.id${more}`;
      const ids = `${asked(place(uuidArray(range.ids)))} ${each(one)}`;
      return `SELECT one.* FROM ${ids} WHERE asked.id >= ${place(from)}${within} ORDER BY asked.id ${direction} LIMIT ${limit}`;
    }
    const end = to === undefined ? `<= (${own}, ${place(lastUuid)})` : `< (${own}, ${place(to)})`;
    return (
      `SELECT ${columns} FROM ${messages} WHERE (${column}, id) >= (${own}, ${place(from)}) AND (${column}, id) ${end}` +
      `${more} ORDER BY ${column} ${direction}, id ${direction} LIMIT ${limit}`
    );
  }
}

// in a way that the planner neither looks for an index for it nor takes it for rare
const unplanned = (condition: string): string => `coalesce(${condition}, false)`;
// (a conversation is one owner's)
const isOwner = (key: string): string => unplanned(`owner = ${key}`);

// one after the other by the primary key: a join may be turned round, and read all there is
const asked = (ids: string): string => `(SELECT DISTINCT unnest(${ids}::uuid[]) AS id) AS asked`;
const each = (one: string): string => `CROSS JOIN LATERAL (${one} LIMIT 1) AS one`;

/** Where ids lie; begins with AND, if with anything. */
function idsWithin(range: ArchiveRange & Span, place: (value: unknown) => string): string {
  const { from, to } = uuidBounds(range);
  let sql = '';
  if (from !== undefined) sql += ` AND id >= ${place(from)}`;
  if (to !== undefined) sql += ` AND id < ${place(to)}`;
  if (range.ids !== undefined) sql += ` AND id = ANY(${place(uuidArray(range.ids))}::uuid[])`;
  return sql;
}
