import { afterAll, beforeAll, expect, test } from 'vitest';
import { BoshClient } from '../../kit/bosh-client.ts';
import { TestServer } from '../../kit/test-server.ts';
const domain = 'verona.test';
let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start({ hosts: { [domain]: {} }, tls: { required: true }, listen: { http: 0, https: 0 } });
  for (const user of ['romeo', 'juliet']) await server.server.accounts.create(`${user}@${domain}`, 'secret');
});
afterAll(async () => { expect(server.errors).toEqual([]); await server.stop(); });
test('smoke', async () => {
  const c = new BoshClient(server.addressOf('http'));
  console.log(String(await c.create({ to: domain })));
  await c.authenticate({ domain, user: 'romeo', password: 'secret' });
  console.log(c.jid);
  const j = await BoshClient.logIn(server.addressOf('http'), { domain, user: 'juliet', password: 'secret' });
  console.log(String(await j.ask('<presence xmlns="jabber:client"/>')));
  const held = j.ask();
  const heldC = c.send(`<message xmlns="jabber:client" to="${j.jid}"><body>hi</body></message>`);
  console.log(String(await held));
  console.log(String(await c.ask('', { type: 'terminate' })), (await heldC.answer).text);
  console.log(String(await j.ask('', { type: 'terminate' })));
});
