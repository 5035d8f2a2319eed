// Lists in pages: `?limit=50`, and then `?cursor=` with what the last page gave. A cursor says after which entry the next page begins, so
// that nothing is shown twice or left out because of what comes and goes in between.
import { Problem } from './problems.ts';

/** How many entries a page has at the most, and unless said. */
const MOST = 1000;
const USUAL = 100;

export interface Page {
  readonly limit: number;
  /** The key of the entry after which it begins. */
  readonly after: string | undefined;
}

/** What a query asks for. @throws Problem */
export function pageOf(query: URLSearchParams): Page {
  const limit = Number(query.get('limit') ?? USUAL);
  if (!Number.isInteger(limit) || limit < 1 || limit > MOST) {
    throw new Problem(400, 'bad-arguments', `"limit" is a number from 1 to ${MOST}.`);
  }
  const cursor = query.get('cursor');
  if (cursor === null) return { limit, after: undefined };
  const after = Buffer.from(cursor, 'base64url').toString('utf8');
  if (after === '' || cursorOf(after) !== cursor) throw new Problem(400, 'bad-arguments', '"cursor" is none of ours.');
  return { limit, after };
}

export function cursorOf(key: string): string {
  return Buffer.from(key).toString('base64url');
}

/** What an entry is known by. */
export function keyOf(entry: unknown): string {
  if (typeof entry === 'string') return entry;
  const fields = entry as Readonly<Record<string, unknown>>;
  const name = fields.id ?? fields.jid ?? fields.name;
  if (typeof name === 'string') return name;
  // nodes of publish-subscribe, and streams with other servers
  return JSON.stringify(['service', 'node', 'direction', 'host', 'domains', 'since'].map((one) => fields[one]));
}

/** The parameters of lists. */
export const paging: ReadonlySet<string> = new Set(['cursor', 'limit']);

interface Cut {
  readonly entries: readonly unknown[];
  readonly next: string | undefined;
}

/** The entries of a page, in the order of their keys, and where the next one begins. */
export function cut(list: readonly unknown[], { limit, after }: Page): Cut {
  const keyed = list.map((entry) => [keyOf(entry), entry] as const).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const rest = after === undefined ? keyed : keyed.filter(([key]) => key > after);
  return head(
    rest.map(([, entry]) => entry),
    limit,
  );
}

/** The first entries of what comes in pages of itself, and was asked for one more than that. */
export function head(list: readonly unknown[], limit: number): Cut {
  const entries = list.slice(0, limit);
  return { entries, next: list.length > limit ? cursorOf(keyOf(entries.at(-1))) : undefined };
}
