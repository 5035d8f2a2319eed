// SASL2 as a whole, where a scenario cannot say it: keys that lack, channel bindings, one packet.
import { createHmac, pbkdf2Sync } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import type { Element } from 'ltx';
import { afterEach, describe, expect, test } from 'vitest';
import { type Accounts, accountStores, openAccounts } from '../../../src/auth/accounts.ts';
import { createPasswordHasher, deriveCredentials, type ScramHash } from '../../../src/auth/credentials.ts';
import type { ConfigInput } from '../../../src/config/server.ts';
import { StorageUnavailable } from '../../../src/storage/errors.ts';
import { createMemoryDriver } from '../../../src/storage/memory.ts';
import type { Driver, MapStore } from '../../../src/storage/ports.ts';
import type { Opened } from '../../../src/storage/specs.ts';
import { StreamClient } from '../../kit/client.ts';
import { FakeClock } from '../../kit/clock.ts';
import { openStream, startTls } from '../../kit/login.ts';
import { TestServer } from '../../kit/test-server.ts';
import { testPolicy } from '../auth/kit.ts';

const domain = 'verona.test';
const SASL2 = 'urn:xmpp:sasl:2';
const agent = 'd4565fa7-4d72-4749-b3d3-740edbf87770';

let server: TestServer | undefined;
let clients: StreamClient[] = [];
afterEach(async () => {
  await Promise.all(clients.map((client) => client.destroy()));
  clients = [];
  await server?.stop();
  server = undefined;
});

async function accountsIn(driver: Driver): Promise<Accounts> {
  const stores = (await driver.open(domain, 'auth', accountStores)) as Opened<typeof accountStores>;
  return openAccounts({
    domain,
    stores,
    hasher: createPasswordHasher(),
    clock: new FakeClock(),
    purge: async () => {},
    clients: () => testPolicy,
    iterations: 4096,
  });
}

/** A server whose account has the keys of some hashes only. */
async function start(hashes: readonly ScramHash[], settings: ConfigInput = {}): Promise<Driver> {
  const driver = createMemoryDriver();
  const keys = await Promise.all(
    hashes.map(async (hash) => [hash, await deriveCredentials(createPasswordHasher(), 'secret', hash, 4096)] as const),
  );
  await (await accountsIn(driver)).createWithKeys('romeo', Object.fromEntries(keys));
  server = await TestServer.start({ hosts: { [domain]: {} }, ...settings }, { driver });
  return driver;
}

async function connect(): Promise<StreamClient> {
  const client = await StreamClient.connect(server!.c2s);
  clients.push(client);
  return client;
}

async function next(client: StreamClient): Promise<Element> {
  const item = await client.next();
  if (item?.kind !== 'element') throw new Error(`no element came, but ${item?.kind ?? 'nothing'}`);
  return item.element;
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const authenticate = (inner: string): string =>
  `<authenticate xmlns='${SASL2}' mechanism='PLAIN'><initial-response>${base64('\0romeo\0secret')}</initial-response>${inner}</authenticate>`;
const upgrade = (...hashes: readonly string[]): string =>
  hashes.map((hash) => `<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-${hash}</upgrade>`).join('');
const hashed = (data: Buffer | string): string =>
  `<task-data xmlns='${SASL2}'><hash xmlns='urn:xmpp:scram-upgrade:0'>${data.toString('base64' as never)}</hash></task-data>`;

describe('a client makes the keys that its account lacks (XEP-0480)', () => {
  test('one task after another, and then it is in', async () => {
    const driver = await start(['sha-1']);
    const client = await connect();
    await openStream(client, domain);
    client.write(authenticate(`${upgrade('SHA-512', 'SHA-1', 'SHA-256', 'MD5')}<bind xmlns='urn:xmpp:bind:0'/>`));
    for (const [name, digest, size] of [
      ['SHA-256', 'sha256', 32],
      ['SHA-512', 'sha512', 64],
    ] as const) {
      const task = `UPGR-SCRAM-${name}`;
      const asked = await next(client);
      expect(asked.name).toBe('continue');
      expect(asked.getChild('tasks')?.getChildren('task').map(String)).toEqual([`<task>${task}</task>`]);
      client.write(`<next xmlns='${SASL2}' task='${task}'/>`);
      const salt = (await next(client)).getChild('salt', 'urn:xmpp:scram-upgrade:0');
      const iterations = Number(salt?.attrs.iterations);
      const salted = pbkdf2Sync('secret', Buffer.from(salt?.text() ?? '', 'base64'), iterations, size, digest);
      client.write(hashed(salted));
    }
    const success = await next(client);
    expect(success.name).toBe('success');
    expect(success.getChildText('authorization-identifier')).toMatch(/^romeo@verona\.test\/./);
    // the new keys are those of the password
    const accounts = await accountsIn(driver);
    expect(await accounts.missingKeys('romeo')).toEqual([]);
    for (const hash of ['sha-256', 'sha-512'] as const) {
      const { credentials } = await accounts.scram('romeo', 'romeo', hash);
      const { salt, iterations } = credentials;
      const expected = await deriveCredentials(createPasswordHasher(), 'secret', hash, iterations, salt);
      expect(credentials).toEqual(expected);
    }
  });

  test.each([
    ['another task', `<next xmlns='${SASL2}' task='UPGR-SCRAM-SHA-512'/>`],
    ['no task', `<next xmlns='${SASL2}'/>`],
    ['an answer to no question', hashed(Buffer.alloc(32))],
    ['a response', `<response xmlns='${SASL2}'/>`],
  ])('%s ends the attempt', async (_what, said) => {
    await start(['sha-1']);
    const client = await connect();
    await openStream(client, domain);
    client.write(authenticate(upgrade('SHA-256')));
    expect((await next(client)).name).toBe('continue');
    client.write(said);
    expect((await next(client)).getChild('malformed-request')).toBeDefined();
  });

  test('nobody is offered what their account has no key for (XEP-0388 2.1)', async () => {
    await start(['sha-1']);
    const offeredTo = async (from: string): Promise<readonly string[]> => {
      const client = await connect();
      const features = await openStream(client, domain, from);
      const names = (name: string, ns: string): readonly string[] =>
        features
          .getChild(name, ns)
          ?.getChildren('mechanism')
          .map((one) => one.getText()) ?? [];
      expect(names('mechanisms', 'urn:ietf:params:xml:ns:xmpp-sasl')).toEqual(names('authentication', SASL2));
      return names('authentication', SASL2);
    };
    expect(await offeredTo(` from='romeo@${domain}'`)).toEqual(['SCRAM-SHA-1', 'PLAIN']);
    const all = ['SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN'];
    expect(await offeredTo(` from='nobody@${domain}'`)).toEqual(all);
    expect(await offeredTo('')).toEqual(all);
  });

  test('who takes an account over in the meantime gets no key from elsewhere', async () => {
    const driver = await start(['sha-1']);
    const client = await connect();
    await openStream(client, domain);
    client.write(authenticate(upgrade('SHA-256')));
    expect((await next(client)).name).toBe('continue');
    client.write(`<next xmlns='${SASL2}' task='UPGR-SCRAM-SHA-256'/>`);
    await next(client);
    await server!.server.accounts.remove(`romeo@${domain}`);
    await server!.server.accounts.create(`romeo@${domain}`, 'another');
    const before = await (await accountsIn(driver)).scram('romeo', 'romeo', 'sha-256');
    client.write(hashed(Buffer.alloc(32)));
    expect((await next(client)).getChild('not-authorized')).toBeDefined();
    expect(await (await accountsIn(driver)).scram('romeo', 'romeo', 'sha-256')).toEqual(before);
  });

  test.each([
    ['too short', Buffer.alloc(31)],
    ['empty', ''],
    ['not base64', '*'],
  ])('a salted password that is %s is none, and the account stays as it was', async (_what, data) => {
    const driver = await start(['sha-1']);
    const client = await connect();
    await openStream(client, domain);
    client.write(authenticate(upgrade('SHA-256')));
    await next(client);
    client.write(`<next xmlns='${SASL2}' task='UPGR-SCRAM-SHA-256'/>`);
    await next(client);
    client.write(hashed(data));
    expect((await next(client)).getChild('malformed-request')).toBeDefined();
    expect(await (await accountsIn(driver)).missingKeys('romeo')).toEqual(['sha-256', 'sha-512']);
  });

  test('while a task is set, another <authenticate/> ends the stream (XEP-0388 6.8)', async () => {
    await start(['sha-1']);
    const client = await connect();
    await openStream(client, domain);
    client.write(authenticate(upgrade('SHA-256')));
    await next(client);
    client.write(authenticate(''));
    expect((await next(client)).name).toBe('stream:error');
  });

  test('a client may give up', async () => {
    await start(['sha-1']);
    const client = await connect();
    await openStream(client, domain);
    client.write(authenticate(upgrade('SHA-256')));
    await next(client);
    client.write(`<abort xmlns='${SASL2}'/>`);
    expect((await next(client)).getChild('aborted')).toBeDefined();
    client.write(authenticate(''));
    expect((await next(client)).name).toBe('success');
  });
});

describe('in one packet (XEP-0509)', () => {
  test.each([
    ['HT-SHA-256-EXPR', 'tls-exporter'],
    ['HT-SHA-256-NONE', undefined],
  ])('over TLS, with %s: header, login, session and first request', async (mechanism, binding) => {
    await start(['sha-256']);
    const first = await connect();
    await openStream(first, domain);
    await startTls(first, domain);
    const features = await openStream(first, domain, ` from='romeo@${domain}'`);
    const version = features.getChild('config-version', 'urn:xmpp:iap:0')?.attrs.value as string;
    first.write(
      authenticate(`<user-agent id='${agent}'/><request-token xmlns='urn:xmpp:fast:0' mechanism='${mechanism}'/>`),
    );
    const token = (await next(first)).getChild('token', 'urn:xmpp:fast:0')?.attrs.token as string;
    expect(token).toMatch(/^[\w-]{43}$/);

    const second = await connect();
    await openStream(second, domain);
    second.write("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    await next(second);
    const socket = await second.startTls(domain);
    const channel =
      binding === undefined
        ? Buffer.alloc(0)
        : socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0));
    const proof = createHmac('sha256', token).update('Initiator').update(channel).digest();
    const initial = Buffer.concat([Buffer.from('romeo\0'), proof]).toString('base64');
    second.write(
      `<stream:stream to='${domain}' from='romeo@${domain}' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>` +
        `<authenticate xmlns='${SASL2}' mechanism='${mechanism}'><initial-response>${initial}</initial-response><user-agent id='${agent}'/>` +
        `<fast xmlns='urn:xmpp:fast:0'/><bind xmlns='urn:xmpp:bind:0'><enable xmlns='urn:xmpp:sm:3'/></bind>` +
        `<config-version xmlns='urn:xmpp:iap:0' value='${version}'/></authenticate>` +
        `<iq type='get' id='p' to='${domain}'><ping xmlns='urn:xmpp:ping'/></iq><r xmlns='urn:xmpp:sm:3'/>`,
    );
    expect((await second.next())?.kind).toBe('header');
    expect((await next(second)).name).toBe('stream:features');
    const success = await next(second);
    expect(success.getChild('bound', 'urn:xmpp:bind:0')?.getChild('enabled', 'urn:xmpp:sm:3')).toBeDefined();
    const answer = createHmac('sha256', token).update('Responder').update(channel).digest('base64');
    expect(success.getChildText('additional-data')).toBe(answer);
    expect((await next(second)).name).toBe('stream:features');
    expect((await next(second)).attrs).toMatchObject({ type: 'result', id: 'p' });
    expect((await next(second)).attrs.h).toBe('1');
  });

  test('the version of what is offered is the same for all, and another with TLS', async () => {
    await start(['sha-256']);
    const versions: unknown[] = [];
    for (const tls of [false, false, true]) {
      const client = await connect();
      let features = await openStream(client, domain);
      if (tls) {
        await startTls(client, domain);
        features = await openStream(client, domain);
      }
      versions.push(features.getChild('config-version', 'urn:xmpp:iap:0')?.attrs.value);
    }
    expect(versions[1]).toBe(versions[0]);
    expect(versions[2]).not.toBe(versions[0]);
  });
});

describe('what is said to a session before its client knows of it', () => {
  const plugins = [fileURLToPath(new URL('../../kit/greeter.ts', import.meta.url))];

  test.each([
    ['with stream management, where it counts', "<enable xmlns='urn:xmpp:sm:3'/>"],
    ['without', ''],
  ])('comes behind <success/>: %s', async (_how, inside) => {
    await start(['sha-256'], { plugins });
    const client = await connect();
    await openStream(client, domain);
    client.write(authenticate(`<bind xmlns='urn:xmpp:bind:0'>${inside}</bind>`));
    expect((await next(client)).name).toBe('success');
    expect((await next(client)).name).toBe('stream:features');
    const greeting = await next(client);
    expect(greeting.getChildText('body')).toBe('Welcome');
    if (inside === '') return;
    // a client that has handled the greeting says so, and is right
    client.write("<a xmlns='urn:xmpp:sm:3' h='1'/>");
    await client.fence();
    expect(client.inbox.filter((item) => item.kind === 'element' && item.element.name === 'stream:error')).toEqual([]);
  });
});

describe('while the database does not answer', () => {
  test('a login fails for now, by password and by token; the stream goes on, and the client is not punished', async () => {
    const memory = await start(['sha-256']);
    await server!.stop();
    let isAway = false;
    const check = (): void => {
      if (isAway) throw new StorageUnavailable('away');
    };
    const driver: Driver = {
      purge: (...args) => memory.purge(...args),
      identify: (life) => memory.identify(life),
      fence: (life) => memory.fence(life),
      ping: () => memory.ping(),
      close: () => memory.close(),
      async open(host, module, specs) {
        const stores = await memory.open(host, module, specs);
        const { clients: rows } = stores as { clients?: MapStore<unknown> };
        if (rows === undefined) return stores;
        const faulty: MapStore<unknown> = {
          async get(...args) {
            check();
            return rows.get(...args);
          },
          async all(...args) {
            check();
            return rows.all(...args);
          },
          async set(...args) {
            check();
            return rows.set(...args);
          },
          async setAll(...args) {
            check();
            return rows.setAll(...args);
          },
          async update(...args) {
            check();
            return rows.update(...args);
          },
        };
        return { ...stores, clients: faulty };
      },
    };
    server = await TestServer.start({ hosts: { [domain]: {} } }, { driver });
    const first = await connect();
    await openStream(first, domain);
    await startTls(first, domain);
    await openStream(first, domain);
    const userAgent = `<user-agent id='${agent}'/>`;
    first.write(authenticate(`${userAgent}<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>`));
    const token = (await next(first)).getChild('token', 'urn:xmpp:fast:0')?.attrs.token as string;
    const proof = createHmac('sha256', token).update('Initiator').digest();
    const initial = Buffer.concat([Buffer.from('romeo\0'), proof]).toString('base64');
    const byToken = `<authenticate xmlns='${SASL2}' mechanism='HT-SHA-256-NONE'><initial-response>${initial}</initial-response>${userAgent}<fast xmlns='urn:xmpp:fast:0'/><bind xmlns='urn:xmpp:bind:0'/></authenticate>`;

    isAway = true;
    const second = await connect();
    await openStream(second, domain);
    await startTls(second, domain);
    await openStream(second, domain);
    for (const attempt of [authenticate(`${userAgent}<bind xmlns='urn:xmpp:bind:0'/>`), byToken]) {
      second.write(attempt);
      const answer = await next(second);
      expect(answer.name).toBe('failure');
      expect(answer.getChild('temporary-auth-failure')).toBeDefined();
    }
    isAway = false;
    second.write(byToken);
    expect((await next(second)).name).toBe('success');
    expect(server.errors).toEqual([]);
  });
});

describe('clients and their tokens', () => {
  const clientsIn = async (driver: Driver): Promise<MapStore<unknown>> =>
    ((await driver.open(domain, 'auth', accountStores)) as Opened<typeof accountStores>).clients as MapStore<unknown>;

  test('where tokens are switched off, none is offered and none is given', async () => {
    await start(['sha-256'], { clients: { 'token-lifetime': '0s' } });
    const client = await connect();
    await openStream(client, domain);
    await startTls(client, domain);
    const features = await openStream(client, domain);
    const inline = features.getChild('authentication', SASL2)?.getChild('inline');
    expect(inline?.getChild('bind', 'urn:xmpp:bind:0')).toBeDefined();
    expect(inline?.getChild('fast', 'urn:xmpp:fast:0')).toBeUndefined();
    const wish = "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>";
    client.write(authenticate(`<user-agent id='${agent}'/>${wish}`));
    const success = await next(client);
    expect(success.name).toBe('success');
    expect(success.getChild('token', 'urn:xmpp:fast:0')).toBeUndefined();
  });

  test('a client that does not come back leaves nothing behind', async () => {
    const clock = new FakeClock();
    const driver = createMemoryDriver(clock);
    await (await accountsIn(driver)).create('romeo', 'secret');
    server = await TestServer.start({ hosts: { [domain]: {} }, clients: { forget: '1d' } }, { driver, clock });
    const client = await connect();
    await openStream(client, domain);
    client.write(authenticate(`<user-agent id='${agent}'/>`));
    expect((await next(client)).name).toBe('success');
    const rows = await clientsIn(driver);
    expect((await rows.all('romeo')).size).toBe(1);
    await clock.advance(24 * 60 * 60_000);
    await clock.advance(7 * 60 * 60_000);
    expect((await rows.all('romeo')).size).toBe(0);
  });

  test('a client that is gone before it is told has no session', async () => {
    const driver = await start(['sha-256']);
    const hasty = await connect();
    await openStream(hasty, domain);
    hasty.write(authenticate(`<user-agent id='${agent}'/><bind xmlns='urn:xmpp:bind:0'/>`));
    await hasty.reset();

    const client = await connect();
    await openStream(client, domain);
    client.write(authenticate("<bind xmlns='urn:xmpp:bind:0'/>"));
    await next(client);
    await next(client);
    const rows = await clientsIn(driver);
    for (let i = 0; i < 100; i++) {
      client.write("<iq type='get' id='l'><list xmlns='urn:xmpp:cam:0'/></iq>");
      const list = (await next(client)).getChild('clients', 'urn:xmpp:cam:0');
      const connected = list?.getChildren('client').filter(({ attrs }) => attrs.connected === 'true') ?? [];
      // either it never came so far, or its session has ended
      if (connected.length === 1) return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error(`its session is there still; rows: ${(await rows.all('romeo')).size}`);
  });
});
