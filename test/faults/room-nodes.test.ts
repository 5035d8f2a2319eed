// Rooms when their node goes, in good order or not: those who are in them on other nodes stay, and see nothing but who went with the node.
import { afterEach, describe, expect, test } from 'vitest';
import type { StreamClient } from '../kit/client.ts';
import { gone, hears, here, type Joined, joinServers, unread } from '../kit/joined-servers.ts';
import { redisForAll } from '../kit/redis-for-all.ts';
import { joinRoom, makeRoom, roomOn, say } from './rooms.ts';

const redis = redisForAll();

let joined: Joined;
afterEach(() => joined.stop());

/** Enough for each of three nodes to have some. */
const rooms = Array.from({ length: 12 }, (_, i) => `room${i}`);
const HOST = 'groups.verona.test';
const x = "<x xmlns='http://jabber.org/protocol/muc'/>";

async function make(client: StreamClient, nick: string): Promise<void> {
  for (const room of rooms) {
    client.write(`<presence to='${room}@${HOST}/${nick}'>${x}</presence>`);
    await hears(client, /code="201"/, /<subject/);
    client.write(
      `<iq type='set' id='u-${room}' to='${room}@${HOST}'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>`,
    );
    await hears(client, new RegExp(`type="result".*id="u-${room}"|id="u-${room}".*type="result"`));
  }
}

async function join(client: StreamClient, nick: string): Promise<void> {
  for (const room of rooms) {
    client.write(`<presence to='${room}@${HOST}/${nick}'>${x}</presence>`);
    await hears(client, /code="110"/, /<subject/);
  }
}

/** What everybody hears when one of them says something in each room. */
async function talk(speaker: StreamClient, nick: string, others: readonly StreamClient[], id: string): Promise<void> {
  for (const room of rooms) {
    speaker.write(`<message type='groupchat' id='${id}' to='${room}@${HOST}'><body>${room}</body></message>`);
  }
  for (const reader of [speaker, ...others]) {
    const wanted = new Set(rooms);
    while (wanted.size > 0) {
      const heard = (await hears(reader, new RegExp(`id="${id}"`))).at(-1)!;
      expect(heard).not.toContain('type="error"');
      expect(heard).toContain(`/${nick}"`);
      wanted.delete(/<body>(.*)<\/body>/.exec(heard)![1]!);
    }
  }
}

describe.each(['in one process', 'on Redis'])('nodes %s', (where) => {
  const start = async (): Promise<readonly [StreamClient, StreamClient]> => {
    joined = await joinServers(where === 'on Redis' ? redis.url : undefined, ['one', 'two', 'three']);
    const romeo = await joined.enter(0, 'romeo', 'orchard');
    const juliet = await joined.enter(2, 'juliet', 'balcony');
    await make(romeo, 'Romeo');
    await join(juliet, 'Juliet');
    await talk(romeo, 'Romeo', [juliet], 'before');
    await talk(juliet, 'Juliet', [romeo], 'too');
    return [romeo, juliet];
  };

  test('a node that stops hands its rooms over, and nobody sees it', async () => {
    const [romeo, juliet] = await start();
    await joined.servers[1]!.stop();
    for (const at of [0, 2]) await expect.poll(() => joined.clusters[at]!.nodes.size).toBe(2);
    expect(unread(romeo).concat(unread(juliet))).toEqual([]);
    await talk(juliet, 'Juliet', [romeo], 'after');
    await talk(romeo, 'Romeo', [juliet], 'at last');
  });

  test('rooms of a node that died are there again, with all who are left', async () => {
    const [romeo, juliet] = await start();
    const nurse = await joined.enter(1, 'nurse', 'here');
    await join(nurse, 'Nurse');
    // (rooms are on several nodes: in any order)
    for (const client of [romeo, juliet]) {
      for (const _ of rooms) await hears(client, new RegExp(`from="room\\d+@${HOST}/Nurse"`));
    }
    joined.kill(1);
    // she is seen to go once from each room, as anybody is who goes offline
    for (const client of [romeo, juliet]) {
      const left = new Set(rooms);
      while (left.size > 0) {
        const heard = (await hears(client, /type="unavailable"/)).at(-1)!;
        expect(heard).toContain('/Nurse"');
        expect(left.delete(/from="(room\d+)@/.exec(heard)![1]!)).toBe(true);
      }
    }
    await talk(juliet, 'Juliet', [romeo], 'after');
    await talk(romeo, 'Romeo', [juliet], 'at last');
  });
});

test('the end of a session that died with its node is heard late by a room that its successor has entered: he stays', async () => {
  joined = await joinServers(undefined, ['one', 'two', 'three']);
  const room = roomOn(joined, 2);
  const juliet = await joined.enter(2, 'juliet', 'balcony');
  await makeRoom(juliet, room, 'Juliet');
  const before = await joined.enter(1, 'romeo', 'orchard');
  await joinRoom(before, room, 'Romeo');
  // whoever is told of what a dead node has left is slow to tell the room
  let goOn = (): void => {};
  const slow = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const heir = joined.clusters[0]!;
  const call = heir.call.bind(heir);
  let late: Promise<unknown> | undefined;
  heir.call = (node, method, body) => {
    if (method !== 'owners.ask' || !JSON.stringify(body).includes('unavailable')) return call(node, method, body);
    late = slow.then(() => call(node, method, body));
    return late;
  };
  joined.kill(1);
  await expect.poll(() => late !== undefined).toBe(true);
  const romeo = await joined.enter(2, 'romeo', 'orchard');
  await joinRoom(romeo, room, 'Romeo');
  await hears(juliet, gone(`${room}@${HOST}/Romeo`), here(`${room}@${HOST}/Romeo`));
  goOn();
  await late;
  say(romeo, room, 'still here');
  for (const client of [romeo, juliet]) {
    const heard = await hears(client, /id="still here"/);
    expect(heard.at(-1)).not.toContain('type="error"');
    expect(heard.filter((text) => text.includes('unavailable'))).toEqual([]);
  }
});
