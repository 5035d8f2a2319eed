// Result sets, page by page (XEP-0059).
import { type Element, el } from '../xml/element.ts';
import { StanzaError } from './errors.ts';
import { NS } from './ns.ts';

export interface PageRequest {
  /** At most so many items; 0 asks for the count alone. */
  readonly max: number | undefined;
  /** The page that follows this item. */
  readonly after: string | undefined;
  /** The page that precedes this item; `''` is the last page. */
  readonly before: string | undefined;
  /** The page that starts at this position, from 0. */
  readonly index: number | undefined;
}

export interface PageResult {
  /** Ids of the first and the last item of the page; neither for an empty page. */
  readonly first?: string;
  readonly last?: string;
  /** Position of the first item in the whole set. */
  readonly index?: number;
  /** Size of the whole set. */
  readonly count?: number;
}

const everything: PageRequest = { max: undefined, after: undefined, before: undefined, index: undefined };

/**
 * What a request asks for in its `<set/>` child; nothing in particular when it has none.
 * @throws StanzaError `bad-request` for numbers that are none, and for more than one place to start from.
 */
export function parsePageRequest(parent: Element): PageRequest {
  const sets = parent.getChildren('set', NS.rsm);
  if (sets.length === 0) return everything;
  if (sets.length > 1) throw new StanzaError('bad-request', 'more than one <set/>');
  const set = sets[0]!;
  const after = single(set, 'after');
  const request: PageRequest = {
    max: integer(set, 'max'),
    // XEP-0059 2.2: where there is no item to follow, before the first one is meant.
    after: after === '' ? undefined : after,
    before: single(set, 'before'),
    index: integer(set, 'index'),
  };
  const starts = [after, request.before, request.index].filter((start) => start !== undefined);
  if (starts.length > 1) throw new StanzaError('bad-request', 'a page starts after, before or at an index');
  return request;
}

function single(set: Element, name: string): string | undefined {
  const children = set.getChildren(name);
  if (children.length > 1) throw new StanzaError('bad-request', `more than one <${name}/>`);
  return children[0]?.getText();
}

// xs:int, of which a negative one makes no sense here; white space around it is none of its value.
function integer(set: Element, name: string): number | undefined {
  const text = single(set, name)?.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, '');
  if (text === undefined) return undefined;
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= 0x7fffffff)) throw new StanzaError('bad-request', `<${name}/> is not a number`);
  return value;
}

/** The `<set/>` that says which page was returned. */
export function pageElement(result: PageResult): Element {
  const children: Element[] = [];
  if (result.first !== undefined && result.last !== undefined) {
    const index = result.index === undefined ? undefined : String(result.index);
    children.push(el('first', NS.rsm, { index }, result.first), el('last', NS.rsm, undefined, result.last));
  }
  if (result.count !== undefined) children.push(el('count', NS.rsm, undefined, String(result.count)));
  return el('set', NS.rsm, undefined, ...children);
}

/**
 * The page of a list that is in memory.
 * @throws StanzaError `item-not-found` when the item to start from is not in the list (XEP-0059 2.4).
 */
export function pageOf<T>(
  items: readonly T[],
  idOf: (item: T) => string,
  request: PageRequest,
  limit: number,
): { readonly items: readonly T[]; readonly result: PageResult } {
  const max = Math.min(request.max ?? limit, limit);
  let start = request.index ?? 0;
  if (request.after !== undefined) start = indexOf(items, idOf, request.after) + 1;
  if (request.before !== undefined) {
    const end = request.before === '' ? items.length : indexOf(items, idOf, request.before);
    start = Math.max(0, end - max);
    return pageAt(items, idOf, start, end);
  }
  return pageAt(items, idOf, start, start + max);
}

function pageAt<T>(
  items: readonly T[],
  idOf: (item: T) => string,
  start: number,
  end: number,
): { readonly items: readonly T[]; readonly result: PageResult } {
  const page = items.slice(start, end);
  const count = items.length;
  if (page.length === 0) return { items: page, result: { count } };
  return { items: page, result: { first: idOf(page[0]!), last: idOf(page.at(-1)!), index: start, count } };
}

function indexOf<T>(items: readonly T[], idOf: (item: T) => string, id: string): number {
  const index = items.findIndex((item) => idOf(item) === id);
  if (index === -1) throw new StanzaError('item-not-found', 'there is no such item to start from');
  return index;
}
