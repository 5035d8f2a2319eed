// Parley as slixmpp sees it: the library of Debian's package, which most bots and several clients are made with.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChildServer } from '../kit/child-server.ts';

const domain = 'chat.example';
const scriptOf = (name: string): string => fileURLToPath(new URL(`slixmpp_${name}.py`, import.meta.url));
// Debian's own: the first `python3` of the path may be one without its packages
const python = '/usr/bin/python3';

let server: ChildServer;

beforeAll(async () => {
  server = await ChildServer.start({
    registration: 'invite',
    admins: [`duke@${domain}`],
    hosts: { [domain]: { proxy: { enabled: true, address: '127.0.0.1' } } },
    listen: { proxy65: 0 },
  });
  await server.addUsers(domain, ['romeo', 'juliet', 'nurse', 'duke', 'guest-s', 'guest-d']);
});

afterAll(() => server?.[Symbol.asyncDispose]());

test.each(['STARTTLS', 'direct TLS'])(
  'slixmpp lives its whole story over %s',
  async (transport) => {
    await play('client', transport, 12);
  },
  70_000,
);

test('people with slixmpp meet in rooms of all kinds', async () => {
  await play('rooms', 'STARTTLS', 8);
}, 70_000);

test('somebody is invited, registers, and is a contact at once (XEP-0401, XEP-0445, XEP-0379)', async () => {
  await play('invited', 'STARTTLS', 5);
}, 70_000);

test('a file goes from one slixmpp to another over the proxy (XEP-0065)', async () => {
  await play('files', 'STARTTLS', 3);
}, 70_000);

test('a call between slixmpps rings everywhere, and is taken once (XEP-0353)', async () => {
  await play('calls', 'STARTTLS', 3);
}, 70_000);

test('a duke administers, and reads of whom somebody has blocked (XEP-0133, XEP-0050, XEP-0377)', async () => {
  await play('admin', 'STARTTLS', 7);
}, 70_000);

test('the server never logged an error', () => {
  expect(server.output.split('\n').filter((line) => line.includes('"level":"error"'))).toEqual([]);
});

/** A script is played to its end, with so many steps. */
async function play(name: string, transport: string, steps: number): Promise<void> {
  const { code, output } = await run(scriptOf(name), transport);
  if (code === 3) throw new Error(`slixmpp is missing; run: node scripts/test-deps.js (${output.trim()})`);
  expect(
    output.split('\n').filter((line) => line.startsWith('ok ')),
    output,
  ).toHaveLength(steps);
  expect(code).toBe(0);
}

function run(script: string, transport: string): Promise<{ readonly code: number | null; readonly output: string }> {
  const child = spawn(python, [script], {
    env: {
      PATH: process.env.PATH,
      HOME: server.folder,
      LANG: 'C.UTF-8',
      PARLEY_DOMAIN: domain,
      PARLEY_PORT: String(server.address('c2s').port),
      PARLEY_TLS_PORT: String(server.address('c2s-tls').port),
      PARLEY_CA: join(server.folder, 'data', 'certs', 'ca.crt'),
      PARLEY_TRANSPORT: transport,
    },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), 65_000);
    child.on('error', (error) =>
      reject(new Error(`${python} does not run: ${error.message}; see scripts/test-deps.js`)),
    );
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code, output });
    });
  });
}
