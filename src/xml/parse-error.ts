// What is wrong with XML that was refused, in the words of RFC 6120 4.9.3.

/**
 * - `not-well-formed`: breaks XML 1.0 or Namespaces in XML 1.0 (RFC 6120 11.3)
 * - `restricted-xml`: well-formed, but not allowed on a stream: comments, processing instructions, DTDs, entities (11.1)
 * - `bad-format`: cannot be made sense of: text between stanzas
 * - `unsupported-encoding`: not UTF-8, or broken UTF-8 (11.6, 4.9.3.22)
 * - `policy-violation`: larger than a limit (4.9.3.14)
 */
export type ParseCondition =
  | 'bad-format'
  | 'not-well-formed'
  | 'policy-violation'
  | 'restricted-xml'
  | 'unsupported-encoding';

/** XML that was refused. */
export class ParseError extends Error {
  readonly condition: ParseCondition;
  readonly text: string;

  constructor(condition: ParseCondition, text: string) {
    super(`${condition}: ${text}`);
    this.name = 'ParseError';
    this.condition = condition;
    this.text = text;
  }
}

/** For the many places that refuse something. */
export function malformed(text: string): never {
  throw new ParseError('not-well-formed', text);
}

/** For what is larger than a limit. */
export function tooMuch(text: string): never {
  throw new ParseError('policy-violation', text);
}
