import { describe, expect, it } from 'vitest';
import { parseElement } from '../../../src/xml/document.ts';
import { el } from '../../../src/xml/element.ts';

const message = el(
  'message',
  null,
  { to: 'a@b', id: '1', from: undefined },
  el('body', null, undefined, 'one'),
  ' ',
  el('x', 'u:x', { '{u:y}z': "'" }, el('body', null), el('body', 'u:x', undefined, 'two')),
  el('body', null, undefined, 'three'),
);

describe('an element', () => {
  it('finds its children by name and namespace, its own unless told', () => {
    expect(message.is('message', null)).toBe(true);
    expect(message.is('message', 'jabber:client')).toBe(false);
    expect(message.getChildText('body')).toBe('one');
    expect(message.getChildren('body').map((child) => child.getText())).toEqual(['one', 'three']);
    expect(message.getChild('body', 'u:x')).toBeUndefined();
    expect(message.getChild('x', 'u:x')?.getChildText('body')).toBe('two');
    expect(message.getChild('x', 'u:x')?.getChildText('body', null)).toBe('');
    expect(message.getChildText('nothing')).toBeUndefined();
    expect(message.elements()).toHaveLength(3);
    expect(message.getText()).toBe(' ');
  });

  it('writes namespaces only where they change', () => {
    expect(message.toXml()).toBe(
      "<message to='a@b' id='1'><body>one</body> <x xmlns='u:x' xmlns:a1='u:y' a1:z='&apos;'><body xmlns='jabber:client'/><body>two</body></x><body>three</body></message>",
    );
    expect(el('a', 'u').toXml('u')).toBe('<a/>');
    expect(el('a', null).toXml('u')).toBe("<a xmlns='jabber:client'/>");
    expect(el('a', '').toXml()).toBe("<a xmlns=''/>");
  });

  it('takes raw XML as it is', () => {
    expect(el('a', null, {}, { raw: '<b/>' }, '<').toXml()).toBe('<a><b/>&lt;</a>');
  });

  it('never changes: copies have other attributes or children', () => {
    const xml = message.toXml();
    const copy = message.with({ to: undefined, from: 'c@d', id: '2' });
    expect({ ...copy.attrs }).toEqual({ from: 'c@d', id: '2' });
    expect(copy.children).toBe(message.children);
    expect(copy.toXml()).toBe(xml.replace("to='a@b' id='1'", "id='2' from='c@d'"));
    expect(message.append('<', el('z', null)).toXml()).toBe(xml.replace('</message>', '&lt;<z/></message>'));
    expect(message.without((child) => child.name === 'body').children).toEqual([' ', message.elements()[1]]);
    expect(message.without(() => false)).toBe(message);
    expect(message.toXml()).toBe(xml);
  });

  it.each(['<a/>', '<a></a>', '<a ></a >', "<a b='1'>x</a\n>", '<a><b/></a>'])(
    'can have more children after %s',
    (xml) => {
      const parsed = parseElement(xml);
      const longer = parsed.append(el('more', 'u'), 'text');
      expect(longer.toXml()).toBe(el('a', null, parsed.attrs, ...parsed.children, el('more', 'u'), 'text').toXml());
      expect(longer.append().append('!').toXml()).toBe(longer.toXml().replace('</a>', '!</a>'));
    },
  );

  it('has attributes by any name, and none but its own', () => {
    const odd = el('a', null, { constructor: '1', ['__proto__']: '2' });
    expect(Object.keys(odd.attrs)).toEqual(['constructor', '__proto__']);
    expect(odd.with({ ['__proto__']: undefined }).toXml()).toBe("<a constructor='1'/>");
    expect('toString' in odd.attrs).toBe(false);
    expect(el('a', null).attrs.constructor).toBeUndefined();
  });

  it('is written for many recipients as for one', () => {
    const to = message.addressed();
    expect(to('"x"@y')).toBe(message.toXml().replace(" to='a@b' id='1'", " id='1' to='&quot;x&quot;@y'"));
  });
});

describe('a relayed stanza', () => {
  it.each([
    ["<message to='a'><body>x &#x41; > y</body><x xmlns='u:x'  a = \"1\" ><y ></y ></x></message>", true],
    ["<message><f xmlns='u:f'><message xmlns='jabber:client'><body/></message></f></message>", true],
    ["<message><body xmlns='jabber:client'/></message>", false],
    ["<message><x xmlns='u:x' xmlns:p='u:p'/></message>", false],
    ["<message xmlns:p='u:p'><p:x/></message>", false],
    ["<message><x xmlns:p='u:p' p:a='1'/></message>", false],
    ['<message><![CDATA[x]]></message>', false],
  ])('%s is sent on as it came, if that means the same everywhere', (xml, verbatim) => {
    const parsed = parseElement(xml);
    const inner = (whole: string) => whole.slice(whole.indexOf('>'));
    const rebuilt = el(parsed.name, parsed.ns, parsed.attrs, ...parsed.children).toXml();
    expect(inner(parsed.toXml())).toBe(inner(verbatim ? xml : rebuilt));
  });

  it('leaves the content namespace of servers to those who write it', () => {
    const parsed = parseElement("<message><f xmlns='u:f'><m xmlns='jabber:server'/></f></message>", 'jabber:server');
    expect(parsed.toXml()).toBe("<message><f xmlns='u:f'><m xmlns='jabber:client'/></f></message>");
  });
});
