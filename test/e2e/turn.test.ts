// Calls over a relay: coturn, set up as `parley turn print-coturn` says, lets in whoever has credentials from the server, and nobody else.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bind, checkTurn, coturnConfig, relay } from '../../src/cli/turn.ts';
import type { ConfigInput } from '../../src/config/server.ts';
import { TurnClient, type TurnRefused, type TurnTarget } from '../../src/net/turn-client.ts';
import { NS } from '../../src/xmpp/ns.ts';
import { turnCredentials } from '../../src/xmpp/turn-credentials.ts';
import { logIn } from '../kit/login.ts';
import { freePort } from '../kit/peers.ts';
import { TestServer, testConfig } from '../kit/test-server.ts';
import { startTurnServer, type TurnServer } from '../kit/turn-server.ts';

const SECRET = 'what-only-both-know';
let port: number;
let settings: ConfigInput;
let server: TestServer;
let turn: TurnServer;

const target = (transport: 'udp' | 'tcp'): TurnTarget => ({ address: '127.0.0.1', port, transport });
const services = (secret: string): ConfigInput['external-services'] => [
  { type: 'turn', host: '127.0.0.1', port, secret, ttl: '10m' },
  { type: 'turn', host: '127.0.0.1', port, transport: 'tcp', secret, ttl: '10m' },
  { type: 'stun', host: '127.0.0.1', port },
];

beforeAll(async () => {
  port = await freePort();
  settings = { hosts: { 'verona.test': {} }, 'external-services': services(SECRET) };
  turn = await startTurnServer(port, coturnConfig(testConfig(settings), 'verona.test')!);
  server = await TestServer.start(settings);
  for (const user of ['romeo', 'juliet']) await server.server.accounts.create(`${user}@verona.test`, 'secret');
});
afterAll(async () => {
  await turn?.[Symbol.asyncDispose]();
  await server?.stop();
});

interface Given {
  readonly username: string;
  readonly password: string;
  readonly expires: number;
}

/** What a client is given for a transport. */
async function credentialsOf(user: string, transport: 'udp' | 'tcp'): Promise<Given> {
  const { client } = await logIn(server.c2s, { domain: 'verona.test', user, password: 'secret' });
  client.write(`<iq type='get' id='1' to='verona.test'><services xmlns='${NS.extdisco}' type='turn'/></iq>`);
  const item = await client.next();
  await client.destroy();
  if (item?.kind !== 'element') throw new Error('no answer');
  const list = item.element.getChild('services', NS.extdisco)?.getChildren('service', NS.extdisco) ?? [];
  const { username, password, expires } = list.find(({ attrs }) => attrs.transport === transport)!.attrs;
  return { username: username!, password: password!, expires: Date.parse(expires!) };
}

describe.each(['udp', 'tcp'] as const)('over %s', (transport) => {
  test('two clients talk through the relay, each with its own credentials', async () => {
    const romeo = await credentialsOf('romeo', transport);
    const juliet = await credentialsOf('juliet', transport);
    expect(romeo.username).not.toBe(juliet.username);
    expect(romeo.expires).toBeGreaterThan(Date.now() + 9 * 60_000);
    expect(romeo.expires).toBeLessThanOrEqual(Date.now() + 10 * 60_000);
    const one = await TurnClient.connect(target(transport));
    const other = await TurnClient.connect(target(transport));
    const at = await one.allocate(romeo.username, romeo.password);
    const from = await other.allocate(juliet.username, juliet.password);
    await one.permit(from);
    await other.permit(at);
    other.send(at, Buffer.from('But soft, what light?'));
    expect(await one.arrives()).toBe(true);
    expect(one.received[0]).toEqual({ from, data: Buffer.from('But soft, what light?') });
    one.close();
    other.close();
  });

  test('wrong, expired and forged credentials are refused', async () => {
    const { username, password } = await credentialsOf('romeo', transport);
    const expired = turnCredentials(SECRET, 'romeo@verona.test', Date.now() - 60_000);
    const forged = turnCredentials('another secret', 'romeo@verona.test', Date.now() + 60_000);
    const longer = `${Number(username.split(':')[0]) + 86_400}:${username.split(':')[1]}`;
    for (const [name, word] of [
      [username, 'guess'],
      [expired.username, expired.password],
      [forged.username, forged.password],
      [longer, password],
    ] as const) {
      const client = await TurnClient.connect(target(transport));
      await expect(client.allocate(name, word)).rejects.toMatchObject({ code: 401 } satisfies Partial<TurnRefused>);
      client.close();
    }
  });
});

test("the client of coturn's own relays with what an XMPP client was given", async () => {
  const { username, password } = await credentialsOf('juliet', 'udp');
  const args = ['-y', '-s', '-n', '5', '-u', username, '-w', password, '-p', String(port), '127.0.0.1'];
  const { stdout } = await promisify(execFile)('turnutils_uclient', args, { timeout: 30_000 });
  expect(stdout).toMatch(/Total lost packets 0 /);
});

test('the relay lets nobody into networks behind it', async () => {
  const { username, password } = await credentialsOf('romeo', 'udp');
  const client = await TurnClient.connect(target('udp'));
  await client.allocate(username, password);
  for (const address of ['10.0.0.1', '192.168.1.1', '169.254.169.254', '172.31.0.1']) {
    await expect(client.permit({ address, port: 80 })).rejects.toMatchObject({ code: 403 });
  }
  client.close();
});

test('the doctor sees that it relays, and where the secret is another one', async () => {
  const parts = { addresses: async () => [], bind, relay };
  const looked = await checkTurn(testConfig(settings), parts, Date.now());
  expect(looked.filter(({ state }) => state === 'fail')).toEqual([]);
  expect(looked.find(({ subject }) => subject === `turn 127.0.0.1:${port} tcp`)).toBeDefined();
  expect(looked.filter(({ message }) => message.startsWith('relays at 127.0.0.1:')).length).toBe(2);
  expect(looked.filter(({ message }) => message === '127.0.0.1 is of a private network').length).toBe(3);
  const other = testConfig({ ...settings, 'external-services': services('another secret') });
  const failed = (await checkTurn(other, parts, Date.now())).filter(({ state }) => state === 'fail');
  expect(failed.map(({ message }) => message)).toEqual(['refuses the credentials', 'refuses the credentials']);
});
