// The tests are only worth what their matcher is worth.
import { describe, expect, test } from 'vitest';
import { expectation, explain, match } from '../../kit/matcher.ts';
import { fill, matchText } from '../../kit/template.ts';
import { readXml, viewOf } from '../../kit/xml-view.ts';

const names = new Map([
  ['romeo', 'romeo@verona.test'],
  ['romeo/orchard', 'romeo@verona.test/orchard'],
]);

function matches(expected: string, actual: string, exact = false): boolean {
  return match(expectation(expected, exact), viewOf(readXml(actual)), names) !== undefined;
}

describe('a subset', () => {
  const actual = `<message from='romeo@verona.test/orchard' id='m1'><body>Hi</body><x xmlns='urn:x' a='1'><y/></x></message>`;

  test.each([
    ['<message/>', true],
    ["<message id='m1'/>", true],
    ["<message id='m2'/>", false],
    ["<message to='anybody'/>", false],
    ["<message from='{romeo/orchard}'/>", true],
    ["<message from='{romeo}'/>", false],
    ["<message from='{romeo}/{any}'/>", true],
    ['<presence/>', false],
    ["<message xmlns='jabber:server'/>", false],
    ['<message><body/></message>', true],
    ['<message><body>Hi</body></message>', true],
    ['<message><body>Ho</body></message>', false],
    ['<message><body>{any}</body></message>', true],
    ["<message><x xmlns='urn:x'/><body/></message>", true],
    ["<message><x xmlns='urn:x'><y/></x></message>", true],
    ["<message><x xmlns='urn:x'><z/></x></message>", false],
    ['<message><x/></message>', false],
    ['<message><body/><body/></message>', false],
    ['<message><subject {absent}/></message>', true],
    ['<message><body {absent}/></message>', false],
    ["<message><x xmlns='urn:y' {absent}/></message>", true],
  ])('%s: %s', (expected, result) => expect(matches(expected, actual)).toBe(result));

  test('each expected child needs one of its own, whichever order leads there', () => {
    const two = `<m><a k='1'/><a k='2'/></m>`;
    expect(matches(`<m><a/><a k='1'/></m>`, two)).toBe(true);
    expect(matches(`<m><a k='1'/><a k='1'/></m>`, two)).toBe(false);
  });
});

describe('exactly', () => {
  test.each([
    ["<iq id='1'><a xmlns='urn:a'/></iq>", true],
    ["<iq id='{any}'><a xmlns='urn:a'/></iq>", true],
    ["<iq><a xmlns='urn:a'/></iq>", false],
    ["<iq id='1'/>", false],
    ["<iq id='1'><a xmlns='urn:a'/><b/></iq>", false],
    ["<iq id='1'><a xmlns='urn:a'>text</a></iq>", false],
  ])('%s: %s', (expected, result) => {
    expect(matches(expected, "<iq id='1'><a xmlns='urn:a'/></iq>", true)).toBe(result);
  });

  test('the order of children counts', () => {
    expect(matches('<m><a/><b/></m>', '<m><b/><a/></m>', true)).toBe(false);
    expect(matches('<m><a/><b/></m>', '<m><b/><a/></m>', false)).toBe(true);
  });
});

describe('templates', () => {
  test('prefixes do not count, namespaces do', () => {
    expect(matches("<m><x xmlns='urn:x'><y/></x></m>", "<m><p:x xmlns:p='urn:x'><p:y/></p:x></m>")).toBe(true);
  });

  test('what was captured is known afterwards, also in the same stanza', () => {
    const known = match(
      expectation("<iq id='{id: push}'><q v='{push}'/></iq>", false),
      viewOf(readXml("<iq id='a.b'><q v='a.b'/></iq>")),
      names,
    );
    expect(known?.get('push')).toBe('a.b');
    expect(matches("<iq id='{id: push}'><q v='{push}'/></iq>", "<iq id='a.b'><q v='aXb'/></iq>")).toBe(false);
  });

  test('nothing is no id', () => {
    expect(matchText('{id: x}', '', names)).toBeUndefined();
    expect(matchText('{any: x}', '', names)).toBeUndefined();
    expect(matchText('{any}', '', names)).toBeDefined();
  });

  test('something else is anything but that', () => {
    expect(matchText('{other than romeo}', 'romeo@verona.test', names)).toBeUndefined();
    expect(matchText('{other than romeo}', 'romeo@verona.test/orchard', names)).toBeDefined();
  });

  test('times and numbers are checked for their form', () => {
    expect(matchText('{time}', '2026-01-15T12:00:00.000Z', names)).toBeDefined();
    expect(matchText('{time}', '2026-01-15 12:00', names)).toBeUndefined();
    expect(matchText('{number}', '42', names)).toBeDefined();
    expect(matchText('{number}', '4.2', names)).toBeUndefined();
  });

  test('a name that nobody knows is a mistake, not a match', () => {
    expect(() => fill('{mercutio}', names)).toThrow('mercutio');
    expect(() => matchText('{mercutio}', 'x', names)).toThrow('mercutio');
  });

  test('SASL messages are written in the clear', () => {
    expect(fill('{base64 \\0romeo\\0secret}', names)).toBe('AHJvbWVvAHNlY3JldA==');
  });
});

test('an explanation says what is missing, wrong, or too much', () => {
  const actual = viewOf(readXml("<iq id='1' type='result'><a k='v'/><c/></iq>"));
  expect(explain(expectation("<iq id='2' to='x'><a k='w'/><b/></iq>", true), actual, names)).toEqual([
    "<iq> has id='1'; expected '2'",
    "<iq> has no attribute to; expected 'x'",
    "<iq> has an attribute too many: type='result'",
    "<iq><a> has k='v'; expected 'w'",
    "<iq> has no child <b xmlns='jabber:client'>",
    "<iq> has a child too many: <c xmlns='jabber:client'>",
  ]);
});
