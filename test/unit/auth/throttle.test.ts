import { describe, expect, test } from 'vitest';
import { createThrottle, networkOf, type Throttle } from '../../../src/auth/throttle.ts';
import { FakeClock, turn } from '../../kit/clock.ts';
import { createNodes } from '../../kit/cluster-pair.ts';

const HOUR = 60 * 60_000;

function fail(throttle: Throttle, address: string, account: string): boolean {
  const attempt = throttle.begin(address, account);
  const refused = attempt.isRefused;
  attempt.failed();
  return refused;
}

describe('the throttle', () => {
  test('doubles the delay from one failure to the next, up to a limit', async () => {
    const clock = new FakeClock();
    const throttle = createThrottle(clock, { perAccount: { free: 2, delay: 500, maxDelay: 3000, limit: 99 } });
    const waited: number[] = [];
    for (let i = 0; i < 7; i++) {
      const start = clock.now();
      let end: number | undefined;
      const done = throttle
        .begin('192.0.2.1', 'a')
        .failed()
        .delay.then(() => {
          end = clock.now();
        });
      await new Promise((resolve) => setImmediate(resolve));
      while (end === undefined) await clock.advance(100);
      await done;
      waited.push(end - start);
    }
    expect(waited).toEqual([0, 0, 500, 1000, 2000, 3000, 3000]);
  });

  test('counts an account and an address together: others are not touched', () => {
    const throttle = createThrottle(new FakeClock());
    for (let i = 0; i < 10; i++) expect(fail(throttle, '192.0.2.1', 'a')).toBe(false);
    expect(throttle.begin('192.0.2.1', 'a').isRefused).toBe(true);
    expect(throttle.begin('192.0.2.2', 'a').isRefused).toBe(false);
    expect(throttle.begin('192.0.2.1', 'b').isRefused).toBe(false);
  });

  test('refuses an address that tries many accounts, but not those who are known there', () => {
    const throttle = createThrottle(new FakeClock());
    throttle.begin('192.0.2.1', 'regular').succeeded();
    for (let i = 0; i < 100; i++) expect(fail(throttle, '192.0.2.1', `guess-${i}`)).toBe(false);
    expect(throttle.begin('192.0.2.1', 'another').isRefused).toBe(true);
    expect(throttle.begin('192.0.2.1', 'regular').isRefused).toBe(false);
    expect(throttle.begin('192.0.2.9', 'another').isRefused).toBe(false);
  });

  test('forgets after a success, and after a while', async () => {
    const clock = new FakeClock();
    const throttle = createThrottle(clock);
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 9; i++) fail(throttle, '192.0.2.1', 'a');
      throttle.begin('192.0.2.1', 'a').succeeded();
    }
    for (let i = 0; i < 10; i++) fail(throttle, '192.0.2.1', 'b');
    expect(throttle.begin('192.0.2.1', 'b').isRefused).toBe(true);
    await clock.advance(HOUR);
    expect(throttle.begin('192.0.2.1', 'b').isRefused).toBe(false);
  });

  test('counts guesses that run in parallel, once one of them has failed', () => {
    const throttle = createThrottle(new FakeClock());
    fail(throttle, '192.0.2.1', 'a');
    const attempts = Array.from({ length: 20 }, () => throttle.begin('192.0.2.1', 'a'));
    expect(attempts.filter((attempt) => !attempt.isRefused)).toHaveLength(9);
    for (const attempt of attempts) attempt.release();
    expect(throttle.begin('192.0.2.1', 'a').isRefused).toBe(false);
  });

  test('lets many devices of one account in at once', () => {
    const throttle = createThrottle(new FakeClock());
    const attempts = Array.from({ length: 200 }, () => throttle.begin('192.0.2.1', 'a'));
    expect(attempts.every((attempt) => !attempt.isRefused)).toBe(true);
  });

  test('says when the next attempt would be refused', () => {
    const throttle = createThrottle(new FakeClock(), { perAccount: { limit: 2 } });
    expect(throttle.begin('192.0.2.1', 'a').failed().isLast).toBe(false);
    expect(throttle.begin('192.0.2.1', 'a').failed().isLast).toBe(true);
  });

  test('remembers no more than it may', () => {
    const throttle = createThrottle(new FakeClock(), { capacity: 100, perAccount: { limit: 1 } });
    fail(throttle, '192.0.2.1', 'first');
    expect(throttle.begin('192.0.2.1', 'first').isRefused).toBe(true);
    for (let i = 0; i < 100; i++) fail(throttle, `198.51.100.${i}`, 'other');
    // the oldest went
    expect(throttle.begin('192.0.2.1', 'first').isRefused).toBe(false);
    expect(throttle.begin('198.51.100.99', 'other').isRefused).toBe(true);
  });

  test('takes a /64 of IPv6 for one address', () => {
    expect(networkOf('2001:db8:1:2:3:4:5:6')).toBe('2001:db8:1:2::/64');
    expect(networkOf('2001:db8:1:2::6')).toBe('2001:db8:1:2::/64');
    expect(networkOf('2001:0DB8:0001:0002::6')).toBe('2001:db8:1:2::/64');
    expect(networkOf('2001:db8::1')).toBe('2001:db8:0:0::/64');
    expect(networkOf('fe80::1%eth0')).toBe('fe80:0:0:0::/64');
    expect(networkOf('::1')).toBe('0:0:0:0::/64');
    expect(networkOf('::ffff:192.0.2.1')).toBe('192.0.2.1');
    expect(networkOf('192.0.2.1')).toBe('192.0.2.1');
    expect(networkOf('')).toBe('');
  });
});

describe('the throttles of several nodes', () => {
  const start = () => {
    const nodes = createNodes();
    const throttles = nodes.clusters.map((cluster) => createThrottle(new FakeClock(), {}, cluster));
    return { nodes, throttles: throttles as [Throttle, Throttle] };
  };

  test('count failures wherever they were', async () => {
    const { nodes, throttles } = start();
    for (let i = 0; i < 10; i++) {
      expect(fail(throttles[i % 2]!, '192.0.2.1', 'a')).toBe(false);
      await nodes.idle();
    }
    for (const throttle of throttles) {
      expect(throttle.begin('192.0.2.1', 'a').isRefused).toBe(true);
      expect(throttle.begin('192.0.2.2', 'a').isRefused).toBe(false);
    }
  });

  test('know what happened before a node came', async () => {
    const nodes = createNodes();
    const clock = new FakeClock();
    const [one, two] = nodes.clusters;
    const first = createThrottle(clock, {}, one);
    for (let i = 0; i < 10; i++) fail(first, '192.0.2.1', 'a');
    first.begin('192.0.2.2', 'owner').succeeded();
    for (let i = 0; i < 100; i++) fail(first, '192.0.2.2', `guess${i}`);
    await nodes.idle();
    await clock.advance(60_000);
    const later = createThrottle(clock, {}, two);
    await nodes.idle();
    await turn();
    expect(later.begin('192.0.2.1', 'a').isRefused).toBe(true);
    expect(later.begin('192.0.2.1', 'b').isRefused).toBe(false);
    expect(later.begin('192.0.2.2', 'stranger').isRefused).toBe(true);
    expect(later.begin('192.0.2.2', 'owner').isRefused).toBe(false);
    // and forgets it when the others do
    await clock.advance(14 * 60_000);
    expect(later.begin('192.0.2.1', 'a').isRefused).toBe(false);
  });

  test('refuse a spent address everywhere, but nobody who got in from there on any node', async () => {
    const { nodes, throttles } = start();
    const [one, two] = throttles;
    two.begin('192.0.2.1', 'owner').succeeded();
    for (let i = 0; i < 100; i++) fail(one, '192.0.2.1', `guess${i}`);
    await nodes.idle();
    for (const throttle of throttles) {
      expect(throttle.begin('192.0.2.1', 'stranger').isRefused).toBe(true);
      expect(throttle.begin('192.0.2.1', 'owner').isRefused).toBe(false);
    }
  });

  test('forgive everywhere whoever gets in', async () => {
    const { nodes, throttles } = start();
    const [one, two] = throttles;
    for (let i = 0; i < 9; i++) fail(one, '192.0.2.1', 'a');
    await nodes.idle();
    two.begin('192.0.2.1', 'a').succeeded();
    await nodes.idle();
    expect(one.begin('192.0.2.1', 'a').failed().isLast).toBe(false);
  });

  test('count what they see while they are cut off from one another', async () => {
    const { nodes, throttles } = start();
    nodes.hold(true);
    for (let i = 0; i < 10; i++) fail(throttles[0], '192.0.2.1', 'a');
    expect(throttles[0].begin('192.0.2.1', 'a').isRefused).toBe(true);
    expect(throttles[1].begin('192.0.2.1', 'a').isRefused).toBe(false);
    nodes.hold(false);
    await nodes.idle();
    expect(throttles[1].begin('192.0.2.1', 'a').isRefused).toBe(true);
  });
});
