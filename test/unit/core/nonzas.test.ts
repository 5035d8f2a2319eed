import { expect, test } from 'vitest';
import { NonzaTable } from '../../../src/core/nonzas.ts';

const nonza = (module: string, name: string, fn = (): void => {}) =>
  ({ kind: 'nonza', module, ns: 'urn:example', name, fn }) as const;

test('a nonza is found by its name and namespace together', () => {
  const fn = (): void => {};
  const table = new NonzaTable([nonza('a', 'active', fn), nonza('b', 'inactive')]);
  expect(table.find('urn:example', 'active')).toBe(fn);
  expect(table.find('urn:other', 'active')).toBeUndefined();
  expect(table.find('urn:example', 'other')).toBeUndefined();
});

test('two modules cannot take the same nonza', () => {
  expect(() => new NonzaTable([nonza('a', 'active'), nonza('b', 'active')])).toThrow(/b and a both take <active/);
});
