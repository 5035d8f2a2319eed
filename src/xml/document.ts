// Whole documents of one element: stored XML, frames between nodes, tests.
import { Attributes } from './attributes.ts';
import { Element, type Node } from './element.ts';
import { ParseError } from './parse-error.ts';
import { Parser, type ParserLimits } from './parser.ts';
import { CLIENT_NS } from './tree.ts';

/** Our own output is trusted to be of sensible size; the depth is what the stack of later recursions bears. */
const limits: ParserLimits = {
  stanzaBytes: Number.POSITIVE_INFINITY,
  depth: 512,
  attributes: 1024,
  prefixes: 1024,
  startTagBytes: Number.POSITIVE_INFINITY,
  keptBytes: 0,
};

/**
 * The element that the text is. `contentNs` is the default namespace around it, and the one that `null` stands for.
 * Throws a {@link ParseError}.
 */
export function parseElement(text: string, contentNs: string = CLIENT_NS): Element {
  let parsed: Element | undefined;
  let failed: ParseError | undefined;
  const parser = new Parser(
    {
      onHeader() {},
      onElement: (element) => {
        parsed = element;
      },
      onEnd() {},
      onError: (condition, problem) => {
        failed = new ParseError(condition, problem);
      },
    },
    limits,
    { framed: true, contentNs, defaultNs: contentNs },
  );
  parser.writeText(text);
  if (parsed !== undefined) return parsed;
  throw failed ?? new ParseError('not-well-formed', 'no element');
}

/**
 * The element in the content namespace that the text is, as {@link Element.toXml} wrote it: only its start tag is read now, and what is
 * inside when somebody looks there. Most of what is only passed on is never looked into. Throws a {@link ParseError}.
 */
export function unfoldable(text: string): Element {
  const end = endOfLetters(text, 1);
  const name = text.charCodeAt(0) === LESS ? text.slice(1, end) : '';
  let at = end;
  const attrs = new Attributes();
  while (text.charCodeAt(at) === BLANK) {
    const equals = endOfLetters(text, at + 1);
    const close = text.indexOf("'", equals + 2);
    const key = text.slice(at + 1, equals);
    // namespaces and escapes are the parser's affair, and so is what was not written here
    if (
      text.charCodeAt(equals) !== EQUALS ||
      text.charCodeAt(equals + 1) !== APOSTROPHE ||
      close < 0 ||
      key === '' ||
      key === 'xmlns' ||
      !isPlain(text, equals + 2, close)
    ) {
      return parseElement(text);
    }
    attrs[key] = text.slice(equals + 2, close);
    at = close + 1;
  }
  const isEmpty = text.charCodeAt(at) === SLASH && text.charCodeAt(at + 1) === GREATER && at + 2 === text.length;
  const isWhole = isEmpty || (text.charCodeAt(at) === GREATER && text.endsWith(`</${name}>`));
  return name !== '' && isWhole ? Element.folded(name, attrs, text, at, childrenOf) : parseElement(text);
}

const BLANK = 0x20;
const APOSTROPHE = 0x27;
const SLASH = 0x2f;
const LESS = 0x3c;
const EQUALS = 0x3d;
const GREATER = 0x3e;
const XML_LANG = 'xml:lang';

/** Where the small letters end that begin there, or `xml:lang` does. */
function endOfLetters(text: string, start: number): number {
  if (text.startsWith(XML_LANG, start)) return start + XML_LANG.length;
  let at = start;
  for (let char = text.charCodeAt(at); char >= 0x61 && char <= 0x7a; ) char = text.charCodeAt(++at);
  return at;
}

/** Whether a value means what is written there: it has no references, and no white space but blanks. */
function isPlain(text: string, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const char = text.charCodeAt(i);
    if (char < BLANK || char === 0x26 /* & */ || char === LESS) return false;
  }
  return true;
}

function childrenOf(text: string): readonly Node[] {
  return parseElement(text).children;
}
