// Two clients and the proxy: what is activated, by whom, and how many (XEP-0065 6.3.5).

import type { Element } from 'ltx';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { NS } from '../../../src/xmpp/ns.ts';
import type { StreamClient } from '../../kit/client.ts';
import { logIn } from '../../kit/login.ts';
import { Peer, streamName } from '../../kit/socks5.ts';
import { TestServer } from '../../kit/test-server.ts';

const host = 'verona.test';
const romeo = `romeo@${host}/orchard`;
const juliet = 'juliet@capulet.test/balcony';

let server: TestServer;
let port: number;
const clients: StreamClient[] = [];
const peers: Peer[] = [];

beforeEach(async () => {
  server = await TestServer.start({
    hosts: { [host]: {} },
    proxy: { enabled: true },
    listen: { proxy65: 0, c2s: 0 },
    modules: { proxy65: { 'streams-per-account': 2, streams: 3 } },
  });
  port = server.addressOf('proxy65').port;
  for (const user of ['romeo', 'tybalt']) await server.server.accounts.create(`${user}@${host}`, 'secret');
});
afterEach(async () => {
  for (const peer of peers.splice(0)) peer.socket.destroy();
  for (const client of clients.splice(0)) await client.destroy();
  await server.stop();
});

async function enter(user: string, resource: string): Promise<StreamClient> {
  const { client } = await logIn(server.c2s, { domain: host, user, password: 'secret', resource });
  clients.push(client);
  return client;
}

async function join(sid: string, requester = romeo, target = juliet): Promise<Peer> {
  const peer = await Peer.join(port, streamName(sid, requester, target));
  peers.push(peer);
  return peer;
}

/** What the proxy says: nothing, or the condition of an error. */
async function activate(client: StreamClient, sid: string, target = juliet): Promise<string | undefined> {
  client.write(
    `<iq type='set' id='a' to='proxy.${host}'><query xmlns='${NS.bytestreams}' sid='${sid}'><activate>${target}</activate></query></iq>`,
  );
  const item = await client.next();
  if (item?.kind !== 'element') throw new Error('no answer');
  const error = (item.element as Element).getChild('error');
  return (error?.children[0] as Element | undefined)?.name;
}

test('a file passes when both are connected and the requester has activated it', async () => {
  const client = await enter('romeo', 'orchard');
  const one = await join('s1');
  expect(await activate(client, 's1')).toBe('not-allowed');
  const other = await join('s1');
  expect(await activate(client, 's1')).toBeUndefined();
  one.socket.end('parting is such sweet sorrow');
  await other.ended();
  expect(other.received.toString()).toBe('parting is such sweet sorrow');
  expect(await activate(client, 's1')).toBe('item-not-found');
});

test('nobody but the requester activates, from the very device; and nobody at all for another target', async () => {
  await join('s1');
  await join('s1');
  const [tybalt, garden, orchard] = [
    await enter('tybalt', 'orchard'),
    await enter('romeo', 'garden'),
    await enter('romeo', 'orchard'),
  ];
  expect(await activate(tybalt, 's1')).toBe('item-not-found');
  expect(await activate(garden, 's1')).toBe('item-not-found');
  expect(await activate(orchard, 's1', 'juliet@capulet.test/chamber')).toBe('item-not-found');
  expect(await activate(orchard, 's2')).toBe('item-not-found');
  // 5.3.2: addresses are prepared before they are hashed
  expect(await activate(orchard, 's1', 'Juliet@CAPULET.test/balcony')).toBeUndefined();
});

// XEP-0065 7
test('in a room the target is the occupant', async () => {
  const client = await enter('romeo', 'orchard');
  const occupant = `coven@groups.${host}/Juliet`;
  await join('s1', romeo, occupant);
  await join('s1', romeo, occupant);
  expect(await activate(client, 's1', occupant)).toBeUndefined();
});

test('so many streams of one account, and so many of all', async () => {
  const client = await enter('romeo', 'orchard');
  const tybalt = await enter('tybalt', 'street');
  const both = async (sid: string, requester = romeo): Promise<Peer> => {
    await join(sid, requester);
    return join(sid, requester);
  };
  const first = await both('s1');
  for (const sid of ['s2', 's3']) await both(sid);
  expect(await activate(client, 's1')).toBeUndefined();
  expect(await activate(client, 's2')).toBeUndefined();
  expect(await activate(client, 's3')).toBe('resource-constraint');
  for (const sid of ['t1', 't2']) await both(sid, `tybalt@${host}/street`);
  expect(await activate(tybalt, 't1')).toBeUndefined();
  expect(await activate(tybalt, 't2')).toBe('resource-constraint');
  first.socket.resetAndDestroy();
  await expect.poll(() => activate(client, 's3')).toBeUndefined();
});
