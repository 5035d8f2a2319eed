// What administrators see of several nodes, and do on them, whichever of them they ask.
import { afterEach, expect, test } from 'vitest';
import { adminContext } from '../../../src/admin.ts';
import { parseConfig } from '../../../src/config/load.ts';
import { type AdminContext, CommandError } from '../../../src/core/commands.ts';
import { loadModules } from '../../../src/index.ts';
import { Server } from '../../../src/server.ts';
import { createMemoryDriver } from '../../../src/storage/memory.ts';
import type { Driver } from '../../../src/storage/ports.ts';
import type { StreamClient } from '../../kit/client.ts';
import { createNodes, type Nodes } from '../../kit/cluster-pair.ts';
import { logIn } from '../../kit/login.ts';

const domain = 'verona.test';
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const config = () =>
  parseConfig({
    database: 'memory',
    tls: { required: false },
    listen: { address: ['127.0.0.1'], c2s: 0, s2s: null, http: 0 },
    hosts: { [domain]: {} },
  });

interface Pair {
  readonly nodes: Nodes;
  readonly servers: readonly Server[];
  readonly admins: readonly AdminContext[];
  /** Which levels of logs were set. */
  readonly levels: readonly string[];
}

async function startPair(drivers?: readonly Driver[]): Promise<Pair> {
  const nodes = createNodes();
  const shared = createMemoryDriver();
  const servers: Server[] = [];
  for (const [i, cluster] of nodes.clusters.entries()) {
    const settings = config();
    const driver = drivers?.[i] ?? shared;
    const server = await Server.start(settings, {
      modules: await loadModules(settings),
      iterations: 1,
      cluster,
      driver,
    });
    cleanups.push(() => server.stop());
    servers.push(server);
  }
  await servers[0]!.hosts.get(domain)!.accounts.create('romeo', 'secret');
  const levels: string[] = [];
  const admins = servers.map((server, i) =>
    adminContext(server, {
      reload: async () => ({ applied: [], restart: [] }),
      stop() {},
      logLevel: (part, level, forMs) => void levels.push(`${i} ${part} ${level} ${forMs}`),
      errors: () => [],
    }),
  );
  return { nodes, servers, admins, levels };
}

async function enter(server: Server, resource: string): Promise<StreamClient> {
  const { client } = await logIn(server.address('c2s')!, { domain, user: 'romeo', password: 'secret', resource });
  cleanups.push(() => client.destroy());
  return client;
}

test('every node tells of the sessions of all nodes, and of how many there are', async () => {
  const { servers, admins } = await startPair();
  await enter(servers[0]!, 'orchard');
  await enter(servers[1]!, 'garden');
  for (const admin of admins) {
    const sessions = await admin.sessions();
    expect(sessions.map(({ jid, node }) => `${jid} ${node}`).sort()).toEqual([
      `romeo@${domain}/garden two`,
      `romeo@${domain}/orchard one`,
    ]);
    expect(await admin.status()).toMatchObject({ sessions: 2, nodes: ['one', 'two'] });
  }
});

test('a session is ended from another node', async () => {
  const { servers, admins } = await startPair();
  const garden = await enter(servers[1]!, 'garden');
  expect(await admins[0]!.kick(`romeo@${domain}/garden`)).toBe(1);
  await garden.closed;
  expect(await admins[0]!.sessions()).toEqual([]);
});

test('the level of the log is set on all nodes', async () => {
  const { admins, levels } = await startPair();
  await admins[1]!.logLevel('c2s', 'debug', 600);
  expect([...levels].sort()).toEqual(['0 c2s debug 600', '1 c2s debug 600']);
});

test('a node that does not answer is told as such, and hides nothing of the others', async () => {
  const { nodes, servers, admins } = await startPair();
  await enter(servers[0]!, 'orchard');
  nodes.hold(true);
  const { nodes: told } = await admins[0]!.cluster();
  expect(told.map(({ name, self, silent }) => ({ name, self, silent }))).toEqual([
    { name: 'one', self: true, silent: undefined },
    { name: 'two', self: false, silent: true },
  ]);
  expect(await admins[0]!.sessions()).toHaveLength(1);
  nodes.hold(false);
  await nodes.idle();
});

test('a node that is drained from another one lets its people go, and nobody in, until that is undone', async () => {
  const { servers, admins } = await startPair();
  const [one, two] = servers as [Server, Server];
  const garden = await enter(two, 'garden');
  const { port } = two.address('c2s')!;
  const http = two.address('http')!;
  const ready = async (): Promise<string> => (await fetch(`http://127.0.0.1:${http.port}/readyz`)).text();
  expect(await ready()).toBe('ready\n');

  expect(await admins[0]!.drain('two', true)).toEqual({ node: 'two', draining: true, sessions: 1 });
  await garden.closed;
  await two.drain();
  expect(two.address('c2s')).toBeUndefined();
  expect(await ready()).toBe('draining\n');
  expect((await admins[0]!.cluster()).nodes).toMatchObject([{ draining: false }, { draining: true, sessions: 0 }]);
  expect(one.address('c2s')).toBeDefined();

  await admins[0]!.drain('two', false);
  expect(two.address('c2s')).toEqual({ address: '127.0.0.1', port });
  expect(await ready()).toBe('ready\n');
  await enter(two, 'garden');
});

test('there is no draining of a node that is not there, and no replacing of a single process', async () => {
  const { admins } = await startPair();
  await expect(admins[0]!.drain('three', true)).rejects.toBeInstanceOf(CommandError);
  expect(() => admins[0]!.restart()).toThrow('one process');
});

test('a node whose database is another one does not get in', async () => {
  const failing = startPair([createMemoryDriver(), createMemoryDriver()]);
  await expect(failing).rejects.toThrow(/node one, which "redis" joins this one to, has another database/);
});
