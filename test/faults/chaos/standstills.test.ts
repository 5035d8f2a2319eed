// What counts as a machine that stood still, in the logs of nodes.
import { expect, test } from 'vitest';
import { deathsIn, noteStandstills } from './standstills.ts';
import { Troubles } from './troubles.ts';

const line = (node: string, at: number): string =>
  JSON.stringify({
    level: 'warn',
    time: new Date(performance.timeOrigin + at).toISOString(),
    node: `${node}:life`,
    msg: 'a node was not heard of any more, and counts as dead',
  });
const other = JSON.stringify({ level: 'info', time: new Date().toISOString(), msg: 'stopping' });
const freezes = (troubles: Troubles, node: string, at: number): boolean =>
  troubles.some(new Set(['freeze'] as const), node, ({ from, to }) => from <= at && at <= to);

test('the logs tell who was held for dead, and when', () => {
  const [found, ...more] = deathsIn(`ready\n${other}\n${line('north', 5_000)}\n`);
  expect([found!.node, Math.round(found!.at / 10), more]).toEqual(['north', 500, []]);
});

test('a node that was held for dead for no reason has frozen, and only then', () => {
  const troubles = new Troubles();
  expect(noteStandstills([`${line('north', 50_000)}\n${other}`, other], troubles)).toHaveLength(1);
  expect([freezes(troubles, 'north', 45_000), freezes(troubles, 'south', 45_000)]).toEqual([true, false]);
  expect([freezes(troubles, 'north', 40_000), freezes(troubles, 'north', 51_000)]).toEqual([false, false]);
});

test.each([
  ['kill', 'north', 45_000, 46_000, 0],
  ['no-redis', 'north', 20_000, 40_000, 0],
  ['kill', 'north', 20_000, 30_000, 1],
  ['kill', 'south', 45_000, 46_000, 1],
  ['stop', 'north', 45_000, 46_000, 1],
  ['cuts', undefined, 45_000, 46_000, 1],
] as const)('%s of %s explains it, or does not', (kind, node, from, to, noted) => {
  const troubles = new Troubles();
  troubles.begin(kind, node, from).to = to;
  expect(noteStandstills([line('north', 50_000)], troubles)).toHaveLength(noted);
});
