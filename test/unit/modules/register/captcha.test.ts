// XEP-0158: what meets a challenge.
import { createHash } from 'node:crypto';
import { inflateSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { blackAndWhitePng } from '../../../../src/base/png.ts';
import { type Challenge, checkChallenge, makeChallenge } from '../../../../src/modules/register/captcha.ts';
import { drawLetters } from '../../../../src/modules/register/letters.ts';
import { type Element, el } from '../../../../src/xml/element.ts';
import { StanzaError } from '../../../../src/xmpp/errors.ts';
import { NS } from '../../../../src/xmpp/ns.ts';

const domain = 'verona.test';
const minute = 60_000;

function submit(fields: Record<string, string>): Element {
  const all = { FORM_TYPE: NS.register, username: 'bill', password: 'Calliope', ...fields };
  const children = Object.entries(all).map(([name, text]) =>
    el('field', NS.dataForms, { var: name }, el('value', NS.dataForms, undefined, text)),
  );
  return el('query', NS.register, undefined, el('x', NS.dataForms, { type: 'submit' }, ...children));
}
/** What becomes of an attempt. */
function outcome(fields: Record<string, string>, challenge: Challenge | undefined, now = 0): string {
  try {
    return checkChallenge(submit({ challenge: challenge?.id ?? '', ...fields }), challenge, domain, now).username;
  } catch (error) {
    if (error instanceof StanzaError) return `${error.condition} ${error.type}`;
    throw error;
  }
}
const labelOf = (children: readonly Element[], name: string): string =>
  children
    .find((child) => child.is('x', NS.dataForms))!
    .getChildren('field')
    .find((field) => field.attrs.var === name)!.attrs.label!;

describe('a challenge is met', () => {
  test('by the letters, in capitals or not', () => {
    const { challenge } = makeChallenge(domain, 'a', 8, 0);
    expect(outcome({ ocr: ` ${challenge.letters.toLowerCase()} ` }, challenge)).toBe('bill');
  });

  test('by the word that is asked for', () => {
    const { challenge, children } = makeChallenge(domain, 'a', 8, 0);
    const [, ordinal, list] = /^Or write the (\w+) of these words: (.*)$/.exec(labelOf(children, 'qa'))!;
    const word = list!.split(', ')[['first', 'second', 'third', 'fourth'].indexOf(ordinal!)]!;
    expect(outcome({ qa: word }, challenge)).toBe('bill');
    const other = list!.split(', ').find((one) => one !== word)!;
    expect(outcome({ qa: other }, challenge)).toBe('not-acceptable cancel');
  });

  test('by work, as a client does it that reads the label', () => {
    const { challenge, children } = makeChallenge(domain, 'a', 12, 0);
    const label = Number.parseInt(labelOf(children, 'SHA-256'), 16);
    const bits = label.toString(2).length;
    expect(bits).toBe(12);
    const isRight = (text: string): boolean =>
      (createHash('sha256').update(text).digest().readUInt32BE(28) & ((1 << bits) - 1)) === label;
    let count = 0;
    while (!isRight(`${domain}${count}`)) count++;
    expect(outcome({ 'SHA-256': `${domain}${count}` }, challenge)).toBe('bill');
    expect(outcome({ 'SHA-256': `${domain}${count + 1}` }, challenge)).toBe('not-acceptable cancel');
    let elsewhere = 0;
    while (!isRight(`mantua.test${elsewhere}`)) elsewhere++;
    expect(outcome({ 'SHA-256': `mantua.test${elsewhere}` }, challenge)).toBe('not-acceptable cancel');
  });
});

describe('a challenge is not met', () => {
  const { challenge } = makeChallenge(domain, undefined, 20, 0);
  test.each([
    ['by nothing', {}, challenge, 0, 'not-acceptable cancel'],
    ['by empty fields', { ocr: '', qa: '', 'SHA-256': '' }, challenge, 0, 'not-acceptable cancel'],
    ['by part of the letters', { ocr: challenge.letters.slice(1) }, challenge, 0, 'not-acceptable cancel'],
    ['under another name', { ocr: challenge.letters, challenge: 'x' }, challenge, 0, 'service-unavailable cancel'],
    ['where there was none', { ocr: '' }, undefined, 0, 'service-unavailable cancel'],
    ['after ten minutes', { ocr: challenge.letters }, challenge, 10 * minute, 'service-unavailable cancel'],
  ] as const)('%s', (_, fields, given, now, expected) => {
    expect(outcome(fields, given, now)).toBe(expected);
  });
});

describe('the picture', () => {
  test('has every point, and what is needed to read it', () => {
    const png = blackAndWhitePng(10, 3, (x, y) => x === y);
    expect(png.subarray(1, 4).toString()).toBe('PNG');
    expect([png.readUInt32BE(16), png.readUInt32BE(20), png[24], png[25]]).toEqual([10, 3, 1, 0]);
    const at = png.indexOf('IDAT');
    const rows = inflateSync(png.subarray(at + 4, at + 4 + png.readUInt32BE(at - 4)));
    expect([...rows]).toEqual([0, 0x7f, 0xc0, 0, 0xbf, 0xc0, 0, 0xdf, 0xc0]);
  });

  test('is small, never the same, and of letters that are told apart', () => {
    const drawn = Array.from({ length: 20 }, drawLetters);
    expect(new Set(drawn.map(({ text }) => text)).size).toBe(20);
    for (const { text, png } of drawn) {
      expect(text).toMatch(/^[ACEFKLMPRTWXY347]{6}$/);
      expect(png.length).toBeLessThan(3000);
    }
  });
});
