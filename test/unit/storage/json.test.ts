// What may be stored, and what may not.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { UnstorableValue } from '../../../src/storage/errors.ts';
import { checkText, encode, stored } from '../../../src/storage/json.ts';

const isStorable = (text: string): boolean => !text.includes('\0') && Buffer.from(text).toString() === text;

test('text is refused exactly when it has U+0000 or half a surrogate pair', () => {
  const pieces = fc.constantFrom('\0', '\\', '\\u0000', '\\ud800', '"', 'u0000', '\ud83d', '\ude00', 'a', '\u0001');
  const texts = fc.array(pieces, { maxLength: 8 }).map((parts) => parts.join(''));
  fc.assert(
    fc.property(texts, (text) => {
      for (const value of [text, { key: text }, { [text]: 1 }, [[text]]]) {
        if (isStorable(text)) expect(JSON.parse(encode(value))).toEqual(value);
        else expect(() => encode(value)).toThrow(UnstorableValue);
      }
      if (isStorable(text)) expect(checkText(text)).toBe(text);
      else expect(() => checkText(text)).toThrow(UnstorableValue);
    }),
    { numRuns: 500 },
  );
});

test('what is not JSON is refused', () => {
  expect(() => encode(undefined)).toThrow(UnstorableValue);
  expect(() => encode(() => 1)).toThrow(UnstorableValue);
  expect(encode(null)).toBe('null');
});

test('what is shared is frozen all the way down', () => {
  const value = stored({ list: [{ deep: 1 }] });
  expect(() => {
    value.list[0]!.deep = 2;
  }).toThrow(TypeError);
});
