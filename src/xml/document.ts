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
  const [name] = nameAhead.exec(text) ?? [''];
  let at = 1 + name.length;
  const attrs = new Attributes();
  while (text.charCodeAt(at) === 0x20 /* blank */) {
    const equals = text.indexOf("='", at);
    const end = text.indexOf("'", equals + 2);
    const key = text.slice(at + 1, equals);
    const value = text.slice(equals + 2, end);
    // namespaces and escapes are the parser's affair, and so is what was not written here
    if (equals < 0 || end < 0 || !plainKey.test(key) || key === 'xmlns' || notPlain.test(value))
      return parseElement(text);
    attrs[key] = value;
    at = end + 1;
  }
  const rest = text.slice(at);
  const isWhole = rest === '/>' || (rest.startsWith('>') && rest.endsWith(`</${name}>`));
  return name !== '' && isWhole ? Element.folded(name, attrs, rest, childrenOf) : parseElement(text);
}

const nameAhead = /(?<=^<)[a-z]+(?=[ />])/;
const plainKey = /^(?:xml:lang|[a-z]+)$/;
const notPlain = /[&<\t\n\r]/;

function childrenOf(text: string): readonly Node[] {
  return parseElement(text).children;
}
