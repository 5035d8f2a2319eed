import { encode } from 'uqr';
import { expect, test } from 'vitest';
import { qrForTerminal, qrSvg } from '../../../src/base/qr.ts';

const text = 'https://chat.example.org/join/abcdefghijklmnopqrstuvwx';
const wanted = encode(text, { ecc: 'M', border: 4 }).data;

test('the terminal shows every module, two rows a line, light on black', () => {
  const lines = qrForTerminal(text).split('\n');
  expect(lines).toHaveLength(Math.ceil(wanted.length / 2));
  const rows = lines.flatMap((line) => {
    expect(line.startsWith('\u001b[40;97m') && line.endsWith('\u001b[0m')).toBe(true);
    const cells = [...line.slice('\u001b[40;97m'.length, -'\u001b[0m'.length)];
    return [cells.map((cell) => !'▀█'.includes(cell)), cells.map((cell) => !'▄█'.includes(cell))];
  });
  expect(rows.slice(0, wanted.length)).toEqual(wanted);
});

test('the picture has every dark module, once, and its label', () => {
  const svg = qrSvg(text, 'The link');
  const drawn = wanted.map((row) => row.map(() => false));
  for (const [, x, y, width] of svg.matchAll(/M(\d+) (\d+)h(\d+)v1H\1z/g)) {
    for (let i = 0; i < Number(width); i++) drawn[Number(y)]![Number(x) + i] = true;
  }
  expect(drawn).toEqual(wanted);
  expect(svg).toContain('aria-label="The link"');
});
