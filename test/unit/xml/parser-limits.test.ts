// What an attacker may send without end must cost little time and less memory.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { defaultLimits, Parser } from '../../../src/xml/parser.ts';
import { HEADER, tell } from '../../kit/parsing.ts';

const MEGABYTE = 1024 * 1024;
/** Milliseconds of CPU for 12 MiB: many times what a quiet machine needs, and a hundredth of what looking twice at each byte would cost. */
const BOUND = 3000;

/** Feeds until refused; how much was taken before that, by whom it was refused, and the milliseconds it took. */
function flood(start: string, more: string, step: number, total: number) {
  const told: string[] = [];
  const parser = new Parser({
    onHeader: () => {},
    onElement: () => {
      told.push('element');
    },
    onEnd: () => {},
    onError: (condition) => {
      told.push(condition);
    },
  });
  parser.write(Buffer.from(HEADER + start));
  const chunk = Buffer.from(more.repeat(Math.ceil(step / more.length)));
  const began = process.cpuUsage();
  let fed = 0;
  while (fed < total && told.length === 0) {
    parser.write(chunk);
    fed += chunk.length;
  }
  const { user } = process.cpuUsage(began);
  return { told, fed, milliseconds: user / 1000 };
}

describe('a flood is cut off at its limit', () => {
  const floods = [
    ['the name of an element', '<', 'a', defaultLimits.startTagBytes],
    ['the name of an attribute', '<message ', 'a', defaultLimits.startTagBytes],
    ['the value of an attribute', "<message id='", 'a', defaultLimits.startTagBytes],
    ['white space in a tag', '<message', ' ', defaultLimits.startTagBytes],
    ['white space in an end tag', '<message></message', ' ', defaultLimits.startTagBytes],
    ['text', '<message><body>', 'a', defaultLimits.stanzaBytes],
    ['white space in a stanza', '<message>', ' ', defaultLimits.stanzaBytes],
    ['brackets', '<message><body>', ']', defaultLimits.stanzaBytes],
    ['references', '<message><body>', '&lt;', defaultLimits.stanzaBytes],
    ['a CDATA section', '<message><![CDATA[', 'a', defaultLimits.stanzaBytes],
    ['brackets in a CDATA section', '<message><![CDATA[', ']', defaultLimits.stanzaBytes],
    ['CDATA sections', '<message>', '<![CDATA[]]>', defaultLimits.stanzaBytes],
    ['line ends', '<message>', '\r', defaultLimits.stanzaBytes],
    ['characters of many bytes', '<message>', '\u{1F600}', defaultLimits.stanzaBytes],
    ['elements side by side', '<message>', '<a/>', defaultLimits.stanzaBytes],
    ['a reference', '<message>&', 'a', 12],
    ['a numeric reference', '<message>&#', '0', 12],
    ['elements inside each other', '', '<a>', 64 * 3],
  ] as const;

  it.each(floods)('of %s', (_, start, more, limit) => {
    const { told, fed, milliseconds } = flood(start, more, 1000, 12 * MEGABYTE);
    expect(told).toEqual(['policy-violation']);
    // a chunk is decoded whole, whatever is in it
    expect(fed).toBeLessThanOrEqual(limit + 2000);
    expect(milliseconds).toBeLessThan(BOUND);
  });

  it.each(floods)('of %s in a single write of 12 MiB', (_, start, more) => {
    const { told, milliseconds } = flood(start, more, 12 * MEGABYTE, 1);
    expect(told).toEqual(['policy-violation']);
    expect(milliseconds).toBeLessThan(BOUND);
  });

  it.each(floods)('of %s byte by byte, at a cost that grows no faster than what is sent', (_, start, more) => {
    const bytes = Buffer.from(more);
    let n = 0;
    const told: string[] = [];
    const parser = new Parser({
      onHeader: () => {},
      onElement: () => {},
      onEnd: () => {},
      onError: (condition) => {
        told.push(condition);
      },
    });
    parser.write(Buffer.from(HEADER + start));
    const began = process.cpuUsage();
    while (told.length === 0 && n < MEGABYTE) {
      const at = n++ % bytes.length;
      parser.write(bytes.subarray(at, at + 1));
    }
    expect(told).toEqual(['policy-violation']);
    // 256 Ki writes take 0.1 s; were the cost to grow with the square, it would be many minutes
    expect(process.cpuUsage(began).user / 1000).toBeLessThan(3000);
  });

  it('of white space between stanzas never, at hardly any cost', () => {
    const { told, milliseconds } = flood('', ' ', 64 * 1024, 12 * MEGABYTE);
    expect(told).toEqual([]);
    expect(milliseconds).toBeLessThan(BOUND);
  });
});

describe('what is kept', () => {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;

  const ignoring = () => new Parser({ onHeader() {}, onElement() {}, onEnd() {}, onError() {} });
  /** Bytes of heap for each of so many parsers. */
  const sizeOf = (count: number, make: () => Parser): number => {
    make();
    gc();
    const before = process.memoryUsage().heapUsed;
    const parsers = Array.from({ length: count }, make);
    gc();
    return (process.memoryUsage().heapUsed - before) / parsers.length;
  };
  const fed = (start: string, size: number) => (): Parser => {
    const parser = ignoring();
    parser.write(Buffer.from(HEADER + start));
    const piece = Buffer.from('ab');
    for (let i = 0; i < size; i += piece.length) parser.write(piece);
    return parser;
  };

  it('of a text in many pieces is about as much as the text', () => {
    expect(sizeOf(10, fed('<message><body>', 200_000))).toBeLessThan(400_000);
  });

  it('of a tag in many pieces is about as much as the tag', () => {
    expect(sizeOf(100, fed("<message id='", 16_000))).toBeLessThan(40_000);
  });

  it('between stanzas is next to nothing', () => {
    const idle = sizeOf(2000, () => {
      const parser = ignoring();
      parser.write(Buffer.from(`${HEADER}<message><body>${'text '.repeat(5000)}</body></message>`));
      return parser;
    });
    expect(idle).toBeLessThan(3000);
  });
});

describe('limits', () => {
  const last = (xml: string, limits = {}) => {
    const told = tell([HEADER + xml], limits).at(-1)!;
    return told.kind === 'error' ? told.condition : told.kind;
  };

  it('count the elements inside each other', () => {
    expect(last('<a>'.repeat(64) + '</a>'.repeat(64))).toBe('element');
    expect(last('<a>'.repeat(65) + '</a>'.repeat(65))).toBe('policy-violation');
    expect(last(`${'<a>'.repeat(63)}<b/>${'</a>'.repeat(63)}`)).toBe('element');
    expect(last(`${'<a>'.repeat(64)}<b/>${'</a>'.repeat(64)}`)).toBe('policy-violation');
    expect(last('<a>'.repeat(20_000))).toBe('policy-violation');
  });

  it('count the attributes of one element, declarations too', () => {
    const attributes = (count: number) => Array.from({ length: count }, (_, n) => ` a${n}='1'`).join('');
    expect(last(`<a xmlns='u'${attributes(63)}/>`)).toBe('element');
    expect(last(`<a xmlns='u'${attributes(64)}/>`)).toBe('policy-violation');
    expect(last(`<a${attributes(8000).slice(0, 15_000)}/>`)).toBe('policy-violation');
  });

  it('count the prefixes in scope', () => {
    const nest = (depth: number) =>
      Array.from(
        { length: depth },
        (_, d) => `<a${Array.from({ length: 40 }, (_, n) => ` xmlns:p${d}x${n}='u'`).join('')}>`,
      ).join('') + '</a>'.repeat(depth);
    expect(last(nest(3))).toBe('element');
    expect(last(nest(4))).toBe('policy-violation');
  });

  it('measure tags and stanzas to the byte', () => {
    const tag = (length: number) => `<a b='${'c'.repeat(length - 9)}'/>`;
    expect(last(tag(16 * 1024))).toBe('element');
    expect(last(tag(16 * 1024 + 1))).toBe('policy-violation');
    const stanza = (length: number) => `<a>${'\u00E9'.repeat((length - 7) / 2)}</a>`;
    expect(last(stanza(1001), { stanzaBytes: 1001 })).toBe('element');
    expect(last(stanza(1003), { stanzaBytes: 1001 })).toBe('policy-violation');
  });

  it('measure frames and the header too', () => {
    expect(tell([`<a>${'b'.repeat(300 * 1024)}</a>`], {}, { framed: true })).toEqual([
      { kind: 'error', condition: 'policy-violation' },
    ]);
    expect(tell([HEADER.replace('>', ` a='${'b'.repeat(20_000)}'>`)])).toEqual([
      { kind: 'error', condition: 'policy-violation' },
    ]);
  });

  it('may be raised while the stream runs', () => {
    const told: string[] = [];
    const parser: Parser = new Parser(
      {
        onHeader: () => {},
        onElement: (element) => {
          told.push(element.name);
          parser.setLimits({ stanzaBytes: 1000 });
        },
        onEnd: () => {},
        onError: (condition) => {
          told.push(condition);
        },
      },
      { stanzaBytes: 20 },
    );
    parser.writeText(`${HEADER}<auth/><message>${'a'.repeat(900)}</message><message>${'a'.repeat(1000)}</message>`);
    expect(told).toEqual(['auth', 'message', 'policy-violation']);
  });
});
