// Escaping of text and attribute values (XML 1.0 2.2, 2.4, 2.11, 3.3.3).

// Characters that may not stand as they are; those that XML 1.0 cannot carry at all are dropped, and halves of surrogate
// pairs, which a cut through a text leaves behind, replaced.
const halfPair = '[\\ud800-\\udbff](?![\\udc00-\\udfff])|(?<![\\ud800-\\udbff])[\\udc00-\\udfff]';
const never = '\\0-\\x08\\v\\f\\x0e-\\x1f\\ufffe\\uffff';
const unsafeText = new RegExp(`[&<>\\r${never}]|${halfPair}`);
const unsafeAttr = new RegExp(`[&<>'"\\t\\n\\r${never}]|${halfPair}`);
const unsafeTextAll = new RegExp(unsafeText, 'g');
const unsafeAttrAll = new RegExp(unsafeAttr, 'g');

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

const replace = (char: string): string => replacements[char] ?? (char >= '\ud800' && char <= '\udfff' ? '\ufffd' : '');

/** Character data, ready to stand between tags. Characters that XML cannot carry are left out. */
export function escapeText(text: string): string {
  return unsafeText.test(text) ? text.replace(unsafeTextAll, replace) : text;
}

/** An attribute's value, ready to stand between quotes of either kind. */
export function escapeAttr(value: string): string {
  return unsafeAttr.test(value) ? value.replace(unsafeAttrAll, replace) : value;
}
