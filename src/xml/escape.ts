// Escaping of text and attribute values (XML 1.0 2.4, 2.11, 3.3.3).

// Characters that may not stand as they are, and those that XML 1.0 cannot carry at all (dropped).
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to keep out
const unsafeText = /[&<>\r\0-\x08\v\f\x0e-\x1f\ufffe\uffff]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const unsafeTextAll = /[&<>\r\0-\x08\v\f\x0e-\x1f\ufffe\uffff]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const unsafeAttr = /[&<>'"\t\n\r\0-\x08\v\f\x0e-\x1f\ufffe\uffff]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const unsafeAttrAll = /[&<>'"\t\n\r\0-\x08\v\f\x0e-\x1f\ufffe\uffff]/g;

const replacements: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  "'": '&apos;',
  '"': '&quot;',
  // an unescaped carriage return would come back as a line feed, white space in attributes as a space
  '\t': '&#x9;',
  '\n': '&#xA;',
  '\r': '&#xD;',
};

const replace = (char: string): string => replacements[char] ?? '';

/** Character data, ready to stand between tags. Characters that XML cannot carry are left out. */
export function escapeText(text: string): string {
  return unsafeText.test(text) ? text.replace(unsafeTextAll, replace) : text;
}

/** An attribute's value, ready to stand between quotes of either kind. */
export function escapeAttr(value: string): string {
  return unsafeAttr.test(value) ? value.replace(unsafeAttrAll, replace) : value;
}
