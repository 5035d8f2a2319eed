// `npm start -- --config FILE`, as people and service managers run it: signals to npm must reach the server below it.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { isAlive, until } from '../kit/child-server.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'parley npm '));
const off = { 'c2s-tls': null, s2s: null, 's2s-tls': null, component: null, http: null, https: null };
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function npmStart(config: object) {
  const file = join(folder, 'parley.yaml');
  writeFileSync(file, JSON.stringify(config));
  const npm = spawn('npm', ['start', '--', '--config', file], {
    cwd: root,
    env: { PATH: process.env.PATH, HOME: folder, npm_config_update_notifier: 'false' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [npm.stdout, npm.stderr]) {
    stream.setEncoding('utf8').on('data', (data: string) => {
      text += data;
    });
  }
  const ended = new Promise<number | null>((resolve) => npm.on('close', (code) => resolve(code)));
  return { npm, ended, output: () => text };
}

test.each(['SIGTERM', 'SIGINT'] as const)(
  '%s to npm stops the server in an orderly way, and is success',
  async (signal) => {
    const data = join(folder, 'data');
    const { npm, ended, output } = npmStart({ database: 'memory', data, listen: { c2s: 0, ...off } });
    try {
      expect(await until(30_000, () => output().includes('is ready for')), output()).toBe(true);
      npm.kill(signal);
      expect(await ended, output()).toBe(0);
      expect(output()).toContain('"msg":"stopped"');
      expect(existsSync(join(data, 'admin.sock'))).toBe(false);
    } finally {
      if (isAlive(npm.pid ?? 0)) npm.kill('SIGKILL');
    }
  },
  40_000,
);

test('a wrong configuration is exit code 2 of npm too', async () => {
  const { ended, output } = npmStart({ listen: { c2s: 99_999 }, modules: { pign: false } });
  expect(await ended).toBe(2);
  expect(output()).toContain('listen.c2s: 99999 is too large');
  expect(output()).toContain('modules.pign: there is no such module. Did you mean "ping"?');
}, 40_000);
