// Values that expire in Redis: what the contract of storage does not reach.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { silent } from '../../../src/base/log.ts';
import { openRedis, type RedisConnection } from '../../../src/net/redis.ts';
import { ephemeralInRedis } from '../../../src/storage/ephemeral-redis.ts';
import { StorageUnavailable } from '../../../src/storage/errors.ts';
import { startRedis, type TestRedis } from '../../kit/redis.ts';

let server: TestRedis;
let redis: RedisConnection;
beforeAll(async () => {
  server = await startRedis();
  redis = await openRedis({ target: server.url, log: silent, clock: systemClock });
  await redis.whenUp(5000);
});
afterAll(async () => {
  redis.close();
  await server.remove();
});

const keys = async (): Promise<readonly string[]> => (await redis.command('KEYS', '*')) as string[];

test('nodes share what was set, hosts and stores do not', async () => {
  const [one, two] = [ephemeralInRedis(redis), ephemeralInRedis(redis)];
  await one('a.test', 'pep.interest').set('romeo', 'k', { n: 1 }, 60_000);
  expect(await two('a.test', 'pep.interest').get('romeo', 'k')).toEqual({ n: 1 });
  expect(await two('b.test', 'pep.interest').get('romeo', 'k')).toBeUndefined();
  expect(await two('a.test', 'pep.other').get('romeo', 'k')).toBeUndefined();
  await two('a.test', 'pep.interest').purge('romeo');
  expect((await one('a.test', 'pep.interest').all('romeo')).size).toBe(0);
});

test('nothing stays in Redis of what has expired, and a short-lived value does not take a long-lived one with it', async () => {
  const store = ephemeralInRedis(redis)('a.test', 'm.s');
  await store.set('brief', 'a', 1, 100);
  await store.set('mixed', 'a', 1, 60_000);
  await store.set('mixed', 'b', 2, 100);
  await new Promise((resolve) => setTimeout(resolve, 250));
  expect((await keys()).filter((key) => key.includes('{brief}'))).toEqual([]);
  expect([...(await store.all('mixed')).keys()]).toEqual(['a']);
});

test('an owner who gets ever new values does not keep the old ones', async () => {
  const store = ephemeralInRedis(redis)('a.test', 'm.s');
  await store.set('busy', 'stays', true, 60_000);
  for (let i = 0; i < 200; i++) await store.set('busy', `k${i}`, i, 1);
  const key = (await keys()).find((name) => name.includes('{busy}'))!;
  expect(await redis.command('HLEN', key)).toBeLessThan(70);
  expect(await store.get('busy', 'stays')).toBe(true);
});

test('without Redis everything is refused for now', async () => {
  const away = await openRedis({ target: 'redis://127.0.0.1:1', log: silent, clock: systemClock });
  const store = ephemeralInRedis(away)('a.test', 'm.s');
  await expect(store.get('romeo', 'k')).rejects.toThrow(StorageUnavailable);
  await expect(store.set('romeo', 'k', 1, 1000)).rejects.toThrow(StorageUnavailable);
  await expect(store.all('romeo')).rejects.toThrow(StorageUnavailable);
  await expect(store.purge('romeo')).rejects.toThrow(StorageUnavailable);
  away.close();
});
