// Whom an account has blocked, while the database cannot be asked: nothing passes that might be blocked, whoever is here talks on, and what was
// taken before is not lost. And a flood of commands.
import { afterEach, expect, test } from 'vitest';
import { cached, type Invalidation } from '../../src/storage/cached.ts';
import { StorageUnavailable } from '../../src/storage/errors.ts';
import { createMemoryDriver } from '../../src/storage/memory.ts';
import type { Driver, KvStore } from '../../src/storage/ports.ts';
import { NS } from '../../src/xmpp/ns.ts';
import { StreamClient } from '../kit/client.ts';
import { FakeClock, turn } from '../kit/clock.ts';
import { authenticate, logIn, openStream } from '../kit/login.ts';
import { TestServer } from '../kit/test-server.ts';

const domain = 'verona.test';
const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function start() {
  const clock = new FakeClock();
  const memory = createMemoryDriver(clock);
  const database = { isAway: false, isDeaf: false, clock, forget: () => {} };
  const driver: Driver = {
    ...memory,
    async open(host, module, specs) {
      const opened = await memory.open(host, module, specs);
      if (module !== 'blocking') return opened;
      const list = opened.list as KvStore<unknown>;
      const guarded = <A extends unknown[], R>(work: (...args: A) => R) => {
        return async (...args: A): Promise<Awaited<R>> => {
          if (database.isAway) throw new StorageUnavailable('the database is away');
          const done = await work(...args);
          if (database.isDeaf) throw new StorageUnavailable('the database does not answer');
          return done;
        };
      };
      return { ...opened, list: { ...list, get: guarded(list.get), update: guarded(list.update) } };
    },
  };
  const invalidation: Invalidation = {
    publish() {},
    subscribe: () => () => {},
    onGap(forget) {
      database.forget = () => forget(false);
      return () => {};
    },
  };
  const server = await TestServer.start(
    { hosts: { [domain]: {} } },
    { clock, driver: cached(driver, { invalidation }) },
  );
  stops.push(() => server.stop());
  for (const user of ['romeo', 'juliet']) await server.server.accounts.create(`${user}@${domain}`, 'secret');
  const come = async (user: string) => {
    const { client } = await logIn(server.c2s, { domain, user, password: 'secret', resource: 'x' });
    stops.push(() => client.destroy());
    return client;
  };
  return { database, server, come };
}

type Client = Awaited<ReturnType<Awaited<ReturnType<typeof start>>['come']>>;

async function heard(client: Client): Promise<string[]> {
  await client.fence();
  await turn();
  await client.fence();
  return client.inbox
    .splice(0)
    .flatMap((item) =>
      item.kind === 'element' ? [`${item.element.attrs.type ?? 'normal'} ${item.element.attrs.id}`] : [],
    );
}

const say = (client: Client, to: string, id: string): void =>
  client.write(`<message to='${to}@${domain}/x' type='chat' id='${id}'><body>${id}</body></message>`);

test('those who came before the database went talk on, by what is known of them', async () => {
  const { database, come } = await start();
  const [romeo, juliet] = [await come('romeo'), await come('juliet')];
  juliet.write(`<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='tybalt@${domain}'/></block></iq>`);
  expect(await heard(juliet)).toEqual(['result b']);
  database.isAway = true;
  say(romeo, 'juliet', '1');
  say(juliet, 'romeo', '2');
  await romeo.fence();
  expect(await heard(juliet)).toEqual(['chat 1']);
  expect(await heard(romeo)).toEqual(['chat 2']);
  // what cannot be written is refused, and not taken for done
  juliet.write(`<iq type='set' id='c'><block xmlns='urn:xmpp:blocking'><item jid='romeo@${domain}'/></block></iq>`);
  expect(await heard(juliet)).toEqual(['error c']);
  say(romeo, 'juliet', '3');
  await romeo.fence();
  expect(await heard(juliet)).toEqual(['chat 3']);
});

test('what was written down after all, though that was said to have failed, counts when it can be read again', async () => {
  const { database, come } = await start();
  const [romeo, juliet] = [await come('romeo'), await come('juliet')];
  database.isDeaf = true;
  juliet.write(`<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='romeo@${domain}'/></block></iq>`);
  expect(await heard(juliet)).toEqual(['error b']);
  say(romeo, 'juliet', '1');
  await romeo.fence();
  expect(await heard(juliet)).toEqual(['chat 1']);
  database.isDeaf = false;
  await database.clock.advance(1000);
  // (with the next stanza it is read again)
  say(romeo, 'juliet', '2');
  await heard(romeo);
  say(romeo, 'juliet', '3');
  expect(await heard(romeo)).toEqual(['error 3']);
});

test('nobody comes whose list cannot be read: he is to try it again', async () => {
  const { database, come, server } = await start();
  const romeo = await come('romeo');
  database.isAway = true;
  const client = await StreamClient.connect(server.c2s);
  stops.push(() => client.destroy());
  await openStream(client, domain);
  await authenticate(client, { user: 'juliet', password: 'secret' });
  await openStream(client, domain);
  client.write("<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
  const refusal = await client.next();
  const error = refusal?.kind === 'element' ? refusal.element.getChild('error') : undefined;
  expect(error?.attrs.type).toBe('wait');
  expect(error?.getChild('resource-constraint', NS.stanzas)).toBeDefined();
  // nor is anything taken for her, who may have blocked him
  say(romeo, 'juliet', '1');
  await romeo.fence();
  const back = romeo.inbox.splice(0)[0];
  expect(back?.kind === 'element' && back.element.getChild('error')?.attrs.type).toBe('wait');
  database.isAway = false;
  client.write("<iq type='set' id='2'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
  const bound = await client.next();
  expect(bound?.kind === 'element' && bound.element.attrs.type).toBe('result');
  say(romeo, 'juliet', '2');
  await romeo.fence();
  expect(romeo.inbox).toEqual([]);
});

test('what a session was not given any more is kept, also while nobody can read whom its account has blocked', async () => {
  const { database, come } = await start();
  const [romeo, juliet] = [await come('romeo'), await come('juliet')];
  juliet.write("<presence/><enable xmlns='urn:xmpp:sm:3'/>");
  await juliet.fence();
  say(romeo, 'juliet', '1');
  await romeo.fence();
  database.isAway = true;
  database.forget();
  await juliet.destroy();
  await turn();
  expect(await heard(romeo)).toEqual([]);
  database.isAway = false;
  const again = await come('juliet');
  again.write('<presence/>');
  expect(await heard(again)).toEqual(['normal undefined', 'chat 1']);
});

test('a flood of commands is answered, one after another, and the list has its limit', async () => {
  const { come } = await start();
  const juliet = await come('juliet');
  juliet.write("<iq type='get' id='l'><blocklist xmlns='urn:xmpp:blocking'/></iq>");
  await heard(juliet);
  for (let i = 0; i < 50; i++) {
    const items = Array.from({ length: 50 }, (_, k) => `<item jid='a${i * 50 + k}@spam.test'/>`).join('');
    juliet.write(`<iq type='set' id='b${i}'><block xmlns='urn:xmpp:blocking'>${items}</block></iq>`);
  }
  const answers = await heard(juliet);
  const results = answers.filter((one) => one.startsWith('result'));
  const errors = answers.filter((one) => one.startsWith('error'));
  expect(results).toEqual(Array.from({ length: 40 }, (_, i) => `result b${i}`));
  expect(errors).toEqual(Array.from({ length: 10 }, (_, i) => `error b${40 + i}`));
  expect(answers.filter((one) => one.startsWith('set'))).toHaveLength(40);
  juliet.write("<iq type='set' id='u'><unblock xmlns='urn:xmpp:blocking'/></iq>");
  expect((await heard(juliet)).filter((one) => one.endsWith(' u'))).toEqual(['result u']);
});
