// PRECIS: which strings may name a user or a resource, and the one form that each of them is compared in.
// RFC 8264 (framework), RFC 8265 (UsernameCaseMapped, OpaqueString), RFC 5892 appendix A (contextual rules),
// RFC 5893 (Bidi rule). Pure: undefined for a string that is not allowed, nothing is repaired, nothing is thrown.
import {
  ARABIC_NUMBER,
  DUAL_JOINING,
  EUROPEAN_NUMBER,
  LEFT_JOINING,
  NEUTRAL,
  OLD_HANGUL_JAMO,
  RIGHT_JOINING,
  RIGHT_TO_LEFT,
  SPACING_MN,
  TRANSPARENT,
} from './precis-tables.ts';

/** RFC 8264 8. `FREE_PVAL` is what IdentifierClass disallows and FreeformClass allows (there: ID_DIS or FREE_PVAL). */
export type DerivedProperty = 'PVALID' | 'FREE_PVAL' | 'CONTEXTJ' | 'CONTEXTO' | 'DISALLOWED' | 'UNASSIGNED';
export type StringClass = 'identifier' | 'freeform';

// RFC 8264 9.6, which is RFC 5892 2.6. BackwardCompatible (9.7) is empty to this day.
const validException = /[\u00DF\u03C2\u06FD\u06FE\u0F0B\u3007]/u;
const contextException = /[\u00B7\u0375\u05F3\u05F4\u30FB\u0660-\u0669\u06F0-\u06F9]/u;
const disallowedException = /[\u0640\u07FA\u302E\u302F\u3031-\u3035\u303B]/u;

const unassigned = /\p{Cn}/u;
const noncharacter = /\p{Noncharacter_Code_Point}/u;
const ignorable = /[\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}]/u;
const oldHangulJamo = new RegExp(`[${OLD_HANGUL_JAMO}]`, 'u');
const letterDigit = /[\p{Ll}\p{Lu}\p{Lo}\p{Nd}\p{Lm}\p{Mn}\p{Mc}]/u;
const freeOnly = /[\p{Lt}\p{Nl}\p{No}\p{Me}\p{Zs}\p{Sm}\p{Sc}\p{Sk}\p{So}\p{P}]/u;

/** The derived property of one code point, given as a string (RFC 8264 8, in the order of its rules). */
export function derivedProperty(char: string): DerivedProperty {
  if (validException.test(char)) return 'PVALID';
  if (contextException.test(char)) return 'CONTEXTO';
  if (disallowedException.test(char)) return 'DISALLOWED';
  if (unassigned.test(char) && !noncharacter.test(char)) return 'UNASSIGNED';
  if (char >= '\x21' && char <= '\x7E') return 'PVALID'; // ASCII7
  if (char === '\u200C' || char === '\u200D') return 'CONTEXTJ'; // JoinControl
  if (oldHangulJamo.test(char) || ignorable.test(char) || /\p{Cc}/u.test(char)) return 'DISALLOWED';
  if (char.normalize('NFKC') !== char) return 'FREE_PVAL'; // HasCompat
  if (letterDigit.test(char)) return 'PVALID';
  if (freeOnly.test(char)) return 'FREE_PVAL'; // OtherLetterDigits, Spaces, Symbols, Punctuation
  return 'DISALLOWED';
}

// Most strings need no look at single code points: nothing in them is caught by a rule before the categories.
const plainIdentifier = /^[\p{Ll}\p{Lu}\p{Lo}\p{Nd}\p{Lm}\p{Mn}\p{Mc}\x21-\x7E]+$/u;
const plainFreeform = /^[\p{L}\p{N}\p{M}\p{Zs}\p{S}\p{P}]+$/u;
const special = new RegExp(
  '[\\u00B7\\u0375\\u05F3\\u05F4\\u0640\\u0660-\\u0669\\u06F0-\\u06F9\\u07FA\\u200C\\u200D\\u302E\\u302F\\u3031-\\u3035' +
    `\\u303B\\u30FB${OLD_HANGUL_JAMO}\\p{Default_Ignorable_Code_Point}]`,
  'u',
);

function isPlain(text: string, stringClass: StringClass): boolean {
  if (stringClass === 'freeform') return plainFreeform.test(text) && !special.test(text);
  // A string whose NFKC form is itself has no code point of HasCompat in it.
  return plainIdentifier.test(text) && !special.test(text) && text.normalize('NFKC') === text;
}

/** Whether a string consists of what its class allows, each code point in its context (RFC 8264 4.2, 4.3). */
export function inClass(text: string, stringClass: StringClass): boolean {
  return isPlain(text, stringClass) || isAllowed(text, stringClass);
}

/** {@link inClass} by the letter: every code point by {@link derivedProperty}. */
export function isAllowed(text: string, stringClass: StringClass): boolean {
  // RFC 5892 A.7 to A.9 look at the whole string: once, whatever it repeats.
  if (text.includes('\u30FB') && !kanaOrHan.test(text)) return false;
  if (arabicIndicDigit.test(text) && extendedArabicIndicDigit.test(text)) return false;
  const chars = Array.from(text);
  for (let i = 0; i < chars.length; i++) {
    switch (derivedProperty(chars[i]!)) {
      case 'PVALID':
        break;
      case 'FREE_PVAL':
        if (stringClass === 'identifier') return false;
        break;
      case 'CONTEXTJ':
      case 'CONTEXTO':
        if (!contextAllows(chars, i)) return false;
        break;
      default:
        return false;
    }
  }
  return true;
}

const joinsForward = new RegExp(`[${LEFT_JOINING}${DUAL_JOINING}]`, 'u');
const joinsBackward = new RegExp(`[${RIGHT_JOINING}${DUAL_JOINING}]`, 'u');
const transparent = new RegExp(`[${TRANSPARENT}]`, 'u');

const kanaOrHan = /[\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Han}]/u;
const arabicIndicDigit = /[\u0660-\u0669]/u;
const extendedArabicIndicDigit = /[\u06F0-\u06F9]/u;

/** RFC 5892 appendix A: whether the code point at `i` may stand next to its neighbours. */
function contextAllows(chars: readonly string[], i: number): boolean {
  const before = chars[i - 1] ?? '';
  const after = chars[i + 1] ?? '';
  switch (chars[i]) {
    case '\u200C': // A.1 ZERO WIDTH NON-JOINER
      return isVirama(before) || breaksJoin(chars, i);
    case '\u200D': // A.2 ZERO WIDTH JOINER
      return isVirama(before);
    case '\u00B7': // A.3 MIDDLE DOT
      return before === 'l' && after === 'l';
    case '\u0375': // A.4 GREEK LOWER NUMERAL SIGN
      return /\p{Script=Greek}/u.test(after);
    case '\u05F3': // A.5 HEBREW PUNCTUATION GERESH
    case '\u05F4': // A.6 HEBREW PUNCTUATION GERSHAYIM
      return /\p{Script=Hebrew}/u.test(before);
    default: // A.7 to A.9 have been asked already
      return true;
  }
}

// Canonical_Combining_Class 9, which no regular expression knows, but normalisation sorts by: it goes after one of
// class 8 (U+3099) and before one of class 10 (U+05B0).
function isVirama(char: string): boolean {
  return (
    char !== '' &&
    `${char}\u3099`.normalize('NFD') === `\u3099${char}` &&
    `\u05B0${char}`.normalize('NFD') === `${char}\u05B0`
  );
}

function breaksJoin(chars: readonly string[], i: number): boolean {
  let before = i - 1;
  while (before >= 0 && transparent.test(chars[before]!)) before--;
  let after = i + 1;
  while (after < chars.length && transparent.test(chars[after]!)) after++;
  return joinsForward.test(chars[before] ?? '') && joinsBackward.test(chars[after] ?? '');
}

const hasRightToLeft = new RegExp(`[${RIGHT_TO_LEFT}${ARABIC_NUMBER}]`, 'u');
const arabicNumber = new RegExp(`[${ARABIC_NUMBER}]`, 'u');
const europeanNumber = new RegExp(`[${EUROPEAN_NUMBER}]`, 'u');
const nonspacing = `(?![${SPACING_MN}])\\p{Mn}`;
const rightToLeftLabel = new RegExp(
  `^[${RIGHT_TO_LEFT}](?:[${RIGHT_TO_LEFT}${ARABIC_NUMBER}${EUROPEAN_NUMBER}${NEUTRAL}]|${nonspacing})*$`,
  'u',
);
const rightToLeftEnd = new RegExp(`[${RIGHT_TO_LEFT}${ARABIC_NUMBER}${EUROPEAN_NUMBER}](?:${nonspacing})*$`, 'u');

/**
 * RFC 5893 2, for a string of IdentifierClass. Only strings with a right-to-left character are asked (RFC 8264 5.2.5),
 * and those satisfy the rule as right-to-left labels or not at all: condition 5 keeps R, AL and AN out of the others.
 */
function satisfiesBidiRule(text: string): boolean {
  if (!hasRightToLeft.test(text)) return true;
  return (
    rightToLeftLabel.test(text) && // conditions 1 and 2
    rightToLeftEnd.test(text) && // condition 3
    !(arabicNumber.test(text) && europeanNumber.test(text)) // condition 4
  );
}

// Fullwidth and halfwidth forms have nothing but a wide or narrow decomposition mapping; where NFKC goes further than
// that mapping (U+FFE3, the halfwidth jamo) both results are disallowed in identifiers, which alone are width-mapped.
const fullOrHalfWidth = /[\u3000\uFF01-\uFFEE]/g;

/** The width mapping rule (RFC 8264 5.2.1). */
export function mapWidth(text: string): string {
  return text.replace(fullOrHalfWidth, (char) => char.normalize('NFKC'));
}

/**
 * The case mapping rule: Unicode toLowerCase of each code point (RFC 8264 5.2.3). A capital sigma becomes U+03C3
 * wherever it stands: these rules know no final sigma (RFC 7622 3.5), and a mapping that looks at neighbours would make
 * one name two.
 */
export function mapCase(text: string): string {
  return text.replaceAll('\u03A3', '\u03C3').toLowerCase();
}

/**
 * Whether a string has no more than 30 marks in a row: the stream-safe format of UAX #15 13, which all real text is in.
 * A limit of ours: normalisation sorts such runs in quadratic time.
 */
export function isStreamSafe(text: string): boolean {
  return text.length <= 30 || !/\p{M}{31}/u.test(text);
}

// RFC 8264 7: the rules are applied until nothing changes, at most three times more; then the string is refused.
function enforce(text: string, once: (text: string) => string | undefined): string | undefined {
  if (!isStreamSafe(text)) return undefined;
  let last: string | undefined = text;
  for (let i = 0; i < 4; i++) {
    const next: string | undefined = once(last);
    if (next === last || next === undefined) return next;
    last = next;
  }
  return undefined;
}

function usernameOnce(text: string): string | undefined {
  const wide = mapWidth(text);
  if (wide === '' || !inClass(wide, 'identifier')) return undefined;
  const mapped = mapCase(wide).normalize('NFC');
  return satisfiesBidiRule(mapped) ? mapped : undefined;
}

function opaqueOnce(text: string): string | undefined {
  if (text === '' || !inClass(text, 'freeform')) return undefined;
  return text.replace(/\p{Zs}/gu, ' ').normalize('NFC');
}

/** UsernameCaseMapped (RFC 8265 3.3): the form a username is stored and compared in; undefined when it is not one. */
export function usernameCaseMapped(text: string): string | undefined {
  return enforce(text, usernameOnce);
}

/** OpaqueString (RFC 8265 4.2): passwords and resourceparts; undefined when it is not one. */
export function opaqueString(text: string): string | undefined {
  return enforce(text, opaqueOnce);
}
