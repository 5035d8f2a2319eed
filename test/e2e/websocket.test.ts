// XMPP over WebSocket as @xmpp/client speaks it (RFC 7395), against the command as people run it.
import { type Client, client, xml } from '@xmpp/client';
import type { Element } from 'ltx';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { ChildServer, passwordOf, until } from '../kit/child-server.ts';
import { logIn } from '../kit/login.ts';
import { WebSocketClient } from '../kit/websocket-client.ts';

const domain = 'web.example';
const patience = 8_000;

let server: ChildServer;
beforeAll(async () => {
  // the library takes the browser's, which Node 20 lacks
  vi.stubGlobal('WebSocket', WebSocket);
  server = await ChildServer.start({ hosts: { [domain]: {} } });
  await server.addUsers(domain, ['romeo', 'juliet', 'nurse']);
});
afterAll(async () => {
  vi.unstubAllGlobals();
  await server?.[Symbol.asyncDispose]();
});

interface Person extends AsyncDisposable {
  readonly client: Client;
  readonly jid: string;
  readonly seen: Element[];
}

async function come(user: string): Promise<Person> {
  const { address, port } = server.address('http');
  const service = `ws://${address}:${port}/xmpp-websocket`;
  const one = client({ service, domain, username: user, password: passwordOf(user), resource: 'web' });
  one.reconnect.stop();
  one.on('error', () => {});
  const seen: Element[] = [];
  one.on('stanza', (stanza) => seen.push(stanza));
  const jid = await one.start();
  await one.send(xml('presence'));
  return { client: one, jid: jid.toString(), seen, [Symbol.asyncDispose]: () => one.stop() };
}

const bodies = ({ seen }: Person): readonly string[] => seen.flatMap((stanza) => stanza.getChildText('body') ?? []);

test('two people in browsers talk, and close in order', async () => {
  const romeo = await come('romeo');
  await using juliet = await come('juliet');
  expect(romeo.jid).toMatch(`romeo@${domain}/web/`);
  const lines = Array.from({ length: 100 }, (_, i) => `line ${i} <&> ü`);
  for (const line of lines)
    await romeo.client.send(xml('message', { to: juliet.jid, type: 'chat' }, xml('body', {}, line)));
  await juliet.client.send(xml('message', { to: romeo.jid, type: 'chat' }, xml('body', {}, 'enough')));
  expect(await until(patience, () => bodies(juliet).length === lines.length && bodies(romeo).length === 1)).toBe(true);
  expect(bodies(juliet)).toEqual(lines);
  const roster = await romeo.client.iqCaller.get(xml('query', 'jabber:iq:roster'));
  expect(roster.getChildren('item')).toEqual([]);
  await romeo.client.stop();
  expect(romeo.client.status).toBe('offline');
});

test('somebody in a browser and somebody on a desktop talk', async () => {
  await using romeo = await come('romeo');
  const login = { domain, user: 'nurse', password: passwordOf('nurse'), tls: 'starttls', resource: 'desktop' } as const;
  const { client: nurse, jid } = await logIn(server.address('c2s'), login);
  nurse.write(`<message to='${romeo.jid}' type='chat'><body>to the web</body></message>`);
  await romeo.client.send(xml('message', { to: jid, type: 'chat' }, xml('body', {}, 'to the desktop')));
  const heard = await nurse.next();
  expect(heard?.kind === 'element' && heard.element.getChildText('body')).toBe('to the desktop');
  expect(await until(patience, () => bodies(romeo).includes('to the web'))).toBe(true);
  await nurse.destroy();
});

test('a wrong password is refused', async () => {
  const { address, port } = server.address('http');
  const stranger = client({ service: `ws://${address}:${port}/ws`, domain, username: 'romeo', password: 'wrong' });
  stranger.reconnect.stop();
  stranger.on('error', () => {});
  await expect(stranger.start()).rejects.toMatchObject({ condition: 'not-authorized' });
  await stranger.stop();
});

test('an orderly stop says goodbye to those whose session ends, and lets go of those who can come back', async () => {
  const romeo = await come('romeo');
  const conditions: unknown[] = [];
  romeo.client.on('error', ({ condition }) => conditions.push(condition));
  const closed = new Promise<unknown>((resolve) => romeo.client.on('disconnect', resolve));
  const login = { domain, user: 'juliet', password: passwordOf('juliet'), resource: 'unmanaged' };
  await using juliet = await WebSocketClient.logIn(server.address('http'), login);
  expect(await server.stop()).toEqual({ code: 0, signal: null });
  // neither an error nor <close/>: that would be the end of the session (RFC 7395 3.6.1, XEP-0198 7)
  expect(await closed).toMatchObject({ clean: true, reason: { code: 1001 } });
  expect(conditions.filter((condition) => condition !== undefined)).toEqual([]);
  expect(await juliet.ending()).toEqual({ error: 'system-shutdown', closed: true, code: 1000 });
  expect(server.output.split('\n').filter((line) => line.includes('"level":"error"'))).toEqual([]);
});
