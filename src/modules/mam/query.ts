// Answers to questions about an archive (XEP-0313 4, 5), page by page (XEP-0059). The same for accounts and rooms: whoever calls
// knows whose archive it is, and has checked that the reader may read it.
//
// Not done, of what is recommended: pages have no index, and a count only where it costs nothing or is asked for (<max>0</max>).
import type { Archived, ArchivePage, ArchiveStore } from '../../storage/ports.ts';
import { type Element, el } from '../../xml/element.ts';
import { formatDateTime } from '../../xmpp/datetime.ts';
import { delayElement } from '../../xmpp/delay.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { type PageRequest, type PageResult, pageElement, parsePageRequest } from '../../xmpp/rsm.ts';
import { type Message, messageOf } from '../../xmpp/stanza.ts';
import { type Filter, type FilterOptions, parseFilter } from './filters.ts';

/** An archive, as it can be asked. */
export interface Readable {
  readonly store: ArchiveStore;
  /** Whose it is, in the store. */
  readonly owner: string;
  /** The archive's address. */
  readonly jid: Jid;
  /** Before that, in milliseconds since 1970, nothing is this archive's. */
  readonly since?: number;
  /** What a reader may ask for, of what is asked for. @throws StanzaError where it may not */
  narrow?(filter: Filter): Filter;
  /** A stored message, as this reader may see it. */
  shown?(xml: string): string;
}

export interface QueryLimits extends FilterOptions {
  /** Messages of a page, at most. */
  readonly pageSize: number;
  /** Characters of XML of a page, at most, unless its first message alone has more: a page is written as a whole. */
  readonly pageLength: number;
}

/** A page, and what there is to say of it. */
export interface QueryResult {
  /** In the order in which they are to be sent. */
  readonly messages: readonly Message[];
  /** What answers the query, after the messages. */
  readonly fin: Element;
  readonly ids: readonly string[];
}

/** Messages of a page where none says how many it wants. */
const USUAL_PAGE = 100;
/** Up to how many messages are counted. */
export const COUNTED = 10_000;

/**
 * Answers a `<query/>` of type set for a reader.
 * @throws StanzaError `bad-request`, `feature-not-implemented`, `item-not-found`; StorageUnavailable
 */
export async function answerQuery(
  archive: Readable,
  query: Element,
  reader: Jid,
  limits: QueryLimits,
): Promise<QueryResult> {
  // the nodes of XEP-0442 are those of publish-subscribe
  if (query.attrs.node !== undefined) throw new StanzaError('feature-not-implemented', 'there are no nodes here');
  const filter = within(archive, parseFilter(query, limits));
  const wanted = parsePageRequest(query);
  if (wanted.index !== undefined) throw new StanzaError('feature-not-implemented', 'pages have no index');
  if (wanted.max === 0) return counted(archive, filter, wanted);

  const page = await readPage(archive, filter, wanted, Math.min(wanted.max ?? USUAL_PAGE, limits.pageSize));
  const { entries, complete } = fitting(page, limits.pageLength, wanted.before !== undefined);
  const { queryid } = query.attrs;
  const messages = entries.map((entry) => resultMessage(entry, queryid, archive, reader));
  if (query.getChild('flip-page') !== undefined) messages.reverse();
  return { messages, fin: finElement(complete, resultOf(entries, complete, wanted)), ids: entries.map(({ id }) => id) };
}

/** What is at both ends of an archive (XEP-0313 5). */
export async function metadataOf(archive: Readable): Promise<Element> {
  const ends = await endsOf(archive);
  if (ends === undefined) return el('metadata', NS.mam);
  const { first, last } = ends;
  return el(
    'metadata',
    NS.mam,
    undefined,
    el('start', NS.mam, { id: first.id, timestamp: formatDateTime(first.at) }),
    el('end', NS.mam, { id: last.id, timestamp: formatDateTime(last.at) }),
  );
}

async function endsOf({ store, owner, since }: Readable): ReturnType<ArchiveStore['ends']> {
  if (since === undefined) return store.ends(owner);
  const one = { start: since, limit: 1 };
  const [first, last] = await Promise.all([store.find(owner, one), store.find(owner, { ...one, backwards: true })]);
  const [oldest] = first?.entries ?? [];
  const [newest] = last?.entries ?? [];
  return oldest && newest && { first: oldest, last: newest };
}

/** What of a filter is for this reader, and this archive's. */
function within({ since, narrow }: Readable, asked: Filter): Filter {
  const filter = narrow === undefined ? asked : narrow(asked);
  return since === undefined ? filter : { ...filter, start: Math.max(since, filter.start ?? since) };
}

// XEP-0313 4.1.3, 4.3.2: ids that are not in the archive
function notFound(): StanzaError {
  return new StanzaError('item-not-found', 'there is no such message in this archive');
}

async function readPage(
  { store, owner }: Readable,
  filter: Filter,
  { after, before }: PageRequest,
  limit: number,
): Promise<ArchivePage> {
  const page = await store.find(owner, {
    ...filter,
    after,
    before: before === '' ? undefined : before,
    backwards: before !== undefined,
    limit,
  });
  if (page === undefined) throw notFound();
  return page;
}

/** XEP-0059 2.7: how many there are, without seeing them. */
async function counted(archive: Readable, filter: Filter, wanted: PageRequest): Promise<QueryResult> {
  const { entries } = await readPage(archive, filter, wanted, 1);
  const { search, ...range } = filter;
  const count = search === undefined ? await archive.store.count(archive.owner, range, COUNTED) : undefined;
  const fin = finElement(entries.length === 0, count === undefined ? {} : { count });
  return { messages: [], fin, ids: [] };
}

/** As much of a page as is written at once. */
function fitting(page: ArchivePage, most: number, isBackwards: boolean): ArchivePage {
  const { entries } = page;
  let length = 0;
  for (let n = 0; n < entries.length; n++) {
    length += entries[isBackwards ? entries.length - 1 - n : n]!.xml.length;
    if (length <= most || n === 0) continue;
    return { entries: isBackwards ? entries.slice(entries.length - n) : entries.slice(0, n), complete: false };
  }
  return page;
}

function resultOf(entries: readonly Archived[], complete: boolean, { after, before }: PageRequest): PageResult {
  const isAll = complete && after === undefined && (before === undefined || before === '');
  const count = isAll ? { count: entries.length } : {};
  if (entries.length === 0) return count;
  return { first: entries[0]!.id, last: entries.at(-1)!.id, ...count };
}

// 4.3.2: what is read here is what is on disk, or will be when the process lives on: `stable` is left at what it is
function finElement(complete: boolean, result: PageResult): Element {
  return el('fin', NS.mam, { complete: complete ? 'true' : undefined }, pageElement(result));
}

const START = '<message';

/** 4.2: the message as it was stored, without being read. */
function resultMessage(
  { id, at, xml: stored }: Archived,
  queryid: string | undefined,
  { jid: archive, shown }: Readable,
  reader: Jid,
): Message {
  const xml = shown === undefined ? stored : shown(stored);
  const original = { raw: `${START} xmlns='${NS.client}'${xml.slice(START.length)}` };
  const forwarded = el('forwarded', NS.forward, undefined, delayElement(at), original);
  const result = el('result', NS.mam, { queryid, id }, forwarded);
  return messageOf(el('message', null, { from: archive.full, to: reader.full }, result), archive, reader);
}
