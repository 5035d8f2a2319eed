// Several processes on one machine, as people run them: the command line, a real Redis, the embedded database, clients over sockets.
import { connect } from 'node:net';
import { type Client, client, xml } from '@xmpp/client';
import type { Element } from 'ltx';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { BrowserTalker } from '../kit/browser-talker.ts';
import { ChildServer, isAlive, passwordOf, until } from '../kit/child-server.ts';
import type { StreamClient } from '../kit/client.ts';
import { logIn } from '../kit/login.ts';
import { nodesOf, nodesOn } from '../kit/processes.ts';
import { startRedis, type TestRedis } from '../kit/redis.ts';

const domain = 'localhost';
const users = ['romeo', 'juliet'];
const nurse = { domain, user: 'nurse', password: passwordOf('nurse') };
const patience = 20_000;

let redis: TestRedis;
let server: ChildServer;
const clients: StreamClient[] = [];
const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED;

beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  // the library takes the browser's, which Node 20 lacks
  vi.stubGlobal('WebSocket', WebSocket);
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  redis = await startRedis();
  server = await ChildServer.start({
    hosts: { [domain]: {} },
    tls: { required: false },
    limits: { enabled: false },
    redis: redis.url,
    cluster: { processes: 2, name: 'alpha' },
  });
  await server.addUsers(domain, [...users, nurse.user]);
}, 120_000);

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.destroy()));
});

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await redis?.remove();
  if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
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

const sessions = async (): Promise<readonly Listed[]> =>
  (await server.ask<{ readonly sessions: readonly Listed[] }>('session ls')).sessions;

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

/** Somebody with a client written by others, which resumes its session whenever it has to. */
class Talker {
  readonly user: string;
  readonly said: string[] = [];
  readonly heard: string[] = [];
  readonly counts = { online: 0, resumed: 0, failed: 0 };
  readonly client: Client;
  private isSeen = false;

  private constructor(user: string, service: string) {
    this.user = user;
    const { heard, counts } = this;
    const one = client({ service, domain, username: user, password: passwordOf(user), resource: 'talker' });
    one.reconnect.delay = 50;
    this.client = one;
    one.on('stanza', (stanza) => {
      const body = stanza.getChildText('body');
      if (body !== null && body !== undefined) heard.push(body);
      this.isSeen ||= stanza.name === 'presence';
    });
    one.on('error', () => {});
    one.on('online', () => counts.online++);
    one.streamManagement.on('resumed', () => counts.resumed++);
    one.streamManagement.on('fail', () => counts.failed++);
  }

  static async start(user: string, service: string): Promise<Talker> {
    const talker = new Talker(user, service);
    talker.client.start().catch(() => {});
    const isIn = (): boolean => talker.counts.online === 1 && talker.client.streamManagement.id !== '';
    expect(await until(patience, isIn)).toBe(true);
    await talker.client.send(xml('presence'));
    // its own presence comes back when it is where messages are looked for
    expect(await until(patience, () => talker.isSeen)).toBe(true);
    return talker;
  }

  async talk(to: string, isOver: () => boolean): Promise<void> {
    for (; !isOver(); await new Promise((done) => setTimeout(done, 50))) {
      // while it has no connection this client keeps nothing for later
      if (this.client.status !== 'online') continue;
      const text = `${this.user} ${this.said.length}`;
      this.said.push(text);
      const stanza = xml('message', { to: `${to}@${domain}`, type: 'chat', id: text }, xml('body', {}, text));
      // what did not get through is sent once more over the next connection
      await this.client.send(stanza).catch(() => {});
    }
  }
}

const say = (client: StreamClient, to: string, text: string): void =>
  client.write(`<message to='${to}@${domain}' type='chat' id='${text}'><body>${text}</body></message>`);

/** Whether it is served again as it was at first. */
const isWhole = async (): Promise<boolean> => {
  const { ok, nodes } = await server.ask<{ readonly ok: boolean; readonly nodes: readonly unknown[] }>(
    'cluster status',
  );
  return ok && nodes.length === 2;
};

test('the first screen of several processes shows one link, and whoever comes by it is in the chat, whichever of them is asked', async () => {
  const links = server.output.match(/https?:\/\/\S+\/join\/[a-z2-7]+/g) ?? [];
  expect(links, server.output).toHaveLength(1);
  const { port } = server.address('http');
  const ask = (path: string, init: RequestInit = {}): Promise<Response> =>
    // another connection each time, which the kernel gives to whichever is there first
    fetch(`http://127.0.0.1:${port}${path}`, {
      redirect: 'manual',
      ...init,
      headers: { connection: 'close', ...init.headers },
    });
  const { pathname } = new URL(links[0]!);
  for (let i = 0; i < 6; i++) expect((await ask(pathname)).status).toBe(200);

  const body = new URLSearchParams({ user: 'mercutio', password: 'a plague on both' });
  const joined = await ask(pathname, { method: 'POST', body });
  expect(joined.status).toBe(303);
  const ticket = joined.headers.get('location')?.split('#sign-in=')[1];
  const signIn = (): Promise<Response> =>
    ask('/chat/sign-in', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ticket }),
    });
  const answers = await Promise.all([signIn(), signIn(), signIn(), signIn()]);
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 404, 404, 404]);
  expect(server.output).not.toContain(ticket);
});

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
  expect(await json('session', 'ls')).toEqual({ sessions: [] });
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
  expect(await until(patience, isWhole, 100)).toBe(true);
  expect(nodesOf(server.pid)).not.toContain(victim);
  const metrics = await (await fetch(`http://127.0.0.1:${server.address('http').port}/metrics`)).text();
  expect(metrics).toContain('parley_nodes_replaced_total{node="primary"} 1\n');
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
  // people who talk all the time, over connections that come back by themselves: one in a browser
  const services = [
    `xmpps://127.0.0.1:${server.address('c2s-tls').port}`,
    `ws://127.0.0.1:${server.address('http').port}/xmpp-websocket`,
  ];
  const people = await Promise.all(users.map((user, i) => Talker.start(user, services[i]!)));
  const talking = people.map((one, i) => one.talk(people[1 - i]!.user, () => isOver));
  // and one behind a proxy that knows nothing but requests
  const browser = await BrowserTalker.start(server.address('http'), nurse);
  const musing = browser.talk(() => isOver);

  const { stdout, stderr, code } = await server.cli(['restart', '--rolling', '--json']);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  expect(JSON.parse(stdout).replaced).toHaveLength(2);
  expect(await until(patience, isWhole, 100)).toBe(true);
  isOver = true;
  await Promise.all([knocking, musing, ...talking]);

  expect(refused).toEqual([]);
  const after = nodesOf(server.pid);
  expect(after).toHaveLength(2);
  expect(after.filter((pid) => before.includes(pid))).toEqual([]);
  for (const [i, one] of people.entries()) {
    const said = people[1 - i]!.said;
    expect(said.length).toBeGreaterThan(20);
    // all of it, once, in order
    expect(await until(patience, () => one.heard.length >= said.length)).toBe(true);
    expect(one.heard).toEqual(said);
    expect(one.counts.resumed).toBeGreaterThan(0);
    expect(one.counts).toMatchObject({ online: 1, failed: 0 });
    await one.client.stop();
  }
  expect(browser.said.length).toBeGreaterThan(20);
  expect(browser.heard).toEqual(browser.said);
  expect(browser.resumed).toBeGreaterThan(0);
  await browser.leave();
  await enterApart();
}, 180_000);

test('a process that dies while it is being replaced has one in its place, not two', async () => {
  const before = nodesOf(server.pid).sort((a, b) => a - b);
  const restart = server.cli(['restart', '--rolling', '--json']);
  // the new one is starting
  expect(await until(patience, () => nodesOf(server.pid).length === 3)).toBe(true);
  process.kill(before[0]!, 'SIGKILL');
  expect((await restart).code).toBe(0);
  expect(await until(patience, isWhole, 100)).toBe(true);
  const after = nodesOf(server.pid);
  expect(after).toHaveLength(2);
  expect(after.filter((pid) => before.includes(pid))).toEqual([]);
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

test('without Redis streams stay, it is told as what is wrong, and it heals by itself', async () => {
  const { romeo, juliet } = await enterApart();
  await redis.stop();
  const status = await server.cli(['cluster', 'status', '--json']);
  expect(status.code).toBe(1);
  expect(JSON.parse(status.stdout)).toMatchObject({ ok: false });
  for (const client of [romeo, juliet]) await client.fence();
  await redis.start();
  expect(await until(patience, isWhole, 100)).toBe(true);
  say(romeo, 'juliet', 'after');
  await hear(juliet, 'after');
}, 120_000);

test('when the primary is killed its processes stop in order, and another one starts', async () => {
  const nodes = nodesOf(server.pid);
  expect(nodes).toHaveLength(2);
  // (so they are found where their primary is no more)
  expect(nodesOn(server.file).sort()).toEqual(nodes.sort());
  await server.stop('SIGKILL');
  expect(await until(patience, () => nodes.every((pid) => !isAlive(pid)))).toBe(true);
  await server.start();
  await enterApart();
}, 180_000);

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
