// A throw-away Redis of the machine's own packages, on loopback with a temporary folder.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
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
  const folder = mkdtempSync(join(tmpdir(), 'parley-redis-'));
  const port = await freePort();
  let child: ChildProcess | undefined;
  const redis: TestRedis = {
    port,
    url: `redis://127.0.0.1:${port}`,
    get pid() {
      return child?.pid ?? 0;
    },
    async start() {
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
  await redis.start();
  return redis;
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
