import fc from 'fast-check';
import { expect, test } from 'vitest';
import { vcard4From } from '../../../../src/modules/vcard4/from-temp.ts';
import { vcardTempFrom } from '../../../../src/modules/vcard4/to-temp.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import { type Element, el } from '../../../../src/xml/element.ts';
import { NS } from '../../../../src/xmpp/ns.ts';

const temp = (inner: string): Element => parseElement(`<vCard xmlns='vcard-temp'>${inner}</vCard>`);
const card4 = (inner: string): Element => parseElement(`<vcard xmlns='${NS.vcard4Xml}'>${inner}</vcard>`);
const inside = (card: Element): string => card.elements().reduce((text, child) => text + child.toXml(card.ns), '');

test.each([
  [
    '<ORG><ORGNAME>Montague</ORGNAME><ORGUNIT>Heirs</ORGUNIT></ORG>',
    '<org><text>Montague</text><text>Heirs</text></org>',
  ],
  ['<DESC>In love</DESC>', '<note><text>In love</text></note>'],
  ['<JABBERID>romeo@verona.test</JABBERID>', '<impp><uri>xmpp:romeo@verona.test</uri></impp>'],
  ['<KEY><CRED>secret</CRED></KEY>', '<key><text>secret</text></key>'],
  [
    '<CATEGORIES><KEYWORD>a</KEYWORD><KEYWORD>b</KEYWORD></CATEGORIES>',
    '<categories><text>a</text><text>b</text></categories>',
  ],
  ['<GEO><LAT>45.4</LAT><LON>-10</LON></GEO>', '<geo><uri>geo:45.4,-10</uri></geo>'],
  [
    '<TEL><HOME/><CELL/><PREF/><NUMBER>+39-045</NUMBER></TEL>',
    '<tel><parameters><type><text>home</text><text>cell</text></type><pref><integer>1</integer></pref></parameters><uri>tel:+39-045</uri></tel>',
  ],
  ['<LOGO><TYPE>image/png</TYPE><BINVAL>AAEC</BINVAL></LOGO>', '<logo><uri>data:image/png;base64,AAEC</uri></logo>'],
  ['<PHOTO><EXTVAL>https://a.example/</EXTVAL></PHOTO>', '<photo><uri>https://a.example/</uri></photo>'],
  ['<REV>2024-06-27T00:00:00Z</REV>', '<rev><timestamp>2024-06-27T00:00:00Z</timestamp></rev>'],
])('%s is %s, both ways', (old, now) => {
  expect(inside(vcard4From(temp(old)))).toBe(now);
  expect(inside(vcardTempFrom(card4(now)))).toBe(old);
});

test.each(['1591-02-14', '15910214', '--02-14', '1591'])('"%s" is a date', (text) => {
  expect(inside(vcard4From(temp(`<BDAY>${text}</BDAY>`)))).toBe(`<bday><date>${text}</date></bday>`);
});

test('a birthday with a time is a date-time, anything else is a text', () => {
  expect(inside(vcard4From(temp('<BDAY>1591-02-14T00:00:00Z</BDAY>')))).toContain('<date-time>');
  expect(inside(vcard4From(temp('<BDAY>in spring</BDAY>')))).toContain('<text>in spring');
});

test('what vCard4 has no property for is left out, and so is what is empty', () => {
  const old = temp(
    "<LABEL><LINE>Verona</LINE></LABEL><MAILER>quill</MAILER><CLASS><PUBLIC/></CLASS><TEL><NUMBER/></TEL><EMAIL/><FN> </FN><SOUND><PHONETIC>Ro</PHONETIC></SOUND><x xmlns='urn:x'/>",
  );
  expect(inside(vcard4From(old))).toBe('');
});

test('a vCard4 has a name: that of its owner, or what people call him', () => {
  expect(inside(vcard4From(temp('<N><FAMILY>Montague</FAMILY><GIVEN>Romeo</GIVEN></N>')))).toMatch(
    /^<fn><text>Romeo Montague<\/text><\/fn>/,
  );
  expect(inside(vcard4From(temp('<NICKNAME>Ro</NICKNAME>')))).toMatch(/^<fn><text>Ro</);
});

test('what XEP-0054 has no words for stays in the vCard4, the rest gives way', () => {
  const before = card4(
    "<fn><text>Ro</text></fn><gender><sex>M</sex></gender><impp><uri>sip:ro@a.example</uri></impp><impp><uri>xmpp:old@a.example</uri></impp><x-accent-color><text>#112233</text></x-accent-color><y xmlns='urn:y'/>",
  );
  expect(inside(vcard4From(temp('<FN>Romeo</FN>'), before))).toBe(
    "<fn><text>Romeo</text></fn><gender><sex>M</sex></gender><impp><uri>sip:ro@a.example</uri></impp><x-accent-color><text>#112233</text></x-accent-color><y xmlns='urn:y'/>",
  );
});

const text = fc.string({ minLength: 0, maxLength: 12, unit: 'grapheme-ascii' });
const plain = fc
  .tuple(fc.constantFrom('FN', 'NICKNAME', 'DESC', 'URL', 'BDAY', 'TITLE', 'JABBERID', 'UID'), text)
  .map(([name, value]) => el(name, NS.vcardTemp, undefined, value));
const structured = fc
  .tuple(
    fc.constantFrom('N', 'ADR', 'TEL', 'EMAIL', 'ORG', 'GEO', 'PHOTO', 'LOGO', 'KEY', 'CATEGORIES'),
    fc.array(
      fc.tuple(
        fc.constantFrom(
          'FAMILY',
          'GIVEN',
          'STREET',
          'NUMBER',
          'USERID',
          'ORGNAME',
          'ORGUNIT',
          'LAT',
          'LON',
          'BINVAL',
          'TYPE',
          'EXTVAL',
          'HOME',
          'PREF',
          'CRED',
          'KEYWORD',
        ),
        text,
      ),
      { maxLength: 5 },
    ),
  )
  .map(([name, children]) =>
    el(name, NS.vcardTemp, undefined, ...children.map(([child, value]) => el(child, NS.vcardTemp, undefined, value))),
  );
const anyCard = fc
  .array(fc.oneof(plain, structured), { maxLength: 8 })
  .map((properties) => el('vCard', NS.vcardTemp, undefined, ...properties));

test('a vCard4 that is made reads back as it was written, and made again it is the same', () => {
  fc.assert(
    fc.property(anyCard, (card) => {
      const made = vcard4From(card).toXml();
      expect(parseElement(made).toXml()).toBe(made);
      // a second time nothing is added or lost
      const again = vcard4From(vcardTempFrom(parseElement(made)));
      expect(vcard4From(vcardTempFrom(again)).toXml()).toBe(again.toXml());
    }),
  );
});
