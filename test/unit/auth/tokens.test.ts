import { expect, test } from 'vitest';
import { bearerOf, isSameText, parseToken, type TokenRow, Tokens, tokenStore } from '../../../src/auth/tokens.ts';
import { createMemoryDriver } from '../../../src/storage/memory.ts';
import type { MapStore } from '../../../src/storage/ports.ts';
import { FakeClock } from '../../kit/clock.ts';

interface Grant {
  readonly for: string;
}
const specs = { tokens: tokenStore<Grant>() };

async function open() {
  const clock = new FakeClock();
  const driver = createMemoryDriver(clock);
  const { tokens: rows } = (await driver.open('', 'test', specs)) as unknown as { tokens: MapStore<TokenRow<Grant>> };
  return { clock, rows, tokens: new Tokens(rows, clock) };
}

test('a token is found by its text, and by no other', async () => {
  const { tokens } = await open();
  const { id, text } = await tokens.issue('romeo', { for: 'tests' });
  expect(await tokens.find(text)).toMatchObject({ id, owner: 'romeo', grant: { for: 'tests' } });
  const flipped = text.slice(0, -2) + (text.at(-2) === 'A' ? 'B' : 'A') + text.at(-1);
  for (const wrong of [flipped, `${text}x`, text.slice(0, -1), '', 'parley...', 'x'.repeat(5000), `${text}.${id}`]) {
    expect(await tokens.find(wrong)).toBeUndefined();
  }
  const [, , , secret] = text.split('.');
  const other = await tokens.issue('juliet', { for: 'others' });
  expect(
    await tokens.find(`parley.${Buffer.from('juliet').toString('base64url')}.${other.id}.${secret}`),
  ).toBeUndefined();
});

test('what is stored does not tell the token', async () => {
  const { tokens, rows } = await open();
  const { id, text } = await tokens.issue('', { for: 'tests' });
  expect(JSON.stringify(await rows.get('', id))).not.toContain(text.split('.')[3]);
});

test('a token ends in its time, and is forgotten then', async () => {
  const { tokens, rows, clock } = await open();
  const { text } = await tokens.issue('', { for: 'a while' }, 60_000);
  const { id } = await tokens.issue('', { for: 'good' });
  await clock.advance(59_999);
  expect(await tokens.find(text)).toBeDefined();
  await clock.advance(1);
  expect(await tokens.find(text)).toBeUndefined();
  expect((await tokens.list('')).map((token) => token.id)).toEqual([id]);
  await tokens.prune('');
  expect([...(await rows.all('')).keys()]).toEqual([id]);
});

test('of several who take a token back at a time one is told that it was there', async () => {
  const { tokens } = await open();
  const { id, text } = await tokens.issue('', { for: 'tests' });
  const done = await Promise.all([tokens.revoke('', id), tokens.revoke('', id), tokens.revoke('', 'nothing')]);
  expect(done.filter(Boolean)).toHaveLength(1);
  expect(await tokens.find(text)).toBeUndefined();
});

test('the last use is known to within an hour', async () => {
  const { tokens, clock, rows } = await open();
  const { id, text } = await tokens.issue('', { for: 'tests' });
  await tokens.touch((await tokens.find(text))!);
  const first = (await rows.get('', id))?.used;
  expect(first).toBe(clock.now());
  await clock.advance(60_000);
  await tokens.touch((await tokens.find(text))!);
  expect((await rows.get('', id))?.used).toBe(first);
  await clock.advance(3_600_000);
  await tokens.touch((await tokens.find(text))!);
  expect((await rows.get('', id))?.used).toBe(clock.now());
});

test('names of owners that no store can hold are none', () => {
  const of = (owner: Buffer): string => `parley.${owner.toString('base64url')}.${'a'.repeat(16)}.${'b'.repeat(43)}`;
  expect(parseToken(of(Buffer.from('rómeo')))).toMatchObject({ owner: 'rómeo' });
  expect(parseToken(of(Buffer.from('a\0b')))).toBeUndefined();
  expect(parseToken(of(Buffer.from([0xff, 0xfe])))).toBeUndefined();
});

test('the header of a bearer is read as RFC 6750 has it', () => {
  expect(bearerOf('Bearer abc.def')).toBe('abc.def');
  expect(bearerOf('bearer abc==')).toBe('abc==');
  for (const wrong of [undefined, '', 'Basic abc', 'Bearer', 'Bearer a b', 'Bearer ä'])
    expect(bearerOf(wrong)).toBeUndefined();
});

test('texts are compared whole', () => {
  expect(isSameText('secret', 'secret')).toBe(true);
  expect(isSameText('secret', 'secres')).toBe(false);
  expect(isSameText('secret', 'secret2')).toBe(false);
});
