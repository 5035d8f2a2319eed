// Servers that one Redis joins, and people on them, when a node dies or is cut off.
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { StorageUnavailable } from '../../src/storage/errors.ts';
import { createMemoryDriver } from '../../src/storage/memory.ts';
import type { Driver } from '../../src/storage/ports.ts';
import { openChaosPipe } from '../kit/chaos.ts';
import type { StreamClient } from '../kit/client.ts';
import { logIn } from '../kit/login.ts';
import { redisForAll } from '../kit/redis-for-all.ts';
import { type RedisNodes, startRedisNodes } from '../kit/redis-nodes.ts';
import { TestServer } from '../kit/test-server.ts';

const domain = 'verona.test';
const romeo = { user: 'romeo', password: 'secret', domain, resource: 'orchard' };
const juliet = { user: 'juliet', password: 'secret', domain, resource: 'balcony' };

const redis = redisForAll();
let nodes: RedisNodes;
let servers: TestServer[] = [];
let isDatabaseAway = false;
const clients: StreamClient[] = [];
afterEach(async () => {
  isDatabaseAway = false;
  for (const client of clients.splice(0)) await client.destroy();
  for (const server of servers.splice(0)) await server.stop();
  await nodes.close();
});

/** A driver whose stores do not answer while the database is away. */
function breakable(driver: Driver): Driver {
  const failing = <T extends object>(store: T): T =>
    new Proxy(store, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) =>
          isDatabaseAway ? Promise.reject(new StorageUnavailable('away')) : value.apply(target, args);
      },
    });
  return {
    ...driver,
    async open(...args) {
      const stores = Object.entries(await driver.open(...args));
      return Object.fromEntries(stores.map(([name, store]) => [name, failing(store as object)]));
    },
  };
}

/** A server for each node; Juliet at the first one, Romeo, whom she sees, at the second one. */
async function begin(second: string): Promise<{ readonly her: StreamClient; readonly him: StreamClient }> {
  nodes = await startRedisNodes(redis.url, ['one']);
  await nodes.add('two', { target: second });
  await nodes.idle();
  const driver = breakable(createMemoryDriver(systemClock));
  servers = await Promise.all(
    nodes.clusters.map((cluster) => TestServer.start({ hosts: { [domain]: {} } }, { cluster, driver })),
  );
  for (const user of ['romeo', 'juliet']) await servers[0]!.server.accounts.create(`${user}@${domain}`, 'secret');
  const her = await enter(0, juliet);
  const him = await enter(1, romeo);
  her.write(`<presence type='subscribe' to='romeo@${domain}'/>`);
  await told(him, 'presence', (xml) => xml.includes('subscribe'));
  him.write(`<presence type='subscribed' to='juliet@${domain}'/>`);
  await told(her, 'presence', (xml) => xml.includes('orchard'));
  return { her, him };
}

async function enter(server: number, who: typeof romeo): Promise<StreamClient> {
  const { client } = await logIn(servers[server]!.c2s, who);
  clients.push(client);
  client.write('<presence/>');
  await client.fence();
  return client;
}

/** Waits for a stanza; what comes before it is of no interest. */
async function told(client: StreamClient, name: string, isIt: (xml: string) => boolean): Promise<string> {
  const deadline = Date.now() + 10_000;
  while (Date.now() < deadline) {
    const item = await client.next(500);
    if (item?.kind !== 'element' || item.element.name !== name) continue;
    const xml = String(item.element);
    if (isIt(xml)) return xml;
  }
  throw new Error(`no such ${name} came`);
}

function say(client: StreamClient, id: string, to: string): void {
  client.write(`<message type='chat' id='${id}' to='${to}'><body>${id}</body></message>`);
}

test('a node is cut off: its people look gone, what is sent to them is kept, and they reconnect when it is back', async () => {
  await using pipe = await openChaosPipe({ address: '127.0.0.1', port: redis.port });
  const { her, him } = await begin(`redis://127.0.0.1:${pipe.address.port}`);
  say(her, 'before', `romeo@${domain}/orchard`);
  await told(him, 'message', (xml) => xml.includes('before'));
  pipe.upstream = { frozen: true };
  pipe.downstream = { frozen: true };
  say(her, 'meanwhile', `romeo@${domain}/orchard`);
  await told(her, 'presence', (xml) => xml.includes('unavailable') && xml.includes('orchard'));
  pipe.upstream = {};
  pipe.downstream = {};
  pipe.reset();
  expect(await told(him, 'stream:error', () => true)).toContain('reset');
  expect(await him.closed(5_000)).toBe(true);
  // at whichever node he comes back, he has it, and once
  const again = await enter(1, romeo);
  await told(again, 'message', (xml) => xml.includes('meanwhile'));
  say(her, 'after', `romeo@${domain}`);
  const next = await told(again, 'message', () => true);
  expect(next).toContain('after');
});

test('a node dies: its people look gone, and find at another one what was on its way to them', async () => {
  const { her } = await begin(redis.url);
  const [one, two] = nodes.clusters;
  nodes.kill(two!.self);
  say(her, 'meanwhile', `romeo@${domain}/orchard`);
  await told(her, 'presence', (xml) => xml.includes('unavailable') && xml.includes('orchard'));
  expect([...one!.nodes]).toEqual([one!.self]);
  const again = await enter(0, romeo);
  await told(again, 'message', (xml) => xml.includes('meanwhile'));
});

test('a node dies while the database is away: its people look gone as soon as that is back', async () => {
  const { her } = await begin(redis.url);
  const [one, two] = nodes.clusters;
  isDatabaseAway = true;
  nodes.kill(two!.self);
  await expect.poll(() => [...one!.nodes]).toEqual([one!.self]);
  await new Promise((resolve) => setTimeout(resolve, 300));
  isDatabaseAway = false;
  await told(her, 'presence', (xml) => xml.includes('unavailable') && xml.includes('orchard'));
});
