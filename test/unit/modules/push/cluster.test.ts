// Push on a cluster: counted together, and gone on with when a node dies.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { AppServer } from '../../../kit/app-server.ts';
import type { StreamClient } from '../../../kit/client.ts';
import { DOMAIN, type Joined, joinServers } from '../../../kit/joined-servers.ts';

let joined: Joined;
let push: AppServer;
beforeEach(async () => {
  joined = await joinServers(undefined, ['a', 'b'], {
    components: { 'push.verona.test': { secret: 'secret' } },
    listen: { component: 0 },
  });
  push = await AppServer.connect(joined.servers[1]!.addressOf('component'), 'push.verona.test', 'secret');
});
afterEach(async () => {
  await push.close();
  await joined.stop();
});

async function register(at: number, ...nodes: readonly string[]): Promise<void> {
  const phone = await joined.enter(at, 'romeo', 'phone');
  for (const node of nodes) {
    phone.write(`<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='push.verona.test' node='${node}'/></iq>`);
    const answer = await phone.next();
    expect(answer?.kind === 'element' && answer.element.attrs.type).toBe('result');
  }
  phone.write('</stream:stream>');
  await phone.closed();
}

async function say(client: StreamClient, id: string): Promise<void> {
  client.write(`<message to='romeo@${DOMAIN}' type='chat' id='${id}'><body>x</body></message>`);
  await client.fence();
}

const counts = (): readonly (string | undefined)[] => push.published.map(({ summary }) => summary['message-count']);

test('what a client has enabled at one node is told from all, and counted together', async () => {
  await register(0, 'n1');
  const [here, there] = [await joined.enter(0, 'juliet', 'balcony'), await joined.enter(1, 'nurse', 'chamber')];
  await say(here, '1');
  await expect.poll(counts).toEqual(['1']);
  await joined.clock.advance(3000);
  await say(there, '2');
  await expect.poll(counts).toEqual(['1', '2']);
  await joined.clock.advance(3000);
  await say(here, '3');
  await expect.poll(counts).toEqual(['1', '2', '3']);
});

test('what a node had to tell when it died another one tells, once', async () => {
  await register(0, 'n1', 'n2');
  const juliet = await joined.enter(0, 'juliet', 'balcony');
  await say(juliet, '1');
  await expect.poll(counts).toEqual(['1', '1']);
  await say(juliet, '2');
  await say(juliet, '3');
  expect(counts()).toEqual(['1', '1']);
  joined.kill(0);
  await expect.poll(counts).toEqual(['1', '1', '3', '3']);
  expect(push.published.slice(2).map(({ node }) => node)).toEqual(expect.arrayContaining(['n1', 'n2']));
  const nurse = await joined.enter(1, 'nurse', 'chamber');
  await joined.clock.advance(3000);
  await say(nurse, '4');
  await expect.poll(counts).toEqual(['1', '1', '3', '3', '4', '4']);
});

test('what waits is sent before a node stops in order', async () => {
  await register(0, 'n1');
  const juliet = await joined.enter(0, 'juliet', 'balcony');
  await say(juliet, '1');
  await expect.poll(counts).toEqual(['1']);
  await say(juliet, '2');
  await joined.servers[0]!.stop();
  await expect.poll(counts).toEqual(['1', '2']);
});
