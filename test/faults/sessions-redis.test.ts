// Sessions that go from node to node where nodes are joined by Redis: resumed anywhere, handed over, left by a node that dies.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { createMemoryDriver } from '../../src/storage/memory.ts';
import { Jid } from '../../src/xmpp/jid.ts';
import type { StreamClient } from '../kit/client.ts';
import { logIn } from '../kit/login.ts';
import { redisForAll } from '../kit/redis-for-all.ts';
import { type RedisNodes, startRedisNodes } from '../kit/redis-nodes.ts';
import { TestServer } from '../kit/test-server.ts';
import { Device, domain, randomFrom, Story } from './devices.ts';

const ROUNDS = 25;

const redis = redisForAll();
let nodes: RedisNodes;
let servers: TestServer[];
let writers: StreamClient[];
let story: Story;
let phone: Device;
let sent: string[];

beforeEach(async () => {
  nodes = await startRedisNodes(redis.url, ['one', 'two', 'three'], { callTimeout: 2_000 });
  const driver = createMemoryDriver(systemClock);
  servers = [];
  for (const cluster of nodes.clusters) {
    servers.push(await TestServer.start({ hosts: { [domain]: {} } }, { cluster, driver }));
  }
  for (const user of ['romeo', 'juliet']) await servers[0]!.server.accounts.create(`${user}@${domain}`, 'secret');
  writers = [];
  for (const { c2s } of servers) {
    writers.push((await logIn(c2s, { domain, user: 'juliet', password: 'secret' })).client);
  }
  story = new Story();
  phone = new Device('phone', story);
  sent = [];
  await phone.come(servers[0]!.c2s);
  phone.client?.write('<presence/>');
  await phone.client?.fence();
});
afterEach(async () => {
  for (const client of writers) await client.destroy();
  await phone.cut();
  for (const server of servers) await server.stop();
  await nodes.close();
});

/** Juliet writes at a node, and knows that it was taken. */
async function write(node: number): Promise<void> {
  const id = `m${sent.length}`;
  sent.push(id);
  const client = writers[node]!;
  client.write(`<message type='chat' id='${id}' to='${phone.jid}'><body>${id}</body></message>`);
  await client.fence();
}

/** The node that the directory names, as seen from each. */
async function places(from: readonly number[]): Promise<unknown[]> {
  const bare = Jid.of('romeo', domain).bare;
  const seen = await Promise.all(from.map((i) => nodes.clusters[i]!.directory.sessions(bare, true)));
  return seen.map((entries) => entries.map(({ node }) => nodes.clusters.findIndex(({ self }) => self === node)));
}

async function expectAll(): Promise<void> {
  await expect.poll(() => story.arrived.size, { timeout: 10_000 }).toBe(sent.length);
  expect(story.problems, String(story)).toEqual([]);
}

test.each([1, 2, 3])(
  'a session that is resumed on one node after another misses nothing, and has nothing twice: %i',
  async (seed) => {
    const below = randomFrom(seed);
    for (let round = 0; round < ROUNDS; round++) {
      const node = below(3);
      if (below(2) === 0) await phone.cut();
      const writing = [write(below(3)), write(below(3))];
      await phone.resume(servers[node]!.c2s);
      expect(phone.isConnected).toBe(true);
      await Promise.all(writing);
      if (below(2) === 0) await phone.ack();
      expect(await places([0, 1, 2])).toEqual([[node], [node], [node]]);
    }
    await expectAll();
  },
);

test('a node that had the session dies, and the session stays where it went', async () => {
  await write(1);
  await phone.resume(servers[1]!.c2s);
  nodes.kill(nodes.clusters[0]!.self);
  await nodes.idle();
  await write(2);
  expect(await places([1, 2])).toEqual([[1], [1]]);
  await phone.cut();
  await write(2);
  await phone.resume(servers[2]!.c2s);
  expect(phone.isConnected).toBe(true);
  await expectAll();
});

test('a node that stops hands the session over', async () => {
  await write(1);
  const stopping = servers[0]!.server.stop();
  await write(1);
  await stopping;
  await write(2);
  const [[at]] = (await places([1])) as [[number]];
  expect(at).toBeGreaterThan(0);
  // at the one, or at the other
  await phone.resume(servers[3 - at]!.c2s);
  expect(phone.isConnected).toBe(true);
  await expectAll();
});
