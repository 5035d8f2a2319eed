// A vCard4 (RFC 6351) made from a vCard of XEP-0054, as XEP-0292 11 has it. Pure.
//
// - What vCard4 has no property for is left out: LABEL, MAILER, CLASS, AGENT, the spoken form of SOUND, types such as ISDN.
// - ORGUNIT is one more text of ORG, which is what RFC 6350 6.6.4 has for it.
// - A telephone number that is no number is a text (RFC 6350 6.4.1), not a `tel:` URI that nobody could read.
import { type Element, el } from '../../xml/element.ts';
import { NS } from '../../xmpp/ns.ts';

/** Properties that are one text in both. */
const texts: Readonly<Record<string, string>> = {
  FN: 'fn',
  NICKNAME: 'nickname',
  TZ: 'tz',
  TITLE: 'title',
  ROLE: 'role',
  NOTE: 'note',
  DESC: 'note',
  PRODID: 'prodid',
  UID: 'uid',
};

/** What a property of the one consists of is what one of the other does, in the order of RFC 6351. */
export const nameParts = [
  ['FAMILY', 'surname'],
  ['GIVEN', 'given'],
  ['MIDDLE', 'additional'],
  ['PREFIX', 'prefix'],
  ['SUFFIX', 'suffix'],
] as const;
export const addressParts = [
  ['POBOX', 'pobox'],
  ['EXTADD', 'ext'],
  ['STREET', 'street'],
  ['LOCALITY', 'locality'],
  ['REGION', 'region'],
  ['PCODE', 'code'],
  ['CTRY', 'country'],
] as const;

/** Types that both know: of addresses, telephones and mail. */
export const sharedTypes = [
  ['HOME', 'home'],
  ['WORK', 'work'],
  ['VOICE', 'voice'],
  ['FAX', 'fax'],
  ['PAGER', 'pager'],
  ['CELL', 'cell'],
  ['VIDEO', 'video'],
  ['TEXT', 'text'],
] as const;

/** Properties that are made from those of XEP-0054; a vCard4 may have others. */
const converted: ReadonlySet<string> = new Set([
  ...Object.values(texts),
  'n',
  'photo',
  'bday',
  'adr',
  'tel',
  'email',
  'geo',
  'logo',
  'org',
  'categories',
  'rev',
  'sound',
  'url',
  'key',
]);

/**
 * @param before the vCard4 until now: what XEP-0054 has no words for stays as it was, since whoever edits the one cannot see it
 */
export function vcard4From(card: Element, before?: Element): Element {
  const made = card.elements().flatMap((property) => convert(property) ?? []);
  if (!made.some(({ name }) => name === 'fn')) made.unshift(...fallbackName(card));
  const kept = (before?.elements() ?? []).filter(isBeyond);
  return v4('vcard', ...made, ...kept);
}

/** XEP-0054 knows one kind of address for messages. */
function isBeyond(property: Element): boolean {
  if (property.is('impp', NS.vcard4Xml)) return !property.getChildText('uri')?.trim().startsWith('xmpp:');
  return property.ns !== NS.vcard4Xml || !converted.has(property.name);
}

function convert(property: Element): Element | undefined {
  const { name } = property;
  const text = property.getText().trim();
  const plain = Object.hasOwn(texts, name) ? texts[name] : undefined;
  if (plain !== undefined) return text === '' ? undefined : v4(plain, v4('text', text));
  switch (name) {
    case 'N':
      return v4('n', ...parts(property, nameParts));
    case 'ADR':
      return v4('adr', ...parameters(property), ...parts(property, addressParts));
    case 'BDAY':
      return text === '' ? undefined : v4('bday', birthday(text));
    case 'TEL':
      return withValue(property, 'NUMBER', (number) => v4('tel', ...parameters(property), telephone(number)));
    case 'EMAIL':
      return withValue(property, 'USERID', (address) => v4('email', ...parameters(property), v4('text', address)));
    case 'JABBERID':
      return text === '' ? undefined : v4('impp', v4('uri', `xmpp:${text}`));
    case 'GEO':
      return withValue(property, 'LAT', (lat) =>
        withValue(property, 'LON', (lon) => v4('geo', v4('uri', `geo:${lat},${lon}`))),
      );
    case 'URL':
      return text === '' ? undefined : v4('url', v4('uri', text));
    case 'REV':
      return text === '' ? undefined : v4('rev', v4('timestamp', text));
    case 'ORG':
      return several('org', [textOf(property, 'ORGNAME'), ...textsOf(property, 'ORGUNIT')]);
    case 'CATEGORIES':
      return several('categories', textsOf(property, 'KEYWORD'));
    case 'KEY':
      return withValue(property, 'CRED', (key) => v4('key', v4('text', key)));
    case 'PHOTO':
    case 'LOGO':
    case 'SOUND':
      return binary(property);
    default:
      return undefined;
  }
}

/** (an empty text would be one more than what is read back) */
const v4 = (name: string, ...children: readonly (Element | string)[]): Element =>
  el(name, NS.vcard4Xml, undefined, ...children.filter((child) => child !== ''));

const textOf = (property: Element, name: string): string => property.getChildText(name)?.trim() ?? '';

const textsOf = (property: Element, name: string): string[] =>
  property.getChildren(name).map((child) => child.getText().trim());

function withValue(property: Element, name: string, make: (value: string) => Element | undefined): Element | undefined {
  const value = textOf(property, name);
  return value === '' ? undefined : make(value);
}

function several(name: string, found: readonly string[]): Element | undefined {
  const filled = found.filter((text) => text !== '');
  return filled.length === 0 ? undefined : v4(name, ...filled.map((text) => v4('text', text)));
}

function parts(property: Element, names: readonly (readonly [string, string])[]): Element[] {
  // RFC 6351: all of them are there, in this order
  return names.map(([from, to]) => v4(to, textOf(property, from)));
}

function parameters(property: Element): Element[] {
  const types = sharedTypes.filter(([name]) => property.getChild(name) !== undefined);
  const isPreferred = property.getChild('PREF') !== undefined;
  if (types.length === 0 && !isPreferred) return [];
  const type = types.length === 0 ? [] : [v4('type', ...types.map(([, text]) => v4('text', text)))];
  const pref = isPreferred ? [v4('pref', v4('integer', '1'))] : [];
  return [v4('parameters', ...type, ...pref)];
}

/** As it is written today, or as it was in RFC 6350. */
const date = /^(\d{4}-\d\d-\d\d|\d{8}|\d{4}|\d{4}-\d\d|--\d\d-?\d\d|---\d\d)$/;
const dateTime = /^\d{4}-?\d\d-?\d\dT\d\d:?\d\d(:?\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?$/;

function birthday(text: string): Element {
  if (date.test(text)) return v4('date', text);
  return dateTime.test(text) ? v4('date-time', text) : v4('text', text);
}

function telephone(number: string): Element {
  // RFC 3966 3: what is between the digits is for the eye, and blanks are not allowed
  const written = number.replace(/\s+/g, '-');
  return /^\+?[\d.()*#-]*\d[\d.()*#-]*$/.test(written) ? v4('uri', `tel:${written}`) : v4('text', number);
}

/** An address of something, or itself (RFC 2397). */
function binary(property: Element): Element | undefined {
  const name = property.name.toLowerCase();
  const outside = textOf(property, 'EXTVAL');
  if (outside !== '') return v4(name, v4('uri', outside));
  const data = textOf(property, 'BINVAL').replace(/\s+/g, '');
  if (data === '') return undefined;
  const type = textOf(property, 'TYPE') || (name === 'sound' ? 'audio/basic' : 'application/octet-stream');
  return v4(name, v4('uri', `data:${type};base64,${data}`));
}

/** RFC 6350 6.2.1: every vCard has one. */
function fallbackName(card: Element): Element[] {
  const name = card.getChild('N');
  const whole = name === undefined ? '' : [textOf(name, 'GIVEN'), textOf(name, 'FAMILY')].join(' ').trim();
  const text = whole || textOf(card, 'NICKNAME');
  return text === '' ? [] : [v4('fn', v4('text', text))];
}
