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
function connect(
  password: string | undefined,
  token: Token | undefined,
  agent = agentId,
): { romeo: Client; kept: { token?: Token } } {
  const { address, port } = server.address('c2s-tls');
  const kept: { token?: Token } = token === undefined ? {} : { token };
  const romeo = client({
    service: `xmpps://${address}:${port}`,
    domain,
    username: 'romeo',
    resource: 'e2e',
    userAgent: xml('user-agent', { id: agent }, xml('software', {}, 'xmpp.js'), xml('device', {}, 'a test')),
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

test('a client that lost its connection goes on with its session in one round trip, and misses nothing', async () => {
  const { romeo } = connect(passwordOf('romeo'), undefined);
  const jid = await start(romeo);
  const heard: string[] = [];
  romeo.on('stanza', (stanza) => {
    const body = stanza.getChildText('body');
    if (body !== null) heard.push(body);
  });
  await romeo.iqCaller.get(xml('ping', 'urn:xmpp:ping'), domain);
  const other = connect(passwordOf('romeo'), undefined, 'b6f1d1f5-8f0e-4d6c-9a5a-1d3f2a7e9c01').romeo;
  await start(other);
  const sent: string[] = [];
  const resumed = new Promise<void>((resolve) => romeo.streamManagement.on('resumed', resolve));
  const gone = new Promise<void>((resolve) => romeo.on('disconnect', resolve));
  romeo.on('send', (element) => sent.push(element.name));
  // long enough for somebody to write meanwhile
  romeo.reconnect.delay = 1000;
  romeo.reconnect.start();
  romeo.socket?.socket.destroy();
  await gone;
  await other.send(xml('message', { to: jid, type: 'chat' }, xml('body', {}, 'while you were away')));
  await other.iqCaller.get(xml('ping', 'urn:xmpp:ping'), domain);
  expect(heard).toEqual([]);

  // the token that came with its session lets it in
  await resumed;
  romeo.reconnect.stop();
  await romeo.iqCaller.get(xml('ping', 'urn:xmpp:ping'), domain);
  expect(sent[0]).toBe('authenticate');
  expect(romeo.jid?.toString()).toBe(jid);
  expect(logins().at(-1)).toBe('HT-SHA-256-NONE');
  expect(heard).toEqual(['while you were away']);
  await Promise.all([romeo.stop(), other.stop()]);
}, 60_000);
