// Sessions that wait to be resumed, as administrators see them; resumption over WebSockets and BOSH; counters at their end (XEP-0198).
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { adminContext } from '../../../src/admin.ts';
import type { Server } from '../../../src/server.ts';
import { BoshClient, wrapperOf } from '../../kit/bosh-client.ts';
import { type Address, StreamClient } from '../../kit/client.ts';
import { authenticate, logIn, openStream } from '../../kit/login.ts';
import { startServer } from '../../kit/test-server.ts';
import { closeFrame, WebSocketClient } from '../../kit/websocket-client.ts';

const domain = 'verona.test';
const SM = 'urn:xmpp:sm:3';
const nothing = { reload: async () => ({}) as never, stop() {}, logLevel() {}, errors: () => [] };

let server: Server;
const clients: { destroy(): Promise<void> }[] = [];

beforeEach(async () => {
  server = await startServer({ hosts: { [domain]: {} }, listen: { http: 0 } });
  for (const user of ['romeo', 'juliet']) await server.hosts.get(domain)!.accounts.create(user, 'secret');
});

afterEach(async () => {
  for (const client of clients.splice(0)) await client.destroy();
  await server.stop();
});

const at = (listener: 'c2s' | 'http'): Address => server.address(listener)!;

async function enter(user: string): Promise<StreamClient> {
  const { client } = await logIn(at('c2s'), { domain, user, password: 'secret', resource: 'here' });
  clients.push(client);
  return client;
}

/** Romeo is away, and may come back; Juliet has sent him a message. */
async function leaveWaiting(): Promise<StreamClient> {
  const romeo = await enter('romeo');
  const juliet = await enter('juliet');
  romeo.write(`<enable xmlns='${SM}' resume='true'/>`);
  await romeo.next();
  await romeo.destroy();
  await expect.poll(() => [...server.sessions.all()].filter(({ stream }) => stream === undefined).length).toBe(1);
  juliet.write(`<message to='romeo@${domain}/here' type='chat' id='m'><body>Romeo</body></message>`);
  await juliet.fence();
  return juliet;
}

async function figure(name: string): Promise<string | undefined> {
  return new RegExp(`^parley_${name}(?:\\{[^}]*\\})? (\\d+)$`, 'm').exec(await server.metrics.text())?.[1];
}

describe('a session that waits to be resumed', () => {
  test('is listed, without an address, and counted', async () => {
    await leaveWaiting();
    const sessions = await adminContext(server, nothing).sessions();
    expect(sessions.find(({ jid }) => jid.startsWith('romeo'))).not.toHaveProperty('address');
    expect(await figure('sm_hibernating')).toBe('1');
    expect(await figure('sm_hibernated_total')).toBe('1');
    expect(await figure('sm_resumed_total')).toBe('0');
  });

  test('is ended by an administrator; its messages are kept', async () => {
    await leaveWaiting();
    expect(await adminContext(server, nothing).kick(`romeo@${domain}`)).toBe(1);
    expect(server.sessions.get(`romeo@${domain}/here`)).toBeUndefined();
    expect(await figure('sm_returned_total')).toBe('1');
    const romeo = await enter('romeo');
    romeo.write('<presence/>');
    await romeo.fence();
    expect(romeo.inbox.map((item) => item.kind === 'element' && item.element.attrs.id)).toContain('m');
  });

  test('ends with its account, and nothing of it is left', async () => {
    await leaveWaiting();
    const { accounts } = server.hosts.get(domain)!;
    await accounts.remove('romeo');
    expect(server.sessions.count).toBe(1);
    await accounts.create('romeo', 'secret');
    const romeo = await enter('romeo');
    romeo.write('<presence/>');
    await romeo.fence();
    expect(romeo.inbox.filter((item) => item.kind === 'element' && item.element.name === 'message')).toEqual([]);
  });
});

test('counters start again at zero, both of them', async () => {
  const last = 2 ** 32 - 1;
  const host = server.hosts.get(domain)!;
  const jid = `romeo@${domain}/here`;
  const waiting = { xml: `<message to='${jid}' from='juliet@${domain}' id='a'/>`, at: 0 };
  const session = { jid, sid: 'sid', since: 0, priority: 0, shared: {}, slots: {} };
  const stream = { id: 'old.solo', max: 60_000, left: 60_000, handled: last, acked: last, waiting: [waiting] };
  await server.sm.restore(host, { session, stream });
  server.sm.beginExpiry();

  const { client } = await connectAgain();
  client.write(`<resume xmlns='${SM}' previd='old.solo' h='${last}'/>`);
  expect(await line(client)).toBe(`resumed ${last}`);
  expect(await line(client)).toBe('message');
  expect(await line(client)).toBe('r');
  client.write(`<a xmlns='${SM}' h='0'/><presence to='juliet@${domain}'/><r xmlns='${SM}'/>`);
  expect(await line(client)).toBe('a 0');
  client.write(`<presence to='juliet@${domain}'/><r xmlns='${SM}'/>`);
  expect(await line(client)).toBe('a 1');
  client.write(`<a xmlns='${SM}' h='${last}'/>`);
  expect(await line(client)).toBe('stream:error');
});

async function connectAgain(): Promise<{ readonly client: StreamClient }> {
  const client = await StreamClient.connect(at('c2s'));
  clients.push(client);
  await openStream(client, domain);
  await authenticate(client, { user: 'romeo', password: 'secret' });
  await openStream(client, domain);
  return { client };
}

async function line(client: StreamClient): Promise<string> {
  const item = await client.next();
  if (item?.kind !== 'element') return String(item?.kind);
  return [item.element.name, item.element.attrs.h].filter((part) => part !== undefined).join(' ');
}

describe('over BOSH', () => {
  test('a session is resumed when its connection is no more', async () => {
    const login = { domain, user: 'romeo', password: 'secret', resource: 'here' };
    const first = await BoshClient.logIn(at('http'), login, { inactivity: 60 });
    const enabled = (await first.ask(`<enable xmlns='${SM}' resume='1'/>`)).getChild('enabled', SM);
    // the other side of BOSH that is not TCP: nothing tells the server, so it is the new connection that ends the old one
    const again = new BoshClient(at('http'));
    await again.create({ to: domain });
    const plain = Buffer.from('\0romeo\0secret').toString('base64');
    await again.ask(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${plain}</auth>`);
    await again.ask('', { to: domain, 'xmpp:restart': 'true' });
    const resumed = await again.ask(`<resume xmlns='${SM}' previd='${enabled?.attrs.id}' h='0'/>`);
    expect(resumed.getChild('resumed', SM)?.attrs).toMatchObject({ h: '0', previd: enabled?.attrs.id });
    const answer = again.send('');
    const juliet = await enter('juliet');
    juliet.write(`<message to='romeo@${domain}/here' type='chat' id='m'/>`);
    expect(wrapperOf(await answer.answer).getChild('message', 'jabber:client')?.attrs.id).toBe('m');
    expect((await first.ask()).attrs.type).toBe('terminate');
  });
});

describe('over WebSockets', () => {
  const credentials = { domain, user: 'romeo', password: 'secret', resource: 'here' };

  async function open(): Promise<{ readonly web: WebSocketClient; readonly id: string }> {
    const web = await WebSocketClient.logIn(at('http'), credentials);
    web.send(`<enable xmlns='${SM}' resume='1'/>`);
    return { web, id: String((await web.expect('enabled', SM)).attrs.id) };
  }

  async function resume(id: string): Promise<WebSocketClient> {
    const web = await WebSocketClient.connect(at('http'));
    clients.push({ destroy: () => web[Symbol.asyncDispose]() });
    await web.open(domain);
    web.send(
      `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${Buffer.from('\0romeo\0secret').toString('base64')}</auth>`,
    );
    await web.expect('success', 'urn:ietf:params:xml:ns:xmpp-sasl');
    await web.open(domain);
    web.send(`<resume xmlns='${SM}' previd='${id}' h='0'/>`);
    return web;
  }

  test('a session is resumed, each stanza in a frame of its own', async () => {
    const { web, id } = await open();
    await web[Symbol.asyncDispose]();
    const juliet = await enter('juliet');
    for (const m of ['a', 'b']) juliet.write(`<message to='romeo@${domain}/here' type='chat' id='${m}'/>`);
    await juliet.fence();
    const again = await resume(id);
    expect((await again.expect('resumed', SM)).attrs).toMatchObject({ previd: id, h: '0' });
    expect((await again.expect('message', 'jabber:client')).attrs.id).toBe('a');
    expect((await again.expect('message', 'jabber:client')).attrs.id).toBe('b');
    await again.expect('r', SM);
  });

  test('one that was closed is over', async () => {
    const { web, id } = await open();
    web.send(closeFrame);
    expect(await web.ending()).toMatchObject({ closed: true });
    const again = await resume(id);
    expect((await again.expect('failed', SM)).children[0]).toHaveProperty('name', 'item-not-found');
  });
});
