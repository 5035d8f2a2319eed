// People who ask for too much: their own streams wait or end, everybody else notices nothing. Measured on a process of its own.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChildServer, passwordOf, until } from '../kit/child-server.ts';
import type { StreamClient } from '../kit/client.ts';
import { logIn } from '../kit/login.ts';
import { pause, residentBytes } from './kit.ts';

const domain = 'localhost';
const megabyte = 1024 * 1024;
let server: ChildServer;

beforeAll(async () => {
  server = await ChildServer.start({
    hosts: { [domain]: {} },
    database: 'memory',
    tls: { required: false },
    limits: {
      'bytes-per-second': '200MB',
      'bytes-burst': '200MB',
      'stanzas-per-second': 200,
      'stanzas-burst': 500,
      'account-bytes-per-second': '200MB',
      'account-bytes-burst': '200MB',
      'address-bytes-burst': '400MB',
      'send-queue-bytes': '4MiB',
    },
  });
  await server.addUsers(domain, ['romeo', 'juliet', 'nurse', 'tybalt']);
});

afterAll(async () => {
  expect(server.output.split('\n').filter((line) => line.includes('"level":"error"'))).toEqual([]);
  await server[Symbol.asyncDispose]();
});

const enter = (user: string, resource?: string): ReturnType<typeof logIn> =>
  logIn(server.address('c2s'), {
    user,
    password: passwordOf(user),
    domain,
    ...(resource === undefined ? {} : { resource }),
  });

/** Asks again and again until told to stop; how long the slowest answer took, in milliseconds. */
function watch(client: StreamClient): { stop(): Promise<number> } {
  let isOver = false;
  let slowest = 0;
  const asking = (async () => {
    while (!isOver) {
      const before = performance.now();
      await client.fence();
      slowest = Math.max(slowest, performance.now() - before);
      await pause(10);
    }
  })();
  return {
    async stop() {
      isOver = true;
      await asking;
      return slowest;
    },
  };
}

test('who does not read is cut off at the limit, at no cost for the others', async () => {
  const { client: deaf, jid } = await enter('tybalt', 'deaf');
  const { client: talker } = await enter('romeo');
  const { client: bystander } = await enter('nurse');
  deaf.pause();
  await bystander.fence();
  const before = residentBytes(server.pid);
  const latency = watch(bystander);
  const body = 'x'.repeat(200_000);
  let most = 0;
  // 40 MB: what the operating system buffers, and ten times what the server would
  for (let i = 0; i < 200; i++) {
    talker.writeQuietly(`<message to='${jid}' type='chat' id='${i}'><body>${body}</body></message>`);
    if (i % 5 === 0) await talker.fence();
    most = Math.max(most, residentBytes(server.pid) - before);
  }
  expect(await latency.stop()).toBeLessThan(250);
  expect(most).toBeLessThan(100 * megabyte);
  expect(server.output).toContain('a reader was too slow');

  // the session is gone, and who talks goes on
  talker.write(`<iq type='get' id='there' to='${jid}'><ping xmlns='urn:xmpp:ping'/></iq>`);
  const deadline = performance.now() + 3_000;
  for (let found = false; !found; ) {
    if (performance.now() > deadline) throw new Error('no answer');
    const item = await talker.next();
    found = item?.kind === 'element' && item.element.attrs.id === 'there';
    if (found && item?.kind === 'element') expect(item.element.attrs.type).toBe('error');
  }
  await Promise.all([deaf, talker, bystander].map((client) => client.destroy()));
});

test('who asks without reading the answers is cut off too', async () => {
  const { client: greedy } = await enter('tybalt');
  const { client: bystander } = await enter('nurse');
  const value = 'x'.repeat(100_000);
  greedy.write(`<iq type='set' id='set'><query xmlns='jabber:iq:private'><x xmlns='urn:x'>${value}</x></query></iq>`);
  await greedy.fence();
  greedy.pause();
  const before = residentBytes(server.pid);
  const latency = watch(bystander);
  const question = "<iq type='get' id='get'><query xmlns='jabber:iq:private'><x xmlns='urn:x'/></query></iq>";
  for (let i = 0; i < 40; i++) {
    greedy.writeQuietly(question.repeat(10));
    await pause(5);
  }
  expect(await latency.stop()).toBeLessThan(250);
  expect(residentBytes(server.pid) - before).toBeLessThan(100 * megabyte);
  greedy.resume();
  expect(await greedy.closed(5_000)).toBe(true);
  await bystander.destroy();
});

test('a flood of stanzas is delayed, and nothing of it is lost or overtaken', async () => {
  const { client: flooder } = await enter('romeo');
  const { client: reader, jid } = await enter('juliet');
  const { client: bystander } = await enter('nurse');
  const count = 1_000;
  const latency = watch(bystander);
  const before = performance.now();
  let flood = '';
  for (let i = 0; i < count; i++) flood += `<message to='${jid}' type='chat'><body>${i}</body></message>`;
  flooder.writeQuietly(flood);
  const heard: string[] = [];
  while (heard.length < count) {
    const item = await reader.next(5_000);
    if (item?.kind !== 'element') throw new Error(`only ${heard.length} messages came`);
    heard.push(item.element.getChildText('body')!);
  }
  const took = performance.now() - before;
  expect(heard).toEqual(Array.from({ length: count }, (_, i) => String(i)));
  // 500 at once, the others at 200 a second; what is read in one go is handled in one go
  expect(took).toBeGreaterThan(500);
  expect(await latency.stop()).toBeLessThan(250);
  await Promise.all([flooder, reader, bystander].map((client) => client.destroy()));
});

test('who floods and leaves, again and again, leaves nothing behind', async () => {
  const { client: bystander } = await enter('nurse');
  const round = async (): Promise<void> => {
    // (in a place of its own it would stay until all of the flood was taken)
    const { client } = await enter('tybalt', 'street');
    client.writeQuietly("<presence to='juliet@localhost'/>".repeat(800));
    await client.reset();
  };
  for (let i = 0; i < 10; i++) await round();
  const before = residentBytes(server.pid);
  for (let i = 0; i < 40; i++) await round();
  await bystander.fence();
  expect(residentBytes(server.pid) - before).toBeLessThan(60 * megabyte);
  // the last one stays until all of its flood was taken
  expect(await until(6_000, async () => (await server.status()).sessions === 1)).toBe(true);
  await bystander.destroy();
});
