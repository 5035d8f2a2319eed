// Archives whose readers are slow, and archives whose database is away.
import { execFileSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { cached } from '../../src/storage/cached.ts';
import { createPostgresDriver } from '../../src/storage/postgres/driver.ts';
import { NS } from '../../src/xmpp/ns.ts';
import type { StreamClient } from '../kit/client.ts';
import { logIn } from '../kit/login.ts';
import { startPostgres, type TestPostgres } from '../kit/postgres.ts';
import { TestServer } from '../kit/test-server.ts';
import { pause } from './kit.ts';

const domain = 'verona.test';
const romeo = `romeo@${domain}`;
const juliet = `juliet@${domain}`;
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function enter(server: TestServer, user: string): Promise<StreamClient> {
  const { client } = await logIn(server.c2s, { domain, user, password: 'secret', resource: 'r' });
  cleanups.push(() => client.destroy());
  client.write('<presence/>');
  await client.fence();
  client.inbox.length = 0;
  return client;
}

const query = (id: string): string => `<iq type='set' id='${id}'><query xmlns='${NS.mam}'/></iq>`;
const answers = (client: StreamClient) =>
  client.inbox.flatMap((item) => (item.kind === 'element' && item.element.name === 'iq' ? [item.element] : []));
const answerTo = (client: StreamClient, id: string) => answers(client).find(({ attrs }) => attrs.id === id);

test('who asks for pages without reading them gets all of them, at the pace of the reading', async () => {
  const server = await TestServer.start({ hosts: { [domain]: {} } });
  cleanups.push(() => server.stop());
  await server.server.accounts.create(romeo, 'secret');
  const client = await enter(server, 'romeo');
  const text = 'wherefore '.repeat(2_000);
  for (let n = 0; n < 40; n++)
    client.write(`<message to='${romeo}' type='chat' id='m${n}'><body>${text}</body></message>`);
  await client.fence();
  client.pause();
  client.inbox.length = 0;
  // 32 MB and more, where 4 MB may wait
  const asked = Array.from({ length: 40 }, (_, n) => `q${n}`);
  client.write(asked.map(query).join(''));
  await pause(500);
  client.resume();
  await expect.poll(() => answers(client).length, { timeout: 30_000, interval: 50 }).toBe(40);
  expect(answers(client).map(({ attrs }) => [attrs.id, attrs.type])).toEqual(asked.map((id) => [id, 'result']));
  const results = client.inbox.filter((item) => item.kind === 'element' && item.element.getChild('result', NS.mam));
  expect(results).toHaveLength(40 * 40);
  expect(client.isClosed).toBe(false);
});

const messagesOf = (client: StreamClient): string[] =>
  client.inbox.flatMap((item) =>
    item.kind === 'element' && item.element.name === 'message' && item.element.attrs.type === 'chat'
      ? [String(item.element.attrs.id)]
      : [],
  );

/** The ids of the messages in somebody's archive. */
async function read(client: StreamClient): Promise<string[]> {
  client.inbox.length = 0;
  client.write(query('again'));
  await client.fence();
  return client.inbox.flatMap((item) => {
    const result = item.kind === 'element' ? item.element.getChild('result', NS.mam) : undefined;
    return result === undefined ? [] : [String(result.getChild('forwarded')!.getChild('message')!.attrs.id)];
  });
}

/** The postmaster and all its children. */
function processesOf(postmaster: number): number[] {
  const children = execFileSync('ps', ['-o', 'pid=', '--ppid', `${postmaster}`], { encoding: 'utf8' });
  return [postmaster, ...children.split('\n').map(Number).filter(Boolean)];
}

describe('while the database is away', () => {
  let postgres: TestPostgres;
  let server: TestServer;

  beforeEach(async () => {
    postgres = await startPostgres();
    cleanups.push(() => postgres.remove());
    const driver = cached(
      createPostgresDriver({
        connection: postgres.config,
        patience: 1_000,
        timeout: 1_000,
        waitingRows: 20,
      }),
      {},
    );
    cleanups.push(() => driver.close());
    server = await TestServer.start({ hosts: { [domain]: {} } }, { driver });
    cleanups.push(() => server.stop());
    for (const user of ['romeo', 'juliet']) await server.server.accounts.create(`${user}@${domain}`, 'secret');
  });

  const outages: Record<string, () => Promise<() => Promise<void>>> = {
    async stopped() {
      await postgres.stop('fast');
      return () => postgres.start();
    },
    async killed() {
      await postgres.stop('kill');
      return () => postgres.start();
    },
    async frozen() {
      const frozen = processesOf(postgres.pid);
      for (const pid of frozen) process.kill(pid, 'SIGSTOP');
      return async () => {
        for (const pid of frozen) process.kill(pid, 'SIGCONT');
      };
    },
  };

  test('a message that there is no room for is in neither archive, and one that is let in is in both', async () => {
    const [orchard, balcony] = [await enter(server, 'romeo'), await enter(server, 'juliet')];
    const recover = await outages.stopped!();
    const ids = Array.from({ length: 30 }, (_, n) => `m${n}`);
    orchard.write(ids.map((id) => `<message to='${juliet}' type='chat' id='${id}'><body>O</body></message>`).join(''));
    const refused = (): string[] =>
      orchard.inbox.flatMap((item) =>
        item.kind === 'element' && item.element.attrs.type === 'error' ? [String(item.element.attrs.id)] : [],
      );
    const delivered = (): string[] => messagesOf(balcony);
    await expect.poll(() => refused().length + delivered().length, { timeout: 5_000 }).toBe(30);
    expect(refused()).not.toEqual([]);
    expect(delivered()).not.toEqual([]);
    await recover();
    const letIn = ids.filter((id) => !refused().includes(id));
    expect(delivered()).toEqual(letIn);
    for (const client of [orchard, balcony]) {
      await expect.poll(() => read(client), { timeout: 20_000, interval: 500 }).toEqual(letIn);
    }
  });

  test.each(Object.keys(outages))(
    'an archive whose database is %s is read later; messages pass, and are there afterwards',
    async (how) => {
      const [orchard, balcony] = [await enter(server, 'romeo'), await enter(server, 'juliet')];
      orchard.write(`<message to='${juliet}' type='chat' id='before'><body>O</body></message>`);
      await orchard.fence();
      const recover = await outages[how]!();
      const from = performance.now();
      try {
        orchard.write(query('away'));
        // somebody else talks meanwhile
        balcony.write(`<message to='${romeo}' type='chat' id='meanwhile'><body>Romeo</body></message>`);
        await expect
          .poll(() => orchard.inbox.some((item) => item.kind === 'element' && item.element.attrs.id === 'meanwhile'))
          .toBe(true);
        await expect.poll(() => answerTo(orchard, 'away'), { timeout: 10_000 }).toBeDefined();
        const error = answerTo(orchard, 'away')!.getChild('error')!;
        expect(error.attrs.type).toBe('wait');
        expect(error.getChild('resource-constraint', NS.stanzas)).toBeDefined();
        expect(performance.now() - from).toBeLessThan(6_000);
        orchard.write(`<message to='${juliet}' type='chat' id='after'><body>Lady</body></message>`);
        await expect
          .poll(() => balcony.inbox.some((item) => item.kind === 'element' && item.element.attrs.id === 'after'))
          .toBe(true);
      } finally {
        await recover();
      }
      await expect
        .poll(() => read(orchard), { timeout: 20_000, interval: 500 })
        .toEqual(['before', 'meanwhile', 'after']);
      expect([orchard.isClosed, balcony.isClosed]).toEqual([false, false]);
    },
    60_000,
  );
});
