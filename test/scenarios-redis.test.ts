// Plays the scenes that are meant for two nodes on two that a real Redis joins. It takes ten minutes: a few files always, all of them
// with PARLEY_TEST_REDIS=all.
import { afterAll, beforeAll, describe, test } from 'vitest';
import { readScenes } from './kit/coverage.ts';
import { play } from './kit/play.ts';
import { startRedis, type TestRedis } from './kit/redis.ts';
import { nodesOnRedis } from './kit/worlds-redis.ts';

const always: ReadonlySet<string> = new Set(['offline.scenario', 'register-nodes.scenario', 'ping.scenario']);
const isAll = process.env.PARLEY_TEST_REDIS === 'all';

let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.remove());

for (const [file, scenes] of readScenes()) {
  const meant = scenes.filter(({ worlds }) => worlds?.includes('two nodes') ?? true);
  describe.skipIf(meant.length === 0 || !(isAll || always.has(file)))(file, () => {
    for (const scene of meant) test(scene.title, () => play(scene, nodesOnRedis(redis.url)));
  });
}
