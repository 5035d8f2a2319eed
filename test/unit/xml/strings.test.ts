// Escaping, flat copies and documents.
import { describe, expect, it } from 'vitest';
import { parseElement, unfoldable } from '../../../src/xml/document.ts';
import { Element, el } from '../../../src/xml/element.ts';
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

describe('an element that is read when somebody looks inside', () => {
  const texts = [
    '<message/>',
    "<message from='a@b/c' to='d@e' type='chat' id='1' xml:lang='en'><body>1 &lt; 2</body> <x xmlns='u:x'><y/></x></message>",
    "<message id='&lt;&apos;&#xA;'><body>one</body></message>",
    "<message xmlns:a1='u:y' a1:z='1'><body/></message>",
    "<message xmlns='jabber:client' to='a@b'><body>two</body></message>",
    "<message xmlns='u:x'><body>three</body></message>",
    '<message to="a@b" type=\'chat\'><body>four</body></message>',
    "<message  to = 'a@b' ><body>five</body></message >",
    "<message constructor='1' __proto__='2'></message>",
    "<presence from='a@b'><c xmlns='u:c' ver='1'/></presence>",
  ];

  it('is what the parser makes of it, whatever is asked first', () => {
    for (const text of texts) {
      const parsed = parseElement(text);
      const late = unfoldable(text);
      expect(late.toXml(), text).toBe(parsed.toXml());
      expect({ ...late.attrs }, text).toEqual({ ...parsed.attrs });
      expect([late.name, late.ns], text).toEqual([parsed.name, parsed.ns]);
      expect(xmlOfChildren(late), text).toEqual(xmlOfChildren(parsed));
      expect(xmlOfChildren(unfoldable(text).with({ to: 'x@y' })), text).toEqual(xmlOfChildren(parsed));
      const more = el('more', 'u:m');
      expect(unfoldable(text).append(more).toXml(), text).toBe(parsed.append(more).toXml());
    }
  });

  it('does not look inside before that', () => {
    const late = unfoldable("<message to='a@b'><body>no end</message>");
    expect(late.attrs.to).toBe('a@b');
    expect(() => late.children).toThrow(ParseError);
  });

  it('is looked into once for all of its copies', () => {
    const late = unfoldable("<message from='a@b'><body>one</body></message>");
    const copies = ['x@y', 'z@y'].map((to) => late.with({ to }));
    expect(copies[0]!.children[0]).toBe(copies[1]!.children[0]);
    expect(late.children).toBe(copies[0]!.children);
  });

  it('is refused where it is no element, or not a whole one', () => {
    for (const text of [
      '',
      'a',
      '<',
      '<message',
      "<message to='a",
      "<message to='a'",
      "<message to='a'>",
      '<message></presence>',
    ])
      expect(() => unfoldable(text), text).toThrow(ParseError);
  });

  function xmlOfChildren(element: Element): string[] {
    return element.children.map((child) => (child instanceof Element ? child.toXml() : JSON.stringify(child)));
  }
});
