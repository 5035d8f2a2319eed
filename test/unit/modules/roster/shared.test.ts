// Subscriptions where the node that makes an account's roster changes is slow, or dies: what follows from them must not get lost, since
// asking again changes nothing, and so has no effect.
import { afterEach, expect, test } from 'vitest';
import type { Cluster, NodeId } from '../../../../src/cluster/cluster.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import type { StreamClient } from '../../../kit/client.ts';
import { FakeClock, turn } from '../../../kit/clock.ts';
import { createNodes, type Nodes } from '../../../kit/cluster-pair.ts';
import { logIn } from '../../../kit/login.ts';
import { TestServer } from '../../../kit/test-server.ts';

const domain = 'verona.test';
/** How long a node waits for another one's answer here, in milliseconds. */
const TIMEOUT = 80;

let nodes: Nodes;
let clock: FakeClock;
const servers = new Map<NodeId, TestServer>();
const clients: StreamClient[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) await client.destroy();
  for (const server of servers.values()) await server.stop();
  servers.clear();
});

const jid = (user: string): string => `${user}@${domain}`;
const [here, slow] = ['one', 'two'] as NodeId[] as [NodeId, NodeId];

/** People whose rosters these nodes look after. */
async function start(...owners: readonly NodeId[]): Promise<string[]> {
  clock = new FakeClock();
  const driver = createMemoryDriver(clock);
  nodes = createNodes([here, slow], TIMEOUT);
  for (const cluster of nodes.clusters) {
    servers.set(cluster.self, await TestServer.start({ hosts: { [domain]: {} } }, { clock, driver, cluster }));
  }
  const [cluster] = nodes.clusters as [Cluster];
  const people = Array.from({ length: 40 }, (_, i) => `person${i}`);
  const chosen = owners.map((owner) => {
    const at = people.findIndex((user) => cluster.owner(`roster ${jid(user)}`) === owner);
    return people.splice(at, 1)[0]!;
  });
  for (const user of chosen) await servers.get(here)!.server.accounts.create(jid(user), 'secret');
  return chosen;
}

async function enter(user: string): Promise<StreamClient> {
  const { client } = await logIn(servers.get(here)!.c2s, { domain, user, password: 'secret', resource: 'here' });
  clients.push(client);
  client.write("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq><presence/>");
  await client.fence();
  await settle();
  client.inbox.length = 0;
  return client;
}

async function settle(): Promise<void> {
  for (let i = 0; i < 4; i++) {
    for (const client of clients) await client.fence();
    await turn();
    await nodes.idle();
  }
}

const presences = ({ inbox }: StreamClient, type: string, from: string): number =>
  inbox.filter(
    ({ ...item }) =>
      item.kind === 'element' &&
      item.element.is('presence') &&
      item.element.attrs.type === type &&
      item.element.attrs.from === jid(from),
  ).length;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** The other node does nothing for a little longer than it is waited for. */
async function hesitate(): Promise<void> {
  nodes.freeze(slow, true);
  await pause(1.5 * TIMEOUT);
  nodes.freeze(slow, false);
  await settle();
}

/** The other node does what it is asked for, and dies before anybody hears of that, nor of what it has sent about it. */
async function dieOverIt(): Promise<void> {
  const [cluster] = nodes.clusters as [Cluster];
  const call = cluster.call.bind(cluster);
  cluster.call = async (node, method, body) => {
    if (!method.startsWith('roster.change')) return call(node, method, body);
    const pushed = clients.map(({ inbox }) => inbox.length);
    await call(node, method, body);
    await pause(TIMEOUT);
    for (const [i, { inbox }] of clients.entries()) inbox.length = pushed[i]!;
    nodes.kill(slow);
    throw new Error(`${node} is gone`);
  };
  await settle();
}

for (const [what, happens] of [
  ['is slow', hesitate],
  ['dies over it', dieOverIt],
] as const) {
  test(`a request reaches the contact though the node of its roster ${what}`, async () => {
    const [asks, asked] = (await start(here, slow)) as [string, string];
    const [asker, reader] = [await enter(asks), await enter(asked)];
    asker.write(`<presence to='${jid(asked)}' type='subscribe'/>`);
    await happens();
    expect(presences(reader, 'subscribe', asks)).toBe(1);
    expect(presences(asker, 'error', asked)).toBe(0);
  });

  test(`an approval reaches who asked though the node of the roster that it is noted in ${what}`, async () => {
    const [asks, asked] = (await start(here, slow)) as [string, string];
    const [asker, reader] = [await enter(asks), await enter(asked)];
    asker.write(`<presence to='${jid(asked)}' type='subscribe'/>`);
    await settle();
    reader.write(`<presence to='${jid(asks)}' type='subscribed'/>`);
    await happens();
    expect(presences(asker, 'subscribed', asked)).toBe(1);
  });
}

test('devices hear of what was asked for though the node of their roster dies over it', async () => {
  const [asks, asked] = (await start(slow, here)) as [string, string];
  const asker = await enter(asks);
  asker.write(`<presence to='${jid(asked)}' type='subscribe'/>`);
  await dieOverIt();
  const pushes = asker.inbox.filter(
    ({ ...item }) => item.kind === 'element' && /ask="subscribe"/.test(`${item.element}`),
  );
  expect(pushes.length).toBeGreaterThan(0);
});

test('devices hear of a name though the node of their roster dies over it', async () => {
  const [user] = (await start(slow)) as [string];
  const reader = await enter(user);
  reader.write(
    "<iq type='set' id='s'><query xmlns='jabber:iq:roster'><item jid='romeo@mantua.test' name='Romeo'/></query></iq>",
  );
  await dieOverIt();
  await clock.advance(1_500);
  await settle();
  const texts = reader.inbox.flatMap((item) => (item.kind === 'element' ? [`${item.element}`] : []));
  expect(texts.filter((text) => text.includes('push-') && text.includes('name="Romeo"'))).toHaveLength(1);
});
