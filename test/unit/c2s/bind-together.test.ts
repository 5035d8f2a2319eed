// Two clients that want the same resource at the same moment, while what a session has to know of its account is read from a slow storage.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { createMemoryDriver } from '../../../src/storage/memory.ts';
import { StreamClient } from '../../kit/client.ts';
import { lateDriver } from '../../kit/late-driver.ts';
import { authenticate, openStream } from '../../kit/login.ts';
import { told } from '../../kit/server-peer.ts';
import { TestServer } from '../../kit/test-server.ts';

const domain = 'verona.test';
const clients: StreamClient[] = [];
let server: TestServer;

afterEach(async () => {
  for (const client of clients.splice(0)) await client.destroy();
  await server.stop();
});

async function together(policy: 'refuse' | 'rename'): Promise<string[]> {
  const driver = lateDriver(createMemoryDriver(systemClock), () => sleep(20));
  server = await TestServer.start({ hosts: { [domain]: { 'resource-conflict': policy } } }, { driver });
  await server.server.accounts.create(`romeo@${domain}`, 'secret');
  for (let i = 0; i < 2; i++) {
    const client = await StreamClient.connect(server.c2s);
    clients.push(client);
    await openStream(client, domain);
    await authenticate(client, { user: 'romeo', password: 'secret' });
    await openStream(client, domain);
  }
  const resource = '<resource>orchard</resource>';
  const bind = `<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>${resource}</bind></iq>`;
  for (const client of clients) client.write(bind);
  return Promise.all(clients.map(async (client) => told((await client.next(5_000))!)));
}

test('one has it, and the other one is refused', async () => {
  const answers = await together('refuse');
  expect(answers.filter((answer) => /^<iq .*<conflict /.test(answer))).toHaveLength(1);
  expect(answers.filter((answer) => answer.includes(`romeo@${domain}/orchard</jid>`))).toHaveLength(1);
});

test('one has it, and the other one has one of its own', async () => {
  const answers = await together('rename');
  expect(answers.filter((answer) => answer.includes(`romeo@${domain}/orchard</jid>`))).toHaveLength(1);
  expect(answers.filter((answer) => answer.includes(`romeo@${domain}/orchard-`))).toHaveLength(1);
});
