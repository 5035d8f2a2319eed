import { expect, test } from 'vitest';
import { declines, hashIn, withHash, withoutHash } from '../../../../src/modules/avatars/update.ts';
import { parseElement } from '../../../../src/xml/document.ts';

const x = (inner: string): string => `<x xmlns='vcard-temp:x:update'>${inner}</x>`;
const presence = (inner: string) => parseElement(`<presence from='romeo@verona.test/orchard'>${inner}</presence>`);
const hash = '8065a779640b58ab93fdaf4b6ce0f29cddf2bc1f';

test.each([
  ['nothing', '<show>away</show>', `<show>away</show>${x(`<photo>${hash}</photo>`)}`],
  ['that it is not ready', x(''), x(`<photo>${hash}</photo>`)],
  ['of another picture', x('<photo>0123</photo>'), x(`<photo>${hash}</photo>`)],
  ['the same in capitals', x(`<photo>${hash.toUpperCase()}</photo>`), x(`<photo>${hash.toUpperCase()}</photo>`)],
  ['that there is none', x('<photo/>'), x('<photo/>')],
  ['something else twice', `${x('')}${x('<photo>0</photo>')}`, x(`<photo>${hash}</photo>`)],
])('where a client says %s', (_, said, shown) => {
  expect(withHash(presence(said), hash).toXml()).toBe(presence(shown).toXml());
});

test('a picture that is gone is an empty photo, whatever was said', () => {
  expect(withHash(presence(x('<photo>0123</photo>')), '').toXml()).toBe(presence(x('<photo/>')).toXml());
});

test('a presence that has what it needs is left as it is', () => {
  const before = presence(x(`<photo>${hash}</photo>`));
  expect(withHash(before, hash)).toBe(before);
  expect(withoutHash(presence('<show>away</show>')).toXml()).toBe(presence('<show>away</show>').toXml());
});

test('what a presence says of a picture', () => {
  expect(
    [presence(''), presence(x('')), presence(x('<photo> </photo>')), presence(x('<photo>AB</photo>'))].map(hashIn),
  ).toEqual([undefined, undefined, '', 'ab']);
  expect(
    [presence(''), presence(x('')), presence(x('<photo> </photo>')), presence(x('<photo>AB</photo>'))].map(declines),
  ).toEqual([false, false, true, false]);
});
