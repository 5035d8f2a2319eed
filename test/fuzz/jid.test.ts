import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Jid, prepareDomain, prepareLocal, prepareResource } from '../../src/xmpp/jid.ts';
import { inClass, isAllowed } from '../../src/xmpp/precis.ts';

// Code units of any kind, lone surrogates too, with what is special to addresses more often than chance would have it.
const special = fc.constantFrom(
  ...'@/.-[]:aZ9 \u00DF\u03A3\u03C2\u0130\u0301\u0327\u05D0\u0628\u0627\u0660\u06F0\u094D\u00B7\u0375\u30FB\u200C\u200D\u1100\uFF21\uFF0F\uFB01\u212B\uD83D\uDE00\u00AD',
  'xn--',
  'xn--bcher-kva',
);
const unit = fc.oneof(
  { weight: 3, arbitrary: special },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', minLength: 1, maxLength: 3 }) },
);
const anything = fc.array(unit, { maxLength: 24 }).map((units) => units.join(''));
const runs = { numRuns: 3000 };

it('a prepared part is prepared: preparing it again changes nothing', () => {
  fc.assert(
    fc.property(anything, (text) => {
      for (const prepare of [prepareLocal, prepareDomain, prepareResource]) {
        const prepared = prepare(text);
        if (prepared !== undefined) expect(prepare(prepared)).toBe(prepared);
      }
    }),
    runs,
  );
});

it('an address read back from its full form is the same address, and nothing is ever thrown', () => {
  fc.assert(
    fc.property(anything, anything, anything, (a, b, c) => {
      for (const text of [a, `${a}@${b}/${c}`, `user@example.com/${a}`, `${a}@example.com`]) {
        const jid = Jid.parse(text);
        if (jid === undefined) continue;
        const { local, domain, resource, bare, full, isBare } = jid;
        expect(Jid.parse(full)).toMatchObject({ local, domain, resource, bare, full, isBare });
        expect(Jid.parse(bare)?.full).toBe(bare);
        expect(Jid.of(local, domain, resource).full).toBe(full);
        expect(Buffer.from(full).toString()).toBe(full);
        expect(/[\p{Cc}\p{Cs}\p{Default_Ignorable_Code_Point}]/u.test(full.replace(/[\u200C\u200D]/g, ''))).toBe(false);
      }
    }),
    runs,
  );
});

it('parts that are valid make an address of exactly these parts', () => {
  fc.assert(
    fc.property(anything, anything, (a, c) => {
      const local = prepareLocal(a);
      const resource = prepareResource(c);
      fc.pre(local !== undefined && resource !== undefined);
      expect(Jid.parse(`${a.includes('@') || a.includes('/') ? local : a}@example.com/${c}`)).toMatchObject({
        local,
        resource,
        domain: 'example.com',
      });
    }),
    { numRuns: 300 },
  );
});

it('the short way to tell what a string class allows agrees with the table', () => {
  fc.assert(
    fc.property(anything, (text) => {
      for (const name of ['identifier', 'freeform'] as const) {
        if (text !== '') expect(inClass(text, name)).toBe(isAllowed(text, name));
      }
    }),
    runs,
  );
});

it('case makes no difference to an ASCII account', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[!#-%(-.0-9;=?A-Z[-~]{1,40}$/), (local) => {
      expect(prepareLocal(local)).toBe(local.toLowerCase());
      expect(prepareLocal(local.toUpperCase())).toBe(local.toLowerCase());
    }),
  );
});
