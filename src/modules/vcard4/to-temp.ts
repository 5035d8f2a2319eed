// A vCard of XEP-0054 made from a vCard4 (RFC 6351): the way back of XEP-0292 11, for clients that know nothing newer. What XEP-0054 has no
// words for is left out. Pure.
import { type Element, el } from '../../xml/element.ts';
import { NS } from '../../xmpp/ns.ts';
import { addressParts, nameParts, sharedTypes } from './from-temp.ts';

const texts: Readonly<Record<string, string>> = {
  fn: 'FN',
  nickname: 'NICKNAME',
  tz: 'TZ',
  title: 'TITLE',
  role: 'ROLE',
  // what clients show as "about"; they know no NOTE
  note: 'DESC',
  prodid: 'PRODID',
  uid: 'UID',
  bday: 'BDAY',
  url: 'URL',
  rev: 'REV',
};

export function vcardTempFrom(card: Element): Element {
  const made = card.elements().flatMap((property) => (property.ns === NS.vcard4Xml ? convert(property) : []));
  return temp('vCard', ...made);
}

const temp = (name: string, ...children: readonly (Element | string)[]): Element =>
  el(name, NS.vcardTemp, undefined, ...children.filter((child) => child !== ''));

function convert(property: Element): Element[] {
  const { name } = property;
  const [value = ''] = valuesOf(property);
  const plain = Object.hasOwn(texts, name) ? texts[name] : undefined;
  if (plain !== undefined) {
    return valuesOf(property)
      .filter((text) => text !== '')
      .map((text) => temp(plain, text));
  }
  switch (name) {
    case 'n':
      return [temp('N', ...parts(property, nameParts))];
    case 'adr':
      return [temp('ADR', ...types(property), ...parts(property, addressParts))];
    case 'tel':
      return value === ''
        ? []
        : [temp('TEL', ...types(property), temp('NUMBER', value.replace(/^tel:([^;]*).*$/is, '$1')))];
    case 'email':
      return value === '' ? [] : [temp('EMAIL', temp('INTERNET'), ...types(property), temp('USERID', value))];
    case 'impp':
      return value.startsWith('xmpp:') ? [temp('JABBERID', value.slice('xmpp:'.length))] : [];
    case 'geo': {
      const [, lat, lon] = /^geo:([^,;]+),([^,;]+)/i.exec(value) ?? [];
      return lat === undefined || lon === undefined ? [] : [temp('GEO', temp('LAT', lat), temp('LON', lon))];
    }
    case 'org': {
      const [first, ...units] = valuesOf(property);
      if (first === undefined) return [];
      return [temp('ORG', temp('ORGNAME', first), ...units.map((unit) => temp('ORGUNIT', unit)))];
    }
    case 'categories':
      return [temp('CATEGORIES', ...valuesOf(property).map((word) => temp('KEYWORD', word)))];
    case 'key':
      return value === '' ? [] : [temp('KEY', temp('CRED', value))];
    case 'photo':
    case 'logo':
    case 'sound':
      return binary(name.toUpperCase(), value);
    default:
      return [];
  }
}

/** Whatever type it has: all children are values but the parameters. */
function valuesOf(property: Element): string[] {
  return property
    .elements()
    .filter(({ name }) => name !== 'parameters')
    .map((child) => child.getText().trim());
}

function parts(property: Element, names: readonly (readonly [string, string])[]): Element[] {
  return names.flatMap(([to, from]) => {
    const found = property.getChildren(from).map((child) => child.getText().trim());
    return found.length === 0 ? [] : [temp(to, found.filter((text) => text !== '').join(', '))];
  });
}

function types(property: Element): Element[] {
  const parameters = property.getChild('parameters');
  const said = new Set(
    (parameters?.getChildren('type') ?? []).flatMap((type) =>
      [type, ...type.elements()].map((one) => one.getText().trim().toLowerCase()),
    ),
  );
  const found: Element[] = sharedTypes.filter(([, text]) => said.has(text)).map(([name]) => temp(name));
  return parameters?.getChild('pref') === undefined ? found : [...found, temp('PREF')];
}

function binary(name: string, uri: string): Element[] {
  if (uri === '') return [];
  const [, type = '', data] = /^data:([^;,]*)(?:;[^;,]*)*;base64,(.*)$/is.exec(uri) ?? [];
  if (data === undefined) return [temp(name, temp('EXTVAL', uri))];
  return [temp(name, ...(type === '' ? [] : [temp('TYPE', type)]), temp('BINVAL', data.replace(/\s+/g, '')))];
}
