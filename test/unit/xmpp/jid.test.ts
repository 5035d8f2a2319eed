// Addresses (RFC 7622), with domains by IDNA2008 (RFC 5890).
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { domainToAscii } from '../../../src/xmpp/idna.ts';
import { Jid, prepareDomain, prepareLocal, prepareResource } from '../../../src/xmpp/jid.ts';

const full = (text: string): string | undefined => Jid.parse(text)?.full;

describe('the examples of RFC 7622 3.5', () => {
  it.each([
    ['juliet@example.com', 'juliet', 'example.com', ''],
    ['juliet@example.com/foo', 'juliet', 'example.com', 'foo'],
    ['juliet@example.com/foo bar', 'juliet', 'example.com', 'foo bar'],
    ['juliet@example.com/foo@bar', 'juliet', 'example.com', 'foo@bar'],
    ['foo\\20bar@example.com', 'foo\\20bar', 'example.com', ''],
    ['fussball@example.com', 'fussball', 'example.com', ''],
    ['fu\u00DFball@example.com', 'fu\u00DFball', 'example.com', ''],
    ['\u03C0@example.com', '\u03C0', 'example.com', ''],
    ['\u03A3@example.com/foo', '\u03C3', 'example.com', 'foo'],
    ['\u03C3@example.com/foo', '\u03C3', 'example.com', 'foo'],
    ['\u03C2@example.com/foo', '\u03C2', 'example.com', 'foo'],
    ['king@example.com/\u265A', 'king', 'example.com', '\u265A'],
    ['example.com', '', 'example.com', ''],
    ['example.com/foobar', '', 'example.com', 'foobar'],
    ['a.example.com/b@example.net', '', 'a.example.com', 'b@example.net'],
    // Erratum 4560: a leading space is allowed after all.
    ['juliet@example.com/ foo', 'juliet', 'example.com', ' foo'],
  ])('%j is an address', (text, local, domain, resource) => {
    expect(Jid.parse(text)).toMatchObject({ local, domain, resource });
  });

  it.each([
    '"juliet"@example.com',
    'foo bar@example.com',
    '@example.com/',
    'henry\u2163@example.com',
    '\u265A@example.com',
    'juliet@',
    '/foobar',
  ])('%j is none', (text) => {
    expect(Jid.parse(text)).toBeUndefined();
  });
});

describe('what a lax parser lets through', () => {
  it.each([
    ['nothing', ''],
    ['an empty localpart', '@example.com'],
    ['an empty resourcepart', 'u@example.com/'],
    ['a bare at-sign and slash', '@/'],
    ['an at-sign alone', '@'],
    ['a slash alone', '/'],
    ['a resourcepart in place of the domainpart', 'u@/example.com'],
    ['two at-signs', 'a@b@c'],
    ['two at-signs in a row', 'u@@example.com'],
    ['a space in the domainpart', 'u@ex ample.com'],
    ['a control character in the localpart', 'u\u0007@example.com'],
    ['a control character in the resourcepart', 'u@example.com/a\tb'],
    ['DEL in the resourcepart', 'u@example.com/a\u007Fb'],
    ['NUL', 'u@example.com/\0'],
    ['a C1 control', 'u@example.com/\u0085'],
    ['a zero-width space', 'u\u200Bv@example.com'],
    ['a zero-width joiner that joins nothing', 'u\u200Dv@example.com'],
    ['a byte order mark', '\uFEFFu@example.com'],
    ['a soft hyphen', 'u\u00ADv@example.com'],
    ['a soft hyphen in the domainpart', 'u@ex\u00ADample.com'],
    ['a soft hyphen in the resourcepart', 'u@example.com/a\u00ADb'],
    ['a right-to-left override', 'u@example.com/\u202Etxt'],
    ['a private-use character', 'u@example.com/\uE000'],
    ['a noncharacter', 'u@example.com/\uFFFE'],
    ['a lone surrogate', 'u@example.com/\uD800'],
    ['an unassigned code point', 'u@example.com/\u0378'],
    ['an ideographic full stop as a dot', 'u@example\u3002com'],
    ['a ligature in the domainpart', 'u@\uFB01sh.example'],
    ['a symbol in the domainpart', 'u@\u2665.example'],
    ['a mark at the start of a label', 'u@\u0301a.example'],
    ['an underscore', 'u@_xmpp.example.com'],
    ['a hyphen at the start of a label', 'u@-a.example'],
    ['a hyphen at the end of a label', 'u@a-.example'],
    ['hyphens in third and fourth place', 'u@ab--cd.example'],
    ['an empty label', 'u@a..example'],
    ['two final dots', 'u@example.com..'],
    ['a dot alone', 'u@.'],
    ['a dot in front', 'u@.example.com'],
    ['an A-label that says nothing', 'u@xn--.example'],
    ['an A-label of plain ASCII', 'u@xn--abc-.example'],
    ['an A-label that is no Punycode', 'u@xn--\u00FC.example'],
    ['an A-label of an upper-case letter', 'u@xn--bcher-2pa.example'],
    ['an IPv6 address that is none', 'u@[::1::]'],
    ['an unfinished IPv6 address', 'u@[::1'],
    ['an IPv6 zone', 'u@[fe80::1%eth0]'],
    ['an IPv4 address in brackets', 'u@[127.0.0.1]'],
    ['a fullwidth at-sign in the localpart', 'a\uFF20b@example.com'],
    ['a fullwidth slash in the localpart', 'a\uFF0Fb@example.com'],
    ['right-to-left and left-to-right mixed', '\u05D0a@example.com'],
    ['a right-to-left name that begins with a digit', '1\u05D0@example.com'],
  ])('refuses %s', (_, text) => {
    expect(Jid.parse(text)).toBeUndefined();
  });

  it.each(['"', '&', "'", ':', '<', '>', '/', '@', ' '])('refuses %j in a localpart (RFC 7622 3.3.1)', (char) => {
    expect(prepareLocal(`a${char}b`)).toBeUndefined();
    expect(prepareLocal(`\u03B1${char}b`)).toBeUndefined();
  });
});

describe('one form for one address', () => {
  it('lower-cases local and domain, and leaves the resource as it is', () => {
    expect(full('Juliet@EXAMPLE.com/Balcony')).toBe('juliet@example.com/Balcony');
  });

  it('composes: e and U+0301 are \u00E9, in every part', () => {
    expect(full('e\u0301@e\u0301.example/e\u0301')).toBe('\u00E9@\u00E9.example/\u00E9');
  });

  it('maps fullwidth forms in local and domain (RFC 8265 3.3.1), not in the resource', () => {
    expect(full('\uFF4A\uFF35@\uFF45\uFF4D.example/\uFF21')).toBe('ju@em.example/\uFF21');
  });

  it('maps other spaces of a resource to U+0020 (RFC 8265 4.2.2)', () => {
    expect(full('u@example.com/a\u1680b\u3000c\u00A0d')).toBe('u@example.com/a b c d');
  });

  it('gives a capital sigma its one lower case wherever it stands', () => {
    expect(full('\u039F\u0394\u039F\u03A3@example.com')).toBe('\u03BF\u03B4\u03BF\u03C3@example.com');
  });

  it('turns A-labels into U-labels and strips the dot of the root (RFC 7622 3.2)', () => {
    expect(full('u@XN--BCHER-KVA.example.')).toBe('u@b\u00FCcher.example');
    expect(full('u@Example.com./x')).toBe('u@example.com/x');
  });

  it('keeps sharp s and final sigma in domains, as IDNA2008 does', () => {
    expect(full('u@fa\u00DF.example')).toBe('u@fa\u00DF.example');
    expect(full('u@xn--fa-hia.example')).toBe('u@fa\u00DF.example');
  });

  it('accepts IP addresses', () => {
    expect(full('u@192.0.2.1/x')).toBe('u@192.0.2.1/x');
    expect(full('u@[2001:DB8::1]/x')).toBe('u@[2001:db8::1]/x');
  });

  it('accepts names written from right to left', () => {
    expect(full('\u05E9\u05DC\u05D5\u05DD@\u05D0\u05D1.example')).toBe('\u05E9\u05DC\u05D5\u05DD@\u05D0\u05D1.example');
  });
});

describe('lengths (RFC 7622 3.2 to 3.4)', () => {
  it('counts octets after preparation, 1023 for local and resource', () => {
    expect(prepareLocal('a'.repeat(1023))).toHaveLength(1023);
    expect(prepareLocal('a'.repeat(1024))).toBeUndefined();
    expect(prepareResource('a'.repeat(1023))).toHaveLength(1023);
    expect(prepareResource('a'.repeat(1024))).toBeUndefined();
    expect(prepareLocal('\u00FC'.repeat(511))).toHaveLength(511);
    expect(prepareLocal('\u00FC'.repeat(512))).toBeUndefined();
    expect(prepareResource('\u{1F600}'.repeat(255))).toHaveLength(510);
    expect(prepareResource('\u{1F600}'.repeat(256))).toBeUndefined();
    // Three code points that become two octets: all of the room that preparation can need.
    expect(prepareLocal('\u03B9\u0308\u0301'.repeat(511))).toBe('\u0390'.repeat(511));
  });

  it('keeps labels to 63 octets and names to 253, as A-labels', () => {
    const label = 'a'.repeat(63);
    expect(prepareDomain(`${label}.example`)).toBe(`${label}.example`);
    expect(prepareDomain(`${label}a.example`)).toBeUndefined();
    expect(prepareDomain(`${label}.${label}.${label}.${'a'.repeat(61)}`)).toHaveLength(253);
    expect(prepareDomain(`${label}.${label}.${label}.${'a'.repeat(61)}.`)).toHaveLength(253);
    expect(prepareDomain(`${label}.${label}.${label}.${'a'.repeat(62)}`)).toBeUndefined();
    expect(prepareDomain(`${'\u00FC'.repeat(40)}.example`)).toBeDefined();
    expect(prepareDomain(`${'\u00FC'.repeat(62)}.example`)).toBeUndefined();
  });

  it('refuses endless input without looking at it', () => {
    expect(Jid.parse('a'.repeat(1_000_000))).toBeUndefined();
    expect(Jid.parse(`u@example.com/${'\u0301'.repeat(100_000)}`)).toBeUndefined();
  });

  it('refuses endless runs of marks, which cost quadratic time', () => {
    expect(prepareLocal(`a${'\u0327\u0301'.repeat(15)}`)).toBeDefined();
    expect(prepareLocal(`a${'\u0327\u0301'.repeat(16)}`)).toBeUndefined();
  });
});

describe('Jid', () => {
  it('knows its bare and its full form', () => {
    const jid = Jid.parse('Juliet@example.com/balcony')!;
    expect(jid).toMatchObject({ bare: 'juliet@example.com', full: 'juliet@example.com/balcony', isBare: false });
    expect(`${jid}`).toBe('juliet@example.com/balcony');
    expect(Jid.parse('example.com/x')).toMatchObject({ local: '', bare: 'example.com', full: 'example.com/x' });
    expect(Jid.parse('juliet@example.com')).toMatchObject({ bare: 'juliet@example.com', isBare: true });
  });

  it('gives the same account another resource, or none', () => {
    const jid = Jid.parse('juliet@example.com/balcony')!;
    expect(jid.withResource('tomb')).toMatchObject({ full: 'juliet@example.com/tomb', bare: jid.bare });
    expect(jid.withResource('')).toMatchObject({ full: 'juliet@example.com', resource: '', isBare: true });
    expect(jid.withResource('balcony')).toBe(jid);
  });

  it('is made of prepared parts', () => {
    expect(Jid.of('u', 'example.com', 'r').full).toBe('u@example.com/r');
    expect(Jid.of('u', 'example.com').full).toBe('u@example.com');
    expect(Jid.of('', 'example.com').full).toBe('example.com');
  });

  it('is made of parts to be prepared', () => {
    expect(Jid.prepare('U', 'Example.com', 'R')?.full).toBe('u@example.com/R');
    expect(Jid.prepare('', 'Example.com')?.full).toBe('example.com');
    expect(Jid.prepare('a b', 'example.com')).toBeUndefined();
    expect(Jid.prepare('a', 'exa mple.com')).toBeUndefined();
    expect(Jid.prepare('a', 'example.com', 'a\tb')).toBeUndefined();
    // A slash in a part does not make another part of it.
    expect(Jid.prepare('a', 'example.com/x')).toBeUndefined();
  });

  it('names the domain as DNS does', () => {
    expect(domainToAscii('b\u00FCcher.example')).toBe('xn--bcher-kva.example');
    expect(domainToAscii('example.com')).toBe('example.com');
    expect(domainToAscii('[::1]')).toBe('[::1]');
  });

  it('does not keep the chunk alive that it was cut from', () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const kept: unknown[] = [];
    const chunkOf = (i: number, tail: string): string =>
      `u${i}@chat.example.com/phone ${tail}  `.padEnd(65_536, `${i}`);
    collect();
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < 400; i++) {
      // Through bytes, as from a socket: one flat string of 64 KiB each.
      const chunk = Buffer.from(chunkOf(i, i % 2 === 0 ? 'x' : '\u00FC')).toString();
      const text = chunk.slice(0, chunk.indexOf('  '));
      const slash = text.indexOf('/');
      kept.push(
        Jid.parse(text),
        prepareResource(text.slice(slash + 1)),
        prepareLocal(text.slice(0, text.indexOf('@'))),
      );
    }
    collect();
    // 26 MB and more if the chunks were kept.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(8_000_000);
    expect(kept).not.toContain(undefined);
  });
});
