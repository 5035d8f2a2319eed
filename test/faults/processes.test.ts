// Processes that die: the database under people who chat, the server itself, and two servers that want the same data.
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import type { Element } from 'ltx';
import { afterEach, expect, test } from 'vitest';
import { ChildServer, isAlive, passwordOf, until } from '../kit/child-server.ts';
import { StreamClient } from '../kit/client.ts';
import { logIn, openStream } from '../kit/login.ts';
import { pause } from './kit.ts';

const domain = 'localhost';
let server: ChildServer | undefined;
let clients: StreamClient[] = [];

async function start(): Promise<ChildServer> {
  server = await ChildServer.start({ hosts: { [domain]: {} }, tls: { required: false } });
  await server.addUsers(domain, ['romeo', 'juliet', 'nurse']);
  return server;
}

afterEach(async () => {
  await Promise.all(clients.map((client) => client.destroy()));
  clients = [];
  await server?.[Symbol.asyncDispose]();
  server = undefined;
});

async function enter(user: string): Promise<{ readonly client: StreamClient; readonly jid: string }> {
  const login = await logIn(server!.address('c2s'), { user, password: passwordOf(user), domain });
  clients.push(login.client);
  return login;
}

async function online(user: string): Promise<{ readonly client: StreamClient; readonly jid: string }> {
  const login = await enter(user);
  login.client.write("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq><presence/>");
  await login.client.fence();
  return login;
}

/** The next stanza for which it holds; what comes before it is dropped. */
async function find(client: StreamClient, holds: (stanza: Element) => boolean, ms = 8_000): Promise<Element> {
  for (const deadline = performance.now() + ms; performance.now() < deadline; ) {
    const item = await client.next(deadline - performance.now());
    if (item?.kind === 'element' && holds(item.element)) return item.element;
    if (item === undefined) break;
  }
  throw new Error('it never came');
}

const saying = (body: string) => (stanza: Element) => stanza.getChildText('body') === body;

test('while the database is dead people go on talking, and what needs it is told to wait', async () => {
  const { folder } = await start();
  const romeo = await online('romeo');
  const juliet = await online('juliet');
  const old = server!.databasePid!;

  // without this file it does not start again
  const control = join(folder, 'data', 'postgres', 'db', 'global', 'pg_control');
  renameSync(control, `${control}.away`);
  process.kill(old, 'SIGKILL');

  for (const body of ['one', 'two', 'three']) {
    romeo.client.write(`<message to='juliet@${domain}' type='chat'><body>${body}</body></message>`);
    await find(juliet.client, saying(body), 1_000);
    juliet.client.write(`<message to='${romeo.jid}' type='chat'><body>${body}</body></message>`);
    await find(romeo.client, saying(body), 1_000);
  }

  // all at once, for each is patient for a while
  romeo.client.write(`<message to='nurse@${domain}' type='chat' id='kept'><body>later</body></message>`);
  const stranger = await StreamClient.connect(server!.address('c2s'));
  clients.push(stranger);
  await openStream(stranger, domain);
  // (whose keys are in memory may log in all the same)
  const plain = Buffer.from('\0stranger\0secret').toString('base64');
  stranger.write(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${plain}</auth>`);
  const { port } = server!.address('http');
  const statusOf = async (path: string): Promise<number> => (await fetch(`http://127.0.0.1:${port}${path}`)).status;
  const [bounced, failure, readiness, liveness] = await Promise.all([
    find(romeo.client, ({ attrs }) => attrs.id === 'kept', 15_000),
    find(stranger, ({ name }) => name === 'failure', 15_000),
    statusOf('/readyz'),
    statusOf('/healthz'),
  ]);
  expect(bounced.getChild('error')?.attrs.type).toBe('wait');
  expect(bounced.getChild('error')?.getChild('resource-constraint')).toBeDefined();
  expect(failure.getChild('temporary-auth-failure')).toBeDefined();
  expect([readiness, liveness]).toEqual([503, 200]);
  // from now on nobody is held up: the answer comes at once
  const before = performance.now();
  romeo.client.write(`<message to='nurse@${domain}' type='chat' id='again'><body>later</body></message>`);
  await find(romeo.client, ({ attrs }) => attrs.id === 'again');
  expect(performance.now() - before).toBeLessThan(500);

  renameSync(`${control}.away`, control);
  expect(await until(15_000, async () => (await statusOf('/readyz')) === 200), server!.output).toBe(true);
  expect(server!.databasePid).not.toBe(old);
  const nurse = await online('nurse');
  romeo.client.write(`<message to='nurse@${domain}' type='chat'><body>at last</body></message>`);
  await find(nurse.client, saying('at last'));
}, 40_000);

test('a database that was killed is started again at once, and nobody is told anything', async () => {
  await start();
  const romeo = await online('romeo');
  process.kill(server!.databasePid!, 'SIGKILL');
  romeo.client.write(`<message to='nurse@${domain}' type='chat' id='kept'><body>kept</body></message>`);
  const nurse = await online('nurse');
  // (from the queue, or straight, where the message had waited for the database as the login did)
  await find(nurse.client, saying('kept'));
  nurse.client.write(`<iq type='get' id='all'><ping xmlns='urn:xmpp:ping'/></iq>`);
  await find(nurse.client, ({ attrs }) => attrs.id === 'all');
  expect(nurse.client.inbox.some((item) => item.kind === 'element' && saying('kept')(item.element))).toBe(false);
  expect(romeo.client.inbox.filter((item) => item.kind === 'element' && item.element.attrs.type === 'error')).toEqual(
    [],
  );
});

test('a server that was killed finds accounts, rosters and messages again', async () => {
  await start();
  const romeo = await online('romeo');
  const item = "<item jid='juliet@localhost' name='J'><group>Capulets</group></item>";
  romeo.client.write(`<iq type='set' id='add'><query xmlns='jabber:iq:roster'>${item}</query></iq>`);
  await find(romeo.client, ({ attrs }) => attrs.id === 'add');
  for (let i = 0; i < 20; i++) {
    romeo.client.write(`<message to='nurse@${domain}' type='chat'><body>${i}</body></message>`);
  }
  await romeo.client.fence();
  await pause(50);
  const database = server!.databasePid!;
  expect(await server!.stop('SIGKILL')).toEqual({ code: null, signal: 'SIGKILL' });
  expect(isAlive(database)).toBe(true);

  await server!.start();
  // the database that outlived the server is taken over
  expect(server!.databasePid).toBe(database);
  const again = await enter('romeo');
  again.client.write("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>");
  const roster = await find(again.client, ({ attrs }) => attrs.id === 'roster');
  expect(roster.getChild('query')?.getChild('item')?.attrs).toMatchObject({ jid: 'juliet@localhost', name: 'J' });
  const nurse = await online('nurse');
  for (let i = 0; i < 20; i++) await find(nurse.client, saying(String(i)));

  expect((await server!.stop()).code).toBe(0);
  expect(isAlive(database)).toBe(false);
});

test('a server that is told to stop does so within seconds, whatever its clients do', async () => {
  await start();
  const deaf = await online('romeo');
  deaf.client.pause();
  const talker = await online('juliet');
  for (let i = 0; i < 20; i++) {
    talker.client.write(`<message to='${deaf.jid}' type='chat'><body>${'x'.repeat(100_000)}</body></message>`);
  }
  await talker.client.fence();
  await StreamClient.connect(server!.address('c2s')).then((silent) => clients.push(silent));
  const before = performance.now();
  expect(await server!.stop('SIGTERM')).toEqual({ code: 0, signal: null });
  expect(performance.now() - before).toBeLessThan(6_000);
  const goodbye = await find(talker.client, ({ name }) => name === 'stream:error');
  expect(goodbye.getChild('system-shutdown')).toBeDefined();
  expect(server!.databasePid === undefined || !isAlive(server!.databasePid)).toBe(true);
});

test('a second server on the same data says what is the matter, and does no harm', async () => {
  await start();
  const romeo = await online('romeo');
  const database = server!.databasePid;
  const { code, stderr } = await server!.startAnother();
  expect(code).toBe(1);
  expect(stderr.trim().split('\n')).toHaveLength(1);
  expect(stderr).toMatch(/^parley: .*(running|in use).*parley stop/);
  expect(server!.databasePid).toBe(database);
  await romeo.client.fence();
  await online('juliet');
});
