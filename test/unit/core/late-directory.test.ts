// Delivery between two nodes while the directory says what is not true any more.
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Directory, SessionEntry } from '../../../src/cluster/cluster.ts';
import { createMemoryDriver } from '../../../src/storage/memory.ts';
import { Jid } from '../../../src/xmpp/jid.ts';
import type { StreamClient } from '../../kit/client.ts';
import { FakeClock, turn } from '../../kit/clock.ts';
import { createNodes, type Nodes } from '../../kit/cluster-pair.ts';
import { logIn } from '../../kit/login.ts';
import { TestServer } from '../../kit/test-server.ts';

const domain = 'verona.test';

let nodes: Nodes;
let servers: TestServer[];
let clients: StreamClient[];
let juliet: StreamClient;
let directory: Directory;

beforeEach(async () => {
  const clock = new FakeClock();
  const driver = createMemoryDriver(clock);
  nodes = createNodes();
  servers = [];
  clients = [];
  for (const cluster of nodes.clusters) {
    servers.push(await TestServer.start({ hosts: { [domain]: {} } }, { clock, driver, cluster }));
  }
  directory = nodes.clusters[0]!.directory;
  for (const user of ['romeo', 'juliet']) await servers[0]!.server.accounts.create(`${user}@${domain}`, 'secret');
  juliet = await enter(0, 'juliet', 'balcony');
});

afterEach(async () => {
  for (const client of clients) await client.destroy();
  for (const server of servers) {
    expect(server.errors).toEqual([]);
    await server.stop();
  }
});

async function enter(node: 0 | 1, user: string, resource: string): Promise<StreamClient> {
  const { client } = await logIn(servers[node]!.c2s, { domain, user, password: 'secret', resource });
  clients.push(client);
  return client;
}

/** Everything that is under way arrives; never, where something goes round in circles. */
async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) {
    for (const client of clients) if (!client.isClosed) await client.fence();
    await turn();
    await nodes.idle();
  }
}

async function become(client: StreamClient): Promise<void> {
  client.write('<presence/>');
  await settle();
}

async function write(to: string): Promise<void> {
  juliet.write(`<message type='chat' id='a' to='${to}'><body>Ay me</body></message>`);
  await settle();
}

const messages = ({ inbox }: StreamClient): number =>
  inbox.filter((item) => item.kind === 'element' && item.element.name === 'message').length;

const names = [Jid.of('romeo', domain).bare, `romeo@${domain}/orchard`] as const;

test.each([0, 1] as const)(
  'a session of node %i that left and is listed for ever gets its messages to nobody, and no circle',
  async (node) => {
    const orchard = await enter(node, 'romeo', 'orchard');
    await become(orchard);
    directory.drop = async () => {};
    orchard.write('</stream:stream>');
    await orchard.closed();
    await settle();
    await write(names[0]);
    await write(names[1]);
    const garden = await enter(node, 'romeo', 'garden');
    await become(garden);
    expect(messages(garden)).toBe(2);
  },
);

test('what was for a session that was replaced on its node is not written to the other', async () => {
  await become(await enter(1, 'romeo', 'orchard'));
  const before: readonly SessionEntry[] = await directory.sessions(names[0]);
  const other = await enter(1, 'romeo', 'orchard');
  await become(other);
  // only the node that writes has not heard of it
  Object.assign(nodes.clusters[0]!, {
    directory: {
      sessions: (user, isFresh) => (user === names[0] && !isFresh ? before : directory.sessions(user)),
      put: (entry) => directory.put(entry),
      release: (jid, sid) => directory.release(jid, sid),
      drop: (jid, sid) => directory.drop(jid, sid),
    } satisfies Directory,
  });
  await write(names[1]);
  // it was kept, and then there was somebody
  expect(messages(other)).toBe(1);
  other.write('</stream:stream>');
  await other.closed();
  const garden = await enter(1, 'romeo', 'garden');
  await become(garden);
  expect(messages(garden)).toBe(0);
});
