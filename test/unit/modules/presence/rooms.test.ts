// Presence to rooms of this server (RFC 6121 4.6, XEP-0045 7.1, 7.14): they are told of the end of who has come, however it ends, and of
// nothing that was not said to them.
import { afterEach, describe, expect, test } from 'vitest';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import type { StreamClient } from '../../../kit/client.ts';
import { FakeClock, turn } from '../../../kit/clock.ts';
import { createNodes } from '../../../kit/cluster-pair.ts';
import { domain, enterAs, type Rooms, startRooms } from '../../../kit/rooms-host.ts';

const ended: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).reverse()) await end();
});

const romeo = `romeo@${domain}/here`;
const room = `capulet@groups.${domain}/Romeo`;
const join = `<presence to='${room}'><x xmlns='http://jabber.org/protocol/muc'/></presence>`;
const available = `presence undefined undefined ${romeo} > ${room}`;
const unavailable = `presence unavailable undefined ${romeo} > ${room}`;

async function isIn(client: StreamClient, rooms: Rooms): Promise<void> {
  client.write(join);
  await client.fence();
  expect(rooms.heard.splice(0)).toEqual([available]);
}

describe.each(['only connected', 'online'])('of somebody who is %s', (how) => {
  async function enter() {
    const { server, rooms } = await startRooms(ended);
    const client = await enterAs(ended, server, 'romeo');
    if (how === 'online') client.write('<presence/>');
    await isIn(client, rooms);
    return { client, server, rooms };
  }

  test.each([
    ['says so', (client: StreamClient) => client.write("<presence type='unavailable'/>")],
    ['closes the stream', (client: StreamClient) => client.write('</stream:stream>')],
    ['loses the connection', (client: StreamClient) => client.destroy()],
  ])('the end is told once when the client %s', async (_, end) => {
    const { client, rooms } = await enter();
    await end(client);
    await expect.poll(() => rooms.heard).toEqual([unavailable]);
    await turn();
    expect(rooms.heard).toEqual([unavailable]);
  });

  test('changes are not told, and the end is not told where it was told before', async () => {
    const { client, rooms } = await enter();
    client.write('<presence><show>away</show></presence>');
    await client.fence();
    expect(rooms.heard).toEqual([]);
    client.write(`<presence to='${room}' type='unavailable'/>`);
    await client.fence();
    expect(rooms.heard).toEqual([unavailable]);
    client.write("<presence type='unavailable'/></stream:stream>");
    await client.closed();
    await turn();
    expect(rooms.heard).toEqual([unavailable]);
  });

  test('a session that waits to be resumed is still there, and gone when it does not come back', async () => {
    const clock = new FakeClock();
    const { server, rooms } = await startRooms(ended, { 'stream-management': { 'resume-timeout': '1m' } }, { clock });
    const client = await enterAs(ended, server, 'romeo');
    client.write("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    if (how === 'online') client.write('<presence/>');
    await isIn(client, rooms);
    await client.destroy();
    await expect.poll(() => server.sessions.get(romeo)?.stream).toBeUndefined();
    await turn();
    expect(rooms.heard).toEqual([]);
    await clock.advance(61_000);
    await expect.poll(() => rooms.heard).toEqual([unavailable]);
  });
});

test('a session whose node has died is gone, which another node tells', async () => {
  const nodes = createNodes();
  const driver = createMemoryDriver(new FakeClock());
  const [here, there] = nodes.clusters;
  const one = await startRooms(ended, {}, { cluster: here!, driver });
  const two = await startRooms(ended, {}, { cluster: there!, driver });
  const client = await enterAs(ended, two.server, 'romeo');
  client.write(join);
  await client.fence();
  await nodes.idle();
  expect(two.rooms.heard).toEqual([available]);
  nodes.kill(there!.self);
  await expect.poll(() => one.rooms.heard).toEqual([unavailable]);
});
