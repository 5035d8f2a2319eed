import { expect, test } from 'vitest';
import { type Told, wishIn } from '../../../src/modules/notification-settings.ts';
import { parseElement } from '../../../src/xml/document.ts';

const now = 'urn:xmpp:notification-settings:1';
const former = 'urn:xmpp:notification-settings:0';
const pc: Told = { category: 'client', type: 'pc' };
const phone: Told = { category: 'client', type: 'phone' };
const gateway: Told = { category: 'gateway', type: 'irc' };

const wish = (inner: string, told?: Told, ns = now) =>
  wishIn(
    parseElement(
      `<conference xmlns='urn:xmpp:bookmarks:1'><extensions><notify xmlns='${ns}'>${inner}</notify></extensions></conference>`,
    ),
    told,
  );

const several =
  "<never identity-category='client' identity-type='pc'/><on-mention identity-category='client'/><on-mention identity-category='gateway'/><always><advanced><x xmlns='urn:x'/></advanced></always>";

// XEP-0492 4
test.each([
  ['never', pc],
  ['on-mention', phone],
  ['on-mention', gateway],
  ['always', { category: 'automation', type: 'bot' }],
  ['always', undefined],
] as const)('"%s" holds for %o: what is said of it most specifically', (expected, told) => {
  expect(wish(several, told)).toBe(expected);
});

test('what is said of other programs only says nothing', () => {
  const others = "<never identity-category='client' identity-type='pc'/><always identity-type='pc'/>";
  expect(wish(others, phone)).toBeUndefined();
  expect(wish(others)).toBeUndefined();
});

test.each(['', '<sometimes/>', "<never xmlns='urn:x'/>", 'never'])('"%s" says nothing', (inner) => {
  expect(wish(inner, pc)).toBeUndefined();
});

test('bookmarks without settings say nothing', () => {
  expect(wishIn(parseElement("<conference xmlns='urn:xmpp:bookmarks:1'/>"))).toBeUndefined();
  expect(wishIn(parseElement("<conference xmlns='urn:xmpp:bookmarks:1'><extensions/></conference>"))).toBeUndefined();
});

test('the former way of saying it is understood, where nothing is said in this one', () => {
  const old = "<never client-type='pc'/><on-mention/>";
  expect(wish(old, pc, former)).toBe('never');
  expect(wish(old, phone, former)).toBe('on-mention');
  expect(
    wishIn(
      parseElement(
        `<conference xmlns='urn:xmpp:bookmarks:1'><extensions><notify xmlns='${former}'><always/></notify><notify xmlns='${now}'><never/></notify></extensions></conference>`,
      ),
    ),
  ).toBe('never');
});
