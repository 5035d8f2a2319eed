// Rendezvous hashing: even shares, and nothing moves that need not.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Ring } from '../../../src/base/ring.ts';

const keys = Array.from({ length: 3000 }, (_, i) => `room${i}@rooms.example.org`);
const nameOf = (node: string): string => node.slice(0, node.indexOf(':'));
const nodesOf = (count: number): string[] => Array.from({ length: count }, (_, i) => `node-${i}:x${i}`);

test('every node owns about as much as any other', () => {
  for (const count of [2, 3, 7, 16]) {
    const ring = new Ring(nodesOf(count), nameOf);
    const shares = new Map<string, number>();
    for (const key of keys) shares.set(ring.owner(key), (shares.get(ring.owner(key)) ?? 0) + 1);
    expect(shares.size).toBe(count);
    for (const share of shares.values()) {
      expect(share).toBeGreaterThan((0.7 * keys.length) / count);
      expect(share).toBeLessThan((1.3 * keys.length) / count);
    }
  }
});

test('whoever knows the same nodes comes to the same owner, in whatever order they are known', () => {
  fc.assert(
    fc.property(fc.shuffledSubarray(nodesOf(12), { minLength: 1 }), fc.string(), (nodes, key) => {
      expect(new Ring(nodes, nameOf).owner(key)).toBe(new Ring([...nodes].sort(), nameOf).owner(key));
    }),
  );
});

test('a node that leaves gives away what it owned, and nothing else moves; a new life of it has it back', () => {
  const nodes = nodesOf(5);
  const before = new Ring(nodes, nameOf);
  const without = new Ring(nodes.slice(1), nameOf);
  const again = new Ring([...nodes.slice(1), 'node-0:other'], nameOf);
  for (const key of keys) {
    if (before.owner(key) === nodes[0]) expect(again.owner(key)).toBe('node-0:other');
    else expect([without.owner(key), again.owner(key)]).toEqual([before.owner(key), before.owner(key)]);
  }
});
