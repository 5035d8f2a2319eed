// Documents that wrap elements, one after another (XEP-0124 5, XEP-0206 2).
import { describe, expect, test } from 'vitest';
import { parseElement } from '../../../src/xml/document.ts';
import type { Element } from '../../../src/xml/element.ts';
import { Parser, type StreamHeader } from '../../../src/xml/parser.ts';

const WRAPPER = 'urn:wrapper';

function wrapped(onElement: (parser: Parser) => void = () => {}) {
  const told: string[] = [];
  const elements: Element[] = [];
  const headers: StreamHeader[] = [];
  const parser: Parser = new Parser(
    {
      onHeader: (header) => {
        told.push('header');
        headers.push(header);
      },
      onElement: (element) => {
        told.push(element.name);
        elements.push(element);
        onElement(parser);
      },
      onEnd: () => {
        told.push('end');
      },
      onError: (condition) => {
        told.push(condition);
      },
    },
    { stanzaBytes: 300_000 },
    { wrapped: true },
  );
  return { parser, told, elements, headers };
}

const wrap = (content: string): string => `<w xmlns='${WRAPPER}' a='b'>${content}</w>`;

test('each document is told of with its root, its elements and its end', () => {
  const { parser, told, headers } = wrapped();
  for (const text of [wrap('<a/><b/>'), `<w xmlns='${WRAPPER}'/>`, ` \n<?xml version='1.0'?>${wrap(' <c/>\n')}\r\n`]) {
    parser.write(Buffer.from(text));
  }
  expect(told).toEqual(['header', 'a', 'b', 'end', 'header', 'end', 'header', 'c', 'end']);
  expect(headers[0]).toMatchObject({ name: 'w', ns: WRAPPER, attrs: { a: 'b' } });
});

test('what comes while it is suspended is parsed afterwards, each as a document of its own', () => {
  const { parser, told } = wrapped((one) => one.suspend());
  parser.write(Buffer.from(wrap('<a/><b/>')));
  parser.write(Buffer.from(wrap('<c/>')));
  expect(told).toEqual(['header', 'a']);
  parser.resume();
  expect(told).toEqual(['header', 'a', 'b']);
  parser.resume();
  parser.resume();
  expect(told).toEqual(['header', 'a', 'b', 'end', 'header', 'c', 'end']);
});

test('documents larger than a chunk are whole all the same', () => {
  const { parser, elements } = wrapped();
  const text = 'ü'.repeat(100_000);
  parser.write(Buffer.from(wrap(`<message>${text}</message>`)));
  expect(elements[0]?.children.join('')).toBe(text);
});

describe('namespaces', () => {
  const only = (text: string): Element => {
    const { parser, elements } = wrapped();
    parser.write(Buffer.from(text));
    return elements[0]!;
  };

  test.each([
    ['has none, and the default is the root’s own', wrap('<message><body/></message>'), null],
    ['declares it', wrap("<message xmlns='jabber:client'><body/></message>"), null],
    ['inherits it', `<w:w xmlns:w='${WRAPPER}' xmlns='jabber:client'><message><body/></message></w:w>`, null],
    ['has the prefix for it', `<w xmlns='${WRAPPER}' xmlns:c='jabber:client'><c:message/></w>`, null],
    ['declares that of the root', wrap(`<message xmlns='${WRAPPER}'/>`), WRAPPER],
    ['has that of the root by prefix', `<w:w xmlns:w='${WRAPPER}'><w:message/></w:w>`, WRAPPER],
    ['inherits none at all', `<w:w xmlns:w='${WRAPPER}'><message/></w:w>`, ''],
    ['has another content namespace', wrap("<message xmlns='jabber:server'/>"), 'jabber:server'],
    ['inherits another', `<w:w xmlns:w='${WRAPPER}' xmlns='jabber:server'><message/></w:w>`, 'jabber:server'],
  ])('an element that %s', (_what, text, ns) => {
    const element = only(text);
    expect(element.ns).toBe(ns);
    for (const child of element.elements()) expect(child.ns).toBe(ns);
  });

  test('prefixes of the root do not make another namespace the content', () => {
    const { parser, headers, elements } = wrapped();
    parser.write(Buffer.from(`<w xmlns='${WRAPPER}' xmlns:s='jabber:server'><message/><s:message/></w>`));
    expect(headers[0]?.contentNs).toBe('jabber:client');
    expect(elements.map(({ ns }) => ns)).toEqual([null, 'jabber:server']);
  });

  test('what is inside something of the root’s own namespace is sent on as it was understood', () => {
    const element = only(wrap(`<message><x xmlns='${WRAPPER}'><y/></x><body>z</body></message>`));
    expect(parseElement(element.toXml()).toXml()).toBe(element.toXml());
    const [x, body] = element.elements();
    expect([x?.ns, body?.ns]).toEqual([WRAPPER, null]);
    expect(parseElement(element.toXml()).elements()[0]?.ns).toBe(WRAPPER);
  });

  test('one document leaves nothing to the next', () => {
    const { parser, told, elements } = wrapped();
    parser.write(Buffer.from(`<w xmlns='${WRAPPER}' xmlns:p='urn:p'><p:a/></w>`));
    parser.write(Buffer.from(wrap('<p:b/>')));
    expect(elements.map(({ ns }) => ns)).toEqual(['urn:p']);
    expect(told).toEqual(['header', 'a', 'end', 'header', 'not-well-formed']);
  });
});

test.each([
  ['half a document', `<w xmlns='${WRAPPER}'><a/>`, 'not-well-formed'],
  ['half a tag', `<w xmlns='${WRAPPER}'`, 'not-well-formed'],
  ['two documents', wrap('') + wrap(''), 'not-well-formed'],
  ['something behind it', `${wrap('')}x`, 'not-well-formed'],
  ['something behind an empty one', `<w xmlns='${WRAPPER}'/><a/>`, 'not-well-formed'],
  ['nothing', ' ', 'not-well-formed'],
  ['text between elements', wrap('<a/>x'), 'bad-format'],
  ['a comment', wrap('<!-- -->'), 'restricted-xml'],
  ['half a character', Buffer.from([...Buffer.from(wrap('')), 0xc3]), 'unsupported-encoding'],
])('%s is refused, and nothing is read any more', (_what, text, condition) => {
  const { parser, told } = wrapped();
  parser.write(Buffer.from(text as string));
  expect(told.at(-1)).toBe(condition);
  const { length } = told;
  parser.write(Buffer.from(wrap('<c/>')));
  expect(told).toHaveLength(length);
});
