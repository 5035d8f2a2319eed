// Plays the scenes that are meant for two nodes on two that a real Redis joins: one Redis for all, several scenes at a time.
import { describe, test } from 'vitest';
import { readScenes } from './kit/coverage.ts';
import { play } from './kit/play.ts';
import { redisForAll } from './kit/redis-for-all.ts';
import { nodesOnRedis } from './kit/worlds-redis.ts';

const redis = redisForAll();

for (const [file, scenes] of readScenes()) {
  const meant = scenes.filter(({ worlds }) => worlds?.includes('two nodes') ?? true);
  describe.skipIf(meant.length === 0)(file, () => {
    for (const scene of meant) test.concurrent(scene.title, () => play(scene, nodesOnRedis(redis.url)));
  });
}
