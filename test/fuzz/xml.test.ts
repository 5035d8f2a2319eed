// Properties of the parser and the serialiser: where the input is cut does not matter, and what was written is read back.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseElement } from '../../src/xml/document.ts';
import { type Attrs, Element, el, type Node } from '../../src/xml/element.ts';
import { Parser } from '../../src/xml/parser.ts';
import { byteByByte, HEADER, plain, SERVER_HEADER, tell } from '../kit/parsing.ts';
import { stanzas } from '../kit/stanzas.ts';

// XML 1.0 2.2
const isCarried = (char: string): boolean => !/[^\t\n\r -\uFFFD\u{10000}-\u{10FFFF}]/u.test(char);

const name = fc.constantFrom('a', 'body', 'x-1', '_', 'item', '__proto__', 'constructor', '\u00E9t\u00E9', '\u{10000}');
const namespace = fc.constantFrom('u:x', 'u:y', "urn:it's<&>", 'jabber:iq:roster', '');
const key = fc.oneof(
  name,
  fc.constantFrom('xml:lang', 'xml:space', 'id', 'to'),
  fc.constantFrom('{u:x}a', '{u:y}a', "{u:'}b"),
);
const char = fc.oneof(
  fc.constantFrom(...'&<>\'"]\r\n\t ;#x', '\u0085', '\u2028', '\uFEFF', '\uFFFD', '\u{1F600}', '\x7f'),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 3 }),
);
const text = fc.array(char, { maxLength: 8 }).map((chars) => [...chars.join('')].filter(isCarried).join(''));
const attrs: fc.Arbitrary<Attrs> = fc.dictionary(key, text, { maxKeys: 4 });

const { node } = fc.letrec<{ node: Node; element: Element }>((tie) => ({
  node: fc.oneof({ maxDepth: 4, depthIdentifier: 'tree' }, text, tie('element')),
  element: fc
    .tuple(
      name,
      fc.oneof(fc.constant(null), namespace),
      attrs,
      fc.array(tie('node'), { maxLength: 4, depthIdentifier: 'tree' }),
    )
    .map(([name, ns, attrs, children]) => el(name, ns, attrs, ...children)),
}));
const stanza = fc
  .tuple(name, fc.oneof(fc.constant(null), namespace), attrs, fc.array(node, { maxLength: 5 }))
  .map(([name, ns, attrs, children]) => el(name, ns, attrs, ...children));

/** The element that a stream with this header makes of the XML; written at once, so that the source may be kept. */
function relay(header: string, xml: string): Element {
  let parsed: Element | undefined;
  let problem = 'nothing';
  const parser = new Parser({
    onHeader() {},
    onElement: (element) => {
      parsed = element;
    },
    onEnd() {},
    onError: (condition, why) => {
      problem = `${condition}: ${why}`;
    },
  });
  parser.writeText(header + xml);
  if (parsed === undefined) throw new Error(`${problem} in ${xml}`);
  return parsed;
}

const headers = [HEADER, SERVER_HEADER, HEADER.replace('jabber:client', 'jabber:component:accept')];

describe('what is written', () => {
  it('is read back on every kind of stream', () => {
    fc.assert(
      fc.property(stanza, (element) => {
        const expected = plain(element);
        for (const header of headers) expect(plain(relay(header, element.toXml()))).toEqual(expected);
      }),
      { numRuns: 400 },
    );
  });

  it('is read back inside another element, as stanzas inside stanzas are', () => {
    fc.assert(
      fc.property(stanza, (element) => {
        const wrapped = el('message', null, {}, el('forwarded', 'urn:xmpp:forward:0', {}, element));
        for (const header of headers) expect(plain(relay(header, wrapped.toXml()))).toEqual(plain(wrapped));
      }),
      { numRuns: 200 },
    );
  });

  it('is read back as a document, in whichever default namespace it stands', () => {
    fc.assert(
      fc.property(stanza, fc.constantFrom('jabber:client', 'jabber:server', 'u:x'), (element, inside) => {
        // in a foreign place a neutral element says that it is a client's, and a foreign one may leave its namespace out
        const isContent = inside.startsWith('jabber:');
        const read = isContent
          ? parseElement(element.toXml(), inside)
          : parseElement(`<outer xmlns='u:x'>${element.toXml('u:x')}</outer>`).elements()[0]!;
        expect(plain(read)).toEqual(plain(element));
      }),
      { numRuns: 200 },
    );
  });

  it('is the same for one of many as for one alone, apart from the order of attributes', () => {
    fc.assert(
      fc.property(stanza, text, (element, to) => {
        expect(plain(parseElement(element.addressed()(to)))).toEqual(plain(parseElement(element.with({ to }).toXml())));
      }),
      { numRuns: 200 },
    );
  });

  it('is the same whether it is relayed as it came or written anew', () => {
    // copies share the relayed source; a rebuilt element has only the tree
    const rebuilt = (element: Element): Element =>
      new Element(element.name, element.ns, element.attrs, element.children);
    const check = (xml: string): void => {
      for (const header of headers) {
        const relayed = relay(header, xml);
        const more = el('stanza-id', 'urn:xmpp:sid:0', { id: '1' });
        for (const onward of headers) {
          expect(plain(relay(onward, relayed.with({ from: 'a@b' }).toXml()))).toEqual(
            plain(relay(onward, rebuilt(relayed).with({ from: 'a@b' }).toXml())),
          );
          expect(plain(relay(onward, relayed.append(more, '<').toXml()))).toEqual(
            plain(relay(onward, rebuilt(relayed).append(more, '<').toXml())),
          );
        }
        const wrap = (inner: Element) => el('message', null, {}, el('f', 'u:f', {}, inner)).toXml();
        for (const onward of headers) {
          expect(plain(relay(onward, wrap(relayed)))).toEqual(plain(relay(onward, wrap(rebuilt(relayed)))));
        }
      }
    };
    for (const xml of stanzas) if (!/^<(stream|db):/.test(xml)) check(xml);
    fc.assert(
      fc.property(stanza, (element) => check(element.toXml())),
      { numRuns: 60 },
    );
  });
});

/** The first child of the root, as the chunks make it. */
function childOf(chunks: readonly Buffer[]): Element {
  const children: Element[] = [];
  const parser = new Parser({
    onHeader() {},
    onElement: (element) => {
      children.push(element);
    },
    onEnd() {},
    onError() {},
  });
  for (const chunk of chunks) parser.write(chunk);
  return children[0]!;
}

describe('where the input is cut', () => {
  const inStream = (xml: string): Buffer => Buffer.from(`\uFEFF<?xml version='1.0'?>${HEADER}${xml} `);

  it.each(stanzas)('makes no difference: %s', (xml) => {
    const bytes = inStream(`${xml}<presence/>`);
    const whole = tell([bytes]);
    expect(whole.map(({ kind }) => kind)).toEqual(['header', 'element', 'element']);
    expect(tell(byteByByte(bytes))).toEqual(whole);
    for (let cut = 1; cut < bytes.length; cut++) {
      expect(tell([bytes.subarray(0, cut), bytes.subarray(cut)])).toEqual(whole);
    }
  });

  it.each(stanzas)('makes no difference to what is sent on: %s', (xml) => {
    const bytes = inStream(xml);
    const expected = plain(childOf([bytes]));
    const start = bytes.length - Buffer.byteLength(`${xml} `);
    for (let cut = start; cut < bytes.length; cut++) {
      for (const end of [cut + 1, cut + 7, bytes.length]) {
        const relayed = childOf([bytes.subarray(0, cut), bytes.subarray(cut, end), bytes.subarray(end)]);
        expect(plain(relay(HEADER, relayed.toXml()))).toEqual(expected);
      }
    }
  });

  it('makes no difference in any number of places', () => {
    const bytes = inStream(`${stanzas.join('\n')}</stream:stream>`);
    const whole = tell([bytes]);
    expect(whole).toHaveLength(stanzas.length + 2);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: bytes.length }), { maxLength: 200 }), (cuts) => {
        const places = [0, ...cuts.sort((a, b) => a - b), bytes.length];
        expect(tell(places.slice(1).map((end, n) => bytes.subarray(places[n]!, end)))).toEqual(whole);
      }),
      { numRuns: 60 },
    );
  });

  it('makes no difference to what is refused, nor to why', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...stanzas),
        fc.integer({ min: 0, max: 1000 }),
        fc.constantFrom(...'<>&;\'"=/!?[]- x:#', ']]>', '<!--', '<![CDATA[', '\0', '\uFFFF', '&#', 'xmlns'),
        fc.boolean(),
        fc.array(fc.nat(1000), { maxLength: 6 }),
        (xml, place, junk, isReplacing, cuts) => {
          const at = place % (xml.length + 1);
          const broken = Buffer.from(HEADER + xml.slice(0, at) + junk + xml.slice(at + (isReplacing ? 1 : 0)));
          const whole = tell([broken]);
          expect(tell(byteByByte(broken))).toEqual(whole);
          const places = [0, ...cuts.map((cut) => cut % broken.length).sort((a, b) => a - b), broken.length];
          expect(tell(places.slice(1).map((end, n) => broken.subarray(places[n]!, end)))).toEqual(whole);
        },
      ),
      { numRuns: 1500 },
    );
  });

  it('makes no difference to broken UTF-8', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...stanzas),
        fc.nat(1000),
        fc.uint8Array({ minLength: 1, maxLength: 4 }),
        (xml, place, junk) => {
          const sound = Buffer.from(HEADER + xml);
          const at = HEADER.length + (place % (sound.length - HEADER.length));
          const broken = Buffer.concat([sound.subarray(0, at), junk, sound.subarray(at), Buffer.from('<presence/>')]);
          expect(tell(byteByByte(broken))).toEqual(tell([broken]));
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe('any input', () => {
  const check = (chunks: readonly (Buffer | string)[]): void => {
    for (const framed of [false, true]) {
      const kinds = tell(chunks, {}, { framed }).map(({ kind }) => kind);
      const first = kinds.findIndex((kind) => kind === 'error' || kind === 'end');
      // nothing is told after the end, whichever it is
      if (first !== -1) expect(first).toBe(kinds.length - 1);
    }
  };

  it('is parsed or refused, and never throws', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.uint8Array().map((bytes) => Buffer.from(bytes)),
            fc.string({ unit: 'binary' }),
          ),
        ),
        check,
      ),
      { numRuns: 500 },
    );
  });

  it('made of pieces of XML is parsed or refused, and never throws', () => {
    const piece = fc.constantFrom(
      ...[
        '<',
        '>',
        '/>',
        '</',
        'a',
        ' ',
        '=',
        "'",
        '"',
        '&',
        ';',
        '#',
        'xmlns',
        ':',
        'p',
        '<![CDATA[',
        ']]>',
        '\r',
        '\n',
      ],
      ...['<?xml', " version='1.0'", '?>', '<!--', '-->', HEADER, '</stream:stream>', '<a>', '</a>', '&amp;', '\u00E9'],
    );
    fc.assert(
      fc.property(fc.array(fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(''))), (chunks) =>
        check([HEADER, ...chunks]),
      ),
      { numRuns: 1500 },
    );
  });
});
