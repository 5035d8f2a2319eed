// Plays the scenes that are meant for two nodes on two that a real Redis joins: one Redis for all, several scenes at a time.
import { describe, test } from 'vitest';
import { readScenes } from './kit/coverage.ts';
import { play } from './kit/play.ts';
import { redisForAll } from './kit/redis-for-all.ts';
import { nodesOnRedis } from './kit/worlds-redis.ts';

const redis = redisForAll();
/** For one of those that are played at the same time, in milliseconds. */
const TIMEOUT = 60_000;

for (const [file, scenes] of readScenes()) {
  const meant = scenes.filter(({ worlds }) => worlds?.includes('two nodes') ?? true);
  describe.skipIf(meant.length === 0).concurrent(file, () => {
    for (const scene of meant) test(scene.title, () => play(scene, nodesOnRedis(redis.url)), TIMEOUT);
  });
}
