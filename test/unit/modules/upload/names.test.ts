import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  disposition,
  encodeName,
  essence,
  fileName,
  isHarmless,
  parseType,
} from '../../../../src/modules/upload/names.ts';

describe('names of files', () => {
  test.each([
    ['photo.jpg', 'photo.jpg'],
    ['très cool.jpg', 'très cool.jpg'],
    ['/etc/passwd', 'passwd'],
    ['..\\..\\boot.ini', 'boot.ini'],
    ['a/b/', 'b'],
    ['..', 'file'],
    ['.', 'file'],
    ['///', 'file'],
    [' \n ', 'file'],
    ['.profile', '.profile'],
    ['evil\u202egpj.exe', 'evilgpj.exe'],
    ['a\u0000b\r\nc', 'abc'],
    [`${'x'.repeat(300)}.tar.gz`, `${'x'.repeat(252)}.gz`],
    ['é'.repeat(200), 'é'.repeat(127)],
    [`a.${'b'.repeat(300)}`, `a.${'b'.repeat(253)}`],
  ])('%j is kept as %j', (given, kept) => {
    expect(fileName(given)).toBe(kept);
  });

  test('are one segment of a path, whatever was given, and the same when they come back', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (given) => {
        const name = fileName(given);
        const encoded = encodeName(name);
        expect(encoded).toMatch(/^(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})+$/);
        expect(decodeURIComponent(encoded)).toBe(name);
        expect(new URL(`https://x.example/upload/id/${encoded}`).pathname).toBe(`/upload/id/${encoded}`);
        expect(Buffer.byteLength(name)).toBeLessThanOrEqual(255);
      }),
    );
  });

  test('cannot add to a header', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (given) => {
        expect(disposition('image/png', fileName(given))).toMatch(
          /^inline; filename="[^"\\\r\n]*"; filename\*=UTF-8''[A-Za-z0-9._~%-]*$/,
        );
      }),
    );
  });
});

describe('types', () => {
  test.each([
    ['image/png', 'image/png'],
    ['IMAGE/PNG', 'image/png'],
    ['text/plain; charset="utf-8"', 'text/plain; charset="utf-8"'],
    ['image', undefined],
    ['image/', undefined],
    ['image/png\r\nx: y', undefined],
    ['image/png; x', undefined],
    ['', undefined],
    ['text/plain; charset="a\r\nb"', undefined],
    ['text/plain; charset="\u0100"', undefined],
    ['text/plain; charset="\u007f"', undefined],
    ['text/plain;\r\n x=y', undefined],
    ['text/plain;\u2003x=y', undefined],
    [`text/${'x'.repeat(300)}`, undefined],
  ])('%j is read as %j', (given, read) => {
    expect(parseType(given)).toBe(read);
  });

  test('are compared without their parameters', () => {
    expect(essence('Text/Plain; charset=x')).toBe('text/plain');
  });

  test('only some are harmless', () => {
    const given = ['image/png', 'image/svg+xml', 'image/svg', 'text/html', 'audio/x', 'video/xml', 'application/pdf'];
    expect(given.filter(isHarmless)).toEqual(['image/png', 'audio/x']);
  });
});
