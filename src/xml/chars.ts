// Character classes of XML 1.0 (fifth edition, 2.2 and 2.3) and Namespaces in XML 1.0 (names without colons).

/** May start a name. */
export const NAME_START = 1;
/** May stand in a name. */
export const NAME = 2;
/** Ends a run of plain character data: markup, a reference, a possible `]]>`, a carriage return or what is not allowed. */
export const TEXT_STOP = 4;
/** Ends a run of plain characters in an attribute's value (quotes apart). */
export const VALUE_STOP = 8;
/** White space. */
export const SPACE = 16;

/** The classes of each ASCII character. */
export const ascii: Uint8Array = classes();

function classes(): Uint8Array {
  const table = new Uint8Array(128);
  const mark = (chars: string, bits: number): void => {
    for (const char of chars) table[char.charCodeAt(0)]! |= bits;
  };
  for (let code = 0; code < 0x20; code++) table[code] = TEXT_STOP | VALUE_STOP;
  mark('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_', NAME_START | NAME);
  mark('0123456789.-', NAME);
  mark('<&', TEXT_STOP | VALUE_STOP);
  mark(']', TEXT_STOP);
  mark(' \t\n\r', SPACE);
  // white space is normalised in values (XML 1.0 3.3.3), but in text only the carriage return is (2.11)
  table[0x09]! &= ~TEXT_STOP;
  table[0x0a]! &= ~TEXT_STOP;
  return table;
}

/** A name without a colon, of any characters. */
export const ncName =
  /^[A-Z_a-z\u{C0}-\u{D6}\u{D8}-\u{F6}\u{F8}-\u{2FF}\u{370}-\u{37D}\u{37F}-\u{1FFF}\u{200C}-\u{200D}\u{2070}-\u{218F}\u{2C00}-\u{2FEF}\u{3001}-\u{D7FF}\u{F900}-\u{FDCF}\u{FDF0}-\u{FFFD}\u{10000}-\u{EFFFF}][-.0-9A-Z_a-z\u{B7}\u{C0}-\u{D6}\u{D8}-\u{F6}\u{F8}-\u{37D}\u{37F}-\u{1FFF}\u{200C}-\u{200D}\u{203F}\u{2040}\u{2070}-\u{218F}\u{2C00}-\u{2FEF}\u{3001}-\u{D7FF}\u{F900}-\u{FDCF}\u{FDF0}-\u{FFFD}\u{10000}-\u{EFFFF}]*$/u;

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to refuse
const forbidden = /[\0-\x08\v\f\x0e-\x1f\ufffe\uffff]/;

/** Whether the text has characters that XML 1.0 cannot carry (2.2); surrogates are looked at elsewhere. */
export function hasForbidden(text: string): boolean {
  return forbidden.test(text);
}

/** Whether there is nothing but white space in it (XML 1.0 2.3). */
export function isBlank(text: string): boolean {
  return /^[ \t\r\n]*$/.test(text);
}

/** Whether a character reference may name this code point (XML 1.0 4.1, 2.2). */
export function isXmlChar(code: number): boolean {
  if (code < 0x20) return code === 0x09 || code === 0x0a || code === 0x0d;
  return code <= 0xd7ff || (code >= 0xe000 && code <= 0xfffd) || (code >= 0x10000 && code <= 0x10ffff);
}
