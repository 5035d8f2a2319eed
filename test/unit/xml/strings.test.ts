// Escaping, flat copies and documents.
import { describe, expect, it } from 'vitest';
import { parseElement } from '../../../src/xml/document.ts';
import { escapeAttr, escapeText } from '../../../src/xml/escape.ts';
import { flatten } from '../../../src/xml/flatten.ts';
import { ParseError } from '../../../src/xml/parse-error.ts';

describe('escaping', () => {
  it('leaves plain text as it is', () => {
    for (const text of ['', 'plain', 'caf\u00E9 \u{1F600}', 'tab\tand\nline']) expect(escapeText(text)).toBe(text);
    expect(escapeAttr('caf\u00E9 \u{1F600}')).toBe('caf\u00E9 \u{1F600}');
  });

  it('replaces markup', () => {
    expect(escapeText(`<a b='c' d="e">&</a>]]>`)).toBe(`&lt;a b='c' d="e"&gt;&amp;&lt;/a&gt;]]&gt;`);
    expect(escapeAttr(`<'">&`)).toBe('&lt;&apos;&quot;&gt;&amp;');
  });

  it('keeps white space that would be normalised', () => {
    expect(escapeText('\r\n')).toBe('&#xD;\n');
    expect(escapeAttr('\t\r\n')).toBe('&#x9;&#xD;&#xA;');
  });

  it('drops what XML cannot carry, and mends halves of characters', () => {
    expect(escapeText('a\0b\x1fc\uFFFEd\uFFFFe')).toBe('abcde');
    expect(escapeText('a\uD83D')).toBe('a\uFFFD');
    expect(escapeAttr('\uDE00\uD83D\uDE00\uD83D')).toBe('\uFFFD\u{1F600}\uFFFD');
  });
});

describe('flatten', () => {
  it.each([
    '',
    'short',
    'long enough to be a slice',
    'caf\u00E9 and a few more words',
    '\u{1F600} and a few more words',
    'half \uD83D of a character',
  ])('copies %j', (text) => {
    expect(flatten(`<${text}>`.slice(1, -1))).toBe(text);
  });
});

describe('parseElement', () => {
  it('reads a document in the content namespace', () => {
    expect(parseElement('<a/>').ns).toBeNull();
    expect(parseElement("<a xmlns='u'/>").ns).toBe('u');
    expect(parseElement("<a xmlns='jabber:client'/>").ns).toBeNull();
    expect(parseElement("<a xmlns='jabber:server'/>", 'jabber:server').ns).toBeNull();
    expect(parseElement(" <?xml version='1.0'?>\n<a/>\n").name).toBe('a');
  });

  it('reads what is larger than a stream may send', () => {
    const xml = `${'<a>'.repeat(300)}${'b'.repeat(300_000)}${'</a>'.repeat(300)}`;
    expect(parseElement(xml).toXml()).toBe(xml);
  });

  it.each([
    ['', 'not-well-formed'],
    [' ', 'not-well-formed'],
    ['<a>', 'not-well-formed'],
    ['<a/><b/>', 'not-well-formed'],
    ['<!-- --><a/>', 'restricted-xml'],
  ])('throws on %j', (xml, condition) => {
    expect(() => parseElement(xml)).toThrow(ParseError);
    expect(() => parseElement(xml)).toThrow(condition);
  });
});
