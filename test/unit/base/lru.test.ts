import { expect, it } from 'vitest';
import { LruCache } from '../../../src/base/lru.ts';

it('never keeps more than twice its capacity', () => {
  const cache = new LruCache<number, number>(10);
  for (let i = 0; i < 1000; i++) {
    cache.set(i, i);
    expect(cache.size).toBeLessThanOrEqual(20);
  }
  expect(cache.get(0)).toBeUndefined();
  expect(cache.get(999)).toBe(999);
});

it('keeps what is used while others come and go', () => {
  const cache = new LruCache<string, number>(10);
  cache.set('used', 1);
  for (let i = 0; i < 1000; i++) {
    cache.set(`other ${i}`, i);
    if (i % 5 === 0) expect(cache.get('used')).toBe(1);
  }
});

it('forgets what it is told to, in either generation', () => {
  const cache = new LruCache<string, number>(2);
  cache.set('a', 1);
  cache.set('b', 2);
  cache.set('c', 3);
  cache.delete('a');
  cache.delete('c');
  expect([cache.get('a'), cache.get('b'), cache.get('c')]).toEqual([undefined, 2, undefined]);
  cache.clear();
  expect(cache.size).toBe(0);
});
