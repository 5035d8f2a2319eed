// PRECIS (RFC 8264) and its profiles.
import { describe, expect, it } from 'vitest';
import {
  type DerivedProperty,
  derivedProperty,
  inClass,
  isAllowed,
  opaqueString,
  usernameCaseMapped,
} from '../../../src/xmpp/precis.ts';

describe('usernames, by the examples of RFC 8265 3.5', () => {
  it.each([
    ['juliet@example.com', 'juliet@example.com'],
    ['fussball', 'fussball'],
    ['fu\u00DFball', 'fu\u00DFball'],
    ['\u03C0', '\u03C0'],
    ['\u03A3', '\u03C3'],
    ['\u03C3', '\u03C3'],
    ['\u03C2', '\u03C2'],
  ])('%j is compared as %j', (text, prepared) => {
    expect(usernameCaseMapped(text)).toBe(prepared);
  });

  it.each(['foo bar', '', 'henry\u2163', '\u221E'])('%j is none', (text) => {
    expect(usernameCaseMapped(text)).toBeUndefined();
  });
});

describe('passwords, by the examples of RFC 8265 4.3', () => {
  it.each([
    ['correct horse battery staple', 'correct horse battery staple'],
    ['Correct Horse Battery Staple', 'Correct Horse Battery Staple'],
    ['\u03C0\u00DF\u00E5', '\u03C0\u00DF\u00E5'],
    ['Jack of \u2666s', 'Jack of \u2666s'],
    ['foo\u1680bar', 'foo bar'],
  ])('%j is compared as %j', (text, prepared) => {
    expect(opaqueString(text)).toBe(prepared);
  });

  it.each(['', 'my cat is a \u0009by'])('%j is none', (text) => {
    expect(opaqueString(text)).toBeUndefined();
  });
});

describe('derived properties (RFC 8264 8, 9)', () => {
  const cases: readonly (readonly [string, DerivedProperty, string])[] = [
    ['\u00DF', 'PVALID', 'exception that is valid'],
    ['\u3007', 'PVALID', 'exception that is valid'],
    ['\u0F0B', 'PVALID', 'exception that is valid'],
    ['\u00B7', 'CONTEXTO', 'exception that needs context'],
    ['\u0660', 'CONTEXTO', 'digit that needs context'],
    ['\u0640', 'DISALLOWED', 'exception that is disallowed'],
    ['\u3031', 'DISALLOWED', 'exception that is disallowed'],
    ['\u0378', 'UNASSIGNED', 'unassigned'],
    ['\u{10FFFF}', 'DISALLOWED', 'noncharacter, which is not called unassigned'],
    ['!', 'PVALID', 'visible ASCII'],
    ['~', 'PVALID', 'visible ASCII'],
    ['\u200C', 'CONTEXTJ', 'join control'],
    ['\u1100', 'DISALLOWED', 'old Hangul jamo'],
    ['\uD7CB', 'DISALLOWED', 'old Hangul jamo'],
    ['\u00AD', 'DISALLOWED', 'ignorable'],
    ['\uFE0F', 'DISALLOWED', 'ignorable'],
    ['\u0000', 'DISALLOWED', 'control'],
    ['\u007F', 'DISALLOWED', 'control'],
    ['\u2163', 'FREE_PVAL', 'with a compatibility equivalent'],
    ['\u212B', 'FREE_PVAL', 'with a canonical singleton'],
    ['a', 'PVALID', 'letter'],
    ['\u01C5', 'FREE_PVAL', 'title-case letter'],
    ['\u0488', 'FREE_PVAL', 'enclosing mark'],
    [' ', 'FREE_PVAL', 'space'],
    ['\u221E', 'FREE_PVAL', 'symbol'],
    ['\u{1F600}', 'FREE_PVAL', 'symbol'],
    ['\u2020', 'FREE_PVAL', 'punctuation'],
    ['\uE000', 'DISALLOWED', 'private use'],
    ['\uD800', 'DISALLOWED', 'surrogate'],
    ['\u2028', 'DISALLOWED', 'line separator'],
  ];
  it.each(cases)('%j is %s: %s', (char, property) => {
    expect(derivedProperty(char)).toBe(property);
  });
});

describe('context (RFC 5892 appendix A)', () => {
  it.each([
    ['A.1: a non-joiner after a virama', '\u0915\u094D\u200C\u0937', true],
    ['A.1: a non-joiner between joining letters', '\u0628\u200C\u0627', true],
    ['A.1: with marks between', '\u0628\u0650\u200C\u0650\u0627', true],
    ['A.1: a non-joiner after a letter that does not join', '\u0627\u200C\u0628', false],
    ['A.1: every non-joiner is asked', '\u0628\u200C\u0627\u200C\u0627', false],
    ['A.1: a non-joiner at the end', '\u0628\u200C', false],
    ['A.2: a joiner after a virama', '\u0915\u094D\u200D\u0937', true],
    ['A.2: a joiner elsewhere', '\u0628\u200D\u0627', false],
    ['A.2: a joiner in front', '\u200Da', false],
    ['A.3: a middle dot between two l', 'l\u00B7l', true],
    ['A.3: a middle dot elsewhere', 'l\u00B7a', false],
    ['A.4: a keraia before Greek', '\u0375\u03B1', true],
    ['A.4: a keraia before Latin', '\u0375a', false],
    ['A.5: geresh after Hebrew', '\u05D0\u05F3', true],
    ['A.5: geresh in front', '\u05F3\u05D0', false],
    ['A.6: gershayim after Hebrew', '\u05D0\u05F4', true],
    ['A.6: gershayim after Latin', 'a\u05F4', false],
    ['A.7: a katakana middle dot with katakana', '\u30A2\u30FB', true],
    ['A.7: a katakana middle dot with Han', 'a\u30FB\u6F22', true],
    ['A.7: a katakana middle dot alone', 'a\u30FB', false],
    ['A.8: Arabic-Indic digits', '\u0627\u0660\u0661', true],
    ['A.9: extended Arabic-Indic digits', '\u0627\u06F0\u06F1', true],
    ['A.8, A.9: both', '\u0627\u0660\u06F1', false],
  ])('%s', (_, text, allowed) => {
    expect(inClass(text, 'identifier')).toBe(allowed);
    expect(inClass(text, 'freeform')).toBe(allowed);
  });
});

describe('the Bidi rule (RFC 5893 2) for usernames', () => {
  it.each([
    ['Hebrew', '\u05D0\u05D1', true],
    ['Hebrew with European digits at the end', '\u05D0\u05D11', true],
    ['Hebrew with a neutral inside', '\u05D0-\u05D1', true],
    ['Thaana that ends with marks', '\u0786\u07A6', true],
    ['condition 1: a digit in front', '1\u05D0', false],
    ['condition 2: a Latin letter', '\u05D0b\u05D1', false],
    ['condition 3: a neutral at the end', '\u05D0-', false],
    ['condition 4: both kinds of digits', '\u05D0\u06601', false],
    ['condition 5: Latin with Hebrew', 'a\u05D0', false],
    ['no right-to-left character, so no question', '1-', true],
  ])('%s', (_, text, allowed) => {
    expect(usernameCaseMapped(text) !== undefined).toBe(allowed);
  });
});

describe('stability (RFC 8264 7)', () => {
  it('finds for every code point a form that stays, and the same by the short way as by the letter', () => {
    const unstable: string[] = [];
    for (let code = 0; code <= 0x10ffff; code++) {
      // Planes without characters of their own say nothing new.
      if (code === 0x34000) code = 0xe0000;
      if (code === 0xe0200) code = 0x10ff00;
      const char = String.fromCodePoint(code);
      const username = usernameCaseMapped(char);
      const opaque = opaqueString(char);
      if (username !== undefined && usernameCaseMapped(username) !== username) unstable.push(char);
      if (opaque !== undefined && opaqueString(opaque) !== opaque) unstable.push(char);
      for (const name of ['identifier', 'freeform'] as const) {
        if (inClass(char, name) !== isAllowed(char, name)) unstable.push(`${name} ${code.toString(16)}`);
      }
    }
    expect(unstable).toEqual([]);
  });
});
