import { describe, expect, it } from 'vitest';
import { type Element, el } from '../../../src/xml/element.ts';
import { NS } from '../../../src/xmpp/ns.ts';
import { type PageRequest, pageElement, pageOf, parsePageRequest } from '../../../src/xmpp/rsm.ts';

const child = (name: string, text = ''): Element => el(name, NS.rsm, {}, ...(text === '' ? [] : [text]));
const query = (...children: Element[]): Element => el('query', 'urn:example', {}, el('set', NS.rsm, {}, ...children));
const nothing: PageRequest = { max: undefined, after: undefined, before: undefined, index: undefined };

describe('a request for a page (XEP-0059 2)', () => {
  it('may be missing, or empty', () => {
    expect(parsePageRequest(el('query', 'urn:example'))).toEqual(nothing);
    expect(parsePageRequest(query())).toEqual(nothing);
  });

  it.each([
    ['the first page', [child('max', '10')], { max: 10 }],
    ['the next page', [child('max', '10'), child('after', 'x@y')], { max: 10, after: 'x@y' }],
    ['the previous page', [child('max', '10'), child('before', 'x@y')], { max: 10, before: 'x@y' }],
    ['the last page', [child('max', '10'), child('before')], { max: 10, before: '' }],
    ['a page by its position', [child('max', '10'), child('index', '371')], { max: 10, index: 371 }],
    ['the count', [child('max', '0')], { max: 0 }],
    ['a number with white space around it', [child('max', '\n 10 ')], { max: 10 }],
    ['what follows nothing', [child('after')], {}],
  ])('asks for %s', (_, children, request) => {
    expect(parsePageRequest(query(...children))).toEqual({ ...nothing, ...request });
  });

  it.each([
    ['a negative maximum', [child('max', '-1')]],
    ['a maximum that is no number', [child('max', 'ten')]],
    ['an empty maximum', [child('max')]],
    ['a fraction', [child('max', '1.5')]],
    ['a number beyond xs:int', [child('max', '2147483648')]],
    ['a number without end', [child('max', '9'.repeat(400))]],
    ['an index that is no number', [child('index', '0x10')]],
    ['two maxima', [child('max', '1'), child('max', '2')]],
    ['two places to start from', [child('after', 'a'), child('before', 'b')]],
    ['an item and a position', [child('after', 'a'), child('index', '1')]],
  ])('is refused with %s', (_, children) => {
    expect(() => parsePageRequest(query(...children))).toThrowError(
      expect.objectContaining({ condition: 'bad-request' }),
    );
  });

  it('is refused when there are two', () => {
    const twice = el('query', 'urn:example', {}, el('set', NS.rsm), el('set', NS.rsm));
    expect(() => parsePageRequest(twice)).toThrowError(expect.objectContaining({ condition: 'bad-request' }));
  });
});

describe('what a page says of itself', () => {
  it('names its first and last item, its place and the size of the whole', () => {
    expect(pageElement({ first: 'a', last: 'b', index: 0, count: 800 }).toXml()).toBe(
      `<set xmlns='${NS.rsm}'><first index='0'>a</first><last>b</last><count>800</count></set>`,
    );
  });

  it('names no items when it is empty', () => {
    expect(pageElement({ count: 790 }).toXml()).toBe(`<set xmlns='${NS.rsm}'><count>790</count></set>`);
  });
});

describe('pages of a list', () => {
  const list = ['a', 'b', 'c', 'd', 'e'];
  const page = (request: Partial<PageRequest>, limit = 100) =>
    pageOf(list, (item) => item, { ...nothing, ...request }, limit);

  it.each([
    ['all of it', {}, 'abcde', 0],
    ['the first', { max: 2 }, 'ab', 0],
    ['the next', { max: 2, after: 'b' }, 'cd', 2],
    ['the end', { max: 2, after: 'd' }, 'e', 4],
    ['the last', { max: 2, before: '' }, 'de', 3],
    ['the previous', { max: 2, before: 'd' }, 'bc', 1],
    ['the beginning, backwards', { max: 2, before: 'b' }, 'a', 0],
    ['by position', { max: 2, index: 3 }, 'de', 3],
  ])('%s', (_, request, items, index) => {
    const { items: found, result } = page(request);
    expect(found.join('')).toBe(items);
    expect(result).toEqual({ first: items[0], last: items.at(-1), index, count: 5 });
  });

  it('are no longer than the limit', () => {
    expect(page({ max: 4 }, 3).items).toEqual(['a', 'b', 'c']);
    expect(page({}, 3).items).toEqual(['a', 'b', 'c']);
  });

  it.each([[{ max: 0 }], [{ max: 0, before: '' }], [{ after: 'e' }], [{ before: 'a' }], [{ index: 5 }]])(
    'are empty for %j, with the count',
    (request) => {
      expect(page(request)).toEqual({ items: [], result: { count: 5 } });
    },
  );

  it('start from no item that is not there (XEP-0059 2.4)', () => {
    const gone = expect.objectContaining({ condition: 'item-not-found' });
    expect(() => page({ after: 'x' })).toThrowError(gone);
    expect(() => page({ before: 'x' })).toThrowError(gone);
  });
});
