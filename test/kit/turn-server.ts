// coturn of the machine's own packages, on loopback with a temporary folder.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TurnClient } from '../../src/net/turn-client.ts';

export interface TurnServer extends AsyncDisposable {
  /** What it has logged. */
  log(): string;
}

/** @param config of a server at that port; it is bound to loopback, and may relay there */
export async function startTurnServer(port: number, config: string): Promise<TurnServer> {
  const folder = mkdtempSync(join(tmpdir(), 'parley-turn-'));
  const file = join(folder, 'turnserver.conf');
  const here = [
    'listening-ip=127.0.0.1',
    'relay-ip=127.0.0.1',
    'allow-loopback-peers',
    'allowed-peer-ip=127.0.0.1',
    'simple-log',
    `log-file=${join(folder, 'log')}`,
    `pidfile=${join(folder, 'pid')}`,
    `userdb=${join(folder, 'db')}`,
    'no-rfc5780',
  ];
  writeFileSync(file, `${config}\n${here.join('\n')}\n`, { mode: 0o600 });
  const child = spawn('turnserver', ['-c', file], { cwd: folder, stdio: 'ignore' });
  const exited = new Promise<void>((done) => child.once('exit', () => done()));
  const deadline = Date.now() + 15_000;
  for (;;) {
    const client = await TurnClient.connect({ address: '127.0.0.1', port, transport: 'udp' }, 300);
    const answers = await client.bind().catch(() => undefined);
    client.close();
    if (answers !== undefined) break;
    if (child.exitCode !== null || Date.now() > deadline) throw new Error('coturn does not start');
    await sleep(50);
  }
  return {
    log: () => readFileSync(join(folder, 'log'), 'utf8'),
    async [Symbol.asyncDispose]() {
      child.kill();
      await exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
