// Which part of a file is asked for, and under which conditions (RFC 9110 13 and 14). A file never changes: its id is its tag.
import type { IncomingMessage } from 'node:http';
import type { ByteRange } from './depot.ts';

export interface Representation {
  readonly size: number;
  /** With its quotes. */
  readonly tag: string;
  /** Milliseconds since 1970. */
  readonly modified: number;
}
type Headers = IncomingMessage['headers'];

/** `whole`; a part; or why nothing is sent: it is not modified, a condition does not hold, or there is no such part. */
export type Asked = 'whole' | ByteRange | 304 | 412 | 416;

/** In the order of RFC 9110 13.2.2. */
export function asked(headers: Headers, file: Representation): Asked {
  const seconds = Math.floor(file.modified / 1000) * 1000;
  const { 'if-match': match, 'if-none-match': noneMatch } = headers;
  const since = (text: string | undefined): number => Date.parse(text ?? '');
  if (match !== undefined ? !lists(match, file.tag, false) : since(headers['if-unmodified-since']) < seconds)
    return 412;
  if (noneMatch !== undefined ? lists(noneMatch, file.tag, true) : since(headers['if-modified-since']) >= seconds) {
    return 304;
  }
  const { range, 'if-range': ifRange } = headers;
  if (range === undefined || (ifRange !== undefined && ifRange !== file.tag && since(ifRange as string) !== seconds)) {
    return 'whole';
  }
  return rangeOf(range, file.size);
}

/** Several parts at a time, and units that nobody knows, are not served: then all of it is (RFC 9110 14.2). */
function rangeOf(header: string, size: number): Asked {
  const found = /^bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*$/i.exec(header);
  if (found === null || (found[1] === '' && found[2] === '')) return 'whole';
  if (found[1] === '') {
    const length = Number(found[2]);
    return length === 0 ? 416 : { start: Math.max(0, size - length), end: size - 1 };
  }
  const start = Number(found[1]);
  const end = found[2] === '' ? size - 1 : Math.min(Number(found[2]), size - 1);
  if (found[2] !== '' && Number(found[2]) < start) return 'whole';
  return start >= size ? 416 : { start, end };
}

function lists(header: string, tag: string, isWeak: boolean): boolean {
  return header.split(',').some((one) => {
    const text = one.trim();
    return text === '*' || text === tag || (isWeak && text === `W/${tag}`);
  });
}
