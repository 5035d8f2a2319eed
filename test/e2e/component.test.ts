// A component made with slixmpp, the library of Debian's package, which several gateways are made with.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import type { StreamClient } from '../kit/client.ts';
import { enter } from '../kit/federation.ts';
import { told } from '../kit/server-peer.ts';
import { TestServer } from '../kit/test-server.ts';

const fileOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const domain = 'echo.chat.example';
const ended: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).reverse()) await end();
});

function launch(
  port: number,
  secret: string,
  script = 'slixmpp_component.py',
  more: NodeJS.ProcessEnv = {},
): { readonly child: ChildProcess; output(): string } {
  const child = spawn('/usr/bin/python3', [fileOf(script)], {
    env: {
      PATH: process.env.PATH,
      PARLEY_COMPONENT: domain,
      PARLEY_SECRET: secret,
      PARLEY_PORT: String(port),
      ...more,
    },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  ended.push(() => child.kill('SIGKILL'));
  return { child, output: () => output };
}

async function start(): Promise<TestServer> {
  const server = await TestServer.start({
    hosts: { 'chat.example': {} },
    components: { [domain]: { secret: 'sésame' } },
    listen: { component: 0 },
  });
  ended.push(() => server.stop());
  return server;
}

const heard = async (client: StreamClient): Promise<string> => told(await client.next(10_000));

test('a component of slixmpp logs in, is found, answers, and leaves', async () => {
  const server = await start();
  const { child, output } = launch(server.addressOf('component').port, 'sésame');
  await expect.poll(() => /ready|python3-slixmpp/.test(output()), { timeout: 20_000 }).toBe(true);
  if (output().includes('python3-slixmpp')) throw new Error(`run: node scripts/test-deps.js (${output().trim()})`);

  const { client } = await enter(server, 'romeo@chat.example');
  ended.push(() => client.destroy());
  client.write(`<iq type='get' id='q' to='${domain}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>`);
  expect(await heard(client)).toContain('category="gateway"');
  for (const body of ['one', 'two', 'bye']) {
    client.write(`<message to='anybody@${domain}/there' type='chat'><body>${body}</body></message>`);
    const answer = await heard(client);
    expect(answer).toContain(`<body>${body}</body>`);
    expect(answer).toContain(`from="anybody@${domain}/there"`);
  }
  if (child.exitCode === null) await once(child, 'exit');
  expect(child.exitCode, output()).toBe(0);
  client.write(`<message to='anybody@${domain}' type='chat'><body>Gone?</body></message>`);
  expect(await heard(client)).toContain('<remote-server-timeout');
  expect(server.errors).toEqual([]);
}, 60_000);

test('a component of slixmpp with another secret is turned away', async () => {
  const server = await start();
  const { child, output } = launch(server.addressOf('component').port, 'wrong');
  if (child.exitCode === null) await once(child, 'exit');
  expect(output()).not.toContain('ready');
  expect(child.exitCode, output()).toBe(1);
}, 60_000);

test('a privileged component of slixmpp changes and reads a roster, and speaks in the name of its owner', async () => {
  const server = await TestServer.start({
    hosts: { 'chat.example': {} },
    components: { [domain]: { secret: 'sesame', privileges: { roster: 'both', message: 'outgoing' } } },
    listen: { component: 0 },
  });
  ended.push(() => server.stop());
  const { client } = await enter(server, 'romeo@chat.example');
  ended.push(() => client.destroy());
  client.write('<presence/>');
  expect(await heard(client)).toContain('<presence');
  const people = { PARLEY_HOST: 'chat.example', PARLEY_PERSON: 'romeo@chat.example' };
  const { child, output } = launch(server.addressOf('component').port, 'sesame', 'slixmpp_privileged.py', people);
  const message = await heard(client);
  expect(message, output()).toContain('<body>From slixmpp</body>');
  expect(message).toContain('from="romeo@chat.example"');
  if (child.exitCode === null) await once(child, 'exit');
  expect(child.exitCode, output()).toBe(0);
  expect(output()).toContain("'roster': 'both', 'message': 'outgoing'");
  expect(output()).toContain("roster ['nurse@example.com']");
  expect(server.errors).toEqual([]);
}, 60_000);
