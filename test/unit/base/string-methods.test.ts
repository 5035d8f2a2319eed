// V8 gives up compiling the methods of strings into loops once a class extends String; the fastest of several tries is compared, since
// other processes take their time, too.
import { expect, test } from 'vitest';
import { restoreStringMethods } from '../../../src/base/string-methods.ts';

/** Milliseconds of a loop over a text, compiled anew. */
function timeOfLoop(): number {
  const loop = new Function(
    'text',
    'let sum = 0; for (let i = 0; i < text.length; i++) sum += text.charCodeAt(i); return sum;',
  ) as (text: string) => number;
  const text = 'Shall we meet at the usual place at eight? '.repeat(20);
  for (let i = 0; i < 5_000; i++) loop(text);
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 20; round++) {
    const start = performance.now();
    for (let i = 0; i < 500; i++) loop(text);
    least = Math.min(least, performance.now() - start);
  }
  return least;
}

test('reading texts is as fast behind a class that extends String as it was before', () => {
  restoreStringMethods();
  const before = timeOfLoop();
  const Verbatim = class extends String {};
  expect(new Verbatim('a').length).toBe(1);
  restoreStringMethods();
  expect(timeOfLoop()).toBeLessThan(3 * before);
});
