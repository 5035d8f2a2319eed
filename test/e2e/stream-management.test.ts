// Sessions that outlive their connection, and the server's process, with a client written by others: @xmpp/client.
import { type Client, client, xml } from '@xmpp/client';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { ChildServer, passwordOf, until } from '../kit/child-server.ts';

const domain = 'chat.example';
const patience = 15_000;

let server: ChildServer;
const clients: Client[] = [];
const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED;

beforeAll(async () => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  server = await ChildServer.start({ hosts: { [domain]: {} } });
  await server.addUsers(domain, ['romeo', 'juliet']);
});

afterEach(async () => {
  for (const one of clients.splice(0)) await one.stop();
});

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
  vi.restoreAllMocks();
});

/** Somebody who is online, with the texts of all messages that came, and how often the session was resumed. */
async function enter(user: string) {
  const one = client({
    service: `xmpps://127.0.0.1:${server.address('c2s-tls').port}`,
    domain,
    username: user,
    password: passwordOf(user),
    resource: 'e2e',
  });
  clients.push(one);
  one.reconnect.delay = 100;
  const heard: string[] = [];
  const counts = { resumed: 0, failed: 0, online: 0 };
  let isSeen = false;
  one.on('stanza', (stanza) => {
    isSeen ||= stanza.name === 'presence';
    if (stanza.name === 'message') heard.push(stanza.getChildText('body') ?? '');
  });
  one.on('error', () => {});
  one.on('online', () => counts.online++);
  one.streamManagement.on('resumed', () => counts.resumed++);
  one.streamManagement.on('fail', () => counts.failed++);
  one.start().catch(() => {});
  expect(await until(patience, () => counts.online === 1 && one.streamManagement.id !== '')).toBe(true);
  await one.send(xml('presence'));
  expect(await until(patience, () => isSeen)).toBe(true);
  return { client: one, heard, counts };
}

const say = (text: string, to: string) =>
  xml('message', { to: `${to}@${domain}`, type: 'chat', id: text }, xml('body', {}, text));

test('cut connections and a restart of the server: everything arrives, once and in order', async () => {
  const romeo = await enter('romeo');
  const juliet = await enter('juliet');
  let sent = 0;
  const talk = async (): Promise<void> => {
    for (let i = 0; i < 3; i++) {
      const text = String(sent++);
      // who has no connection sends it when there is one again
      await romeo.client.send(say(text, 'juliet')).catch(() => {});
      await juliet.client.send(say(text, 'romeo')).catch(() => {});
    }
  };
  const resumed = (times: number) => (): boolean => romeo.counts.resumed >= times && juliet.counts.resumed >= times;

  for (let round = 1; round <= 3; round++) {
    await talk();
    for (const { client: one } of [romeo, juliet]) one.socket?.socket.destroy();
    expect(await until(patience, resumed(round))).toBe(true);
  }
  await talk();
  await server.stop();
  await server.start();
  expect(await until(patience, resumed(4))).toBe(true);
  await talk();

  const all = Array.from({ length: sent }, (_, i) => String(i));
  await until(patience, () => romeo.heard.length >= sent && juliet.heard.length >= sent);
  expect(romeo.heard).toEqual(all);
  expect(juliet.heard).toEqual(all);
  expect([romeo.counts.failed, juliet.counts.failed]).toEqual([0, 0]);
}, 120_000);
