// The machine's own Redis, for a cluster that is measured.

import { spawn } from 'node:child_process';
import { mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { endWithUs, freePort, LOOPBACK, stopDaemon, waitForPort } from './peer.ts';

interface RunningRedis {
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** Starts it, empty and with nothing written to disk. Throws when it is not installed. */
export async function startRedis(dir: string): Promise<RunningRedis> {
  mkdirSync(dir, { recursive: true });
  const port = await freePort();
  const log = join(dir, 'redis.log');
  const out = openSync(log, 'a');
  const args = ['--port', String(port), '--bind', LOOPBACK, '--dir', dir, '--save', '', '--appendonly', 'no'];
  const child = spawn('redis-server', args, { cwd: dir, stdio: ['ignore', out, out] });
  endWithUs(child, 'SIGTERM');
  const daemon = { process: child, log };
  await waitForPort(daemon, port);
  return { url: `redis://${LOOPBACK}:${port}`, pid: child.pid!, stop: () => stopDaemon(daemon) };
}
