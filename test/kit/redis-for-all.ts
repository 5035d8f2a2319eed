// One Redis for all tests of a file.
import { afterAll, beforeAll } from 'vitest';
import { createRedis, type TestRedis } from './redis.ts';

/** Called at the top of a file, or of a `describe`: it runs before the first test, and is removed after the last. */
export function redisForAll(): TestRedis {
  const redis = createRedis();
  beforeAll(() => redis.start());
  afterAll(() => redis.remove());
  return redis;
}
