// The load generator against a relay of sockets: what it counts must be true, above all when messages are lost.
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { usageOf } from '../../../bench/load/proc.ts';
import type { Report } from '../../../bench/load/report.ts';
import { parseOptions } from '../../../bench/options.ts';
import type { RunningPeer } from '../../../bench/peers/peer.ts';
import { relay } from '../../../bench/peers/relay.ts';
import { profileNamed } from '../../../bench/profiles/index.ts';
import { runProfile } from '../../../bench/run.ts';

const TIMEOUT = 40_000;
let server: RunningPeer;

beforeAll(async () => {
  server = await relay.start({
    dir: '',
    domain: 'example.org',
    users: 10,
    userPrefix: 'user',
    password: 'benchmark',
    isFull: false,
    database: undefined,
  });
});
afterAll(() => server.stop());

function run(name: string, args: string[], port = server.port): Promise<Report> {
  const profile = profileNamed(name);
  const all = ['--host', '127.0.0.1', '--port', String(port), ...args];
  const { own, common } = parseOptions(all, profile.options, (options) => profile.defaultUsers(options));
  const { target, users, workers } = common;
  return runProfile(name, { target, users, workers, pids: server.pids, options: own });
}

const figure = (report: Report, key: string) => report.figures.find((candidate) => candidate.key === key)?.value;

test('chat counts and times every message at a set rate', { timeout: TIMEOUT }, async () => {
  const report = await run('chat', ['--pairs', '2', '--rate', '200', '--seconds', '1', '--warmup', '0.2']);
  expect(report.failures).toEqual([]);
  expect(figure(report, 'deliveries')).toBe(200);
  expect(figure(report, 'latency_p50_ms')).toBeGreaterThan(0);
  expect(figure(report, 'pss_mib')).toBeGreaterThan(10);
});

test('federation measures both kinds of messages in turns', { timeout: TIMEOUT }, async () => {
  const profile = profileNamed('federation');
  const at = ['--host', '127.0.0.1', '--port', String(server.port), '--pairs', '2', '--rate', '200'];
  const times = ['--seconds', '1', '--warmup', '0.2', '--turns', '2'];
  const { own, common } = parseOptions([...at, ...times], profile.options, (options) => profile.defaultUsers(options));
  const { target, users, workers } = common;
  const place = { target, pids: server.pids };
  // one relay stands for both servers, and its CPU time counts twice
  const report = await runProfile('federation', { ...place, partner: place, users, workers, options: own });
  expect(report.failures).toEqual([]);
  expect(figure(report, 'pairs')).toBe(2);
  for (const kind of ['local', 'across']) expect(figure(report, `${kind}_deliveries_per_s`)).toBeGreaterThan(100);
  expect(figure(report, 'across_cpu_us_per_delivery')).toBeGreaterThan(0);
  const figures = [figure(report, 'ratio_least'), figure(report, 'ratio'), figure(report, 'ratio_most')];
  expect(figures.toSorted((a, b) => Number(a) - Number(b))).toEqual(figures);
});

test('chat by window loses nothing with two workers', { timeout: TIMEOUT }, async () => {
  const report = await run('chat', [
    '--pairs',
    '3',
    '--window',
    '4',
    '--seconds',
    '0.5',
    '--warmup',
    '0.2',
    '--workers',
    '2',
  ]);
  expect(report.failures).toEqual([]);
  expect(figure(report, 'deliveries')).toBeGreaterThan(100);
  expect(figure(report, 'cpu_us_per_delivery')).toBeGreaterThan(0);
});

test('login and idle report their users', { timeout: TIMEOUT }, async () => {
  const logins = await run('login', ['--users', '5', '--concurrency', '2', '--seconds', '0.5', '--warmup', '0.1']);
  expect(logins.failures).toEqual([]);
  expect(figure(logins, 'login_p99_ms')).toBeGreaterThan(0);
  const idle = await run('idle', ['--users', '10', '--settle', '0', '--seconds', '0.2', '--sources', '2']);
  expect(idle.failures).toEqual([]);
  expect(figure(idle, 'connections')).toBe(10);
});

test('a message that is lost and one that is overtaken fail the run', { timeout: TIMEOUT }, async () => {
  const proxy = await faultyProxy(server.port);
  try {
    const load = ['--pairs', '1', '--rate', '100', '--seconds', '1', '--warmup', '0', '--patience', '0.5'];
    const report = await run('chat', load, portOf(proxy));
    expect(report.failures.join('\n')).toMatch(/^1 messages lost$/m);
    expect(report.failures.join('\n')).toMatch(/^1 messages misordered$/m);
    expect(figure(report, 'deliveries')).toBe(99);
  } finally {
    proxy.close();
  }
});

test('a refused login is a failure in words', { timeout: TIMEOUT }, async () => {
  const refusing = createServer((socket) => {
    socket.once('data', () =>
      socket.end("<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"),
    );
  });
  await new Promise<void>((resolve) => refusing.listen(0, '127.0.0.1', resolve));
  try {
    const report = await run('login', ['--concurrency', '1', '--seconds', '0.1', '--warmup', '0'], portOf(refusing));
    expect(report.failures.join()).toContain('host-unknown');
  } finally {
    refusing.close();
  }
});

test('CPU time and memory of a process tree are those the process itself sees', () => {
  const end = Date.now() + 200;
  while (Date.now() < end);
  const own = process.cpuUsage();
  const { server: usage, database } = usageOf([process.pid]);
  expect(usage.cpu).toBeGreaterThan((own.user + own.system) / 1e6 - 0.1);
  expect(usage.rss).toBeGreaterThan(process.memoryUsage().rss / 2);
  expect(usage.pss).toBeLessThanOrEqual(usage.rss);
  expect(database).toBeUndefined();
});

/** Passes everything on, but loses message 5 of user1 and swaps its messages 10 and 11. */
async function faultyProxy(port: number): Promise<Server> {
  const proxy = createServer((client: Socket) => {
    const upstream = connect(port, '127.0.0.1');
    upstream.pipe(client);
    let held = '';
    client.on('data', (chunk) => {
      const parts = chunk.toString('latin1').split(/(?=<message)/);
      for (const part of parts) {
        if (part.includes("id='b000001-00000005'")) continue;
        if (part.includes("id='b000001-00000010'")) {
          held = part;
          continue;
        }
        upstream.write(part);
        if (part.includes("id='b000001-00000011'")) upstream.write(held);
      }
    });
    client.on('close', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
    client.on('error', () => upstream.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return proxy;
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
