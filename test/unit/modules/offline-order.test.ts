// Who comes online reads what was kept before what is said from then on (RFC 6120 10.1), however slow the database is.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { StorageUnavailable } from '../../../src/storage/errors.ts';
import type { StreamClient } from '../../kit/client.ts';
import { FakeClock, turn } from '../../kit/clock.ts';
import { logIn } from '../../kit/login.ts';
import { offlineDriver } from '../../kit/offline-driver.ts';
import { TestServer } from '../../kit/test-server.ts';

const domain = 'verona.test';
type Work = 'append' | 'take';

let clock: FakeClock;
let server: TestServer;
let romeo: StreamClient;
let juliet: StreamClient;
/** What the store of kept messages waits for before it does that, and what it fails with. */
let stalls: Partial<Record<Work, Promise<void>>>;
let failure: Error | undefined;

beforeEach(async () => {
  clock = new FakeClock();
  stalls = {};
  failure = undefined;
  const driver = offlineDriver(clock, (messages) => ({
    append(owner, value, index) {
      if (stalls.append === undefined) return messages.append(owner, value, index);
      return { id: 'later', durable: stalls.append.then(() => messages.append(owner, value, index).durable) };
    },
    async take(owner, limit) {
      await stalls.take;
      if (failure !== undefined) throw failure;
      return messages.take(owner, limit);
    },
  }));
  server = await TestServer.start({ hosts: { [domain]: {} } }, { clock, driver });
  for (const user of ['romeo', 'juliet']) await server.server.accounts.create(`${user}@${domain}`, 'secret');
  ({ client: romeo } = await logIn(server.c2s, { domain, user: 'romeo', password: 'secret' }));
  ({ client: juliet } = await logIn(server.c2s, { domain, user: 'juliet', password: 'secret' }));
});

afterEach(async () => {
  await Promise.all([romeo.destroy(), juliet.destroy()]);
  await server.stop();
});

/** Holds one kind of work up, until it is called. */
function stall(work: Work): () => void {
  let go = (): void => {};
  stalls[work] = new Promise((resolve) => {
    go = resolve;
  });
  return () => {
    delete stalls[work];
    go();
  };
}

const write = (...ids: string[]): void => {
  for (const id of ids)
    romeo.write(`<message to='juliet@${domain}' type='chat' id='${id}'><body>${id}</body></message>`);
};

async function say(...ids: string[]): Promise<void> {
  write(...ids);
  await romeo.fence();
}

async function come(): Promise<void> {
  juliet.write('<presence/>');
  await juliet.fence();
}

/** What she was given so far. */
async function heard(client = juliet): Promise<(string | undefined)[]> {
  await turn();
  await client.fence();
  return client.inbox.flatMap((item) =>
    item.kind === 'element' && item.element.is('message') ? [item.element.attrs.id] : [],
  );
}

test('what is said while kept messages are being read out of the store comes after them', async () => {
  await say('1', '2');
  const go = stall('take');
  await come();
  await say('3', '4');
  expect(await heard()).toEqual([]);
  go();
  expect(await heard()).toEqual(['1', '2', '3', '4']);
  await say('5');
  expect(await heard()).toEqual(['1', '2', '3', '4', '5']);
});

test('what is said while an earlier message is being written down comes after it', async () => {
  const go = stall('append');
  await say('1');
  await come();
  write('2');
  expect(await heard()).toEqual([]);
  go();
  expect(await heard()).toEqual(['1', '2']);
});

test('nobody waits for a store that does not answer for longer than two seconds', async () => {
  await say('1');
  const go = stall('take');
  await come();
  await say('2');
  await clock.advance(1_999);
  expect(await heard()).toEqual([]);
  await clock.advance(1);
  expect(await heard()).toEqual(['2']);
  await say('3');
  expect(await heard()).toEqual(['2', '3']);
  go();
  expect(await heard()).toEqual(['2', '3', '1']);
});

test('nobody waits for what was to be written down two seconds ago', async () => {
  const go = stall('append');
  await say('1');
  await come();
  await clock.advance(1_500);
  write('2');
  expect(await heard()).toEqual([]);
  await clock.advance(500);
  expect(await heard()).toEqual(['2']);
  await say('3');
  expect(await heard()).toEqual(['2', '3']);
  go();
  expect(await heard()).toEqual(['2', '3', '1']);
});

test('who comes online while the database is away is given what was kept when it is back', async () => {
  await say('1');
  failure = new StorageUnavailable('the database is away');
  await come();
  await say('2');
  expect(await heard()).toEqual(['2']);
  failure = undefined;
  await clock.advance(1_000);
  expect(await heard()).toEqual(['2', '1']);
});

test('what waited for a session that is over is kept, after what was', async () => {
  await say('1');
  const go = stall('take');
  await come();
  await say('2');
  juliet.write('</stream:stream>');
  expect(await juliet.closed()).toBe(true);
  while (!server.log.some(({ message }) => message === 'client gone')) await turn();
  await turn();
  go();
  await turn();
  const { client } = await logIn(server.c2s, { domain, user: 'juliet', password: 'secret' });
  client.write('<presence/>');
  await client.fence();
  expect(await heard(client)).toEqual(['1', '2']);
  await client.destroy();
});
