// What an operator is told of a cluster in trouble, by the command line and the log: several processes, a real Redis.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChildServer, until } from '../kit/child-server.ts';
import { logIn } from '../kit/login.ts';
import { freePort } from '../kit/peers.ts';
import { nodesOf } from '../kit/processes.ts';
import { startRedis, type TestRedis } from '../kit/redis.ts';
import { Peer, streamName } from '../kit/socks5.ts';

let redis: TestRedis;
let server: ChildServer;
let firstPort: number;

beforeAll(async () => {
  redis = await startRedis();
  firstPort = await freePort();
  server = await ChildServer.start({
    hosts: { localhost: { proxy: { enabled: true, address: '127.0.0.1' } } },
    listen: { proxy65: firstPort },
    tls: { required: false },
    redis: redis.url,
    cluster: { processes: 2, name: 'alpha' },
  });
  await server.addUsers('localhost', ['romeo', 'nurse']);
}, 120_000);

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await redis?.remove();
}, 60_000);

interface Told {
  readonly ok: boolean;
  readonly redis: { readonly ok: boolean; readonly problem?: string };
  readonly nodes: readonly {
    readonly name: string;
    readonly silent?: boolean;
    readonly starting?: boolean;
    readonly unknown?: boolean;
  }[];
}

async function status(): Promise<Told> {
  return JSON.parse((await server.cli(['cluster', 'status', '--json'])).stdout) as Told;
}

const lines = (text: string): number => server.output.split('\n').filter((line) => line.includes(text)).length;

test('both ends of a file meet in one process: each has a port of its own, which is told (XEP-0065)', async () => {
  const ports = new Set<number>();
  const query = "xmlns='http://jabber.org/protocol/bytestreams'";
  for (let i = 0; i < 4; i++) {
    const { client, jid } = await logIn(server.address('c2s'), {
      domain: 'localhost',
      user: 'nurse',
      password: 'nurse-secret',
    });
    const ask = async (type: 'get' | 'set', payload: string) => {
      client.write(`<iq type='${type}' id='${type}' to='proxy.localhost'>${payload}</iq>`);
      const item = await client.next();
      if (item?.kind !== 'element') throw new Error('no answer');
      return item.element;
    };
    const host = (await ask('get', `<query ${query}/>`)).getChild('query')!.getChild('streamhost')!;
    const port = Number(host.attrs.port);
    ports.add(port);
    const name = streamName('s', jid, 'juliet@capulet.test/balcony');
    const [one, other] = [await Peer.join(port, name), await Peer.join(port, name)];
    const done = await ask('set', `<query ${query} sid='s'><activate>juliet@capulet.test/balcony</activate></query>`);
    expect(done.attrs.type, String(done)).toBe('result');
    one.socket.end('from process to process');
    await other.ended();
    expect(other.received.toString()).toBe('from process to process');
    other.socket.destroy();
    await client.destroy();
  }
  expect([...ports].sort()).toEqual([firstPort, firstPort + 1]);
}, 60_000);

test('a process that was killed counts as dead at once, because the primary saw it end', async () => {
  const [victim] = nodesOf(server.pid);
  const began = performance.now();
  process.kill(victim!, 'SIGKILL');
  expect(await until(4_000, () => lines('the process of a node has ended') > 0), server.output).toBe(true);
  expect(performance.now() - began).toBeLessThan(4_000);
  const isWhole = async (): Promise<boolean> => {
    const { ok, nodes } = await status();
    return ok && nodes.length === 2 && nodes.every(({ starting }) => starting !== true);
  };
  expect(await until(30_000, isWhole), server.output).toBe(true);
  expect(lines('was not heard of any more')).toBe(0);
}, 60_000);

test('a Redis whose memory is full is told by the status, the doctor, and once by the log of each node', async () => {
  await redis.ask('CONFIG SET maxmemory 1000000');
  expect(await until(10_000, () => lines('the memory of Redis is full') === 2), server.output).toBe(true);
  const began = performance.now();
  const told = await status();
  expect(performance.now() - began).toBeLessThan(8_000);
  expect(told).toMatchObject({ ok: false, redis: { ok: false } });
  expect(told.redis.problem).toMatch(/takes no writes.*OOM/);
  expect(told.nodes.filter(({ silent }) => silent)).toEqual([]);
  const doctor = await server.cli(['doctor']);
  expect(doctor.stdout).toMatch(/fail +redis: .*takes no writes/);
  expect(doctor.stdout).toMatch(/fail +redis room: \d+ % of its memory is taken/);

  await redis.ask('CONFIG SET maxmemory 0');
  expect(await until(10_000, () => lines('Redis takes writes again') === 2), server.output).toBe(true);
  expect(lines('the memory of Redis is full')).toBe(2);
}, 60_000);

test('while Redis is away the other nodes are not known, which is said at once', async () => {
  expect(await until(20_000, async () => (await status()).ok), server.output).toBe(true);
  await redis.stop('keep');
  expect(await until(5_000, () => lines('Redis cannot be reached') > 0)).toBe(true);
  const began = performance.now();
  const told = await status();
  // (three seconds of it are for Redis, should it be starting)
  expect(performance.now() - began).toBeLessThan(8_000);
  expect(told.redis.ok).toBe(false);
  expect(told.nodes.map(({ unknown }) => unknown === true).sort()).toEqual([false, true]);
  expect(lines('a node does not answer')).toBe(0);
  // what is on the others is not left out without a word
  const listed = JSON.parse((await server.cli(['session', 'ls', '--json'])).stdout) as { readonly unknown?: string[] };
  const [other = ''] = listed.unknown ?? [];
  expect(other).toMatch(/^alpha-[12]$/);
  expect((await server.cli(['s2s', 'ls'])).stdout).toContain(`not known: what is on ${other}, since Redis fails`);
  expect((await server.cli(['status'])).stdout).toMatch(new RegExp(`not known +${other}, since Redis fails`));
  // what holds now, and what does not yet
  const disabled = await server.cli(['user', 'disable', 'romeo@localhost']);
  expect(disabled.code).toBe(1);
  expect(disabled.stderr).toContain('its sessions cannot be found just now, and are ended when they can be');
  // the processes of this machine are told all the same
  const drained = performance.now();
  expect((await server.cli(['drain', 'on', other])).stdout).toContain(`${other} drains`);
  expect((await server.cli(['drain', 'off', other])).stdout).toContain(`${other} serves again`);
  expect(performance.now() - drained).toBeLessThan(8_000);
  await redis.start();
  expect(await until(20_000, async () => (await status()).ok), server.output).toBe(true);
}, 60_000);

test('commands are answered although the first of the processes stands still', async () => {
  expect(await until(20_000, async () => (await status()).ok), server.output).toBe(true);
  const [first = 0] = nodesOf(server.pid).sort((a, b) => a - b);
  process.kill(first, 'SIGSTOP');
  try {
    const began = performance.now();
    expect((await server.cli(['status'])).code).toBe(0);
    expect((await server.cli(['session', 'ls'])).code).toBe(0);
    expect(performance.now() - began).toBeLessThan(20_000);
  } finally {
    process.kill(first, 'SIGCONT');
  }
  const isWhole = async (): Promise<boolean> => (await status()).ok && (await status()).nodes.length === 2;
  expect(await until(20_000, isWhole), server.output).toBe(true);
}, 60_000);
