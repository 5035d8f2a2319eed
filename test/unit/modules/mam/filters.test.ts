import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { filterForm, parseFilter } from '../../../../src/modules/mam/filters.ts';
import { parsePrefs, prefsElement } from '../../../../src/modules/mam/prefs.ts';
import { type Element, el } from '../../../../src/xml/element.ts';
import { rawValues } from '../../../../src/xmpp/dataform.ts';
import { StanzaError } from '../../../../src/xmpp/errors.ts';
import { NS } from '../../../../src/xmpp/ns.ts';

const options = { languages: ['en', 'de'] };
const field = (name: string, values: readonly string[]): Element =>
  el('field', NS.dataForms, { var: name }, ...values.map((value) => el('value', NS.dataForms, undefined, value)));
const query = (...fields: Element[]): Element =>
  el('query', NS.mam, undefined, el('x', NS.dataForms, { type: 'submit' }, field('FORM_TYPE', [NS.mam]), ...fields));

describe('a filter', () => {
  test('is everything where there is no form', () => {
    expect(parseFilter(el('query', NS.mam), options)).toEqual({});
  });

  test('has what was asked for, as it is compared', () => {
    const filter = parseFilter(
      query(
        field('with', ['Romeo@VERONA.test/Orchard']),
        field('start', [' 2026-01-15T12:00:00Z ']),
        field('end', ['2026-01-15T13:00:00.25+01:00']),
        field('before-id', ['b']),
        field('after-id', ['a']),
        field('ids', ['1', '2', '1']),
        field(`{${NS.fullText}}fulltext`, ['word']),
      ),
      options,
    );
    expect(filter).toEqual({
      with: 'romeo@verona.test',
      resource: 'Orchard',
      start: Date.UTC(2026, 0, 15, 12),
      end: Date.UTC(2026, 0, 15, 12, 0, 0, 250),
      beforeId: 'b',
      afterId: 'a',
      ids: ['1', '2'],
      search: { text: 'word', languages: ['en', 'de'] },
    });
  });

  test('knows no search where there are no languages', () => {
    const languages: readonly string[] = [];
    const search = query(field(`{${NS.fullText}}fulltext`, ['word']));
    expect(() => parseFilter(search, { languages })).toThrow('feature-not-implemented');
    expect(rawValues(filterForm({ languages })).has(`{${NS.fullText}}fulltext`)).toBe(false);
  });

  test('may have every field that the form has, and the form may come back as it is', () => {
    const names = [...rawValues(filterForm(options)).keys()].filter((name) => name !== 'FORM_TYPE');
    expect(parseFilter(query(...names.map((name) => field(name, []))), options)).toEqual({});
  });

  test('is read or refused, whatever is in the form', () => {
    const names = fc.oneof(fc.constantFrom(...rawValues(filterForm(options)).keys()), fc.string({ unit: 'binary' }));
    const fields = fc.array(fc.tuple(names, fc.array(fc.string({ unit: 'binary' }))));
    fc.assert(
      fc.property(fields, (given) => {
        try {
          parseFilter(query(...given.map(([name, values]) => field(name, values))), options);
        } catch (error) {
          expect(error).toBeInstanceOf(StanzaError);
        }
      }),
    );
  });
});

describe('preferences', () => {
  const prefs = (...addresses: string[]): Element =>
    el(
      'prefs',
      NS.mam,
      { default: 'always' },
      el('never', NS.mam, undefined, ...addresses.map((address) => el('jid', NS.mam, undefined, address))),
    );

  test('are what they were when they come back', () => {
    const wanted = parsePrefs(prefs('a@b.example', 'A@B.example', 'c.example/D', ' e@f.example\n'));
    expect(wanted.never).toEqual(['a@b.example', 'c.example/D', 'e@f.example']);
    expect(parsePrefs(prefsElement(wanted))).toEqual(wanted);
  });

  test('have their length', () => {
    const many = Array.from({ length: 501 }, (_, n) => `a${n}@b.example`);
    expect(parsePrefs(prefs(...many.slice(1))).never).toHaveLength(500);
    expect(() => parsePrefs(prefs(...many))).toThrow('policy-violation');
  });
});
