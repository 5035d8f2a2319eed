// Our parser against saxes: on the same input both refuse, or both tell of the same elements.
//
// Where they differ, and which is right:
// - saxes has no limits (policy-violation is ours alone);
// - it takes white space before an XML declaration for white space (XML 1.0 2.8 has none there);
// - a reference that does not end, a tag that is wrong but does not end: saxes waits or refuses at once, we do the other;
//   so the input is followed by enough to end anything;
// - it trims the names of namespaces, which are to be compared as they are (Namespaces in XML 1.0 2.3);
// - it does not mind how the part of a name behind the colon begins (Namespaces in XML 1.0 4);
// - it looks at what follows the root; RFC 6120 4.4 has nothing there, and we do not look.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ncName } from '../../src/xml/chars.ts';
import { HEADER, SERVER_HEADER, type Told, tell, tellByOracle } from '../kit/parsing.ts';
import { stanzas } from '../kit/stanzas.ts';

/** Junk may cut an emoji in half, which bytes could not carry. */
const isWhole = (xml: string): boolean => !/\p{Surrogate}/u.test(xml);

/** Ends whatever is open: a reference, a value, a tag, a CDATA section, a processing instruction, a comment, a DTD. */
const ENDINGS = `;'>">]]>?>-->]><`;

/** A namespace that saxes would trim. */
const untrimmed = /xmlns(:[^\s=]+)?\s*=\s*('\s|'[^']*\s'|"\s|"[^"]*\s")/;

/** Something that may be the second half of a name, and begins as no name does. */
const hasOddLocalName = (xml: string): boolean =>
  [...xml.matchAll(/:([^\s<>=/'":]+)/g)].some(([, local]) => !ncName.test(local!));

function agree(xml: string): boolean {
  const whole = xml + ENDINGS;
  if (untrimmed.test(whole)) return false;
  const told = tell([whole]);
  const last = told.at(-1);
  if (last?.kind === 'error' && last.condition === 'policy-violation') return false;
  const withoutReason: Told[] = told.map((each) => (each.kind === 'error' ? { kind: 'error' } : each));
  const other = tellByOracle(whole);
  if (last?.kind === 'error' && hasOddLocalName(xml) && JSON.stringify(other) !== JSON.stringify(withoutReason)) {
    return false;
  }
  expect(withoutReason, xml).toEqual(other);
  return true;
}

const junk = fc.oneof(
  fc.constantFrom(
    ...[
      '<',
      '>',
      '/',
      '&',
      ';',
      "'",
      '"',
      '=',
      ' ',
      ':',
      '!',
      '?',
      '[',
      ']',
      '-',
      '#',
      'x',
      '1',
      '\t',
      '\n',
      '\r',
      '\r\n',
    ],
    ...[
      ']]>',
      ']]',
      '<!--x-->',
      '<![CDATA[',
      '<![CDATA[&]]>',
      '<?p?>',
      '<!DOCTYPE x>',
      '&amp;',
      '&foo;',
      '&#65;',
      '&#x0;',
    ],
    ...[
      '\0',
      '\x1f',
      '\x7f',
      '\u0085',
      '\u00D7',
      '\u0301',
      '\u2028',
      '\uFFFE',
      '\uFFFF',
      '\uFEFF',
      '\u{1F600}',
      '\u{EFFFF}',
    ],
    ...["xmlns='u'", " xmlns='u'", " xmlns:p='u'", " xmlns:p=''", " p:a='1'", " xml:lang='x'", " id='1'", '<p:a/>'],
    ...[
      '<a>',
      '</a>',
      '<a/>',
      '</message>',
      '</body>',
      '<message>',
      '</stream:stream>',
      'p:',
      'xml:',
      'xmlns:',
      'jabber:server',
    ],
  ),
  fc.string({ unit: 'grapheme', maxLength: 2 }),
);

describe('ours and saxes', () => {
  it.each(stanzas)('agree on %s', (xml) => {
    for (const header of [HEADER, SERVER_HEADER]) expect(agree(header + xml)).toBe(!untrimmed.test(xml));
  });

  it('agree on the samples with one thing put in', () => {
    fc.assert(
      fc.property(fc.constantFrom(...stanzas), fc.nat(2000), junk, (xml, place, put) => {
        const at = place % (xml.length + 1);
        const broken = xml.slice(0, at) + put + xml.slice(at);
        fc.pre(isWhole(broken));
        agree(HEADER + broken);
      }),
      { numRuns: 6000 },
    );
  });

  it('agree on the samples with some things taken out, replaced or doubled', () => {
    const change = fc.tuple(fc.nat(2000), fc.nat(6), fc.option(junk), fc.boolean());
    fc.assert(
      fc.property(fc.constantFrom(...stanzas), fc.array(change, { minLength: 1, maxLength: 3 }), (xml, changes) => {
        let broken = xml;
        for (const [place, length, put, isDoubled] of changes) {
          const at = place % (broken.length + 1);
          const taken = broken.slice(at, at + length);
          broken = broken.slice(0, at) + (put ?? (isDoubled ? taken + taken : '')) + broken.slice(at + length);
        }
        fc.pre(isWhole(broken));
        agree(HEADER + broken);
      }),
      { numRuns: 6000 },
    );
  });

  it('agree on the samples put together from halves', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...stanzas),
        fc.constantFrom(...stanzas),
        fc.nat(2000),
        fc.nat(2000),
        (one, other, end, start) => {
          const spliced = one.slice(0, end % (one.length + 1)) + other.slice(start % (other.length + 1));
          fc.pre(isWhole(spliced));
          agree(HEADER + spliced);
        },
      ),
      { numRuns: 3000 },
    );
  });

  it('agree on headers with something put in', () => {
    const declared = `<?xml version='1.0' encoding="UTF-8" standalone='no'?>\n${HEADER}`;
    fc.assert(
      fc.property(fc.integer({ min: 1, max: declared.length }), fc.nat(3), junk, (at, length, put) => {
        const broken = `${declared.slice(0, at)}${put}${declared.slice(at + length)}<message/>`;
        fc.pre(isWhole(broken));
        agree(broken);
      }),
      { numRuns: 3000 },
    );
  });

  it('agree on which characters a name may have', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 2 }), fc.boolean(), (name, isFirst) => {
        const whole = isFirst ? name : `a${name}`;
        agree(`${HEADER}<${whole}/>`);
        agree(`${HEADER}<a ${whole}='1'/>`);
        agree(`${HEADER}<a xmlns:${whole}='u'/>`);
      }),
      { numRuns: 2000 },
    );
  });
});
