// Plays every scene of test/scenarios in every world it is meant for. docs/testing.md explains the language.
import { describe, expect, test } from 'vitest';
import { readScenes } from './kit/coverage.ts';
import { play } from './kit/play.ts';
import { worlds } from './kit/worlds.ts';

const files = readScenes();

/** What is between people, and so must be the same when they live at different servers; the rest would only be played again. */
const abroad: ReadonlySet<string> = new Set(
  [
    'carbons',
    'csi',
    'delivered-once',
    'delivery',
    'last-activity',
    'mam',
    'mam-prefs',
    'mam-retraction',
    'messages',
    'offline',
    'ping',
    'presence',
    'privileged-presence',
    'rfc7622-addresses',
    'roster',
    'stanzas',
    'stream-management',
    'stream-resumption',
    'stream-unacknowledged',
    'subscription-states',
    'subscriptions',
  ].map((name) => `${name}.scenario`),
);

for (const [file, scenes] of files) {
  describe(file, () => {
    for (const scene of scenes) {
      for (const world of worlds) {
        const isMeant = scene.worlds?.includes(world.name) ?? (!world.isAbroad || abroad.has(file));
        if (!isMeant) continue;
        test(`${scene.title} [${world.name}]`, () => play(scene, world));
      }
    }
  });
}

test('every scene is played in at least one world that exists', () => {
  const known = new Set(worlds.map((world) => world.name));
  for (const scene of [...files.values()].flat()) {
    for (const name of scene.worlds ?? []) expect(known, `${scene.file}:${scene.number}`).toContain(name);
    expect(scene.worlds?.length ?? 1, `${scene.file}:${scene.number}`).toBeGreaterThan(0);
  }
});
