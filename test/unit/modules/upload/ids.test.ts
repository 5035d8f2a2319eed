import { expect, test } from 'vitest';
import { ADDRESS, Ids } from '../../../../src/modules/upload/ids.ts';

const ids = new Ids('secret');

test('an id is known to who has made it, and to nobody else', () => {
  const id = ids.mint();
  expect(id).toMatch(/^[\w-]{32}$/);
  expect(ids.isOurs(id)).toBe(true);
  expect(new Ids('another').isOurs(id)).toBe(false);
  const last = id.at(-1) === 'A' ? 'B' : 'A';
  for (const wrong of [`${id.slice(0, -1)}${last}`, `${id}A`, id.slice(1), '', 'A'.repeat(32)])
    expect(ids.isOurs(wrong)).toBe(false);
});

test('no id comes twice', () => {
  expect(new Set(Array.from({ length: 1000 }, () => ids.mint())).size).toBe(1000);
});

test('leave to put something is for one id, and until its time', () => {
  const [id, other] = [ids.mint(), ids.mint()];
  const leave = ids.leave(id, 1_700_000_000_000);
  expect(ids.leaveUntil(id, leave)).toBe(1_700_000_000_000);
  expect(ids.leaveUntil(other, leave)).toBeUndefined();
  const [at, signature] = leave.split('.');
  expect(ids.leaveUntil(id, `${at}z.${signature}`)).toBeUndefined();
  expect(ids.leaveUntil(id, `${at}.`)).toBeUndefined();
  expect(ids.leaveUntil(id, '')).toBeUndefined();
  expect(new Ids('another').leaveUntil(id, leave)).toBeUndefined();
});

test('addresses are found in text', () => {
  const id = ids.mint();
  const text = `see https://chat.example/upload/${id}/a.png and http://x/upload/short/b`;
  expect([...text.matchAll(ADDRESS)].map(([, found]) => found)).toEqual([id]);
});
