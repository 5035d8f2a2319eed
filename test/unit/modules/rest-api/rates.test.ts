import { expect, test } from 'vitest';
import { Rates } from '../../../../src/modules/rest-api/rates.ts';
import { FakeClock } from '../../../kit/clock.ts';

test('beyond so many requests a minute one is told to come again, and by then may', async () => {
  const clock = new FakeClock();
  const rates = new Rates(clock, 3);
  for (let i = 0; i < 3; i++) rates.takeAddress('192.0.2.1');
  expect(() => rates.takeAddress('192.0.2.1')).toThrow(
    expect.objectContaining({ status: 429, headers: { 'retry-after': '20' } }),
  );
  await clock.advance(20_000);
  rates.takeAddress('192.0.2.1');
});

test('whoever has one IPv6 address has all of its network; others, and tokens, are counted apart', () => {
  const rates = new Rates(new FakeClock(), 1);
  rates.takeAddress('2001:db8::1');
  expect(() => rates.takeAddress('2001:db8::2')).toThrow('too many');
  rates.takeAddress('2001:db8:0:1::1');
  rates.takeToken('2001:db8::1');
  expect(() => rates.takeToken('2001:db8::1')).toThrow('too many');
});
