// What app servers are sent, and what only clients can read of it, over real sockets.
import { randomBytes } from 'node:crypto';
import { afterEach, expect, test } from 'vitest';
import { AppServer, unseal } from '../../../kit/app-server.ts';
import type { StreamClient } from '../../../kit/client.ts';
import { FakeClock } from '../../../kit/clock.ts';
import { logIn } from '../../../kit/login.ts';
import { TestServer } from '../../../kit/test-server.ts';

const domain = 'verona.test';
const ended: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).reverse()) await end();
});

interface World {
  readonly clock: FakeClock;
  readonly push: AppServer;
  readonly juliet: StreamClient;
  /** Has Romeo's client register, and leave. */
  register(node: string, inside?: string): Promise<void>;
  say(message: string): Promise<void>;
}

async function start(settings: Record<string, unknown> = {}): Promise<World> {
  const clock = new FakeClock();
  const server = await TestServer.start(
    {
      hosts: { [domain]: {} },
      modules: { push: settings },
      components: { 'push.verona.test': { secret: 'secret' } },
      listen: { component: 0 },
    },
    { clock },
  );
  ended.push(() => server.stop());
  for (const user of ['romeo', 'juliet']) await server.server.accounts.create(`${user}@${domain}`, 'secret');
  const push = await AppServer.connect(server.addressOf('component'), 'push.verona.test', 'secret');
  ended.push(() => push.close());
  const enter = async (user: string, resource: string): Promise<StreamClient> => {
    const { client } = await logIn(server.c2s, { domain, user, password: 'secret', resource });
    ended.push(() => client.destroy());
    return client;
  };
  const juliet = await enter('juliet', 'balcony');
  return {
    clock,
    push,
    juliet,
    async register(node, inside = '') {
      const phone = await enter('romeo', node);
      phone.write(
        `<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='push.verona.test' node='${node}'>${inside}</enable></iq>`,
      );
      const answer = await phone.next();
      expect(answer?.kind === 'element' && answer.element.attrs.type).toBe('result');
      phone.write('</stream:stream>');
      await phone.closed();
    },
    async say(message) {
      juliet.write(message);
      await juliet.fence();
    },
  };
}

const chat = (body: string, id = 'm'): string =>
  `<message to='romeo@${domain}' type='chat' id='${id}'><body>${body}</body></message>`;

test('an app server that can be discovered is told how much there is', async () => {
  const { push, register, say, juliet } = await start();
  juliet.write(
    "<iq type='get' id='d' to='push.verona.test'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
  );
  const answer = await juliet.next();
  const identity = answer?.kind === 'element' ? answer.element.getChild('query')?.getChild('identity') : undefined;
  expect(identity?.attrs).toMatchObject({ category: 'pubsub', type: 'push' });
  await register('n1');
  await say(chat('x'));
  await expect.poll(() => push.published).toHaveLength(1);
  expect(push.published[0]).toEqual({
    from: domain,
    node: 'n1',
    summary: { 'message-count': '1', 'last-message-body': 'New message' },
    options: {},
    priority: undefined,
    encrypted: undefined,
  });
});

test('what is encrypted for the client has no summary, and says who has written what', async () => {
  const { push, register, say } = await start();
  const key = randomBytes(16);
  await register(
    'n1',
    `<encrypt xmlns='tigase:push:encrypt:0' alg='aes-128-gcm'> ${key.toString('base64')}\n</encrypt>`,
  );
  await say(chat('Wherefore art thou, Romeo?'));
  await expect.poll(() => push.published).toHaveLength(1);
  const { summary, encrypted } = push.published[0]!;
  expect(summary).toEqual({});
  expect(unseal(encrypted!, key)).toEqual({
    unread: 1,
    sender: `juliet@${domain}`,
    type: 'chat',
    message: 'Wherefore art thou, Romeo?',
  });
  expect(() => unseal(encrypted!, randomBytes(16))).toThrow();
});

test('of what is encrypted from person to person nothing is told but that it is there', async () => {
  const { push, register, say } = await start({ 'include-body': true });
  const key = randomBytes(16);
  await register('n1', `<encrypt xmlns='tigase:push:encrypt:0' alg='aes-128-gcm'>${key.toString('base64')}</encrypt>`);
  await register('n2');
  await say(
    `<message to='romeo@${domain}' type='chat' id='m'><encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/><payload>x</payload></encrypted><encryption xmlns='urn:xmpp:eme:0' namespace='eu.siacs.conversations.axolotl'/><body>I sent you an OMEMO message</body></message>`,
  );
  await expect.poll(() => push.published).toHaveLength(2);
  const sealed = push.published.find(({ node }) => node === 'n1')!;
  expect(unseal(sealed.encrypted!, key)).toEqual({ unread: 1, sender: `juliet@${domain}`, type: 'chat' });
  expect(push.published.find(({ node }) => node === 'n2')?.summary['last-message-body']).toBe('New message');
});

test('a call says where it comes from, which one it is and what of, and that it rings', async () => {
  const { push, register, say } = await start();
  const key = randomBytes(16);
  await register('n1', `<encrypt xmlns='tigase:push:encrypt:0' alg='aes-128-gcm'>${key.toString('base64')}</encrypt>`);
  const description = (media: string): string => `<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='${media}'/>`;
  await say(
    `<message to='romeo@${domain}' type='chat' id='m'><propose xmlns='urn:xmpp:jingle-message:0' id='ca3cf894'>${description('audio')}${description('video')}</propose></message>`,
  );
  await expect.poll(() => push.published).toHaveLength(1);
  const { encrypted } = push.published[0]!;
  expect(encrypted?.type).toBe('voip');
  expect(unseal(encrypted!, key)).toEqual({
    unread: 0,
    sender: `juliet@${domain}/balcony`,
    type: 'call',
    sid: 'ca3cf894',
    media: ['audio', 'video'],
  });
});

test('a long text is cut to what the client says that a notification may take', async () => {
  const { push, register, say } = await start();
  const key = randomBytes(16);
  await register(
    'n1',
    `<encrypt xmlns='tigase:push:encrypt:0' alg='aes-128-gcm' max-size='300'>${key.toString('base64')}</encrypt>`,
  );
  await say(chat('💐"'.repeat(500)));
  await expect.poll(() => push.published).toHaveLength(1);
  const { data } = push.published[0]!.encrypted!;
  expect(data.length).toBeLessThanOrEqual(300);
  expect(data.length).toBeGreaterThan(200);
  const { message } = unseal(push.published[0]!.encrypted!, key) as { message: string };
  expect(message).toMatch(/^(💐")+💐?$/u);
});

test('an app server is sent so many a second, and everybody gets theirs in the end', async () => {
  const { clock, push, register, say } = await start({ burst: 3, 'per-second': 1, 'max-registrations': 20 });
  for (let i = 1; i <= 8; i++) await register(`n${i}`);
  await say(chat('x'));
  await expect.poll(() => push.published).toHaveLength(3);
  await clock.advance(2000);
  await expect.poll(() => push.published).toHaveLength(5);
  await clock.advance(10_000);
  await expect.poll(() => push.published).toHaveLength(8);
  expect(new Set(push.published.map(({ node }) => node)).size).toBe(8);
});

test('a notification is not written before the message is on its way, and holds nothing up where nobody answers', async () => {
  const { push, register, say, juliet } = await start();
  await register('n1');
  push.answer = 'silence';
  for (let i = 0; i < 20; i++) await say(chat('x', `m${i}`));
  expect(juliet.inbox).toEqual([]);
  await expect.poll(() => push.published).toHaveLength(1);
});

test('an app server that withdraws is told nothing more, and one that refuses neither', async () => {
  const { clock, push, register, say } = await start();
  await register('n1');
  await register('n2');
  push.withdraw(`romeo@${domain}`, 'n1');
  push.answer = 'item-not-found';
  await say(chat('x'));
  await expect.poll(() => push.published.map(({ node }) => node)).toEqual(['n2']);
  push.answer = 'ok';
  await clock.advance(86_400_000);
  await say(chat('y'));
  await say(chat('z'));
  expect(push.published).toHaveLength(1);
});
