// Sessions that outlive their BOSH session (XEP-0198 5), and servers that stop while nobody asks for anything.
import { expect, test } from 'vitest';
import type { ConfigInput } from '../../../src/config/server.ts';
import { createMemoryDriver } from '../../../src/storage/memory.ts';
import { BoshClient, wrapperOf } from '../../kit/bosh-client.ts';
import { FakeClock } from '../../kit/clock.ts';
import { TestServer, type TestServerOptions } from '../../kit/test-server.ts';

const domain = 'verona.test';
const SM = 'urn:xmpp:sm:3';
const login = { domain, user: 'romeo', password: 'secret', resource: 'web' };
const settings: ConfigInput = { hosts: { [domain]: {} }, listen: { http: 0 } };
const toSelf = "<message xmlns='jabber:client' type='chat' to='romeo@verona.test/web'><body>ay me</body></message>";

async function start(options: TestServerOptions = {}): Promise<TestServer> {
  const server = await TestServer.start(settings, options);
  await server.server.accounts.create('romeo@verona.test', 'secret');
  return server;
}

const http = (server: TestServer) => server.addressOf('http');

/** Logs in and switches stream management on; the name of the session besides. */
async function enter(server: TestServer): Promise<{ readonly client: BoshClient; readonly id: string }> {
  const client = await BoshClient.logIn(http(server), login);
  const enabled = (await client.ask(`<enable xmlns='${SM}' resume='true'/>`)).getChild('enabled', SM);
  return { client, id: enabled?.attrs.id ?? '' };
}

/** The answer to an attempt to resume over a new BOSH session, with what came along. */
async function comeBack(server: TestServer, id: string, h = 0) {
  const client = new BoshClient(http(server));
  await client.create({ to: domain });
  const plain = Buffer.from('\0romeo\0secret').toString('base64');
  await client.ask(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${plain}</auth>`);
  await client.ask('', { to: domain, 'xmpp:restart': 'true' });
  return client.ask(`<resume xmlns='${SM}' previd='${id}' h='${h}'/>`);
}

test('a session goes on after its BOSH session was silent for too long', async () => {
  const clock = new FakeClock();
  await using server = await start({ clock });
  const { client, id } = await enter(server);
  await client.ask(toSelf);
  await clock.advance(200_000);
  expect((await client.ask()).attrs).toMatchObject({ type: 'terminate', condition: 'item-not-found' });
  const body = await comeBack(server, id);
  expect(body.getChild('resumed', SM)?.attrs.h).toBe('1');
  expect(body.getChildren('message').map((message) => message.getChildText('body'))).toEqual(['ay me']);
});

test('a client that pauses has nothing to acknowledge meanwhile', async () => {
  const clock = new FakeClock();
  await using server = await start({ clock });
  const { client } = await enter(server);
  // what waits for it is to be acknowledged, and it has no request open that could tell it so
  await client.ask(toSelf);
  expect((await client.ask('', { pause: 120 })).children).toEqual([]);
  for (let s = 0; s < 110; s += 5) await clock.advance(5_000);
  const body = await client.ask();
  expect(body.attrs.type).toBeUndefined();
  expect(body.getChild('r', SM)).toBeDefined();
});

test('a session goes on over another BOSH session, while the lost one is not known to be lost', async () => {
  await using server = await start();
  const { client, id } = await enter(server);
  const held = client.send();
  await new Promise((resolve) => setTimeout(resolve, 50));
  const body = await comeBack(server, id);
  expect(body.getChild('resumed', SM)).toBeDefined();
  const end = wrapperOf(await held.answer);
  expect(end.attrs).toMatchObject({ type: 'terminate', condition: 'remote-stream-error' });
  expect(end.toString()).toContain('conflict');
});

test('a server that stops says that it goes, and the session goes on when it is back', async () => {
  const clock = new FakeClock();
  const driver = createMemoryDriver(clock);
  const first = await start({ driver });
  const { client, id } = await enter(first);
  const held = client.send();
  await new Promise((resolve) => setTimeout(resolve, 50));
  await first.stop();
  const end = wrapperOf(await held.answer);
  expect(end.attrs).toMatchObject({ type: 'terminate', condition: 'system-shutdown' });
  expect(end.getChild('a', SM)).toBeDefined();
  expect(end.toString()).not.toContain('error');
  await using second = await TestServer.start(settings, { driver });
  expect((await comeBack(second, id)).getChild('resumed', SM)).toBeDefined();
});

test.each([true, false])('nobody is waited for who has no request open (stream management: %s)', async (isManaged) => {
  const server = await start();
  if (isManaged) await enter(server);
  else await BoshClient.logIn(http(server), login);
  const before = Date.now();
  await server.stop();
  expect(Date.now() - before).toBeLessThan(1_500);
});
