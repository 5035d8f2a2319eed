// Parley as it is where npm was told to leave out what is optional: it starts, and says at /chat what is missing.
import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { build, until } from '../kit/child-server.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'parley-without-'));
let child: ChildProcess;
let output = '';

beforeAll(() => {
  build();
  for (const part of ['bin', 'dist', 'package.json']) cpSync(join(root, part), join(folder, part), { recursive: true });
  const packages = join(folder, 'node_modules');
  mkdirSync(packages);
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (name !== 'converse.js') symlinkSync(join(root, 'node_modules', name), join(packages, name));
  }
  child = spawn(process.execPath, ['bin/parley.js', 'start'], {
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      HOME: folder,
      PARLEY_DATABASE: 'memory',
      ...Object.fromEntries(
        ['C2S', 'C2S_TLS', 'S2S', 'S2S_TLS', 'COMPONENT', 'HTTP', 'HTTPS'].map((name) => [
          `PARLEY_LISTEN__${name}`,
          '0',
        ]),
      ),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
}, 120_000);
afterAll(() => {
  child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

test('without the web client the server runs, and says at /chat in one sentence what to install', async () => {
  expect(await until(60_000, () => output.includes('is ready for')), output).toBe(true);
  expect(output).not.toMatch(/^ {2}chat/m);
  const port = /^ {2}http +\S+:(\d+)/m.exec(output)?.[1];
  for (const [path, status] of [
    ['/', 200],
    ['/chat', 503],
  ] as const) {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    expect(response.status).toBe(status);
    const text = await response.text();
    expect(text).toContain('run "npm install converse.js"');
    expect(text).toContain('<a href="https://xmpp.org/software/">');
    expect(response.headers.get('content-security-policy')).toContain("default-src 'none'");
  }
}, 90_000);
