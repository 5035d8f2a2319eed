// Nicknames: which are allowed at all, and which look so much alike that two people must not have them (XEP-0045 7.2.8, 16.1; RFC 8266,
// whose comparison is met, and extended by letters of other scripts that look like Latin ones).

/** UTF-16 units. */
const LONGEST = 256;

/** Whether a resourcepart may be a nick: visible, and not too long. */
export function isNick(resource: string): boolean {
  return resource.length <= LONGEST && visible.test(resource);
}
/** A letter, a number, a symbol or punctuation that has a form: not only blanks, marks and fillers. */
const visible = /(?![\p{Default_Ignorable_Code_Point}\u2800])[\p{L}\p{N}\p{S}\p{P}]/u;

/** What a nick looks like: two nicks that could be taken for one another have the same. */
export function likeness(nick: string): string {
  const plain = nick.toLowerCase();
  if (ascii.test(plain)) return plain.includes(' ') ? plain.replace(blanks, ' ').trim() : plain;
  let look = '';
  // RFC 8266 2.3, 2.1: case, compatibility, and blanks
  for (const char of nick.normalize('NFKC').toLowerCase()) look += twins.get(char) ?? (hidden.test(char) ? '' : char);
  return look.replace(blanks, ' ').trim();
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: what is not ASCII needs a closer look
const ascii = /^[\x00-\x7f]*$/;
/** An empty pattern of Braille is one, too. */
const blanks = /[\s\u2800]+/gu;
/** Characters that nobody sees, joiners and marks of direction among them. */
const hidden = /[\p{Default_Ignorable_Code_Point}\p{Cf}]/u;

/** Small letters of other scripts that look like Latin ones (after UTS 39, in part). */
const twins: ReadonlyMap<string, string> = new Map([
  ['а', 'a'],
  ['в', 'b'],
  ['с', 'c'],
  ['ԁ', 'd'],
  ['е', 'e'],
  ['һ', 'h'],
  ['і', 'i'],
  ['ј', 'j'],
  ['к', 'k'],
  ['ӏ', 'l'],
  ['м', 'm'],
  ['о', 'o'],
  ['р', 'p'],
  ['ԛ', 'q'],
  ['ѕ', 's'],
  ['т', 't'],
  ['ԝ', 'w'],
  ['х', 'x'],
  ['у', 'y'],
  ['ү', 'y'],
  ['ѵ', 'v'],
  ['α', 'a'],
  ['ε', 'e'],
  ['ι', 'i'],
  ['κ', 'k'],
  ['ν', 'v'],
  ['ο', 'o'],
  ['ρ', 'p'],
  ['τ', 't'],
  ['υ', 'u'],
  ['χ', 'x'],
  ['ϲ', 'c'],
  ['ϳ', 'j'],
  ['ı', 'i'],
  ['ɑ', 'a'],
  ['ɡ', 'g'],
  ['օ', 'o'],
  ['ս', 'u'],
  ['հ', 'h'],
  ['ո', 'n'],
  ['ց', 'g'],
  ['‐', '-'],
  ['‑', '-'],
  ['–', '-'],
  ['−', '-'],
  ['’', "'"],
  ['‘', "'"],
  ['ʼ', "'"],
] as const);
