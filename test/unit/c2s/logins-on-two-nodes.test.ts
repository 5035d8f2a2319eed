// One client that logs in on two nodes at the same time (XEP-0386 3.2), and sessions to be ended on a node that does not answer.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Jid } from '../../../src/xmpp/jid.ts';
import { StreamClient } from '../../kit/client.ts';
import { logIn, openStream } from '../../kit/login.ts';
import { type GroupNode, NodeGroup } from '../../kit/node-group.ts';

const domain = 'verona.test';
let group: NodeGroup;
let one: GroupNode;
let two: GroupNode;
const clients: StreamClient[] = [];

beforeEach(async () => {
  group = await NodeGroup.start({ hosts: { [domain]: {} } }, { timeout: 150 });
  [one, two] = group.nodes as [GroupNode, GroupNode];
  await one.server.server.accounts.create(`romeo@${domain}`, 'secret');
});
afterEach(async () => {
  for (const client of clients.splice(0)) await client.destroy();
  await group.stop();
});

async function connect(node: GroupNode): Promise<StreamClient> {
  const client = await StreamClient.connect(node.server.c2s);
  clients.push(client);
  await openStream(client, domain);
  return client;
}

function logInWith(client: StreamClient, tag: string): void {
  const plain = Buffer.from('\0romeo\0secret').toString('base64');
  client.write(
    `<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>${plain}</initial-response>` +
      `<user-agent id='${agent}'><software>Test</software></user-agent>` +
      `<bind xmlns='urn:xmpp:bind:0'><tag>${tag}</tag></bind></authenticate>`,
  );
}

const agent = 'd4565fa7-4d72-4749-b3d3-740edbf87770';

async function entries(): Promise<readonly { readonly resource: string }[]> {
  const all = await group.bus.clusters[0]!.directory.sessions(Jid.of('romeo', domain).bare, true);
  return all.map(({ jid }) => jid);
}

/** Each node's next session is in the directory before either goes on. */
function meetInDirectory(): void {
  const { clusters } = group.bus;
  let missing = clusters.length;
  let meet = (): void => {};
  const met = new Promise<void>((resolve) => {
    meet = resolve;
  });
  for (const cluster of clusters) {
    const { directory } = cluster;
    const put = directory.put.bind(directory);
    directory.put = async (entry) => {
      directory.put = put;
      const other = await put(entry);
      if (--missing === 0) meet();
      await met;
      return other;
    };
  }
}

async function enter(node: GroupNode, resource: string): Promise<StreamClient> {
  const { client } = await logIn(node.server.c2s, { domain, user: 'romeo', password: 'secret', resource });
  clients.push(client);
  return client;
}

describe.each([
  { name: 'with the same tag', tags: ['a', 'a'] as const },
  { name: 'with two tags', tags: ['a', 'b'] as const },
])('of two logins of one client at the same time, $name', ({ tags }) => {
  test('exactly one stays', async () => {
    const both = [await connect(one), await connect(two)] as const;
    meetInDirectory();
    for (const [i, client] of both.entries()) logInWith(client, tags[i]!);
    await expect.poll(() => both.filter((client) => client.isClosed).length).toBe(1);
    await group.settle();
    const survivor = both.find((client) => !client.isClosed)!;
    await survivor.fence();
    expect(survivor.isClosed).toBe(false);
    expect(await entries()).toHaveLength(1);
    expect(group.errors).toEqual([]);
  });
});

describe('a node that does not answer', () => {
  test('holds up nobody who takes the place of its session, and ends that when it answers again', async () => {
    const old = await enter(one, 'here');
    group.bus.freeze(one.id, true);
    const young = await enter(two, 'here');
    await young.fence();
    expect(old.isClosed).toBe(false);
    group.bus.freeze(one.id, false);
    await old.closed();
    expect(young.isClosed).toBe(false);
    expect(await entries()).toHaveLength(1);
  });

  test('ends its sessions for a password that was changed meanwhile, however late it is told', async () => {
    const old = await enter(one, 'here');
    const other = await enter(two, 'there');
    const calls = group.bus.clusters.find(({ self }) => self === two.id)!;
    const call = calls.call.bind(calls);
    // what it is told is lost
    calls.call = (node, method, body) =>
      method === 'session.close' ? Promise.reject(new Error('lost')) : call(node, method, body);
    await two.server.server.accounts.setPassword(`romeo@${domain}`, 'changed');
    await other.closed();
    expect(old.isClosed).toBe(false);
    await group.clock.advance(60_000);
    expect(old.isClosed).toBe(false);
    calls.call = call;
    await group.clock.advance(6_000);
    await old.closed();
    expect(await entries()).toHaveLength(0);
  });
});

describe('an account with as many sessions as it may have, on several nodes', () => {
  beforeEach(async () => {
    await group.stop();
    group = await NodeGroup.start(
      { hosts: { [domain]: {} }, limits: { enabled: true, 'sessions-per-account': 2 } },
      { timeout: 150 },
    );
    [one, two] = group.nodes as [GroupNode, GroupNode];
    await one.server.server.accounts.create(`romeo@${domain}`, 'secret');
  });

  const enter = async (node: GroupNode, resource: string): Promise<StreamClient> => {
    const { client } = await logIn(node.server.c2s, { domain, user: 'romeo', password: 'secret', resource });
    clients.push(client);
    return client;
  };

  test('gets no more of them anywhere', async () => {
    await enter(one, 'orchard');
    await enter(two, 'garden');
    await expect(enter(two, 'balcony')).rejects.toThrow();
    await group.settle();
    expect((await entries()).map(({ resource }) => resource).sort()).toEqual(['garden', 'orchard']);
    // one that comes again takes its own place
    await enter(two, 'orchard');
    await group.settle();
    expect((await entries()).map(({ resource }) => resource).sort()).toEqual(['garden', 'orchard']);
  });

  test('gives up one that waits for its client, on whichever node it is', async () => {
    const orchard = await enter(one, 'orchard');
    orchard.write("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    await orchard.fence();
    await enter(one, 'garden');
    await orchard.destroy();
    await group.settle();
    await enter(two, 'balcony');
    await group.settle();
    expect((await entries()).map(({ resource }) => resource).sort()).toEqual(['balcony', 'garden']);
  });
});
