// Whose presence may have been heard too late.
import { expect, test } from 'vitest';
import { Late } from '../../../../src/modules/presence/late.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';

const [romeo, juliet] = [Jid.parse('romeo@verona.test/orchard')!, Jid.parse('juliet@verona.test/balcony')!];

test('what was said is forgotten when it came in time, and not while nobody knows', () => {
  let isSure = true;
  const late = new Late(() => isSure);
  late.note(romeo);
  late.settle();
  expect(late.has(romeo)).toBe(true);
  late.note(juliet);
  late.settle();
  expect([late.has(romeo), late.has(juliet)]).toEqual([false, true]);
  isSure = false;
  for (let i = 0; i < 5; i++) late.settle();
  expect([...late.take()]).toEqual([juliet.full]);
  expect(late.has(juliet)).toBe(false);
});

test('where there are no other nodes nothing is noted', () => {
  const late = new Late(() => undefined);
  late.note(romeo);
  expect(late.take().size).toBe(0);
});
