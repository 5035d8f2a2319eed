// docs/security.md names scenarios and tests; they are there.
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const page = readFileSync(new URL('../../docs/security.md', import.meta.url), 'utf8');
const rows = page
  .split('\n')
  .filter((line) => line.startsWith('| ') && !/^\| What (went wrong|is asked for) /.test(line));

test.each(rows.map((row) => row.split('|').map((cell) => cell.trim())))('%s%s', (_, what, proof = '') => {
  expect(what).not.toBe('');
  const files = [...proof.matchAll(/`([^`]+)`: ((?:"[^"]+"(?:, )?)+)/g)];
  expect(files.length).toBeGreaterThan(0);
  for (const [, path = '', titles = ''] of files) {
    const base = new URL(`../${path}`, import.meta.url);
    const file = [`${base.pathname}.scenario`, `${base.pathname}.test.ts`].find((name) => existsSync(name));
    expect(file, path).toBeDefined();
    const source = readFileSync(file!, 'utf8');
    for (const [, title = ''] of titles.matchAll(/"([^"]+)"/g)) {
      const asWritten = [`Scene: ${title}\n`, `'${title}'`, `"${title}"`, `\`${title}\``];
      expect(
        asWritten.some((text) => source.includes(text)),
        `${path}: ${title}`,
      ).toBe(true);
    }
  }
});
