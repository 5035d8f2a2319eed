// Pictures as they come over the wire: base64 (RFC 4648 4, with line breaks, XEP-0084 4.1), known by their SHA-1. What kind of picture it is
// shows in its first bytes; nothing is ever decoded. Pure.
import { createHash } from 'node:crypto';
import { StanzaError } from '../../xmpp/errors.ts';

export interface Picture {
  /** Without line breaks. */
  readonly base64: string;
  /** Of the picture itself, in bytes. */
  readonly size: number;
  /** SHA-1 in lower-case hexadecimal. */
  readonly hash: string;
  /** Its media type, by its first bytes; undefined for what is not known here. */
  readonly type: string | undefined;
}

/** As decoders take it: with padding, or without. */
const alphabet = /^[A-Za-z0-9+/]+={0,2}$/;

/**
 * @param most bytes of a picture
 * @throws StanzaError `bad-request` for what is no base64, `policy-violation` for what is too large
 */
export function readPicture(text: string, most: number): Picture {
  const base64 = text.replace(/\s+/g, '');
  const letters = base64.replace(/=+$/, '').length;
  if (!alphabet.test(base64) || letters % 4 === 1) throw new StanzaError('bad-request', 'a picture is in base64');
  if (Math.floor((letters * 3) / 4) > most)
    throw new StanzaError('policy-violation', `a picture has ${most} bytes at most`);
  const data = Buffer.from(base64, 'base64');
  const hash = createHash('sha1').update(data).digest('hex');
  return { base64, size: data.length, hash, type: typeOf(data) };
}

/** What a picture of each type begins with, each part in its place; one byte a character. */
const beginnings: readonly (readonly [type: string, ...parts: readonly (readonly [at: number, part: string])[]])[] = [
  ['image/png', [0, '\x89PNG\r\n\x1a\n']],
  ['image/jpeg', [0, '\xff\xd8\xff']],
  ['image/gif', [0, 'GIF87a']],
  ['image/gif', [0, 'GIF89a']],
  ['image/webp', [0, 'RIFF'], [8, 'WEBP']],
  ['image/avif', [4, 'ftypavif']],
  ['image/avif', [4, 'ftypavis']],
  ['image/heic', [4, 'ftypheic']],
  ['image/jxl', [0, '\xff\x0a']],
  ['image/jxl', [4, 'JXL \r\n\x87\n']],
  ['image/bmp', [0, 'BM'], [6, '\0\0\0\0']],
];
/** The longest beginning. */
const HEAD = 12;

function typeOf(data: Buffer): string | undefined {
  const head = data.toString('latin1', 0, HEAD);
  return beginnings.find(([, ...parts]) => parts.every(([at, part]) => head.startsWith(part, at)))?.[0];
}
