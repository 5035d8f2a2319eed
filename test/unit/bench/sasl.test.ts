import { expect, test } from 'vitest';
import { plainResponse, scramSha1 } from '../../../bench/load/sasl.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');

test('SCRAM-SHA-1 gives the messages of the example in RFC 5802 section 5', () => {
  const exchange = scramSha1('user', 'pencil', 'fyko+d2lbbFgONRv9qkxdawL');
  expect(exchange.first).toBe(base64('n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL'));
  const challenge = 'r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096';
  expect(exchange.answer(base64(challenge))).toBe(
    base64('c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts='),
  );
  expect(exchange.isGenuine(base64('v=rmF9pqV8S7suAoZWja4dJRkFsKQ='))).toBe(true);
  expect(exchange.isGenuine(base64('v=AAAAAAAAAAAAAAAAAAAAAAAAAAA='))).toBe(false);
});

test('PLAIN sends no authorisation identity (RFC 4616 section 2)', () => {
  expect(plainResponse('user1', 'secret')).toBe(base64('\0user1\0secret'));
});
