import { expect, test } from 'vitest';
import { Turns } from '../../../src/base/turns.ts';

const later = <T>(value: T): Promise<T> => new Promise((resolve) => setImmediate(() => resolve(value)));

test('work that needs no promise is done at once', () => {
  expect(new Turns<string>().run('a', () => 5)).toBe(5);
});

test('work for one key waits for what was there before, work for another does not', async () => {
  const turns = new Turns<string>();
  const order: string[] = [];
  const first = turns.run('a', async () => {
    await later(0);
    order.push('a1');
  });
  const second = turns.run('a', () => void order.push('a2'));
  void turns.run('b', () => void order.push('b1'));
  await Promise.all([first, second]);
  expect(order).toEqual(['b1', 'a1', 'a2']);
  await later(0);
  expect(turns.run('a', () => 'now')).toBe('now');
});

test('a failure reaches who asked for the work, and nobody else', async () => {
  const turns = new Turns<string>();
  const failing = turns.run('a', async () => {
    await later(0);
    throw new Error('no');
  });
  const next = turns.run('a', () => 'yes');
  await expect(failing).rejects.toThrow('no');
  await expect(next).resolves.toBe('yes');
});
