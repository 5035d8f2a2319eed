// Login in one round trip as @xmpp/client does it: SASL2, Bind 2 and FAST.
import { type Client, client, type Token, xml } from '@xmpp/client';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { ChildServer, passwordOf } from '../kit/child-server.ts';

const domain = 'chat.example';
const agentId = '35a4fd05-5f8f-4e3b-8a1d-0ab44a2b5f8c';

let server: ChildServer;
// the certificate is one of a local authority, and the library has no place to name it
const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED;

beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  server = await ChildServer.start({ hosts: { [domain]: {} } });
  await server.addUsers(domain, ['romeo']);
});

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
  vi.restoreAllMocks();
});

/** A client with a token or none; `kept` holds the one that it has last. */
function connect(password: string | undefined, token: Token | undefined): { romeo: Client; kept: { token?: Token } } {
  const { address, port } = server.address('c2s-tls');
  const kept: { token?: Token } = token === undefined ? {} : { token };
  const romeo = client({
    service: `xmpps://${address}:${port}`,
    domain,
    username: 'romeo',
    resource: 'e2e',
    userAgent: xml('user-agent', { id: agentId }, xml('software', {}, 'xmpp.js'), xml('device', {}, 'a test')),
    ...(password === undefined ? {} : { password }),
  });
  romeo.fast.fetchToken = async () => kept.token;
  romeo.fast.saveToken = async (saved) => void Object.assign(kept, { token: saved });
  romeo.fast.deleteToken = async () => void delete kept.token;
  romeo.reconnect.stop();
  return { romeo, kept };
}

/** The library may miss the answer to its header when that comes at once, and so `start` must not be waited for. */
function start(romeo: Client): Promise<string> {
  return new Promise((resolve, reject) => {
    romeo.on('online', (jid) => resolve(jid.toString()));
    romeo.on('error', reject);
    romeo.start().catch(() => {});
  });
}

const logins = (): readonly string[] =>
  server.output.split('\n').flatMap((line) => {
    if (!line.includes('"msg":"login"')) return [];
    return [String((JSON.parse(line) as { mechanism?: string }).mechanism)];
  });

test('a client logs in by password, gets a token, and comes back with it in one round trip', async () => {
  const first = connect(passwordOf('romeo'), undefined);
  const jid = await start(first.romeo);
  expect(jid).toMatch(`romeo@${domain}/e2e/`);
  await first.romeo.iqCaller.get(xml('ping', 'urn:xmpp:ping'), domain);
  expect(first.kept.token).toMatchObject({ mechanism: 'HT-SHA-256-NONE' });
  expect(Date.parse(first.kept.token!.expiry)).toBeGreaterThan(Date.now());
  await first.romeo.stop();

  const second = connect(undefined, first.kept.token);
  const sent: string[] = [];
  second.romeo.on('send', (element) => sent.push(element.name));
  // the same client has the same address; and it has no password to fall back upon
  expect(await start(second.romeo)).toBe(jid);
  expect(sent).toEqual(['authenticate']);
  await second.romeo.iqCaller.get(xml('ping', 'urn:xmpp:ping'), domain);
  await second.romeo.stop();
  expect(logins()).toEqual(['SCRAM-SHA-1', 'HT-SHA-256-NONE']);
}, 60_000);

test('a token that is void makes the client use the password, and gets it another', async () => {
  const stale: Token = { mechanism: 'HT-SHA-256-NONE', token: 'x', expiry: new Date(Date.now() + 1e6).toISOString() };
  const { romeo, kept } = connect(passwordOf('romeo'), stale);
  await start(romeo);
  await romeo.iqCaller.get(xml('ping', 'urn:xmpp:ping'), domain);
  expect(kept.token?.token).not.toBe('x');
  await romeo.stop();
}, 60_000);
