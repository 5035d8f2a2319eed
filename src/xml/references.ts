// References to characters and to the five predefined entities (XML 1.0 4.1, 4.6); all others are refused (RFC 6120 11.1).
import { hasForbidden, isXmlChar } from './chars.ts';
import { malformed, ParseError, tooMuch } from './parse-error.ts';

/** The longest reference that is looked at, from `&` to `;`. */
const LONGEST = 12;

const reference = /&(?:#([0-9]+)|#x([0-9a-fA-F]+)|([^;]*));/y;
const partial = /^&(?:#[0-9]*|#x[0-9a-fA-F]*|(?!#)[^\s<>&;"'#/=]*)$/;

/** Where the reference that starts at `start` ends, behind its `;`; -1 when the text ends before it does. */
export function endOfReference(text: string, start: number): number {
  const end = text.indexOf(';', start);
  if (end !== -1 && end - start < LONGEST) return end + 1;
  const seen = text.slice(start, start + LONGEST);
  if (!partial.test(seen)) malformed('an ampersand that starts no reference');
  if (seen.length === LONGEST) tooMuch('a reference that is too long');
  return -1;
}

/** The character that the reference `&...;` stands for. */
export function resolveReference(source: string): string {
  switch (source) {
    case '&lt;':
      return '<';
    case '&gt;':
      return '>';
    case '&amp;':
      return '&';
    case '&apos;':
      return "'";
    case '&quot;':
      return '"';
  }
  reference.lastIndex = 0;
  const match = reference.exec(source);
  const code = match?.[1] !== undefined ? Number(match[1]) : Number.parseInt(match?.[2] ?? '', 16);
  if (Number.isNaN(code)) {
    if (!partial.test(source.slice(0, -1)) || source.length === 2 || source[1] === '#') malformed('a broken reference');
    throw new ParseError('restricted-xml', 'entities are not allowed');
  }
  if (!isXmlChar(code)) malformed('a reference to a character that is not allowed');
  return String.fromCodePoint(code);
}

/** An attribute's value as its source means it: line ends, white space and references (XML 1.0 2.11, 3.3.3). */
export function normaliseValue(source: string): string {
  if (source.includes('<')) malformed('"<" in the value of an attribute');
  if (hasForbidden(source)) malformed('a character that is not allowed');
  const text = source.replace(/\r\n|[\t\n\r]/g, ' ');
  let at = text.indexOf('&');
  if (at === -1) return text;
  let value = '';
  let from = 0;
  for (; at !== -1; at = text.indexOf('&', from)) {
    const end = endOfReference(text, at);
    if (end === -1) malformed('an ampersand that starts no reference');
    value += text.slice(from, at) + resolveReference(text.slice(at, end));
    from = end;
  }
  return value + text.slice(from);
}
