import { describe, expect, it } from 'vitest';
import type { Element } from '../../../src/xml/element.ts';
import { Parser, type ParserLimits, type ParserOptions, type StreamHeader } from '../../../src/xml/parser.ts';
import { byteByByte, HEADER, type Plain, SERVER_HEADER, tell } from '../../kit/parsing.ts';

const STREAM = 'http://etherx.jabber.org/streams';

function child(xml: string, header = HEADER): Plain {
  const whole = Buffer.from(header + xml);
  const told = tell([whole]);
  expect(tell(byteByByte(whole))).toEqual(told);
  expect(told).toHaveLength(2);
  const [, last] = told;
  if (last?.kind !== 'element') throw new Error(`not an element: ${JSON.stringify(last)}`);
  return last.element;
}

const text = (xml: string): string => child(`<message><body>${xml}</body></message>`).children.map(textOf).join();
const textOf = (node: Plain | string): string => (typeof node === 'string' ? node : node.children.map(textOf).join());
const value = (xml: string): string => child(`<message id='${xml}'/>`).attrs[0]![1];

/** A parser, and what it told, with what a handler does at each child of the root. */
function parserWith(
  onElement: (parser: Parser, element: Element, bytes: number) => void = () => {},
  limits: Partial<ParserLimits> = {},
  options: ParserOptions = {},
) {
  const told: string[] = [];
  const headers: StreamHeader[] = [];
  const parser: Parser = new Parser(
    {
      onHeader: (header) => {
        told.push('header');
        headers.push(header);
      },
      onElement: (element, bytes) => {
        told.push(element.name);
        onElement(parser, element, bytes);
      },
      onEnd: () => {
        told.push('end');
      },
      onError: (condition) => {
        told.push(condition);
      },
    },
    limits,
    options,
  );
  return { parser, told, headers };
}

function headerOf(xml: string, options: ParserOptions = {}): StreamHeader {
  const { parser, headers } = parserWith(undefined, {}, options);
  parser.write(Buffer.from(xml));
  return headers[0]!;
}

describe('text', () => {
  it('has its line ends normalised (XML 1.0 2.11)', () => {
    expect(text('a\r\nb\rc\n\rd&#13;')).toBe('a\nb\nc\n\nd\r');
  });

  it('has references resolved and CDATA sections joined', () => {
    expect(text('&lt;&#x41;<![CDATA[<&]]]]>&gt;]]')).toBe('<A<&]]>]]');
  });

  it('may be of any characters that XML allows', () => {
    expect(text('\t\u0085\u2028\uFEFF\uFFFD\u{1F600}\x7f')).toBe('\t\u0085\u2028\uFEFF\uFFFD\u{1F600}\x7f');
  });
});

describe('attributes', () => {
  it('have their white space normalised, but not what a reference stands for (XML 1.0 3.3.3)', () => {
    expect(value('a\tb\nc\r\nd\re&#9;f&#10;g&#13;h')).toBe('a b c d e\tf\ng\rh');
  });

  it('are only those that were written', () => {
    const { parser, headers } = parserWith((_, element) => {
      expect('constructor' in element.attrs).toBe(false);
      expect(element.attrs.toString).toBeUndefined();
      expect(Object.keys(element.attrs)).toEqual(['id', '__proto__', '{u}a']);
      expect(Object.entries(element.attrs)[1]).toEqual(['__proto__', 'x']);
    });
    parser.writeText(HEADER);
    parser.writeText("<message id='1' __proto__='x' xmlns:u='u' u:a='2'/>");
    expect(headers).toHaveLength(1);
    expect.assertions(5);
  });
});

describe('namespaces', () => {
  it('are neutral where they are the content namespace', () => {
    expect(child('<message><body/></message>').ns).toBeNull();
    expect(child("<message xmlns='jabber:server'/>", SERVER_HEADER).ns).toBeNull();
    expect(child("<message xmlns='jabber:server'/>").ns).toBe('jabber:server');
    expect(child("<message xmlns='jabber:client'/>", SERVER_HEADER).ns).toBe('jabber:client');
  });

  it('are neutral in stanzas inside stanzas, whatever the stream (XEP-0297 3)', () => {
    const xml = "<message><f xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body/></message></f></message>";
    for (const header of [HEADER, SERVER_HEADER]) {
      expect(child(xml, header).children).toMatchObject([
        { ns: 'urn:xmpp:forward:0', children: [{ name: 'message', ns: null, children: [{ name: 'body', ns: null }] }] },
      ]);
    }
  });

  it('of a client stay what they are directly inside a stanza between servers', () => {
    const { children } = child("<message><body xmlns='jabber:client'/></message>", SERVER_HEADER);
    expect(children).toMatchObject([{ ns: 'jabber:client' }]);
  });

  it('may be none', () => {
    expect(child("<message><x xmlns=''><y/></x></message>").children).toMatchObject([
      { ns: '', children: [{ ns: '' }] },
    ]);
  });
});

describe('the header', () => {
  it('is told with its namespaces and attributes', () => {
    const header = headerOf(
      `\uFEFF<?xml version="1.0" encoding='utf-8' standalone="yes" ?>\n${HEADER.replace('>', " xml:lang='de'>")}`,
    );
    expect(header).toMatchObject({ prefix: 'stream', name: 'stream', ns: STREAM, contentNs: 'jabber:client' });
    expect({ ...header.attrs }).toEqual({ to: 'example.com', version: '1.0', 'xml:lang': 'de' });
    expect([...header.namespaces]).toEqual([['stream', STREAM]]);
  });

  it('may give the content namespace a prefix (RFC 6120 4.8.3)', () => {
    const root = `<stream xmlns='${STREAM}' xmlns:c='jabber:server' xmlns:db='jabber:server:dialback'>`;
    expect(headerOf(root)).toMatchObject({ prefix: '', ns: STREAM, contentNs: 'jabber:server' });
    expect(child('<c:message><c:body/></c:message>', root)).toMatchObject({ ns: null, children: [{ ns: null }] });
  });

  it('need not tell the content namespace (RFC 6120 4.8.2)', () => {
    const root = `<stream xmlns='${STREAM}'>`;
    expect(headerOf(root).contentNs).toBeUndefined();
    const { parser, headers, told } = parserWith(
      (_, element) => told.push(String(element.ns)),
      {},
      { contentNs: 'jabber:client' },
    );
    parser.writeText(`${root}<message xmlns='jabber:client'/>`);
    expect(headers[0]!.contentNs).toBe('jabber:client');
    expect(told).toEqual(['header', 'message', 'null']);
  });

  it('may be the whole stream', () => {
    const { parser, told } = parserWith();
    parser.writeText(HEADER.replace('>', '/>'));
    expect(told).toEqual(['header', 'end']);
  });
});

describe('a stream', () => {
  it('may be kept alive with white space (RFC 6120 4.6.1)', () => {
    expect(tell([HEADER, ' ', '\n\n\t\r', '<message/>', ' ']).map(({ kind }) => kind)).toEqual(['header', 'element']);
  });

  it('ends with its root, and what follows is not looked at', () => {
    const { parser, told } = parserWith();
    parser.writeText(`${HEADER}<message/></stream:stream >&&&`);
    parser.writeText('<<<');
    expect(told).toEqual(['header', 'message', 'end']);
  });

  it('tells how many bytes each element was', () => {
    const first = "<message id='\u00E9'><body>\u{1F600}</body></message>";
    const sizes: number[] = [];
    const { parser } = parserWith((_, __, bytes) => sizes.push(bytes));
    const whole = Buffer.from(`${HEADER}  ${first} \n<a/>`);
    for (const cut of byteByByte(whole)) parser.write(cut);
    parser.write(Buffer.from(`  ${first} <a/>  `));
    expect(sizes).toEqual([Buffer.byteLength(first), 4, Buffer.byteLength(first), 4]);
  });

  it('starts over behind the element that asks for it, with an XML declaration if it likes', () => {
    const { parser, told } = parserWith((self, element) => element.name === 'auth' && self.restart());
    parser.writeText(`${HEADER}<auth/>\n<?xml version='1.0'?>${HEADER}<message/>`);
    parser.writeText('</stream:stream>');
    expect(told).toEqual(['header', 'auth', 'header', 'message', 'end']);
  });

  it('starts over when it is told so later', () => {
    const { parser, told } = parserWith((self, element) => element.name === 'auth' && self.suspend());
    parser.writeText(`${HEADER}<auth/><?xml version='1.0'?>`);
    parser.writeText(`${HEADER}<message/>`);
    expect(told).toEqual(['header', 'auth']);
    parser.restart();
    parser.resume();
    expect(told).toEqual(['header', 'auth', 'header', 'message']);
  });

  it('drops what was sent ahead when it is told so, and says how much (RFC 6120 5.4.3.3)', () => {
    let dropped = -1;
    const { parser, told } = parserWith((self, element) => {
      if (element.name !== 'starttls') return;
      dropped = self.discard();
      self.restart();
    });
    parser.write(Buffer.from(`${HEADER}<starttls/><message id='\u00E9'/><bo`));
    expect(dropped).toBe(21);
    parser.write(Buffer.from(HEADER));
    expect(told).toEqual(['header', 'starttls', 'header']);
  });

  it('counts what was dropped out of all the places where it may wait, and overlooks white space', () => {
    const { parser } = parserWith((self) => self.suspend());
    parser.write(Buffer.from(`${HEADER}<starttls/>\n`));
    expect(parser.discard()).toBe(0);
    parser.write(Buffer.from('<a/>'));
    parser.writeText('\u00E9');
    expect(parser.keptBytes).toBe(6);
    expect(parser.discard()).toBe(6);
    parser.resume();
    for (const [waiting, size] of [
      ['<aaaaaaaaaaaaaaaaaaaaa', 22],
      ['<', 1],
      ['\xC3', 1],
    ] as const) {
      parser.write(Buffer.from(waiting, 'latin1'));
      expect(parser.discard()).toBe(size);
    }
  });

  it('can be used again after reset, even for another stream', () => {
    const { parser, told } = parserWith();
    parser.writeText(`${HEADER}<a><`);
    parser.reset();
    parser.writeText(`\uFEFF<?xml version='1.0'?>${HEADER}<b/><&>`);
    parser.restart();
    parser.writeText(HEADER);
    parser.reset();
    parser.writeText(`${HEADER}<c/>`);
    expect(told).toEqual(['header', 'header', 'b', 'not-well-formed', 'header', 'c']);
  });
});

describe('a suspended parser', () => {
  it('stops behind the element and goes on where it was', () => {
    const { parser, told } = parserWith((self) => self.suspend());
    parser.writeText(`${HEADER}<a/><b/>`);
    parser.write(Buffer.from('<c>\u00E9'));
    expect(told).toEqual(['header', 'a']);
    expect(parser.keptBytes).toBe(9);
    parser.resume();
    expect(told).toEqual(['header', 'a', 'b']);
    expect(parser.keptBytes).toBe(5);
    parser.resume();
    parser.writeText('</c>');
    expect(told).toEqual(['header', 'a', 'b', 'c']);
    expect(parser.keptBytes).toBe(0);
  });

  it('keeps no more than it may', () => {
    const { parser, told } = parserWith((self) => self.suspend(), { keptBytes: 100 });
    parser.writeText(`${HEADER}<a/>`);
    for (let i = 0; i < 10; i++) parser.writeText('<bbbbbbb/>');
    expect(told).toEqual(['header', 'a']);
    parser.writeText('<c/>');
    expect(told).toEqual(['header', 'a', 'policy-violation']);
    parser.resume();
    expect(told).toHaveLength(3);
  });

  it('takes no harm from a handler that writes, resumes or throws', () => {
    let first = true;
    const { parser, told } = parserWith((self) => {
      if (!first) return;
      first = false;
      self.suspend();
      self.writeText('<z/>');
      self.resume();
      throw new Error('from the handler');
    });
    expect(() => parser.writeText(`${HEADER}<a/><b/>`)).toThrow('from the handler');
    expect(told).toEqual(['header', 'a']);
    parser.resume();
    expect(told).toEqual(['header', 'a', 'b', 'z']);
  });
});

describe('a framed parser (RFC 7395 3.3)', () => {
  const framed = (...frames: (string | Buffer)[]) => tell(frames, {}, { framed: true });

  it('takes each text for one element, which declares its own namespace', () => {
    const told = framed(
      "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.com'/>",
      "<message xmlns='jabber:client'><body>x</body></message>",
      Buffer.from("<s:features xmlns:s='http://etherx.jabber.org/streams'/>"),
      '<message/>',
    );
    expect(told).toMatchObject([
      { element: { name: 'open', ns: 'urn:ietf:params:xml:ns:xmpp-framing' } },
      { element: { name: 'message', ns: null, children: [{ name: 'body', ns: null }] } },
      { element: { name: 'features', ns: STREAM } },
      { element: { name: 'message', ns: '' } },
    ]);
  });

  it('overlooks frames of white space', () => {
    expect(framed(' \n', "<a xmlns='jabber:client'/>")).toHaveLength(1);
  });

  it.each([
    '<a>',
    '<a',
    '<a></a',
    '<a/><b/>',
    '<a/>x',
    'x',
    '</a>',
    '<a>&am',
    '<![CDATA[x]]>',
    '<a/><!-- -->',
    '<?xml',
  ])('refuses %s', (frame) => {
    expect(framed(frame, '<b/>')).toEqual([{ kind: 'error', condition: 'not-well-formed' }]);
  });

  it('refuses bytes that are not UTF-8', () => {
    for (const end of ['\xff', '\xc3']) {
      expect(framed(Buffer.from(`<a/>${end}`, 'latin1'))).toEqual([
        { kind: 'error', condition: 'unsupported-encoding' },
      ]);
    }
  });

  it('keeps whole frames while it is suspended', () => {
    const { parser, told } = parserWith((self) => self.suspend(), {}, { framed: true });
    parser.writeText('<a/>');
    parser.writeText('<b/>');
    parser.writeText('<c/>');
    expect(told).toEqual(['a']);
    parser.resume();
    parser.resume();
    expect(told).toEqual(['a', 'b', 'c']);
  });
});
