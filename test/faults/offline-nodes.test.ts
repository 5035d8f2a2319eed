// Messages that waited are read once, whichever nodes their readers come to, and none is lost on the way between here and away.
import { afterEach, describe, expect, test } from 'vitest';
import { type Joined, joinServers, unread } from '../kit/joined-servers.ts';
import { redisForAll } from '../kit/redis-for-all.ts';

const redis = redisForAll();

let joined: Joined;
afterEach(() => joined.stop());

const message = (id: string): string =>
  `<message to='juliet@verona.test' type='chat' id='${id}'><body>${id}</body></message>`;
const idsOf = (texts: readonly string[]): string[] =>
  texts.flatMap((text) => (text.startsWith('<message') ? (/ id="([wl]\d+)"/.exec(text)?.[1] ?? []) : []));

describe.each(['in one process', 'on Redis'])('nodes %s', (where) => {
  test('what waited goes to one of the devices that come at once; what comes meanwhile to some, and to none twice', async () => {
    joined = await joinServers(where === 'on Redis' ? redis.url : undefined, ['one', 'two', 'three']);
    const romeo = await joined.enter(2, 'romeo', 'orchard');
    const setup = await joined.enter(0, 'juliet', 'setup');
    await setup.destroy();
    const waiting = Array.from({ length: 30 }, (_, i) => `w${i}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
    for (const id of waiting) romeo.write(message(id));
    await romeo.fence();
    const devices = [await joined.enter(0, 'juliet', 'a'), await joined.enter(1, 'juliet', 'b')];
    const live = Array.from({ length: 40 }, (_, i) => `l${i}`);
    for (const [i, id] of live.entries()) {
      if (i === 15) for (const device of devices) device.write('<presence/>');
      romeo.write(message(id));
      if (i % 4 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    const heard = (): string[][] => devices.map((device) => idsOf(unread(device)));
    await expect.poll(() => new Set(heard().flat()).size).toBe(waiting.length + live.length);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const all = heard();
    for (const ids of all) expect(ids).toEqual([...new Set(ids)]);
    for (const id of waiting) expect(all.flat().filter((one) => one === id)).toHaveLength(1);
  });

  test('a request goes to a device on another node and the answer comes back; for one that is gone there is an error', async () => {
    joined = await joinServers(where === 'on Redis' ? redis.url : undefined, ['one', 'two']);
    const romeo = await joined.enter(0, 'romeo', 'orchard');
    const juliet = await joined.enter(1, 'juliet', 'balcony');
    const asked = (id: string): string =>
      `<iq type='get' id='${id}' to='juliet@verona.test/balcony'><query xmlns='urn:example:x'/></iq>`;
    const replies = (id: string): string => unread(romeo).find((text) => text.includes(`id="${id}"`)) ?? '';
    romeo.write(asked('q1'));
    await expect.poll(() => unread(juliet).join()).toContain('id="q1"');
    juliet.write(
      "<iq type='result' id='q1' to='romeo@verona.test/orchard'><query xmlns='urn:example:x'>yes</query></iq>",
    );
    await expect.poll(() => replies('q1')).toContain('yes');
    romeo.write(asked('q2'));
    await expect.poll(() => unread(juliet).join()).toContain('id="q2"');
    juliet.write(
      "<iq type='error' id='q2' to='romeo@verona.test/orchard'><error type='cancel'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
    );
    await expect.poll(() => replies('q2')).toContain('conflict');
    await juliet.destroy();
    // (what is written to a connection that is breaking is lost with it)
    let asking = 2;
    const again = (): string => {
      romeo.write(asked(`q${++asking}`));
      return unread(romeo).join();
    };
    await expect.poll(again).toContain('service-unavailable');
  });
});
