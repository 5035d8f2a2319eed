// XEP-0363 7, and what browsers and phones want of HTTP: files are put where there is a slot, and read by whoever knows the address.
//
// - Everybody may read from any page (CORS): who knows the address may have the file, and there are no cookies.
// - What is read is somebody else's, on an address that pages of ours are at: it runs nothing (Content-Security-Policy with `sandbox`), is
//   what we say it is (`nosniff`), and is saved rather than shown unless it is harmless (names.ts).
// - 7 MUST: another length is refused; SHOULD: so is another type.
// - RFC 9110 14.5: a part of a file is not put.
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { WebRefusal, type WebReply, type WebRequest, type WebRoute } from '../../core/web.ts';
import { type Depot, DepotFull, DepotUnavailable } from './depot.ts';
import type { Ids } from './ids.ts';
import { BrokenOff, steadily, TooSlow } from './intake.ts';
import { disposition, essence, parseType, UNKNOWN_TYPE } from './names.ts';
import { asked } from './ranges.ts';
import { isThere, type Shelf, type Shelved } from './shelf.ts';

export interface RouteParts {
  readonly shelf: Shelf;
  readonly depot: Depot;
  readonly ids: Ids;
  readonly clock: Pick<Clock, 'now' | 'after'>;
  readonly log: Logger;
  /** Bytes came, or were read. */
  readonly received: (bytes: number) => void;
  readonly served: (bytes: number) => void;
}

/** Where a slot's leave stands in the address that is put to. */
export const LEAVE = 'slot';
const PATH = '/upload/:id/:name';
/** How long others may keep what they read, in milliseconds; what is deleted should not be around for ever. */
const KEPT = 24 * 3_600_000;

const anywhere = { 'access-control-allow-origin': '*' };
const readable = {
  ...anywhere,
  'access-control-expose-headers':
    'Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag, Last-Modified',
  'cross-origin-resource-policy': 'cross-origin',
  'content-security-policy':
    "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox",
  'referrer-policy': 'no-referrer',
};

export function uploadRoutes(parts: RouteParts): readonly WebRoute[] {
  return [
    { methods: ['PUT'], path: PATH, handle: (request) => put(parts, request) },
    { methods: ['GET'], path: PATH, handle: (request) => get(parts, request) },
    { methods: ['OPTIONS'], path: '/upload/*', handle: preflight },
  ];
}

/** Fetch 4.8: before a page of another origin puts something. */
function preflight({ headers }: WebRequest): WebReply {
  const wanted = headers['access-control-request-headers']?.toString() ?? '';
  const plain = /^[\w!#$%&'*+.^`|~-]+(\s*,\s*[\w!#$%&'*+.^`|~-]+)*$/.test(wanted) && wanted.length < 1000;
  return {
    status: 204,
    headers: {
      ...anywhere,
      'access-control-allow-methods': 'OPTIONS, HEAD, GET, PUT',
      'access-control-allow-headers': plain ? wanted : 'Authorization, Content-Type, If-Range, Range',
      'access-control-max-age': '7200',
    },
  };
}

const refusal = (status: number, text: string, headers: Readonly<Record<string, string>> = {}): WebRefusal =>
  new WebRefusal(status, text, { ...anywhere, ...headers });

async function put(parts: RouteParts, request: WebRequest): Promise<WebReply | undefined> {
  const { ids, shelf, clock } = parts;
  const { id = '' } = request.params;
  if (!ids.isOurs(id)) return undefined;
  const until = ids.leaveUntil(id, request.query.get(LEAVE) ?? '');
  if (until === undefined) throw refusal(403, 'this is no address to put something to');
  if (clock.now() > until) throw refusal(403, 'this slot is not valid any more; ask for another one');
  const slot = await shelf.find(id);
  if (slot === undefined || slot.row.state === 'gone') throw refusal(404, 'there is no such slot any more');
  const type = checkHeaders(request, slot);
  if (!(await shelf.begin(slot))) throw refusal(409, 'this slot was used already');
  try {
    await parts.depot.put(id, steadily(request.body(), clock), slot.row.size);
  } catch (error) {
    await shelf.giveUp(slot);
    throw refused(error, parts.log);
  }
  if (!(await shelf.finish(slot, type))) throw refusal(404, 'this slot was taken back');
  parts.received(slot.row.size);
  return { status: 201, headers: { ...anywhere, location: request.path } };
}

/** @returns the type of what comes */
function checkHeaders({ headers }: WebRequest, { row }: Shelved): string {
  if (headers['content-range'] !== undefined) throw refusal(400, 'uploads cannot be resumed; ask for another slot');
  if (headers['content-encoding'] !== undefined) throw refusal(415, 'files are taken as they are, without encodings');
  const length = headers['content-length'];
  if (length === undefined) throw refusal(411, 'the length has to be said');
  if (Number(length) !== row.size) {
    throw refusal(Number(length) > row.size ? 413 : 400, `the slot is for ${row.size} bytes`);
  }
  const type = parseType(headers['content-type'] ?? UNKNOWN_TYPE);
  if (type === undefined) throw refusal(415, 'that is no media type');
  if (row.type !== '' && essence(type) !== essence(row.type)) throw refusal(415, `the slot is for ${row.type}`);
  return row.type === '' ? type : row.type;
}

/** What is told of what went wrong. */
function refused(error: unknown, log: Logger): unknown {
  if (error instanceof TooSlow) return refusal(408, error.message);
  if (error instanceof BrokenOff) return refusal(400, error.message);
  if (error instanceof DepotFull) {
    log.error({ err: error }, 'there is no room for files');
    return refusal(507, 'there is no room for more files here');
  }
  if (error instanceof DepotUnavailable) {
    log.error({ err: error }, 'files cannot be kept');
    return refusal(503, 'files cannot be kept just now', { 'retry-after': '60' });
  }
  return error;
}

async function get(parts: RouteParts, request: WebRequest): Promise<WebReply | undefined> {
  const { ids, shelf, clock, depot } = parts;
  const { id = '' } = request.params;
  if (!ids.isOurs(id)) return undefined;
  const now = clock.now();
  const found = await shelf.find(id);
  if (found === undefined || !isThere(found.row, now)) throw refusal(404, 'there is no such file, or no more');
  const { size, type, name, storedAt = 0, expires = Number.POSITIVE_INFINITY } = found.row;
  const tag = `"${id}"`;
  const part = asked(request.headers, { size, tag, modified: storedAt });
  const about = {
    ...readable,
    etag: tag,
    'last-modified': new Date(storedAt).toUTCString(),
    'cache-control': `private, max-age=${Math.floor(Math.min(KEPT, expires - now) / 1000)}, immutable`,
    'accept-ranges': 'bytes',
  };
  if (part === 304) return { status: 304, headers: about };
  if (part === 412) throw refusal(412, 'the condition does not hold');
  if (part === 416) throw refusal(416, 'there is no such part of it', { 'content-range': `bytes */${size}` });
  const range = part === 'whole' ? { start: 0, end: size - 1 } : part;
  const length = range.end - range.start + 1;
  const reply = {
    status: part === 'whole' ? 200 : 206,
    type,
    headers: {
      ...about,
      'content-disposition': disposition(type, name),
      'content-length': String(length),
      ...(part === 'whole' ? {} : { 'content-range': `bytes ${range.start}-${range.end}/${size}` }),
    },
  };
  const body = await open(depot, id, size, range, parts.log);
  parts.served(length);
  return { ...reply, body };
}

async function open(...[depot, id, size, range, log]: [Depot, string, number, { start: number; end: number }, Logger]) {
  try {
    const opened = await depot.open(id, size, range);
    if (opened !== undefined) return opened;
  } catch (error) {
    throw refused(error, log);
  }
  log.error({ file: id }, 'a file is not where files are kept');
  throw refusal(404, 'this file is lost');
}
