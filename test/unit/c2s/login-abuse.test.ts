// Logins as nobody should send them, and what the server says, writes down and lets itself be told about them.
import { createHash, createHmac } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { Element } from 'ltx';
import { afterEach, describe, expect, test } from 'vitest';
import type { ConfigInput } from '../../../src/config/server.ts';
import { createMemoryDriver } from '../../../src/storage/memory.ts';
import type { Driver } from '../../../src/storage/ports.ts';
import { StreamClient } from '../../kit/client.ts';
import { openStream, ScramClient } from '../../kit/login.ts';
import { TestServer } from '../../kit/test-server.ts';

const domain = 'verona.test';
const SASL2 = 'urn:xmpp:sasl:2';
const FAST = 'urn:xmpp:fast:0';
const agent = 'd4565fa7-4d72-4749-b3d3-740edbf87770';
const userAgent = `<user-agent id='${agent}'/>`;
const BIND2 = "<bind xmlns='urn:xmpp:bind:0'/>";
const header = `<stream:stream to='${domain}' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>`;

let server: TestServer | undefined;
let clients: StreamClient[] = [];
afterEach(async () => {
  await Promise.all(clients.map((client) => client.destroy()));
  clients = [];
  await server?.stop();
  server = undefined;
});

async function start(settings: ConfigInput = {}, driver: Driver = createMemoryDriver()): Promise<void> {
  server = await TestServer.start({ hosts: { [domain]: {} }, ...settings }, { driver });
}

async function connect(): Promise<StreamClient> {
  const client = await StreamClient.connect(server!.c2s);
  clients.push(client);
  return client;
}

/** Up to TLS; the next thing is a stream header inside it. */
async function secure(): Promise<{ readonly client: StreamClient; readonly socket: TLSSocket }> {
  const client = await connect();
  await openStream(client, domain);
  client.write("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
  expect((await next(client)).name).toBe('proceed');
  return { client, socket: await client.startTls(domain) };
}

async function next(client: StreamClient): Promise<Element> {
  const item = await client.next();
  if (item?.kind !== 'element') throw new Error(`no element came, but ${item?.kind ?? 'nothing'}`);
  return item.element;
}

const base64 = (text: string | Buffer): string => Buffer.from(text as string).toString('base64');
const byPassword = (inner: string): string =>
  `<authenticate xmlns='${SASL2}' mechanism='PLAIN'><initial-response>${base64('\0romeo\0secret')}</initial-response>${inner}</authenticate>`;
const byToken = (mechanism: string, token: string, channel: Buffer, inner = BIND2): string => {
  const proof = createHmac('sha256', token).update('Initiator').update(channel).digest();
  const initial = base64(Buffer.concat([Buffer.from('romeo\0'), proof]));
  return `<authenticate xmlns='${SASL2}' mechanism='${mechanism}'><initial-response>${initial}</initial-response>${userAgent}<fast xmlns='${FAST}'/>${inner}</authenticate>`;
};
const exporterOf = (socket: TLSSocket): Buffer =>
  socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0));

async function tokenFor(mechanism: string): Promise<string> {
  const { client } = await secure();
  await openStream(client, domain);
  client.write(byPassword(`${userAgent}<request-token xmlns='${FAST}' mechanism='${mechanism}'/>`));
  return (await next(client)).getChild('token', FAST)?.attrs.token as string;
}

describe('a token that is bound to the channel', () => {
  test('is proved on one connection, and that proof is worth nothing on another', async () => {
    await start();
    await server!.server.accounts.create(`romeo@${domain}`, 'secret');
    const token = await tokenFor('HT-SHA-256-EXPR');
    const first = await secure();
    await openStream(first.client, domain);
    const overheard = byToken('HT-SHA-256-EXPR', token, exporterOf(first.socket));
    const second = await secure();
    await openStream(second.client, domain);
    second.client.write(overheard);
    expect((await next(second.client)).getChild('not-authorized')).toBeDefined();
    first.client.write(overheard);
    expect((await next(first.client)).name).toBe('success');
  });

  test('is not good without the channel, nor bound to another thing', async () => {
    await start();
    await server!.server.accounts.create(`romeo@${domain}`, 'secret');
    const token = await tokenFor('HT-SHA-256-EXPR');
    const { client, socket } = await secure();
    await openStream(client, domain);
    const endPoint = createHash('sha256').update(socket.getPeerCertificate().raw).digest();
    for (const [mechanism, channel] of [
      ['HT-SHA-256-NONE', Buffer.alloc(0)],
      ['HT-SHA-256-ENDP', endPoint],
      ['HT-SHA-256-EXPR', Buffer.alloc(0)],
      ['HT-SHA-256-EXPR', endPoint],
    ] as const) {
      client.write(byToken(mechanism, token, channel));
      expect((await next(client)).getChild('not-authorized')).toBeDefined();
    }
  });
});

describe('one login in many pieces, and many things in one', () => {
  test('one byte in each packet', async () => {
    await start();
    await server!.server.accounts.create(`romeo@${domain}`, 'secret');
    const client = await connect();
    const text = `${header}${byPassword(`${userAgent}${BIND2}`)}<iq type='get' id='p' to='${domain}'><ping xmlns='urn:xmpp:ping'/></iq>`;
    for (const byte of Buffer.from(text)) client.write(Buffer.from([byte]));
    expect((await client.next())?.kind).toBe('header');
    expect((await next(client)).name).toBe('stream:features');
    expect((await next(client)).name).toBe('success');
    expect((await next(client)).name).toBe('stream:features');
    expect((await next(client)).attrs.id).toBe('p');
  });

  test('all in one packet, with a stanza behind it that is larger than anything before login may be', async () => {
    await start();
    await server!.server.accounts.create(`romeo@${domain}`, 'secret');
    const client = await connect();
    const large = 'x'.repeat(100_000);
    client.write(
      `${header}${byPassword(`${userAgent}${BIND2}`)}<message to='romeo@${domain}' type='chat'><body>${large}</body></message><presence/><iq type='get' id='p' to='${domain}'><ping xmlns='urn:xmpp:ping'/></iq>`,
    );
    expect((await client.next())?.kind).toBe('header');
    expect((await next(client)).name).toBe('stream:features');
    expect((await next(client)).name).toBe('success');
    expect((await next(client)).name).toBe('stream:features');
    await client.fence();
    const seen = client.inbox.map((item) => (item.kind === 'element' ? item.element.name : item.kind));
    expect(seen).toContain('message');
    expect(seen).toContain('iq');
    expect(seen).not.toContain('stream:error');
  });

  test.each([
    ['a huge element inside', `<huge xmlns='urn:example'>${'x'.repeat(20_000)}</huge>`],
    ['thousands of elements inside', '<enable/>'.repeat(3000)],
    ['a huge tag', `<bind xmlns='urn:xmpp:bind:0'><tag>${'x'.repeat(20_000)}</tag></bind>`],
  ])('%s ends the stream, and lets nobody in', async (_what, inner) => {
    await start();
    await server!.server.accounts.create(`romeo@${domain}`, 'secret');
    const client = await connect();
    await openStream(client, domain);
    client.write(byPassword(inner));
    const answer = await next(client);
    expect(answer.name).toBe('stream:error');
    expect(answer.getChild('policy-violation')).toBeDefined();
    expect(await client.closed()).toBe(true);
  });
});

describe('downgrades', () => {
  test('who saw fewer mechanisms than were offered finds another hash (XEP-0474 5.2), and may not change it', async () => {
    await start();
    await server!.server.accounts.create(`romeo@${domain}`, 'secret');
    const { client } = await secure();
    const features = await openStream(client, domain);
    const names =
      features
        .getChild('authentication', SASL2)
        ?.getChildren('mechanism')
        .map((one) => one.getText()) ?? [];
    const bindings = ['tls-exporter', 'tls-server-end-point'];
    const hash = (list: readonly string[]): string =>
      createHash('sha256')
        .update(`${[...list].sort().join('\x1e')}\x1f${bindings.join('\x1e')}`)
        .digest('base64');
    const scram = new ScramClient('SCRAM-SHA-256', 'romeo', 'secret');
    client.write(
      `<authenticate xmlns='${SASL2}' mechanism='SCRAM-SHA-256'><initial-response>${base64(scram.first())}</initial-response></authenticate>`,
    );
    const challenge = Buffer.from((await next(client)).getText(), 'base64').toString();
    const stripped = names.filter((name) => !name.endsWith('-PLUS'));
    expect(stripped.length).toBeLessThan(names.length);
    expect(challenge).toContain(`,h=${hash(names)},`);
    expect(hash(stripped)).not.toBe(hash(names));
    // whoever changes the hash on its way to the client changes what the client proves
    const forged = challenge.replace(hash(names), hash(stripped));
    client.write(`<response xmlns='${SASL2}'>${base64(scram.final(forged))}</response>`);
    expect((await next(client)).getChild('not-authorized')).toBeDefined();
  });

  test('where no mechanism binds to the channel, no type of binding is announced (XEP-0440 3)', async () => {
    await start({ hosts: { [domain]: { authentication: 'anonymous' } } });
    const { client } = await secure();
    const features = await openStream(client, domain);
    expect(features.getChild('authentication', SASL2)?.getChildren('mechanism').map(String)).toEqual([
      '<mechanism>ANONYMOUS</mechanism>',
    ]);
    expect(features.getChild('sasl-channel-binding', 'urn:xmpp:sasl-cb:0')).toBeUndefined();
  });
});

describe('what is written down', () => {
  test('no token and no password stands in the log or in the rows of clients, and names are cut to what a name can be', async () => {
    const driver = createMemoryDriver();
    const written: unknown[] = [];
    await start(
      {},
      {
        purge: (...args) => driver.purge(...args),
        identify: (life) => driver.identify(life),
        fence: (life) => driver.fence(life),
        ping: () => driver.ping(),
        close: () => driver.close(),
        async open(host, module, specs) {
          const stores = (await driver.open(host, module, specs)) as Record<string, { update?: unknown }>;
          for (const store of Object.values(stores)) {
            const { update } = store as { update?: (...args: unknown[]) => Promise<unknown> };
            if (update === undefined) continue;
            store.update = async (...args: unknown[]) => {
              const value = await update.apply(store, args);
              written.push(value);
              return value;
            };
          }
          return stores;
        },
      },
    );
    await server!.server.accounts.create(`romeo@${domain}`, 'secret');
    const token = await tokenFor('HT-SHA-256-NONE');
    const { client } = await secure();
    await openStream(client, domain);
    client.write(byToken('HT-SHA-256-NONE', 'wrong', Buffer.alloc(0)));
    expect((await next(client)).name).toBe('failure');
    client.write(byToken('HT-SHA-256-NONE', token, Buffer.alloc(0), BIND2));
    expect((await next(client)).name).toBe('success');
    const other = await connect();
    await openStream(other, domain);
    const long = base64(`\0${'x'.repeat(4000)}\0secret`);
    other.write(
      `<authenticate xmlns='${SASL2}' mechanism='PLAIN'><initial-response>${long}</initial-response></authenticate>`,
    );
    expect((await next(other)).name).toBe('failure');

    const log = JSON.stringify(server!.log);
    expect(log).toContain('"login"');
    const rows = JSON.stringify(written);
    expect(rows).toContain('HT-SHA-256-NONE');
    for (const secret of [token, 'secret', base64('\0romeo\0secret'), agent]) {
      expect(log.includes(`"${secret}"`), 'in the log').toBe(false);
      expect(rows.includes(secret), 'in a row').toBe(false);
    }
    const failed = server!.log.filter(({ message }) => message === 'login failed');
    expect(failed.map(({ fields }) => String(fields.user).length)).toEqual([5, 1023]);
  });
});
