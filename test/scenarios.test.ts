// Plays the scenes of test/scenarios on one node and on two. docs/testing.md explains the language. Two servers that federate, and
// two nodes on a real Redis, are in scenarios-federated.test.ts and scenarios-redis.test.ts.
import { describe, expect, test } from 'vitest';
import { readScenes } from './kit/coverage.ts';
import { play } from './kit/play.ts';
import { twoServers, worlds } from './kit/worlds.ts';

const files = readScenes();

for (const [file, scenes] of files) {
  for (const world of worlds.filter((one) => one !== twoServers)) {
    const meant = scenes.filter((scene) => scene.worlds?.includes(world.name) ?? true);
    if (meant.length === 0) continue;
    describe(file, () => {
      for (const scene of meant) test(`${scene.title} [${world.name}]`, () => play(scene, world));
    });
  }
}

test('every scene is played in at least one world that exists', () => {
  const known = new Set(worlds.map((world) => world.name));
  for (const scene of [...files.values()].flat()) {
    for (const name of scene.worlds ?? []) expect(known, `${scene.file}:${scene.number}`).toContain(name);
    expect(scene.worlds?.length ?? 1, `${scene.file}:${scene.number}`).toBeGreaterThan(0);
  }
});
