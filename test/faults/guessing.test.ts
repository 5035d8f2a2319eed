// Passwords are guessed: slower and slower, at nobody else's cost (RFC 6120 6.4.5, 13.11).
import { afterEach, expect, test } from 'vitest';
import { StreamClient } from '../kit/client.ts';
import { FakeClock } from '../kit/clock.ts';
import { logIn, openStream } from '../kit/login.ts';
import { TestServer } from '../kit/test-server.ts';
import { ending, residentBytes } from './kit.ts';

const domain = 'chat.example';
let server: TestServer;
let clock: FakeClock;

async function start(): Promise<void> {
  clock = new FakeClock();
  const limits = {
    enabled: true,
    'connections-per-address': 10_000,
    'address-connections-per-second': 10_000,
    'address-connections-burst': 10_000,
  };
  server = await TestServer.start({ hosts: { [domain]: {} }, limits }, { clock });
  for (const user of ['romeo', 'juliet']) await server.server.accounts.create(`${user}@${domain}`, 'secret');
}

afterEach(async () => {
  const errors = server.errors;
  await server.stop();
  expect(errors).toEqual([]);
});

async function enter(): Promise<StreamClient> {
  const client = await StreamClient.connect(server.c2s);
  await openStream(client, domain);
  return client;
}

function guess(client: StreamClient, user: string, password: string): void {
  const text = Buffer.from(`\0${user}\0${password}`).toString('base64');
  client.write(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${text}</auth>`);
}

/** What a guess came to. */
async function answer(client: StreamClient): Promise<string> {
  const item = await client.next();
  if (item?.kind !== 'element') return item?.kind ?? 'nothing yet';
  const [condition] = item.element.children as { readonly name?: string }[];
  return item.element.name === 'success' ? 'success' : (condition?.name ?? '');
}

test('every wrong password after the second has to wait longer, until the stream ends', async () => {
  await start();
  const client = await enter();
  const waits: number[] = [];
  for (let i = 0; i < 5; i++) {
    guess(client, 'romeo', `wrong ${i}`);
    let waited = 0;
    while (client.inbox.length === 0 && waited < 60_000) {
      // the password is looked at outside of this thread
      await new Promise((resolve) => setTimeout(resolve, 15));
      if (client.inbox.length > 0) break;
      await clock.advance(250);
      waited += 250;
    }
    waits.push(waited);
    expect(await answer(client)).toBe('not-authorized');
  }
  expect(waits[4]).toBeGreaterThan(waits[2]!);
  expect(waits[2]).toBeGreaterThanOrEqual(500);
  expect(await ending(client)).toBe('policy-violation');
});

test('a storm of guesses ends in refusals; who is known there, or streams already, is not locked out', async () => {
  await start();
  const { client: inside } = await logIn(server.c2s, { user: 'juliet', password: 'secret', domain });
  const before = residentBytes('self');
  const ends = new Map<string, number>();
  const guesses = Array.from({ length: 400 }, async (_, i) => {
    const client = await enter();
    guess(client, i % 2 === 0 ? 'romeo' : `nobody-${i}`, 'wrong');
    while (client.inbox.length === 0 && !client.isClosed) await new Promise((resolve) => setTimeout(resolve, 20));
    const end = await answer(client);
    ends.set(end, (ends.get(end) ?? 0) + 1);
    await client.destroy();
  });
  let isOver = false;
  const storm = Promise.all(guesses).then(() => {
    isOver = true;
  });
  while (!isOver) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    await clock.advance(1_000);
  }
  await storm;
  expect(ends.get('success')).toBeUndefined();
  // (the rest was told that it is too late: the clock runs fast here)
  expect(ends.get('temporary-auth-failure')).toBeGreaterThan(100);
  expect(residentBytes('self') - before).toBeLessThan(80 * 1024 * 1024);

  await inside.fence();
  // juliet has logged in from this address before the storm: she gets in
  const { client } = await logIn(server.c2s, { user: 'juliet', password: 'secret', domain });
  await client.fence();
  // romeo has not, and waits until it is quiet again
  const early = await enter();
  guess(early, 'romeo', 'secret');
  expect(await answer(early)).toBe('temporary-auth-failure');
  await clock.advance(16 * 60_000);
  const { client: late } = await logIn(server.c2s, { user: 'romeo', password: 'secret', domain });
  await late.fence();
});
