// Plays what is between people where they live at two servers that federate; in a file of its own, so that it runs beside the rest.
import { describe, test } from 'vitest';
import { readScenes } from './kit/coverage.ts';
import { play } from './kit/play.ts';
import { twoServers } from './kit/worlds.ts';

/** What is between people, and so must be the same when they live at different servers; the rest would only be played again. */
const abroad: ReadonlySet<string> = new Set(
  [
    'bookmarks',
    'calls',
    'carbons',
    'channel-search',
    'commands',
    'csi',
    'delivered-once',
    'delivery',
    'displayed-sync',
    'hats',
    'invited-contacts',
    'last-activity',
    'mam',
    'mam-prefs',
    'mam-retraction',
    'messages',
    'moderation',
    'moved',
    'occupant-id',
    'offline',
    'omemo',
    'persistent-data',
    'personal-events',
    'ping',
    'presence',
    'privileged-presence',
    'rfc7622-addresses',
    'roster',
    'slow-mode',
    'social-feed',
    'spaces',
    'stanzas',
    'stream-management',
    'stream-resumption',
    'stream-unacknowledged',
    'subscription-states',
    'subscriptions',
    'upload',
  ].map((name) => `${name}.scenario`),
);

/** Rooms, and what is published, are for people from everywhere. */
const isAbroad = (file: string): boolean =>
  abroad.has(file) || /^(blocking|muc|room|pubsub|pep|vcard|avatars|push)/.test(file);

for (const [file, scenes] of readScenes()) {
  const meant = scenes.filter(({ worlds }) => worlds?.includes(twoServers.name) ?? isAbroad(file));
  describe.skipIf(meant.length === 0)(file, () => {
    for (const scene of meant) test(`${scene.title} [${twoServers.name}]`, () => play(scene, twoServers));
  });
}
