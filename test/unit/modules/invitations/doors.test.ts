// XEP-0445 over the other doors: WebSocket and BOSH.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Invitations, invitations } from '../../../../src/modules/invitations/service.ts';
import type { Server } from '../../../../src/server.ts';
import { BoshClient } from '../../../kit/bosh-client.ts';
import { startServer } from '../../../kit/test-server.ts';
import { WebSocketClient } from '../../../kit/websocket-client.ts';

const domain = 'verona.test';
let server: Server;
let service: Invitations;

beforeAll(async () => {
  server = await startServer({ hosts: { [domain]: {} }, registration: 'invite', listen: { http: 0 } });
  service = server.hosts.get(domain)!.find(invitations)!;
});
afterAll(() => server.stop());

const preauth = (token: string): string =>
  `<iq xmlns='jabber:client' type='set' id='1'><preauth xmlns='urn:xmpp:pars:0' token='${token}'/></iq>`;
const register = (user: string): string =>
  `<iq xmlns='jabber:client' type='set' id='2'><query xmlns='jabber:iq:register'><username>${user}</username><password>a long password</password></query></iq>`;
const isThere = (user: string): Promise<boolean> =>
  server.hosts.get(domain)!.accounts.verifyPlain(user, 'a long password');

test('somebody registers over WebSocket', async () => {
  const { token } = await service.create({ kind: 'account' });
  const client = await WebSocketClient.connect(server.address('http')!);
  expect(String(await client.open(domain))).toContain('urn:xmpp:ibr-token:0');
  client.send(preauth(token));
  expect((await client.next())?.attrs.type).toBe('result');
  client.send(register('juliet'));
  expect((await client.next())?.attrs.type).toBe('result');
  expect(await isThere('juliet')).toBe(true);
  await client[Symbol.asyncDispose]();
});

test('somebody registers over BOSH', async () => {
  const { token } = await service.create({ kind: 'account' });
  const client = new BoshClient(server.address('http')!);
  expect(String(await client.create({ to: domain }))).toContain('urn:xmpp:ibr-token:0');
  expect(String(await client.ask(preauth(token)))).toContain('type="result"');
  expect(String(await client.ask(register('rosaline')))).toContain('type="result"');
  expect(await isThere('rosaline')).toBe(true);
  expect((await service.show(token))?.usedBy).toEqual([`rosaline@${domain}`]);
});
