import { createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import { turnCredentials } from '../../../src/xmpp/turn-credentials.ts';

const NOON = Date.UTC(2026, 0, 31, 12);

test('the password is the keyed hash of when it ends and whose it is', () => {
  const { username, password, expires } = turnCredentials('secret', 'romeo@verona.test', NOON + 999);
  expect(username).toMatch(new RegExp(`^${NOON / 1000}:[\\w-]{16}$`));
  expect(password).toBe(createHmac('sha1', 'secret').update(username).digest('base64'));
  expect(expires).toBe(NOON);
});

test('nobody is named, and nobody is known again the next day', () => {
  const nameOf = (who: string, at: number, secret = 'secret') =>
    turnCredentials(secret, who, at).username.split(':')[1];
  expect(nameOf('romeo@verona.test', NOON)).toBe(nameOf('romeo@verona.test', NOON + 3_600_000));
  expect(nameOf('romeo@verona.test', NOON)).not.toBe(nameOf('juliet@verona.test', NOON));
  expect(nameOf('romeo@verona.test', NOON)).not.toBe(nameOf('romeo@verona.test', NOON + 86_400_000));
  expect(nameOf('romeo@verona.test', NOON)).not.toBe(nameOf('romeo@verona.test', NOON, 'other'));
});
