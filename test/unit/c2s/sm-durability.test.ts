// What an acknowledgement promises (XEP-0198 4): a message that was acknowledged is on disk. The disk is slow here.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { StorageUnavailable } from '../../../src/storage/errors.ts';
import { createMemoryDriver } from '../../../src/storage/memory.ts';
import type { Driver, LogStore } from '../../../src/storage/ports.ts';
import type { Address, StreamClient } from '../../kit/client.ts';
import { authenticate, logIn, openStream } from '../../kit/login.ts';
import { TestServer } from '../../kit/test-server.ts';

const domain = 'verona.test';
const SM = 'urn:xmpp:sm:3';

/** Messages for those who are away are written when the test says so, or fail. */
function createSlowDriver() {
  const memory = createMemoryDriver();
  const waiting: { resolve(): void; reject(error: Error): void }[] = [];
  const slow = (messages: LogStore<unknown, never>): LogStore<unknown, never> => ({
    ...messages,
    append: (...args) => ({
      id: messages.append(...args).id,
      durable: new Promise<void>((resolve, reject) => waiting.push({ resolve, reject })),
    }),
  });
  const driver: Driver = {
    ...memory,
    async open(host, module, specs) {
      const stores = await memory.open(host, module, specs);
      return module === 'offline' ? { ...stores, messages: slow(stores.messages as never) } : stores;
    },
  };
  return { driver, waiting };
}

let server: TestServer;
let disk: ReturnType<typeof createSlowDriver>;
let romeo: StreamClient;
let id: string;
const clients: StreamClient[] = [];

async function hear(client: StreamClient): Promise<string> {
  const item = await client.next();
  if (item?.kind !== 'element') return String(item?.kind);
  const { name, attrs } = item.element;
  return [name, attrs.type, attrs.id, attrs.h].filter((part) => part !== undefined).join(' ');
}

async function reconnect(address: Address): Promise<StreamClient> {
  const { StreamClient } = await import('../../kit/client.ts');
  const client = await StreamClient.connect(address);
  clients.push(client);
  await openStream(client, domain);
  await authenticate(client, { user: 'romeo', password: 'secret' });
  await openStream(client, domain);
  return client;
}

const say = (n: number): string => `<message to='juliet@${domain}' type='chat' id='m${n}'><body>${n}</body></message>`;
const ping = (n: number): string => `<iq type='get' id='p${n}' to='${domain}'><ping xmlns='urn:xmpp:ping'/></iq>`;
const R = `<r xmlns='${SM}'/>`;

beforeEach(async () => {
  disk = createSlowDriver();
  server = await TestServer.start({ hosts: { [domain]: {} } }, { driver: disk.driver });
  for (const user of ['romeo', 'juliet']) await server.server.accounts.create(`${user}@${domain}`, 'secret');
  ({ client: romeo } = await logIn(server.c2s, { domain, user: 'romeo', password: 'secret', resource: 'orchard' }));
  clients.push(romeo);
  romeo.write(`<enable xmlns='${SM}' resume='true'/>`);
  const enabled = await romeo.next();
  id = String(enabled?.kind === 'element' && enabled.element.attrs.id);
});

afterEach(async () => {
  for (const client of clients.splice(0)) await client.destroy();
  for (const { resolve } of disk.waiting) resolve();
  await server.stop();
  expect(server.errors).toEqual([]);
});

test('an acknowledgement waits for the disk, and nothing else does', async () => {
  romeo.write(`${ping(1)}${say(1)}${R}${ping(2)}${say(2)}${R}${ping(3)}`);
  expect([await hear(romeo), await hear(romeo), await hear(romeo)]).toEqual([
    'iq result p1',
    'iq result p2',
    'iq result p3',
  ]);
  expect(disk.waiting).toHaveLength(2);
  // the second one is there first: it is not to be told before the first one
  disk.waiting[1]!.resolve();
  expect(await romeo.next(50)).toBeUndefined();
  disk.waiting[0]!.resolve();
  expect(await hear(romeo)).toBe('a 2');
  expect(await hear(romeo)).toBe('a 4');
});

test('what cannot be written is answered by an error, and counts as handled', async () => {
  romeo.write(`${say(1)}${R}`);
  await expect.poll(() => disk.waiting.length).toBe(1);
  disk.waiting[0]!.reject(new StorageUnavailable('the disk is full'));
  const error = await romeo.next();
  expect(error?.kind === 'element' && String(error.element.getChild('error'))).toContain('resource-constraint');
  expect(error?.kind === 'element' && error.element.getChild('error')?.attrs.type).toBe('wait');
  expect(await hear(romeo)).toBe('a 1');
});

test('a client that comes back waits for the disk too, so that it sends nothing twice', async () => {
  romeo.write(say(1));
  await expect.poll(() => disk.waiting.length).toBe(1);
  await romeo.destroy();
  const again = await reconnect(server.c2s);
  again.write(`<resume xmlns='${SM}' previd='${id}' h='0'/>`);
  expect(await again.next(50)).toBeUndefined();
  disk.waiting[0]!.resolve();
  expect(await hear(again)).toBe('resumed 1');
});

test('nobody is told of a connection that is gone', async () => {
  romeo.write(`${say(1)}${R}${R}`);
  await expect.poll(() => disk.waiting.length).toBe(1);
  await romeo.destroy();
  const again = await reconnect(server.c2s);
  again.write(`<resume xmlns='${SM}' previd='${id}' h='0'/>`);
  disk.waiting[0]!.resolve();
  expect(await hear(again)).toBe('resumed 1');
  expect(await again.next(50)).toBeUndefined();
});

test('what is delivered while a broken connection is still being read is not lost', async () => {
  const { client: juliet } = await logIn(server.c2s, { domain, user: 'juliet', password: 'secret', resource: 'b' });
  clients.push(juliet);
  // the first message for somebody away holds the lane of its sender until the storage was asked how much is there
  romeo.write(`${ping(1)}<iq type='get' id='q'><query xmlns='jabber:iq:roster'/></iq>${say(1)}`);
  await romeo.reset();
  juliet.write(`<message to='romeo@${domain}/orchard' type='chat' id='x'><body>x</body></message>`);
  await juliet.fence();
  const again = await reconnect(server.c2s);
  again.write(`<resume xmlns='${SM}' previd='${id}' h='0'/>`);
  const told: string[] = [];
  for (const { resolve } of disk.waiting) resolve();
  for (let line = await hear(again); line !== 'r' && told.length < 5; line = await hear(again)) told.push(line);
  expect(told[0]).toMatch(/^resumed [0-3]$/);
  expect(told).toContain('message chat x');
});
