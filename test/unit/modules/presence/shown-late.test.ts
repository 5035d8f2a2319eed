// Who has just come sees who is there, also where that could not be told at once: it will not be asked for again (RFC 6121 4.3).
import { afterEach, expect, test } from 'vitest';
import type { Cluster } from '../../../../src/cluster/cluster.ts';
import { StorageUnavailable } from '../../../../src/storage/errors.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import type { Driver } from '../../../../src/storage/ports.ts';
import type { StreamClient } from '../../../kit/client.ts';
import { FakeClock, turn } from '../../../kit/clock.ts';
import { createNodes, type Nodes } from '../../../kit/cluster-pair.ts';
import { logIn } from '../../../kit/login.ts';
import { TestServer } from '../../../kit/test-server.ts';

const domain = 'verona.test';
const people = ['romeo', 'juliet'] as const;

let nodes: Nodes;
let clock: FakeClock;
const servers: TestServer[] = [];
const clients: StreamClient[] = [];
/** Whose roster the database does not give. */
let broken: string | undefined;

afterEach(async () => {
  for (const client of clients.splice(0)) await client.destroy();
  for (const server of servers.splice(0)) await server.stop();
});

function fragile(driver: Driver): Driver {
  return {
    ...driver,
    async open(host, module, specs) {
      const opened = await driver.open(host, module, specs);
      if (module !== 'roster') return opened;
      const wrap = (store: object): object =>
        new Proxy(store, {
          get(target, name) {
            const method: unknown = Reflect.get(target, name);
            if (typeof method !== 'function') return method;
            return (...args: unknown[]) => {
              if (broken !== undefined && args[0] === broken) throw new StorageUnavailable('the database is away');
              return method.apply(target, args) as unknown;
            };
          },
        });
      const stores = Object.entries(opened).map(([name, store]) => [name, wrap(store as object)]);
      return Object.fromEntries(stores) as typeof opened;
    },
  };
}

async function start(count: number): Promise<void> {
  broken = undefined;
  clock = new FakeClock();
  const driver = fragile(createMemoryDriver(clock));
  nodes = createNodes(['one', 'two', 'three'].slice(0, count));
  for (const cluster of nodes.clusters) {
    servers.push(await TestServer.start({ hosts: { [domain]: {} } }, { clock, driver, cluster }));
  }
  for (const user of people) await servers[0]!.server.accounts.create(`${user}@${domain}`, 'secret');
}

async function enter(node: number, user: (typeof people)[number], resource: string): Promise<StreamClient> {
  const { client } = await logIn(servers[node]!.c2s, { domain, user, password: 'secret', resource });
  clients.push(client);
  return client;
}

async function settle(): Promise<void> {
  for (let i = 0; i < 4; i++) {
    for (const client of clients) if (!client.isClosed) await client.fence();
    await turn();
    await nodes.idle();
  }
}

async function befriend(): Promise<void> {
  const [romeo, juliet] = [await enter(0, 'romeo', 'first'), await enter(0, 'juliet', 'first')];
  romeo.write(`<presence to='juliet@${domain}' type='subscribe'/>`);
  juliet.write(`<presence to='romeo@${domain}' type='subscribe'/>`);
  await settle();
  romeo.write(`<presence to='juliet@${domain}' type='subscribed'/>`);
  juliet.write(`<presence to='romeo@${domain}' type='subscribed'/>`);
  await settle();
  for (const client of clients.splice(0)) await client.destroy();
  await turn();
  await nodes.idle();
}

/** Juliet is there, and Romeo has logged in on that node, and has said nothing yet. */
async function begin(count: number, node: number): Promise<{ romeo: StreamClient; juliet: StreamClient }> {
  await start(count);
  await befriend();
  const juliet = await enter(0, 'juliet', 'balcony');
  juliet.write('<presence/>');
  await settle();
  const romeo = await enter(node, 'romeo', 'orchard');
  await settle();
  return { romeo, juliet };
}

/** Both are there, and Juliet has forgotten what she was shown of it. */
async function beginTogether(): Promise<{ romeo: StreamClient; juliet: StreamClient }> {
  const both = await begin(2, 1);
  both.romeo.write('<presence/>');
  await settle();
  both.juliet.inbox.length = 0;
  return both;
}

/** Romeo goes, of which Juliet does not hear yet. */
async function leaveUnheard(romeo: StreamClient, juliet: StreamClient): Promise<void> {
  romeo.write('</stream:stream>');
  await expect.poll(() => romeo.isClosed).toBe(true);
  await settle();
  expect(shown(juliet, `romeo@${domain}/orchard`)).toBe(0);
}

/** So much later that it was tried again. */
async function later(): Promise<void> {
  await clock.advance(1_500);
  await settle();
}

/** How often somebody was shown the presence of a resource. */
const shown = ({ inbox }: StreamClient, from: string): number =>
  inbox.filter(
    (item) => item.kind === 'element' && item.element.is('presence') && item.element.attrs.from === `${from}`,
  ).length;

test('the database is away for a moment: contacts are shown when it is back', async () => {
  const { romeo } = await begin(2, 1);
  broken = 'juliet';
  romeo.write('<presence/>');
  await settle();
  expect(shown(romeo, `juliet@${domain}/balcony`)).toBe(0);
  await later();
  broken = undefined;
  await later();
  expect(shown(romeo, `juliet@${domain}/balcony`)).toBe(1);
  expect(romeo.inbox.some((item) => item.kind === 'element' && item.element.attrs.type === 'error')).toBe(false);
});

test('a contact that has gone on to another node meanwhile is shown by that one', async () => {
  const { romeo } = await begin(3, 2);
  // the third node believes her to be on the second one still, for as long as it asks no one else
  const cluster = nodes.clusters[2] as Cluster;
  const sessions = cluster.directory.sessions.bind(cluster.directory);
  cluster.directory.sessions = async (user, isFresh) => {
    const entries = await sessions(user, isFresh);
    if (isFresh || !user.startsWith('juliet')) return entries;
    return entries.map((entry) => ({ ...entry, node: nodes.clusters[1]!.self }));
  };
  romeo.write('<presence/>');
  await settle();
  expect(shown(romeo, `juliet@${domain}/balcony`)).toBe(1);
});

test('a question for her presence that is lost on its way is asked again, also where nobody can tell at first where to', async () => {
  const { romeo } = await begin(2, 1);
  const cluster = nodes.clusters[1] as Cluster;
  const call = cluster.call.bind(cluster);
  let blindness = { isOn: false };
  cluster.call = (node, method, body) => {
    if (!method.startsWith('presence.show')) return call(node, method, body);
    cluster.call = call;
    blindness = blind(1, 'juliet');
    return Promise.reject(new Error(`${node} is gone`));
  };
  romeo.write('<presence/>');
  await settle();
  await later();
  expect(shown(romeo, `juliet@${domain}/balcony`)).toBe(0);
  blindness.isOn = false;
  await later();
  await later();
  expect(shown(romeo, `juliet@${domain}/balcony`)).toBe(1);
});

/** While true, a node cannot tell where somebody is. */
function blind(node: number, user: string): { isOn: boolean } {
  const state = { isOn: true };
  const { directory } = nodes.clusters[node] as Cluster;
  const sessions = directory.sessions.bind(directory);
  directory.sessions = async (bare, isFresh) => {
    if (state.isOn && bare.startsWith(user)) throw new StorageUnavailable('Redis is away');
    return sessions(bare, isFresh);
  };
  return state;
}

const errors = ({ inbox }: StreamClient): number =>
  inbox.filter((item) => item.kind === 'element' && item.element.attrs.type === 'error').length;

test('contacts that could not be found are told when they can be, and of what holds by then', async () => {
  const { romeo, juliet } = await begin(2, 1);
  const blindness = blind(1, 'juliet');
  romeo.write('<presence/><presence><show>away</show></presence>');
  await settle();
  await later();
  expect(shown(juliet, `romeo@${domain}/orchard`)).toBe(0);
  expect(errors(romeo)).toBe(0);
  blindness.isOn = false;
  await later();
  expect(shown(juliet, `romeo@${domain}/orchard`)).toBe(1);
  expect(juliet.inbox.some((item) => item.kind === 'element' && /<show>away/.test(`${item.element}`))).toBe(true);
  // and he sees her, for whom he could not ask
  expect(shown(romeo, `juliet@${domain}/balcony`)).toBe(1);
});

test('the node of a contact cannot find who has just come, for a moment: the contact is shown when it can', async () => {
  const { romeo } = await begin(2, 1);
  const blindness = blind(0, 'romeo');
  romeo.write('<presence/>');
  await settle();
  expect(shown(romeo, `juliet@${domain}/balcony`)).toBe(0);
  blindness.isOn = false;
  await later();
  expect(shown(romeo, `juliet@${domain}/balcony`)).toBe(1);
});

test('contacts that could not be found when somebody left hear of it later', async () => {
  const { romeo, juliet } = await beginTogether();
  const blindness = blind(1, 'juliet');
  await leaveUnheard(romeo, juliet);
  blindness.isOn = false;
  await later();
  expect(shown(juliet, `romeo@${domain}/orchard`)).toBe(1);
});

test('contacts hear that somebody has left though the roster could not be read then', async () => {
  const { romeo, juliet } = await beginTogether();
  // what was read of it is forgotten: the dead node may have changed it without having said so
  nodes.kill(nodes.add('three').self);
  broken = 'romeo';
  await leaveUnheard(romeo, juliet);
  broken = undefined;
  await later();
  expect(shown(juliet, `romeo@${domain}/orchard`)).toBe(1);
});
