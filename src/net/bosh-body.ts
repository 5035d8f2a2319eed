// The wrapper of BOSH (XEP-0124 5, XEP-0206 2): what a request says of itself, and how responses are written.
import { createHash } from 'node:crypto';
import { escapeAttr, escapeText } from '../xml/escape.ts';
import { ParseError } from '../xml/parse-error.ts';
import { Parser, type StreamHeader } from '../xml/parser.ts';
import { NS } from '../xmpp/ns.ts';
import { STREAM_PREFIX } from './framing.ts';

/** Why a session is over (XEP-0124 17.2), as far as we have reasons. */
export type BoshCondition =
  | 'bad-request'
  | 'host-unknown'
  | 'improper-addressing'
  | 'item-not-found'
  | 'other-request'
  | 'policy-violation'
  | 'remote-connection-failed'
  | 'remote-stream-error'
  | 'system-shutdown';

/** XEP-0124 17.1: what clients of the time before conditions are told; all others get 200. */
export const legacyStatus: Readonly<Record<string, number>> = {
  'bad-request': 400,
  'policy-violation': 403,
  'item-not-found': 404,
};

/** What the start tag of a request's wrapper says. */
export interface BoshHead {
  readonly rid: number;
  /** The session; undefined asks for a new one. */
  readonly sid: string | undefined;
  /** Nothing is wrapped, and it is no restart: all that it is for is getting a response. */
  readonly isEmpty: boolean;
  readonly isTerminate: boolean;
  readonly attrs: Readonly<Record<string, string>>;
}

const LESS = 0x3c;
const SLASH = 0x2f;
const QUESTION = 0x3f;

/** XEP-0124 14.1: 2^53 - 1. */
const LARGEST_RID = Number.MAX_SAFE_INTEGER;
const RESTART = `{${NS.xbosh}}restart`;

/**
 * Reads the start tag of a body, whose end need not be there yet; undefined when more is needed to see it.
 * Throws a {@link ParseError}: the rest of the body is for whoever reads the stream, and may be as wrong as it likes.
 */
export function readHead(body: Buffer): BoshHead | undefined {
  // a tag ends before the next one begins: "<" is in no attribute
  let start = body.indexOf(LESS);
  if (start !== -1 && body[start + 1] === QUESTION) start = body.indexOf(LESS, start + 1);
  if (start === -1) return undefined;
  const next = body.indexOf(LESS, start + 1);
  const header = parseTag(next === -1 ? body : body.subarray(0, next));
  if (header === undefined) return undefined;
  if (header.name !== 'body' || header.ns !== NS.httpBind) throw new ParseError('bad-format', 'no <body/> of BOSH');
  const { attrs } = header;
  const rid = numberOf(attrs.rid);
  if (rid === undefined || rid === 0) throw new ParseError('bad-format', 'a request needs a "rid"');
  return {
    rid,
    sid: attrs.sid,
    isEmpty: (next === -1 || body[next + 1] === SLASH) && attrs[RESTART] === undefined,
    isTerminate: attrs.type === 'terminate',
    attrs,
  };
}

function parseTag(source: Buffer): StreamHeader | undefined {
  let header: StreamHeader | undefined;
  let failed: ParseError | undefined;
  const parser = new Parser({
    onHeader: (found) => {
      header = found;
    },
    onElement() {},
    onEnd() {},
    onError: (condition, text) => {
      failed = new ParseError(condition, text);
    },
  });
  parser.write(source);
  // what follows the tag is not looked at here
  if (header === undefined && failed !== undefined) throw failed;
  return header;
}

/** A number as XEP-0124 has them: decimal, not negative; undefined for anything else. */
export function numberOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,16}$/.test(text)) return undefined;
  const number = Number(text);
  return number <= LARGEST_RID ? number : undefined;
}

/** A wrapper around serialised elements; attributes that are undefined are left out. */
export function wrap(attrs: Readonly<Record<string, string | number | undefined>>, content: string): string {
  let xml = `<body xmlns='${NS.httpBind}'`;
  // XEP-0206 2: the stream's own elements rely on it
  if (content.includes(STREAM_PREFIX)) xml += ` xmlns:stream='${NS.stream}'`;
  for (const [name, value] of Object.entries(attrs)) {
    if (value !== undefined) xml += ` ${name}='${escapeAttr(String(value))}'`;
  }
  return content === '' ? `${xml}/>` : `${xml}>${content}</body>`;
}

/** The response that has nothing to tell; one string for all. */
export const emptyBody = wrap({}, '');

/** XEP-0124 17.3: another request with the same `rid` has taken this one's place. */
export const recoverableBody = wrap({ type: 'error' }, '');

/** The end of a session, or of what was meant to become one. */
export function terminalBody(condition: BoshCondition): string {
  return wrap({ type: 'terminate', condition }, '');
}

/** XEP-0124 17.2: the client came to the wrong place, and this is the right one. */
export function seeOtherUri(uri: string): string {
  return wrap({ type: 'terminate', condition: 'see-other-uri' }, `<uri>${escapeText(uri)}</uri>`);
}

/** The keys that protect a session without TLS from whoever can only listen (XEP-0124 15): each is what the one before it was made of. */
export class KeySequence {
  private last: string | undefined;

  /** Takes the keys of a request in its turn; false when it is not the client's. */
  take({ key, newkey }: Readonly<Record<string, string>>): boolean {
    const { last } = this;
    if (last !== undefined) {
      if (key === undefined) return false;
      if (createHash('sha1').update(key).digest('hex') !== last.toLowerCase()) return false;
    }
    this.last = newkey ?? key;
    return true;
  }
}
