// What is taken back while somebody logs in: nothing is left of a login that holds no longer, and nothing of one that was cut short.
import { createHmac } from 'node:crypto';
import type { Element } from 'ltx';
import { afterEach, describe, expect, test } from 'vitest';
import type { Cluster } from '../../../src/cluster/cluster.ts';
import { createSolo } from '../../../src/cluster/solo.ts';
import type { ConfigInput } from '../../../src/config/server.ts';
import { StorageUnavailable } from '../../../src/storage/errors.ts';
import { createMemoryDriver } from '../../../src/storage/memory.ts';
import type { Driver, MapStore } from '../../../src/storage/ports.ts';
import { StreamClient } from '../../kit/client.ts';
import { authenticate as authenticateBySasl, bind, openStream, startTls } from '../../kit/login.ts';
import { TestServer } from '../../kit/test-server.ts';

const domain = 'verona.test';
const romeo = `romeo@${domain}`;
const SASL2 = 'urn:xmpp:sasl:2';
const agent = 'd4565fa7-4d72-4749-b3d3-740edbf87770';
const userAgent = `<user-agent id='${agent}'/>`;
const BIND2 = "<bind xmlns='urn:xmpp:bind:0'/>";
const NONE = 'HT-SHA-256-NONE';

let server: TestServer | undefined;
let clients: StreamClient[] = [];
/** Comes right behind the next write to a row of a client; may fail it. */
let afterWrite: (() => Promise<void>) | undefined;

afterEach(async () => {
  afterWrite = undefined;
  await Promise.all(clients.map((client) => client.destroy()));
  clients = [];
  await server?.stop();
  server = undefined;
});

/** In memory; tells of writes to the rows of clients. */
function watchedDriver(): Driver {
  const memory = createMemoryDriver();
  return {
    purge: (...args) => memory.purge(...args),
    identify: (life) => memory.identify(life),
    fence: (life) => memory.fence(life),
    ping: () => memory.ping(),
    close: () => memory.close(),
    async open(host, module, specs) {
      const stores = await memory.open(host, module, specs);
      const { clients: rows } = stores as { clients?: MapStore<unknown> };
      if (rows === undefined) return stores;
      const watched: MapStore<unknown> = {
        get: (...args) => rows.get(...args),
        all: (...args) => rows.all(...args),
        set: (...args) => rows.set(...args),
        setAll: (...args) => rows.setAll(...args),
        async update(...args) {
          const written = await rows.update(...args);
          const then = afterWrite;
          afterWrite = undefined;
          await then?.();
          return written;
        },
      };
      return { ...stores, clients: watched };
    },
  };
}

async function start(cluster?: Cluster, settings: ConfigInput = {}): Promise<TestServer> {
  server = await TestServer.start(
    { hosts: { [domain]: {} }, ...settings },
    { driver: watchedDriver(), ...(cluster === undefined ? {} : { cluster }) },
  );
  await server.server.accounts.create(romeo, 'secret');
  return server;
}

async function connect(tls = false): Promise<StreamClient> {
  const client = await StreamClient.connect(server!.c2s);
  clients.push(client);
  await openStream(client, domain);
  if (tls) {
    await startTls(client, domain);
    await openStream(client, domain);
  }
  return client;
}

async function next(client: StreamClient): Promise<Element> {
  const item = await client.next();
  if (item?.kind !== 'element') throw new Error(`no element came, but ${item?.kind ?? 'nothing'}`);
  return item.element;
}

const base64 = (text: string | Buffer): string => Buffer.from(text as string).toString('base64');
const byPassword = (inner: string): string =>
  `<authenticate xmlns='${SASL2}' mechanism='PLAIN'><initial-response>${base64('\0romeo\0secret')}</initial-response>${inner}</authenticate>`;
const byToken = (token: string, inner: string): string => {
  const proof = createHmac('sha256', token).update('Initiator').digest();
  const initial = base64(Buffer.concat([Buffer.from('romeo\0'), proof]));
  return `<authenticate xmlns='${SASL2}' mechanism='${NONE}'><initial-response>${initial}</initial-response>${userAgent}<fast xmlns='urn:xmpp:fast:0'/>${inner}</authenticate>`;
};

/** Logs in by password, and leaves with a token. */
async function tokenOf(): Promise<string> {
  const client = await connect(true);
  client.write(byPassword(`${userAgent}<request-token xmlns='urn:xmpp:fast:0' mechanism='${NONE}'/>`));
  const token = (await next(client)).getChild('token', 'urn:xmpp:fast:0')?.attrs.token as string;
  await client.destroy();
  return token;
}

/** A session of the account that stays, without a name for its client. */
async function witness(): Promise<StreamClient> {
  const client = await connect();
  client.write(byPassword(BIND2));
  expect((await next(client)).name).toBe('success');
  expect((await next(client)).name).toBe('stream:features');
  return client;
}

/** The clients that are connected, the one that asks left aside. */
async function others(client: StreamClient): Promise<readonly Element[]> {
  client.write("<iq type='get' id='list'><list xmlns='urn:xmpp:cam:0'/></iq>");
  const list = (await next(client)).getChild('clients', 'urn:xmpp:cam:0')?.getChildren('client') ?? [];
  return list.filter(({ attrs }) => attrs.connected === 'true').slice(0, -1);
}

/** @returns the id of the client that was revoked */
async function revoke(client: StreamClient): Promise<string> {
  client.write("<iq type='get' id='list'><list xmlns='urn:xmpp:cam:0'/></iq>");
  const [first] = (await next(client)).getChild('clients', 'urn:xmpp:cam:0')?.getChildren('client') ?? [];
  client.write(`<iq type='set' id='revoke'><revoke xmlns='urn:xmpp:cam:0' id='${first?.attrs.id}'/></iq>`);
  expect((await next(client)).attrs.id).toBe('revoke');
  return first?.attrs.id as string;
}

describe('between the proof and the session', () => {
  test('a client is revoked: its token was good, and leads to nothing', async () => {
    await start();
    const token = await tokenOf();
    const owner = await witness();
    const thief = await connect(true);
    afterWrite = async () => void (await revoke(owner));
    thief.write(byToken(token, BIND2));
    const answer = await next(thief);
    expect(answer.name).toBe('stream:error');
    expect(answer.getChild('not-authorized')).toBeDefined();
    expect(await others(owner)).toEqual([]);
  });

  test('a client is revoked that would bind later', async () => {
    await start();
    const token = await tokenOf();
    const owner = await witness();
    const thief = await connect(true);
    thief.write(byToken(token, ''));
    expect((await next(thief)).name).toBe('success');
    expect((await next(thief)).name).toBe('stream:features');
    await revoke(owner);
    thief.write("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
    expect((await next(thief)).name).toBe('stream:error');
    expect(await others(owner)).toEqual([]);
  });

  test.each([
    ['the password is changed', () => server!.server.accounts.setPassword(romeo, 'another')],
    ['the account is removed', () => server!.server.accounts.remove(romeo)],
    [
      'the account is removed, and somebody else takes its name',
      async () => {
        await server!.server.accounts.remove(romeo);
        await server!.server.accounts.create(romeo, 'another');
      },
    ],
  ])('%s: by SASL', async (_what, change) => {
    await start();
    const client = await connect();
    await authenticateBySasl(client, { user: 'romeo', password: 'secret' });
    await openStream(client, domain);
    await change();
    await expect(bind(client)).rejects.toThrow('not-authorized');
    expect(await client.closed()).toBe(true);
  });

  test.each([
    ['the password is changed', () => server!.server.accounts.setPassword(romeo, 'another')],
    [
      'the account is removed, and somebody else takes its name',
      async () => {
        await server!.server.accounts.remove(romeo);
        await server!.server.accounts.create(romeo, 'another');
      },
    ],
  ])('%s: by SASL2', async (_what, change) => {
    await start();
    const client = await connect();
    afterWrite = change;
    client.write(byPassword(`${userAgent}${BIND2}`));
    const answer = await next(client);
    expect(answer.name).toBe('stream:error');
    expect(answer.getChild('not-authorized')).toBeDefined();
  });

  test('the database goes away: the login fails for now, and there is no session', async () => {
    await start();
    const owner = await witness();
    const client = await connect();
    afterWrite = async () => {
      throw new StorageUnavailable('away');
    };
    client.write(byPassword(`${userAgent}${BIND2}`));
    expect((await next(client)).getChild('temporary-auth-failure')).toBeDefined();
    expect(await others(owner)).toEqual([]);
    client.write(byPassword(`${userAgent}${BIND2}`));
    expect((await next(client)).name).toBe('success');
  });

  test('the database goes away before a resource is bound: it may be bound later', async () => {
    await start();
    const owner = await witness();
    const client = await connect();
    client.write(byPassword(userAgent));
    expect((await next(client)).name).toBe('success');
    expect((await next(client)).name).toBe('stream:features');
    afterWrite = async () => {
      throw new StorageUnavailable('away');
    };
    const request = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
    client.write(request);
    const error = (await next(client)).getChild('error');
    expect(error?.attrs.type).toBe('wait');
    expect(error?.getChild('resource-constraint')).toBeDefined();
    expect(await others(owner)).toEqual([]);
    client.write(request);
    expect((await next(client)).attrs.type).toBe('result');
    expect(await others(owner)).toHaveLength(1);
  });

  test('the directory of sessions goes away: there is no session', async () => {
    const solo = createSolo();
    let isAway = false;
    const cluster: Cluster = Object.assign(Object.create(solo) as Cluster, {
      directory: {
        sessions: (user: never) => solo.directory.sessions(user),
        drop: (jid: never, sid: string) => solo.directory.drop(jid, sid),
        async put(entry: never) {
          if (isAway) throw new Error('away');
          return solo.directory.put(entry);
        },
      },
    });
    await start(cluster, { limits: { enabled: true, 'sessions-per-account': 2 } });
    const owner = await witness();
    const client = await connect();
    isAway = true;
    client.write(byPassword(`${userAgent}<bind xmlns='urn:xmpp:bind:0'><tag>A</tag></bind>`));
    expect((await next(client)).name).toBe('stream:error');
    isAway = false;
    expect(await others(owner)).toEqual([]);
    // nor does it count as one
    await witness();
  });
});

describe('one client, twice', () => {
  test('of two logins at the same time, with tags of their own, one stays', async () => {
    await start();
    const owner = await witness();
    for (let round = 0; round < 5; round++) {
      const both = [await connect(), await connect()];
      for (const [i, client] of both.entries()) {
        client.write(byPassword(`${userAgent}<bind xmlns='urn:xmpp:bind:0'><tag>${i}</tag></bind>`));
      }
      for (const client of both) await client.next();
      expect(await others(owner)).toHaveLength(1);
    }
  });

  test("a session that another client resumes is that client's, and ends when it is revoked", async () => {
    await start();
    const first = await connect();
    first.write(byPassword("<bind xmlns='urn:xmpp:bind:0'><enable xmlns='urn:xmpp:sm:3' resume='true'/></bind>"));
    const enabled = (await next(first)).getChild('bound', 'urn:xmpp:bind:0')?.getChild('enabled', 'urn:xmpp:sm:3');
    await first.reset();
    const second = await connect();
    second.write(byPassword(`${userAgent}<resume xmlns='urn:xmpp:sm:3' h='0' previd='${enabled?.attrs.id}'/>`));
    expect((await next(second)).getChild('resumed', 'urn:xmpp:sm:3')).toBeDefined();
    const owner = await witness();
    const id = await revoke(owner);
    expect(id).not.toContain('session.');
    expect((await next(second)).name).toBe('stream:error');
  });
});
