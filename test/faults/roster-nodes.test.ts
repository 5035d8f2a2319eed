// One roster, changed by devices on several nodes at the same time: every device sees all changes, and in one order.
import { afterEach, describe, expect, test } from 'vitest';
import type { StreamClient } from '../kit/client.ts';
import { hears, type Joined, joinServers, unread } from '../kit/joined-servers.ts';
import { redisForAll } from '../kit/redis-for-all.ts';

const redis = redisForAll();

let joined: Joined;
afterEach(() => joined.stop());

/** A generator of numbers below a bound, the same for the same seed. */
function randomness(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const names = ['one', 'two', 'three'];
const rosterGet = "<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>";
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function interested(at: number, user: string, resource: string): Promise<StreamClient> {
  const client = await joined.enter(at, user, resource);
  client.write(rosterGet);
  await hears(client, /id="roster"/);
  return client;
}

/** What a device was pushed: version and item, in the order in which they came. */
const pushesOf = (client: StreamClient): readonly string[] =>
  unread(client).flatMap((text) => {
    const ver = / ver="(v[0-9a-z]+)"/.exec(text)?.[1];
    const item = /<item.*<\/item>|<item[^>]*\/>/.exec(text)?.[0];
    return text.includes('id="push-') && ver !== undefined ? [`${ver} ${item}`] : [];
  });

const versionOf = (push: string): number => Number.parseInt(push.slice(1), 36);

describe.each(['in one process', 'on Redis'])('nodes %s', (where) => {
  const start = async (): Promise<void> => {
    joined = await joinServers(where === 'on Redis' ? redis.url : undefined, names);
  };

  test.each([1, 2, 3])('changes from all nodes at once are pushed to all in one order (seed %i)', async (seed) => {
    await start();
    const random = randomness(seed);
    const devices: StreamClient[] = [];
    for (const at of [0, 1, 2]) devices.push(await interested(at, 'romeo', `d${at}`));
    const changes = 25;
    const work = devices.map(async (device, at) => {
      for (let i = 0; i < changes; i++) {
        const contact = `c${random(6)}@mantua.test`;
        const what = random(4) === 0 ? "subscription='remove'" : `name='${at}-${i}'`;
        device.write(
          `<iq type='set' id='set${i}'><query xmlns='jabber:iq:roster'><item jid='${contact}' ${what}/></query></iq>`,
        );
        if (random(3) === 0) await pause(random(4));
      }
    });
    await Promise.all(work);
    const answered = (device: StreamClient): number =>
      unread(device).filter((text) => / id="set\d+"/.test(text)).length;
    await expect.poll(() => devices.map(answered)).toEqual([changes, changes, changes]);
    await expect.poll(() => new Set(devices.map((device) => pushesOf(device).join('\n'))).size).toBe(1);
    const pushes = pushesOf(devices[0]!);
    expect(pushes.length).toBeGreaterThan(20);
    const versions = pushes.map(versionOf);
    expect(versions).toEqual([...new Set(versions)].sort((a, b) => a - b));
    // and all of it together is what is stored
    const roster = new Map<string, string>();
    for (const push of pushes) {
      const contact = /jid="([^"]+)"/.exec(push)![1]!;
      if (push.includes('remove')) roster.delete(contact);
      else roster.set(contact, / name="([^"]+)"/.exec(push)![1]!);
    }
    const late = await joined.enter(1, 'romeo', 'late');
    late.write(rosterGet);
    const [stored = ''] = await hears(late, /id="roster"/);
    const items = [...stored.matchAll(/<item [^>]*>/g)].map(([item]) => [
      /jid="([^"]+)"/.exec(item)![1],
      / name="([^"]+)"/.exec(item)![1],
    ]);
    expect(new Map(items as [string, string][])).toEqual(roster);
  });

  test('who asks for the roster while it is changed has read or is pushed every change', async () => {
    await start();
    const random = randomness(7);
    const writer = await interested(0, 'romeo', 'writer');
    let count = 0;
    let isOver = false;
    const writing = (async () => {
      while (!isOver) {
        writer.write(
          `<iq type='set' id='w'><query xmlns='jabber:iq:roster'><item jid='c${++count}@mantua.test'/></query></iq>`,
        );
        await pause(random(6));
      }
    })();
    const readers: StreamClient[] = [];
    for (let i = 0; i < 12; i++) {
      const reader = await joined.enter(i % 3, 'romeo', `reader${i}`);
      await pause(random(8));
      reader.write(rosterGet);
      readers.push(reader);
    }
    isOver = true;
    await writing;
    const knows = (client: StreamClient): number =>
      new Set(unread(client).flatMap((text) => [...text.matchAll(/jid="(c\d+)@/g)].map(([, name]) => name))).size;
    await expect.poll(() => readers.map(knows)).toEqual(readers.map(() => count));
  });

  test('subscriptions that are asked for and granted on all nodes at once are complete in the end', async () => {
    await start();
    const people = ['romeo', 'juliet'];
    const devices: { readonly client: StreamClient; readonly other: string }[] = [];
    for (const [i, user] of people.entries()) {
      for (const at of [0, 1, 2]) {
        const client = await interested(at, user, `d${at}`);
        client.write('<presence/>');
        devices.push({ client, other: people[1 - i]! });
      }
    }
    for (const { client, other } of devices) {
      client.write(
        `<presence type='subscribe' to='${other}@verona.test'/><presence type='subscribed' to='${other}@verona.test'/>`,
      );
    }
    const states = async (): Promise<readonly (string | undefined)[]> =>
      Promise.all(
        devices.map(async ({ client }) => {
          client.inbox.length = 0;
          client.write(rosterGet);
          return / subscription="(\w+)"/.exec((await hears(client, /id="roster"/)).at(-1)!)?.[1];
        }),
      );
    await expect.poll(states).toEqual(devices.map(() => 'both'));
  });
});
