// Bad networks between a client and the server: bytes may come late, together, one by one, or not at all.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type ChaosPipe, openChaosPipe } from '../kit/chaos.ts';
import type { Item, StreamClient } from '../kit/client.ts';
import { logIn } from '../kit/login.ts';
import { TestServer } from '../kit/test-server.ts';

const domain = 'verona.test';
let server: TestServer;
let pipe: ChaosPipe;
let clients: StreamClient[] = [];

beforeEach(async () => {
  server = await TestServer.start({ hosts: { [domain]: {} } });
  pipe = await openChaosPipe(server.c2s);
  for (const user of ['romeo', 'juliet']) await server.server.accounts.create(`${user}@${domain}`, 'secret');
});

afterEach(async () => {
  for (const client of clients) await client.destroy();
  clients = [];
  await pipe.close();
  await server.stop();
  expect(server.errors).toEqual([]);
});

async function enter(user: string, through: 'pipe' | 'server'): Promise<StreamClient> {
  const address = through === 'pipe' ? pipe.address : server.c2s;
  const { client } = await logIn(address, {
    domain,
    user,
    password: 'secret',
    resource: 'test',
    mechanism: 'SCRAM-SHA-256',
  });
  clients.push(client);
  return client;
}

function idOf(item: Item | undefined): unknown {
  return item?.kind === 'element' ? item.element.attrs.id : item?.kind;
}

describe.each([
  ['that delays', { delay: 5 }],
  ['that gathers', { coalesce: 5 }],
  ['that passes on one byte at a time', { dribble: 1 }],
  ['that cuts characters and tags in three', { dribble: 3 }],
])('a network %s', (_what, behaviour) => {
  test('changes nothing of what is said', async () => {
    pipe.upstream = behaviour;
    const romeo = await enter('romeo', 'pipe');
    const juliet = await enter('juliet', 'server');
    const body = 'Città 💕 &lt;3 <![CDATA[<&]]>';
    for (const id of ['1', '2', '3'])
      romeo.write(`<message to='juliet@${domain}/test' id='${id}'><body>${body}</body></message>`);
    await romeo.fence();
    const heard = [await juliet.next(), await juliet.next(), await juliet.next()];
    expect(heard.map(idOf)).toEqual(['1', '2', '3']);
    for (const item of heard) {
      expect(item?.kind === 'element' && item.element.getChildText('body')).toBe('Città 💕 <3 <&');
    }
  });
});

test('a client that half-closes in the middle of a stanza is let go', async () => {
  const romeo = await enter('romeo', 'pipe');
  romeo.write(`<message to='juliet@${domain}'><body>But so`);
  pipe.halfClose();
  expect(await romeo.closed()).toBe(true);
});

test('a reset in the middle of a stanza costs that stanza only', async () => {
  const romeo = await enter('romeo', 'pipe');
  const juliet = await enter('juliet', 'server');
  romeo.write(`<message to='juliet@${domain}/test' id='1'/>`);
  await romeo.fence();
  romeo.write(`<message to='juliet@${domain}/test' id='2'><body>But so`);
  pipe.reset();
  expect(await romeo.closed()).toBe(true);
  await juliet.fence();
  expect(juliet.inbox.map(idOf)).toEqual(['1']);
  // the resource is free again
  await enter('romeo', 'server');
});

test('a client that does not read slows nobody else down', async () => {
  const romeo = await enter('romeo', 'server');
  const juliet = await enter('juliet', 'pipe');
  pipe.downstream = { frozen: true };
  juliet.pause();
  const large = 'x'.repeat(20_000);
  for (let i = 0; i < 50; i++) romeo.write(`<message to='juliet@${domain}/test'><body>${large}</body></message>`);
  const before = Date.now();
  await romeo.fence();
  expect(Date.now() - before).toBeLessThan(1_500);
  pipe.downstream = {};
  juliet.resume();
});
