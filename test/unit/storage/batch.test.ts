// When batches are written (src/storage/postgres/batch.ts), with a database that takes no time.
import { expect, test } from 'vitest';
import { silent } from '../../../src/base/log.ts';
import { Batcher, type Target } from '../../../src/storage/postgres/batch.ts';
import type { Database } from '../../../src/storage/postgres/database.ts';

function start(): { batcher: Batcher; target: Target<string>; batches: (readonly string[])[] } {
  const client = { on() {}, connect: async () => {}, end: async () => {} };
  const database = { life: '', log: silent, isClosed: false, client: () => client, admit: async () => {} };
  const batches: (readonly string[])[] = [];
  const write = async (_client: unknown, rows: readonly string[]): Promise<void> => void batches.push(rows);
  return { batcher: new Batcher(database as unknown as Database), target: { last: undefined, write }, batches };
}

async function took(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

test('who appends row by row, and waits for each, is not held up; nor is who comes after that', async () => {
  const { batcher, target } = start();
  const each = async (): Promise<void> => {
    for (let i = 0; i < 300; i++) await batcher.append(target, 'row', 3, true);
  };
  // at the pace of ten milliseconds it would be three seconds; and the next one would be due in three seconds
  expect(await took(each)).toBeLessThan(1500);
  expect(await took(() => batcher.append(target, 'another', 7))).toBeLessThan(500);
});

test('rows that nobody waits for gather', async () => {
  const { batcher, target, batches } = start();
  const done: Promise<void>[] = [];
  for (let i = 0; i < 100; i++) {
    done.push(batcher.append(target, 'row', 3));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(done);
  expect(batches.flat()).toHaveLength(100);
  expect(batches.length).toBeLessThan(60);
});
