// Several processes on one machine, as people run them: the command line, a real Redis, the embedded database, clients over sockets.
import { connect } from 'node:net';
import type { Element } from 'ltx';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { ChildServer, isAlive, passwordOf, until } from '../kit/child-server.ts';
import type { StreamClient } from '../kit/client.ts';
import { logIn } from '../kit/login.ts';
import { nodesOf } from '../kit/processes.ts';
import { startRedis, type TestRedis } from '../kit/redis.ts';

const domain = 'localhost';
const users = ['romeo', 'juliet'];
const patience = 20_000;

let redis: TestRedis;
let server: ChildServer;
const clients: StreamClient[] = [];

beforeAll(async () => {
  redis = await startRedis();
  server = await ChildServer.start({
    hosts: { [domain]: {} },
    tls: { required: false },
    limits: { enabled: false },
    redis: redis.url,
    cluster: { processes: 2, name: 'alpha' },
  });
  await server.addUsers(domain, users);
}, 120_000);

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.destroy()));
});

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await redis?.remove();
}, 60_000);

interface Listed {
  readonly jid: string;
  readonly node: string;
}

async function json(...args: string[]): Promise<Record<string, never>> {
  const { stdout, stderr } = await server.cli([...args, '--json']);
  try {
    return JSON.parse(stdout);
  } catch {
    throw new Error(`parley ${args.join(' ')}: ${stdout}${stderr}`);
  }
}

const sessions = async (): Promise<readonly Listed[]> => (await json('session', 'ls')).sessions! as readonly Listed[];

async function enter(user: string, resource: string): Promise<StreamClient> {
  const { client } = await logIn(server.address('c2s'), { user, password: passwordOf(user), domain, resource });
  clients.push(client);
  client.write('<presence/>');
  await client.fence();
  return client;
}

/** Two people whom different processes serve: the kernel gives a connection to whichever is there first. */
async function enterApart(): Promise<{ readonly romeo: StreamClient; readonly juliet: StreamClient }> {
  const romeo = await enter('romeo', 'home');
  const home = (await sessions()).find(({ jid }) => jid === `romeo@${domain}/home`)?.node;
  for (let i = 0; i < 40; i++) {
    const juliet = await enter('juliet', 'home');
    const other = (await sessions()).find(({ jid }) => jid === `juliet@${domain}/home`)?.node;
    if (other !== undefined && other !== home) return { romeo, juliet };
    await juliet.destroy();
  }
  throw new Error('all connections went to one process');
}

async function hear(client: StreamClient, text: string): Promise<Element> {
  for (const end = Date.now() + patience; Date.now() < end; ) {
    const item = await client.next(end - Date.now());
    if (item?.kind === 'element' && item.element.getChildText('body') === text) return item.element;
    if (item === undefined) break;
  }
  throw new Error(`"${text}" did not come`);
}

const say = (client: StreamClient, to: string, text: string): void =>
  client.write(`<message to='${to}@${domain}' type='chat' id='${text}'><body>${text}</body></message>`);

/** Whether it is served again as it was at first. */
const isWhole = async (): Promise<boolean> => {
  const { code, stdout } = await server.cli(['cluster', 'status', '--json']);
  return code === 0 && JSON.parse(stdout).nodes.length === 2;
};

test('people whom different processes serve are on one service, and administrators see all of them', async () => {
  const { romeo, juliet } = await enterApart();
  say(romeo, 'juliet', 'one');
  expect((await hear(juliet, 'one')).attrs.from).toBe(`romeo@${domain}/home`);
  say(juliet, 'romeo', 'two');
  await hear(romeo, 'two');

  const status = await json('status');
  expect(status).toMatchObject({ pid: server.pid, processes: 2, sessions: 2, nodes: ['alpha-1', 'alpha-2'] });
  const { nodes, redis: state } = await json('cluster', 'status');
  expect(nodes).toMatchObject([
    { name: 'alpha-1', sessions: 1 },
    { name: 'alpha-2', sessions: 1 },
  ]);
  expect(state).toMatchObject({ ok: true });
  const { port } = server.address('http');
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  expect(metrics).toMatch(/parley_sessions\{.*node="alpha-1".*\} 1\n/);
  expect(metrics).toMatch(/parley_sessions\{.*node="alpha-2".*\} 1\n/);
  expect(metrics.match(/# TYPE parley_sessions gauge/g)).toHaveLength(1);

  for (const [user, client] of [
    ['romeo', romeo],
    ['juliet', juliet],
  ] as const) {
    expect((await server.cli(['session', 'kick', `${user}@${domain}`])).code).toBe(0);
    expect(await client.closed()).toBe(true);
  }
  expect(await sessions()).toEqual([]);
}, 120_000);

test('a process that is killed is replaced, and who was with another one goes on', async () => {
  const { romeo, juliet } = await enterApart();
  const before = nodesOf(server.pid);
  expect(before).toHaveLength(2);
  const [victim = 0] = before;
  process.kill(victim, 'SIGKILL');
  // whose connection was there is known by its end
  const ends = [romeo, juliet].map(async (client) => client.closed(5_000));
  const gone = await Promise.all(ends);
  expect(gone.filter(Boolean)).toHaveLength(1);
  const [left, other] = gone[0] ? [juliet, 'romeo'] : [romeo, 'juliet'];

  expect(await until(patience, () => nodesOf(server.pid).length === 2)).toBe(true);
  expect(await until(patience, isWhole)).toBe(true);
  expect(nodesOf(server.pid)).not.toContain(victim);
  const back = await enter(other, 'again');
  say(left, other, 'still here');
  await hear(back, 'still here');
  // the ghost is gone
  expect((await sessions()).map(({ jid }) => jid)).toHaveLength(2);
}, 120_000);

test('what is read again holds in every process', async () => {
  const { romeo, juliet } = await enterApart();
  const { applied, restart } = await json('reload');
  expect({ applied, restart }).toEqual({ applied: [], restart: [] });
  process.kill(server.pid, 'SIGHUP');
  expect(await until(patience, () => (server.output.match(/configuration read again/g) ?? []).length >= 6)).toBe(true);
  for (const client of [romeo, juliet]) await client.fence();
}, 120_000);

test('a rolling restart replaces every process, refuses nobody, and loses nothing of who can resume', async () => {
  const before = nodesOf(server.pid);
  const refused: string[] = [];
  let isOver = false;
  const knocking = (async () => {
    while (!isOver) {
      await new Promise<void>((done) => {
        const socket = connect(server.address('c2s').port, '127.0.0.1');
        socket.once('connect', () => socket.destroy());
        socket.once('error', (error) => refused.push(error.message));
        socket.once('close', () => setTimeout(done, 10));
      });
    }
  })();
  const { stdout, stderr, code } = await server.cli(['restart', '--rolling', '--json']);
  isOver = true;
  await knocking;
  expect(stderr).toBe('');
  expect(code).toBe(0);
  expect(JSON.parse(stdout).replaced).toHaveLength(2);
  expect(refused).toEqual([]);
  const after = nodesOf(server.pid);
  expect(after).toHaveLength(2);
  expect(after.filter((pid) => before.includes(pid))).toEqual([]);
  expect(await until(patience, isWhole)).toBe(true);
  await enterApart();
}, 180_000);

test('a process that is drained lets its people go and nobody in, and serves again', async () => {
  const { romeo, juliet } = await enterApart();
  const { nodes } = (await json('cluster', 'status')) as unknown as {
    readonly nodes: readonly { readonly name: string }[];
  };
  const [first] = nodes;
  expect((await server.cli(['drain', 'on', first!.name])).code).toBe(0);
  const gone = await Promise.all([romeo, juliet].map((client) => client.closed(5_000)));
  expect(gone.filter(Boolean)).toHaveLength(1);
  for (let i = 0; i < 5; i++) await enter('romeo', `guest-${i}`);
  expect((await sessions()).filter(({ node }) => node === first!.name)).toEqual([]);
  expect((await server.cli(['drain', 'off', first!.name])).code).toBe(0);
  expect((await server.cli(['drain', 'on', 'nobody'])).code).toBe(1);
  await enterApart();
}, 120_000);

test('a second server on the same data is refused, and what is told to stop stops with all its processes', async () => {
  const other = await server.startAnother();
  expect(other.code).toBe(1);
  expect(other.stderr).toContain('another server is running');
  const nodes = nodesOf(server.pid);
  const { code } = await server.stop();
  expect(code).toBe(0);
  expect(nodes.filter(isAlive)).toEqual([]);
  await server.start();
  await enterApart();
}, 180_000);
