// A throw-away Redis of the machine's own packages, on loopback with a temporary folder.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './peers.ts';

export interface TestRedis {
  readonly port: number;
  readonly url: string;
  /** 0 while it does not run. */
  readonly pid: number;
  /** Starts it (again), at the same port; settled when it answers. */
  start(): Promise<void>;
  /** `keep`: as after a shutdown, all that it had will be there again; `empty`: as after a crash without persistence. */
  stop(what?: 'keep' | 'empty'): Promise<void>;
  /** While true it is there, but does nothing. */
  freeze(on: boolean): void;
  /** One command, and what is answered, as it stands on the wire. */
  ask(command: string): Promise<string>;
  /** Stops it and removes all it had. */
  remove(): Promise<void>;
}

/** @param more further settings, as arguments of redis-server */
export async function startRedis(more: readonly string[] = []): Promise<TestRedis> {
  const redis = createRedis(more);
  await redis.start();
  return redis;
}

/** As {@link startRedis}, but not started; until then it has no port. */
export function createRedis(more: readonly string[] = []): TestRedis {
  const folder = mkdtempSync(join(tmpdir(), 'parley-redis-'));
  let port = 0;
  let child: ChildProcess | undefined;
  const redis: TestRedis = {
    get port() {
      return port;
    },
    get url() {
      return `redis://127.0.0.1:${port}`;
    },
    get pid() {
      return child?.pid ?? 0;
    },
    async start() {
      port ||= await freePort();
      const settings = [
        '--port',
        String(port),
        '--bind',
        '127.0.0.1',
        '--dir',
        folder,
        '--save',
        '',
        '--loglevel',
        'warning',
      ];
      child = spawn('redis-server', [...settings, ...more], { cwd: folder, stdio: 'ignore' });
      const deadline = Date.now() + 10_000;
      while ((await redis.ask('PING').catch(() => '')) !== '+PONG') {
        if (child.exitCode !== null || Date.now() > deadline) throw new Error('the test Redis does not start');
        await sleep(20);
      }
    },
    async stop(what = 'keep') {
      const running = child;
      child = undefined;
      if (running?.exitCode !== null) return;
      if (what === 'keep') await askServer(port, 'SAVE');
      running.kill('SIGCONT');
      running.kill('SIGKILL');
      await new Promise((resolve) => running.once('exit', resolve));
      if (what === 'empty') rmSync(join(folder, 'dump.rdb'), { force: true });
    },
    freeze(on) {
      child?.kill(on ? 'SIGSTOP' : 'SIGCONT');
    },
    ask: (command) => askServer(port, command),
    async remove() {
      await redis.stop('empty');
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return redis;
}

/** A server, its replica, and a sentinel that watches them. */
export interface TestSentinel {
  readonly target: { readonly sentinels: readonly string[]; readonly name: string };
  /** The one that is master at the start, and its replica. */
  readonly servers: readonly [TestRedis, TestRedis];
  remove(): Promise<void>;
}

export async function startSentinel(): Promise<TestSentinel> {
  const master = await startRedis();
  const replica = await startRedis(['--replicaof', '127.0.0.1', String(master.port)]);
  const folder = mkdtempSync(join(tmpdir(), 'parley-sentinel-'));
  const port = await freePort();
  const name = 'chat';
  writeFileSync(
    join(folder, 'sentinel.conf'),
    [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${folder}`,
      `sentinel monitor ${name} 127.0.0.1 ${master.port} 1`,
      `sentinel down-after-milliseconds ${name} 500`,
      `sentinel failover-timeout ${name} 3000`,
    ].join('\n'),
  );
  const child = spawn('redis-server', [join(folder, 'sentinel.conf'), '--sentinel'], { stdio: 'ignore' });
  // what the sentinel does not know of the replica it cannot fail over to
  await until(async () => (await askServer(port, `SENTINEL REPLICAS ${name}`)).includes(String(replica.port)));
  return {
    target: { sentinels: [`redis://127.0.0.1:${port}`], name },
    servers: [master, replica],
    async remove() {
      child.kill('SIGKILL');
      await Promise.all([master.remove(), replica.remove()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export interface TestRedisCluster {
  readonly target: { readonly cluster: readonly string[] };
  readonly servers: readonly TestRedis[];
  remove(): Promise<void>;
}

/** A Redis Cluster of three masters. */
export async function startRedisCluster(): Promise<TestRedisCluster> {
  const servers: TestRedis[] = [];
  for (let i = 0; i < 3; i++) {
    const bus = await freePort();
    const settings = ['--cluster-enabled', 'yes', '--cluster-port', String(bus), '--cluster-node-timeout', '2000'];
    servers.push(await startRedis(settings));
  }
  const places = servers.map(({ port }) => `127.0.0.1:${port}`);
  execFileSync('redis-cli', ['--cluster', 'create', ...places, '--cluster-yes'], { stdio: 'ignore', timeout: 20_000 });
  await until(async () => {
    const states = await Promise.all(servers.map((server) => server.ask('CLUSTER INFO')));
    return states.every((state) => state.includes('cluster_state:ok'));
  });
  return {
    target: { cluster: servers.map(({ url }) => url) },
    servers,
    async remove() {
      await Promise.all(servers.map((server) => server.remove()));
    },
  };
}

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await isTrue().catch(() => false))) {
    if (Date.now() > deadline) throw new Error('Redis is not ready in time');
    await sleep(50);
  }
}

/** Sends one command in words and returns the first packet of the answer. */
export function askServer(port: number, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${command}\r\n`));
    socket.setTimeout(2_000, () => socket.destroy(new Error('Redis does not answer')));
    socket.once('data', (data) => {
      resolve(data.toString().trimEnd());
      socket.destroy();
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('Redis hung up')));
  });
}
