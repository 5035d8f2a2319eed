// Whole documents of one element: stored XML, frames between nodes, tests.
import type { Element } from './element.ts';
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
