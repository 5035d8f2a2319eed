// Messages kept for people who are away, while the directory of the cluster does not answer: none is lost.
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Directory } from '../../../src/cluster/cluster.ts';
import { StorageUnavailable } from '../../../src/storage/errors.ts';
import { createMemoryDriver } from '../../../src/storage/memory.ts';
import type { StreamClient } from '../../kit/client.ts';
import { FakeClock, turn } from '../../kit/clock.ts';
import { createNodes, type Nodes } from '../../kit/cluster-pair.ts';
import { logIn } from '../../kit/login.ts';
import { TestServer } from '../../kit/test-server.ts';

const domain = 'verona.test';

let nodes: Nodes;
let servers: TestServer[];
let clients: StreamClient[];

beforeEach(async () => {
  const clock = new FakeClock();
  const driver = createMemoryDriver(clock);
  // (a directory for each node)
  nodes = createNodes(undefined, undefined, true);
  servers = [];
  clients = [];
  for (const cluster of nodes.clusters) {
    servers.push(await TestServer.start({ hosts: { [domain]: {} } }, { clock, driver, cluster }));
  }
  for (const user of ['romeo', 'juliet']) await servers[0]!.server.accounts.create(`${user}@${domain}`, 'secret');
});

afterEach(async () => {
  for (const client of clients) await client.destroy();
  for (const server of servers) await server.stop();
});

async function enter(node: 0 | 1, user: string, resource: string): Promise<StreamClient> {
  const { client } = await logIn(servers[node]!.c2s, { domain, user, password: 'secret', resource });
  clients.push(client);
  return client;
}

async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) {
    for (const client of clients) if (!client.isClosed) await client.fence();
    await turn();
    await nodes.idle();
  }
}

const messages = ({ inbox }: StreamClient): number =>
  inbox.filter((item) => item.kind === 'element' && item.element.name === 'message').length;

/** Puts something before the first node's lookups of Romeo. */
function wrap(lookUp: (sessions: Directory['sessions'], isFresh: boolean) => Directory['sessions']): () => void {
  const { directory } = nodes.clusters[0]!;
  const sessions = directory.sessions.bind(directory);
  directory.sessions = (user, isFresh = false) =>
    (user.startsWith('romeo@') ? lookUp(sessions, isFresh) : sessions)(user, isFresh);
  return () => {
    directory.sessions = sessions;
  };
}
const silence: Directory['sessions'] = () => Promise.reject(new StorageUnavailable('the directory does not answer'));

test('who comes online at a node that cannot ask is given the messages all the same', async () => {
  const juliet = await enter(0, 'juliet', 'balcony');
  juliet.write(`<message type='chat' id='a' to='romeo@${domain}'><body>Ay me</body></message>`);
  await settle();
  wrap((sessions, isFresh) => (isFresh ? silence : sessions));
  const romeo = await enter(0, 'romeo', 'orchard');
  romeo.write('<presence/>');
  await settle();
  expect(messages(romeo)).toBe(1);
});

test('where it cannot be told whether somebody at another node is there still, the messages wait on', async () => {
  const juliet = await enter(0, 'juliet', 'balcony');
  const romeo = await enter(1, 'romeo', 'orchard');
  romeo.write('<presence/>');
  await settle();
  let fresh = 0;
  // he is not known to be there when the message comes, but when it is written down; and then nobody answers
  const answer = wrap((sessions, isFresh) => {
    if (!isFresh) return () => [];
    fresh++;
    return fresh === 1 ? sessions : silence;
  });
  juliet.write(`<message type='chat' id='a' to='romeo@${domain}'><body>Ay me</body></message>`);
  await settle();
  expect(fresh).toBeGreaterThan(1);
  expect(messages(romeo)).toBe(0);
  answer();
  romeo.write("<presence type='unavailable'/>");
  romeo.write('<presence/>');
  await settle();
  expect(messages(romeo)).toBe(1);
});
