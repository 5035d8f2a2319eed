// Connections that are no use to anybody: noise, the wrong protocol, silence, too many at once (RFC 6120 4.9.3.4, 13.12).
import { randomBytes } from 'node:crypto';
import { connect as connectTls } from 'node:tls';
import { afterEach, expect, test } from 'vitest';
import { openChaosPipe } from '../kit/chaos.ts';
import { StreamClient } from '../kit/client.ts';
import { FakeClock, turn } from '../kit/clock.ts';
import { logIn, openStream } from '../kit/login.ts';
import { TestServer, type TestServerOptions } from '../kit/test-server.ts';
import { ending, expectService, header, openSocket, pause, residentBytes, settles } from './kit.ts';

const domain = 'chat.example';
const romeo = { user: 'romeo', password: 'secret', domain };

let server: TestServer | undefined;

async function start(
  settings: Parameters<typeof TestServer.start>[0] = {},
  options: TestServerOptions = {},
): Promise<TestServer> {
  server = await TestServer.start({ hosts: { [domain]: {} }, ...settings }, options);
  await server.server.accounts.create(`romeo@${domain}`, 'secret');
  await server.server.accounts.create(`juliet@${domain}`, 'secret');
  return server;
}

afterEach(async () => {
  const errors = server?.errors;
  await server?.stop();
  server = undefined;
  expect(errors).toEqual([]);
});

test('noise on any port ends the connection, and nothing else', async () => {
  const { c2s, addressOf } = await start({ listen: { 'c2s-tls': 0, http: 0 } }).then((one) => ({
    c2s: one.c2s,
    addressOf: (name: 'c2s-tls' | 'http') => one.addressOf(name),
  }));
  const inputs = [
    randomBytes(50_000),
    Buffer.alloc(50_000),
    Buffer.from('GET / HTTP/1.1\r\nHost: chat.example\r\n\r\n'),
    Buffer.from(header(domain)),
    // the beginning of a TLS handshake that never goes on
    Buffer.from('16030102000100', 'hex'),
  ];
  for (const address of [c2s, addressOf('c2s-tls'), addressOf('http')]) {
    for (const input of inputs) {
      const { socket } = await openSocket(address);
      socket.write(input);
      await pause(20);
      socket.resetAndDestroy();
    }
  }
  await expectService(c2s, domain, 'romeo', 'secret');
  const { client } = await logIn(addressOf('c2s-tls'), { ...romeo, tls: 'direct' });
  await client.fence();
  await client.destroy();
});

test('a TLS handshake on the port for STARTTLS is answered with a stream error', async () => {
  const { c2s } = await start();
  const socket = connectTls({ host: c2s.address, port: c2s.port, rejectUnauthorized: false });
  const failed = new Promise((resolve) => socket.on('error', resolve));
  expect(await settles(failed, 2_000)).toBe(true);
  socket.destroy();
  await expectService(c2s, domain, 'romeo', 'secret');
});

test('what is sent in the clear behind <starttls/> is not taken for what came encrypted', async () => {
  const { c2s } = await start();
  const client = await StreamClient.connect(c2s);
  await openStream(client, domain);
  client.write(`<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>${header(domain)}`);
  expect(await ending(client)).toBe('policy-violation');
});

test('a client that has closed its half is answered to the end, and let go', async () => {
  const { c2s } = await start();
  const { client } = await logIn(c2s, romeo);
  client.write("<iq type='get' id='last' to='chat.example'><ping xmlns='urn:xmpp:ping'/></iq>");
  client.halfClose();
  const item = await client.next();
  expect(item?.kind === 'element' && item.element.attrs.id).toBe('last');
  expect(await client.closed()).toBe(true);
});

test('a session goes with its connection, also when that is reset', async () => {
  const { c2s } = await start();
  const { client: juliet } = await logIn(c2s, { ...romeo, user: 'juliet' });
  for (const leave of ['reset', 'destroy', 'halfClose'] as const) {
    const { client, jid } = await logIn(c2s, romeo);
    await client[leave]();
    await pause(50);
    juliet.write(`<iq type='get' id='${leave}' to='${jid}'><ping xmlns='urn:xmpp:ping'/></iq>`);
    const answer = await juliet.next();
    expect(answer?.kind === 'element' && answer.element.attrs.type).toBe('error');
  }
});

test('a message that comes a few bytes at a time comes whole, and holds up nobody', async () => {
  const { c2s } = await start();
  await using pipe = await openChaosPipe(c2s);
  const { client: slow } = await logIn(pipe.address, romeo);
  const { client: quick, jid } = await logIn(c2s, { ...romeo, user: 'juliet' });
  pipe.upstream = { dribble: 3, delay: 1 };
  const body = 'ünïcödé 😀 '.repeat(20);
  slow.write(`<message to='${jid}' type='chat'><body>${body}</body></message>`);
  const before = performance.now();
  await quick.fence();
  expect(performance.now() - before).toBeLessThan(200);
  const message = await quick.next(5_000);
  expect(message?.kind === 'element' && message.element.getChildText('body')).toBe(body);
});

test('an address has only so many connections, others and later ones are not hurt', async () => {
  const { c2s } = await start({ limits: { enabled: true, 'connections-per-address': 20 } });
  const first = await Promise.all(Array.from({ length: 20 }, () => StreamClient.connect(c2s)));
  for (let round = 0; round < 3; round++) {
    const more = await Promise.all(Array.from({ length: 100 }, () => StreamClient.connect(c2s)));
    expect(new Set(await Promise.all(more.map((one) => ending(one))))).toEqual(new Set(['policy-violation']));
  }
  // those that were there first are served
  await openStream(first[0]!, domain);
  await Promise.all(first.map((one) => one.destroy()));
  await pause(50);
  await expectService(c2s, domain, 'romeo', 'secret');
});

test('a thousand connections that say nothing cost little, and go when their time is over', async () => {
  const clock = new FakeClock();
  const one = await start({ limits: { 'auth-timeout': '30s' }, listen: { 'c2s-tls': 0 } }, { clock });
  const { c2s } = one;
  const before = residentBytes('self');
  const all = await Promise.all(Array.from({ length: 1_000 }, () => openSocket(c2s)));
  const handshakes = await Promise.all(Array.from({ length: 50 }, () => openSocket(one.addressOf('c2s-tls'))));
  await expectService(c2s, domain, 'romeo', 'secret');
  // both ends are in this process
  expect(residentBytes('self') - before).toBeLessThan(60 * 1024 * 1024);

  await clock.advance(29_000);
  expect(all.some(({ socket }) => socket.readableEnded)).toBe(false);
  await clock.advance(7_000);
  expect(await settles(Promise.all(all.map(({ closed }) => closed)), 5_000)).toBe(true);
  await clock.advance(6_000);
  expect(await settles(Promise.all(handshakes.map(({ closed }) => closed)), 2_000)).toBe(true);
  expect(all.every(({ text }) => text().includes('connection-timeout'))).toBe(true);
});

test('the time to log in is not longer for those who do something', async () => {
  const clock = new FakeClock();
  const { c2s } = await start({ limits: { 'auth-timeout': '30s' } }, { clock });
  const client = await StreamClient.connect(c2s);
  await openStream(client, domain);
  for (let i = 0; i < 8; i++) {
    client.write(' ');
    await turn();
    await clock.advance(5_000);
  }
  expect(await ending(client)).toBe('connection-timeout');
});

test('a client that is silent for too long is let go; whitespace is enough to stay', async () => {
  const clock = new FakeClock();
  const { c2s } = await start({ limits: { 'idle-timeout': '10m' } }, { clock });
  const { client: silent } = await logIn(c2s, romeo);
  const { client: awake } = await logIn(c2s, { ...romeo, user: 'juliet' });
  for (let i = 0; i < 3; i++) {
    await clock.advance(4 * 60_000);
    awake.write(' ');
    await pause(30);
  }
  expect(await ending(silent)).toBe('connection-timeout');
  await awake.fence();
  expect(awake.isClosed).toBe(false);
});

test('a peer that never answers our goodbye is dropped', async () => {
  const clock = new FakeClock();
  const { c2s } = await start({ limits: { 'idle-timeout': '10m' } }, { clock });
  await using pipe = await openChaosPipe(c2s);
  const { client, jid } = await logIn(pipe.address, romeo);
  pipe.upstream = { frozen: true };
  pipe.downstream = { frozen: true };
  await clock.advance(11 * 60_000);
  await clock.advance(10_000);
  await pause(50);
  const { client: other } = await logIn(c2s, { ...romeo, user: 'juliet' });
  other.write(`<iq type='get' id='p' to='${jid}'><ping xmlns='urn:xmpp:ping'/></iq>`);
  const answer = await other.next();
  expect(answer?.kind === 'element' && answer.element.attrs.type).toBe('error');
  await client.destroy();
});
