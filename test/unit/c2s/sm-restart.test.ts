// Sessions that wait in the store for the next process: until somebody has come back for each, or it is over (XEP-0198 4, 5).
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type StoredSession, sessionStores } from '../../../src/c2s/sm-store.ts';
import type { ConfigInput } from '../../../src/config/server.ts';
import type { Server } from '../../../src/server.ts';
import { createMemoryDriver } from '../../../src/storage/memory.ts';
import type { Driver, KvStore } from '../../../src/storage/ports.ts';
import { StreamClient } from '../../kit/client.ts';
import { authenticate, logIn, openStream } from '../../kit/login.ts';
import { startServer, testConfig } from '../../kit/test-server.ts';

const domain = 'verona.test';
const SM = 'urn:xmpp:sm:3';

let driver: Driver;
let rows: KvStore<readonly StoredSession[]>;
const servers: Server[] = [];
const clients: StreamClient[] = [];

beforeEach(async () => {
  driver = createMemoryDriver();
  const server = await start();
  const opened = await driver.open(domain, 'stream-management', sessionStores);
  rows = opened.suspended as KvStore<readonly StoredSession[]>;
  for (const user of ['romeo', 'juliet']) await server.hosts.get(domain)!.accounts.create(user, 'secret');
});

afterEach(async () => {
  for (const client of clients.splice(0)) await client.destroy();
  for (const server of servers.splice(0)) await server.stop();
  await driver.close();
});

const settingsOf = (changed: ConfigInput = {}): ConfigInput => ({ hosts: { [domain]: {} }, ...changed });

/** Another process on the same store; the one before it may be there still, and has no say any more. */
async function start(changed?: ConfigInput): Promise<Server> {
  const server = await startServer(settingsOf(changed), { driver });
  servers.push(server);
  return server;
}

async function enter(server: Server, user: string): Promise<StreamClient> {
  const login = { domain, user, password: 'secret', resource: 'here' };
  const { client } = await logIn(server.address('c2s')!, login);
  clients.push(client);
  return client;
}

/** Of the user there is a session in the store, with a message from Juliet that nobody has seen. Returns the SM-ID. */
async function leaveStored(user = 'romeo'): Promise<string> {
  const server = servers.at(-1)!;
  const reader = await enter(server, user);
  reader.write(`<enable xmlns='${SM}' resume='true'/>`);
  const enabled = await reader.next();
  const id = enabled?.kind === 'element' ? String(enabled.element.attrs.id) : '';
  const juliet = await enter(server, 'juliet');
  juliet.write(`<message to='${user}@${domain}/here' type='chat' id='m'><body>Romeo</body></message>`);
  await juliet.fence();
  await server.stop();
  return id;
}

/** What answers an attempt to resume, with its condition, and the client that made it. */
async function resume(server: Server, id: string) {
  const client = await StreamClient.connect(server.address('c2s')!);
  clients.push(client);
  await openStream(client, domain);
  await authenticate(client, { user: 'romeo', password: 'secret' });
  await openStream(client, domain);
  client.write(`<resume xmlns='${SM}' previd='${id}' h='0'/>`);
  const item = await client.next();
  if (item?.kind !== 'element') throw new Error('no answer');
  const [first] = item.element.children;
  return { client, answer: item.element.name, condition: typeof first === 'object' ? first.name : first };
}

async function heardOnLogin(server: Server): Promise<unknown[]> {
  const romeo = await enter(server, 'romeo');
  romeo.write('<presence/>');
  await romeo.fence();
  return romeo.inbox.flatMap((item) =>
    item.kind === 'element' && item.element.name === 'message' ? [item.element.attrs.id] : [],
  );
}

test('a row is kept until its client has come back', async () => {
  const id = await leaveStored();
  const server = await start();
  expect(await rows.get('romeo')).toHaveLength(1);
  expect((await resume(server, id)).answer).toBe('resumed');
  await expect.poll(() => rows.get('romeo')).toBeUndefined();
});

test('a row is kept until its session is over', async () => {
  await leaveStored();
  const server = await start();
  await server.sessions.close(server.sessions.get(`romeo@${domain}/here`)!);
  await expect.poll(() => rows.get('romeo')).toBeUndefined();
  expect(await heardOnLogin(server)).toEqual(['m']);
});

test('a host that is served again has its sessions back, and the others keep theirs', async () => {
  const id = await leaveStored();
  const server = await start({ hosts: { 'mantua.test': {} } });
  await server.hosts.get('mantua.test')!.accounts.create('mercutio', 'secret');
  const login = { domain: 'mantua.test', user: 'mercutio', password: 'secret', resource: 'here' };
  const { client } = await logIn(server.address('c2s')!, login);
  clients.push(client);
  await server.reload(testConfig({ hosts: { 'mantua.test': {}, [domain]: {} } }));
  expect((await resume(server, id)).answer).toBe('resumed');
  await expect.poll(() => rows.get('romeo')).toBeUndefined();
  await client.fence();
});

test('a session that goes through several restarts is stored once', async () => {
  const id = await leaveStored();
  for (let i = 0; i < 3; i++) await (await start()).stop();
  expect(await rows.get('romeo')).toHaveLength(1);
  expect((await resume(await start(), id)).answer).toBe('resumed');
});

test('what waited for a session is not lost with a process that ends before its client comes back', async () => {
  const id = await leaveStored();
  // this one is never heard of again
  await start();
  const next = await start();
  expect(await rows.get('romeo')).toBeUndefined();
  // nobody knows what the session was sent meanwhile: it cannot go on
  expect((await resume(next, id)).answer).toBe('failed');
  expect(await heardOnLogin(next)).toEqual(['m']);
});

test('of two sessions with the same address one goes on, and nothing is lost of the other', async () => {
  const id = await leaveStored();
  const [one] = (await rows.get('romeo'))!;
  const { session, stream } = one!;
  const waiting = stream.waiting.map((entry) => ({ ...entry, xml: entry.xml.replaceAll("id='m'", "id='n'") }));
  await rows.set('romeo', [
    one!,
    { ...one!, session: { ...session, sid: 'x.solo' }, stream: { ...stream, id: 'x', waiting } },
  ]);
  const server = await start();
  expect(await rows.get('romeo')).toHaveLength(1);
  const { client, answer } = await resume(server, id);
  expect(answer).toBe('resumed');
  client.write(`<a xmlns='${SM}' h='1'/>`);
  await client.fence();
  expect(await heardOnLogin(server)).toContain('n');
});

test('a row that cannot be read holds up nobody else, and what is whole of it goes through delivery', async () => {
  const id = await leaveStored();
  const [whole] = (await rows.get('romeo'))!;
  const { session, stream } = whole!;
  const bad = { ...whole!, session: { ...session, presence: '<presence></x>' }, stream: { ...stream, id: 'bad.solo' } };
  const worse = { node: 'solo', session: null, stream: null } as unknown as StoredSession;
  await rows.set('juliet', [worse, bad]);
  await rows.set('nobody', 'nonsense' as never);
  const server = await start();
  expect(server.sessions.count).toBe(1);
  expect(await rows.get('juliet')).toBeUndefined();
  const { client, answer } = await resume(server, id);
  expect(answer).toBe('resumed');
  expect(await client.next()).toMatchObject({ element: { attrs: { id: 'm' } } });
  await expect.poll(() => rows.get('romeo')).toBeUndefined();
});

test('what was promised holds where nothing can be resumed any more; others are told so', async () => {
  const id = await leaveStored();
  const server = await start({ 'stream-management': { 'resume-timeout': '0s' } });
  expect((await resume(server, 'another')).condition).toBe('feature-not-implemented');
  expect((await resume(server, id)).answer).toBe('resumed');
});

test('sessions that need more memory than may be taken now are given up, and their messages kept', async () => {
  await leaveStored();
  const server = await start({ 'stream-management': { 'hibernating-bytes': 1 } });
  await expect.poll(() => server.sessions.count).toBe(0);
  expect(await heardOnLogin(server)).toEqual(['m']);
});

test('sessions of a domain that is not served are there when it is served again', async () => {
  const id = await leaveStored();
  await (await start({ hosts: { 'mantua.test': {} } })).stop();
  expect((await resume(await start(), id)).answer).toBe('resumed');
});

test('sessions of a domain that goes while the server runs end, and their messages are kept', async () => {
  await leaveStored();
  const server = await start();
  await server.reload(testConfig({ hosts: { 'mantua.test': {} } }));
  await server.reload(testConfig(settingsOf()));
  expect(server.sessions.count).toBe(0);
  expect(await heardOnLogin(server)).toEqual(['m']);
});
