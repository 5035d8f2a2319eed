// What another server may do to the streams between it and us: out of turn, at their end, and in between.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Clock } from '../../src/base/clock.ts';
import { silent } from '../../src/base/log.ts';
import { type StoredSession, sessionStores } from '../../src/c2s/sm-store.ts';
import { parseConfig } from '../../src/config/load.ts';
import type { Config, ConfigInput } from '../../src/config/server.ts';
import { loadModules } from '../../src/index.ts';
import { Server } from '../../src/server.ts';
import { createMemoryDriver } from '../../src/storage/memory.ts';
import type { Driver, KvStore } from '../../src/storage/ports.ts';
import { TestAuthority } from '../kit/certificates.ts';
import { StreamClient } from '../kit/client.ts';
import { FakeClock } from '../kit/clock.ts';
import { federating, TestNames } from '../kit/federation.ts';
import { logIn } from '../kit/login.ts';
import { authenticateAs, connectAs, open, ScriptedServer, told } from '../kit/server-peer.ts';
import { mergeSettings } from '../kit/test-server.ts';

const authority = new TestAuthority('Everybody trusts me');
const folder = mkdtempSync(join(tmpdir(), 'parley s2s '));
const ca = join(folder, 'ca.pem');
writeFileSync(ca, authority.certificate);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const mantua = authority.issue({ names: ['mantua.test'] });
const external = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>";
const managed = `${external}<sm xmlns='urn:xmpp:sm:3'/>`;
const bidi = "<bidi xmlns='urn:xmpp:bidi'/>";

let names: TestNames;
let verona: Server;
const others: AsyncDisposable[] = [];

function configOf(more: ConfigInput = {}): Config {
  const ours: ConfigInput = {
    database: 'memory',
    tls: { required: false, ca },
    limits: { enabled: false, 'idle-timeout': '100d' },
    listen: { address: ['127.0.0.1'], c2s: 0 },
  };
  return parseConfig(mergeSettings(federating('verona.test', ours), more));
}

async function start(
  more: ConfigInput = {},
  parts: { readonly clock?: Clock; readonly driver?: Driver } = {},
): Promise<void> {
  const config = configOf(more);
  const modules = await loadModules(config);
  verona = await Server.start(config, {
    modules,
    nameServer: names,
    iterations: 1,
    log: silent,
    ...parts,
  });
}
beforeEach(() => {
  names = new TestNames();
});
afterEach(async () => {
  for (const one of others.splice(0)) await one[Symbol.asyncDispose]();
  await verona.stop();
});

async function enterAs(user: string, domain: string) {
  await verona.hosts.get(domain)!.accounts.create(user, 'secret');
  return logIn(verona.address('c2s')!, { domain, user, password: 'secret', resource: 'here' });
}

const enterAsRomeo = () => enterAs('romeo', 'verona.test');

const s2s = () => verona.address('s2s')!;

type Socket = { write(text: string): void; end(): void };

/** A server for mantua.test that takes everybody who shows a certificate; `more` is what it does besides. */
async function reachable(
  features: string,
  more: (socket: Socket, said: string) => void = () => {},
  begun: (socket: Socket) => void = () => {},
) {
  const server = await ScriptedServer.start('mantua.test', mantua, features, (socket, said) => {
    if (said.includes('<auth')) socket.write("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    if (said.includes('<enable')) begun(socket);
    if (said.includes('<enable')) socket.write("<enabled xmlns='urn:xmpp:sm:3'/>");
    more(socket, said);
  });
  others.push(server);
  names.set('mantua.test', { port: server.port });
  return server;
}

const arrive = (before = ''): Promise<StreamClient> =>
  authenticateAs(s2s(), 'mantua.test', 'verona.test', mantua, before);

const ids = ({ heard }: { readonly heard: string }): string[] =>
  [...heard.matchAll(/ id='(m\d)'/g)].map(([, id]) => id!);

describe('out of turn', () => {
  test('features that come once more end the stream, and nothing is lost by that', async () => {
    await start();
    let isFirst = true;
    const server = await reachable(external, (socket, said) => {
      if (said.includes('<message') && isFirst) socket.write('<stream:features/>');
      if (said.includes('<message')) isFirst = false;
    });
    const romeo = await enterAsRomeo();
    romeo.client.write("<message id='m1' to='juliet@mantua.test'><body>x</body></message>");
    await expect.poll(() => server.heard).toContain('bad-format');
    romeo.client.write("<message id='m2' to='juliet@mantua.test'><body>x</body></message>");
    await expect.poll(() => ids(server)).toEqual(['m1', 'm2']);
    await romeo.client.destroy();
  });

  test('before TLS no key is judged; before a name is proved no stanza is looked at', async () => {
    await start();
    const plain = await StreamClient.connect(s2s());
    await open(plain, 'mantua.test', 'verona.test');
    plain.write("<db:verify id='s' from='mantua.test' to='verona.test'>guess</db:verify>");
    expect(told(await plain.next())).toMatch(/db:verify.*type="error".*policy-violation/);
    await plain.destroy();
    for (const xml of ["<message from='a@mantua.test' to='b@verona.test'/>", "<message from='no address@x' to='@'/>"]) {
      const { client } = await connectAs(s2s(), 'mantua.test', 'verona.test', mantua);
      client.write(xml);
      expect(told(await client.next())).toContain('not-authorized');
      expect(await client.closed()).toBe(true);
    }
  });

  test('behind SASL the stream goes on between the same two domains, and what comes too late is not offered', async () => {
    await start({ hosts: { 'capulet.test': {} } });
    const { client } = await connectAs(s2s(), 'mantua.test', 'verona.test', mantua);
    client.write("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
    expect(told(await client.next())).toContain('success');
    const { features } = await open(client, undefined, 'verona.test');
    expect(features.toString()).not.toContain('bidi');
    await client.destroy();

    for (const [from, to] of [
      ['mantua.test', 'capulet.test'],
      ['padua.test', 'verona.test'],
    ] as const) {
      const other = await connectAs(s2s(), 'mantua.test', 'verona.test', mantua);
      other.client.write("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
      expect(told(await other.client.next())).toContain('success');
      other.client.openServer(from, to);
      expect((await other.client.next())?.kind).toBe('header');
      expect(told(await other.client.next())).toContain('not-authorized');
      await other.client.destroy();
    }
  });
});

test('a key is not asked about over the stream that it came over (XEP-0288 2.2): whoever was reached has been proved', async () => {
  await start();
  const stranger = new TestAuthority('Nobody trusts me').issue({ names: ['mantua.test'] });
  const features = `${external}<bidi xmlns='urn:xmpp:features:bidi'/>`;
  const server = await ScriptedServer.start('mantua.test', stranger, features, (socket, said) => {
    if (said.includes('<auth')) socket.write("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    if (said.includes('<message')) socket.write("<db:result from='mantua.test' to='verona.test'>key</db:result>");
  });
  others.push(server);
  names.set('mantua.test', { port: server.port });
  const romeo = await enterAsRomeo();
  romeo.client.write("<message id='m1' to='juliet@mantua.test'><body>x</body></message>");
  await expect.poll(() => server.heard).toMatch(/<db:result [^>]*type='valid'/);
  expect(server.heard).not.toContain('<db:verify');
  expect(server.connections).toBe(1);
  await romeo.client.destroy();
});

describe('counting', () => {
  test('what comes back before the peer counts too is not counted (XEP-0198 4)', async () => {
    await start();
    const back = (id: string): string =>
      `<message id='${id}' type='chat' from='juliet@mantua.test' to='romeo@verona.test'><body>${id}</body></message>`;
    const server = await reachable(
      `${managed}<bidi xmlns='urn:xmpp:features:bidi'/>`,
      (socket, said) => {
        if (said.includes('<enable')) socket.write(`${back('b2')}<r xmlns='urn:xmpp:sm:3'/>`);
      },
      (socket) => socket.write(back('b1')),
    );
    const romeo = await enterAsRomeo();
    romeo.client.write('<presence/>');
    await romeo.client.next();
    romeo.client.write("<message id='m1' to='juliet@mantua.test'><body>x</body></message>");
    expect(told(await romeo.client.next())).toContain('b1');
    expect(told(await romeo.client.next())).toContain('b2');
    await expect.poll(() => server.heard).toMatch(/<a [^>]*h='1'/);
    await romeo.client.destroy();
  });
});

describe('at the end of a stream', () => {
  test('what waits for an acknowledgement goes before what comes after it', async () => {
    await start();
    const server = await reachable(managed, (socket, said) => {
      if (said.includes('</stream:stream>')) setTimeout(() => socket.end(), 300);
    });
    const romeo = await enterAsRomeo();
    romeo.client.write("<message id='m1' to='juliet@mantua.test'><body>x</body></message>");
    await expect.poll(() => ids(server)).toEqual(['m1']);
    verona.federation.closeDomain('mantua.test');
    romeo.client.write("<message id='m2' to='juliet@mantua.test'><body>x</body></message>");
    await expect.poll(() => ids(server)).toEqual(['m1', 'm1', 'm2']);
    await romeo.client.destroy();
  });

  test('so it does where it went back over a connection of theirs', async () => {
    await start();
    const peer = await arrive(bidi);
    peer.write("<enable xmlns='urn:xmpp:sm:3'/>");
    expect(told(await peer.next())).toContain('enabled');
    const server = await reachable(managed);
    const romeo = await enterAsRomeo();
    romeo.client.write("<message id='m1' to='juliet@mantua.test'><body>x</body></message>");
    expect(told(await peer.next())).toContain('id="m1"');
    peer.write('</stream:stream>');
    peer.pause();
    await expect.poll(() => verona.federation.streams().some(({ state }) => state === 'closing')).toBe(true);
    romeo.client.write("<message id='m2' to='juliet@mantua.test'><body>x</body></message>");
    await new Promise((resolve) => setTimeout(resolve, 300));
    await peer.destroy();
    await expect.poll(() => ids(server)).toEqual(['m1', 'm2']);
    await romeo.client.destroy();
  });

  test('what a peer has not acknowledged when this server stops comes back to its sender, who finds it in the next process', async () => {
    const driver = createMemoryDriver();
    await start({}, { driver });
    const server = await reachable(managed);
    const romeo = await enterAsRomeo();
    romeo.client.write("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    expect(told(await romeo.client.next())).toContain('enabled');
    romeo.client.write("<message id='m1' to='juliet@mantua.test'><body>x</body></message>");
    await expect.poll(() => ids(server)).toEqual(['m1']);
    await verona.stop();
    const { suspended } = await driver.open('verona.test', 'stream-management', sessionStores);
    const [stored] = (await (suspended as KvStore<readonly StoredSession[]>).get('romeo')) ?? [];
    expect(stored?.stream.waiting.map(({ xml }) => xml).join('')).toMatch(/id='m1'.*remote-server-timeout/);
    await driver.close();
    await romeo.client.destroy();
  }, 20_000);

  test('what the peer sent just before it hears of it is taken', async () => {
    await start();
    const romeo = await enterAsRomeo();
    const peer = await arrive();
    verona.federation.closeDomain('mantua.test');
    expect((await peer.next())?.kind).toBe('end');
    peer.write(`<message from='juliet@mantua.test' to='${romeo.jid}'><body>just in time</body></message>`);
    peer.write(`<message from='mallory@evil.test' to='${romeo.jid}'><body>forged</body></message></stream:stream>`);
    expect(told(await romeo.client.next())).toContain('just in time');
    expect(await peer.closed()).toBe(true);
    await romeo.client.fence();
    expect(romeo.client.inbox).toEqual([]);
    await romeo.client.destroy();
  });
});

test('whoever cannot prove a name by certificate may try some times, not for ever', async () => {
  await start();
  const { client } = await connectAs(s2s(), 'mantua.test', 'verona.test');
  for (let i = 0; i < 10; i++)
    client.write("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
  for (let i = 0; i < 5; i++) expect(told(await client.next())).toContain('not-authorized');
  expect(told(await client.next())).toContain('policy-violation');
  expect(await client.closed()).toBe(true);
});

describe('policy', () => {
  test('that asks for certificates from now on ends streams where there was none, both ways', async () => {
    const listen = { c2s: 0, s2s: 0 };
    await start({ listen });
    const stranger = new TestAuthority('Nobody trusts me').issue({ names: ['mantua.test'] });
    const server = await ScriptedServer.start('mantua.test', stranger, external, (socket, said) => {
      if (said.includes('<auth')) socket.write("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    });
    others.push(server);
    names.set('mantua.test', { port: server.port });
    const good = authority.issue({ names: ['padua.test'] });
    const padua = await authenticateAs(s2s(), 'padua.test', 'verona.test', good);
    const romeo = await enterAsRomeo();
    romeo.client.write("<message id='m1' to='juliet@mantua.test'><body>x</body></message>");
    await expect.poll(() => ids(server)).toEqual(['m1']);
    await verona.reload(configOf({ listen, s2s: { 'require-valid-certificates': true } }));
    await expect.poll(() => server.heard).toContain('</stream:stream>');
    romeo.client.write("<message id='m2' to='juliet@mantua.test'><body>x</body></message>");
    expect(told(await romeo.client.next())).toMatch(/id="m2".*remote-server-not-found/);
    expect(ids(server)).toEqual(['m1']);
    expect(padua.isClosed).toBe(false);
    // and a domain is not left alone for what the settings before had against it
    await verona.reload(configOf({ listen }));
    romeo.client.write("<message id='m3' to='juliet@mantua.test'><body>x</body></message>");
    await expect.poll(() => ids(server)).toEqual(['m1', 'm3']);
    await Promise.all([romeo.client.destroy(), padua.destroy()]);
  });

  test('of one host is no reason to leave a domain alone for another', async () => {
    await start({ hosts: { 'capulet.test': { s2s: { 'require-valid-certificates': true } } } });
    const stranger = new TestAuthority('Nobody trusts me').issue({ names: ['mantua.test'] });
    const server = await ScriptedServer.start('mantua.test', stranger, external, (socket, said) => {
      if (said.includes('<auth')) socket.write("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    });
    others.push(server);
    names.set('mantua.test', { port: server.port });
    const romeo = await enterAsRomeo();
    const tybalt = await enterAs('tybalt', 'capulet.test');
    tybalt.client.write("<message id='m1' to='juliet@mantua.test'><body>x</body></message>");
    expect(told(await tybalt.client.next())).toMatch(/id="m1".*remote-server-not-found/);
    romeo.client.write("<message id='m2' to='juliet@mantua.test'><body>x</body></message>");
    await expect.poll(() => ids(server)).toEqual(['m2']);
    await Promise.all([romeo.client.destroy(), tybalt.client.destroy()]);
  });
});

test('a domain that could not be reached is called back all the same when somebody comes in its name', async () => {
  const clock = new FakeClock();
  await start({ s2s: { bidi: false } }, { clock });
  const romeo = await enterAsRomeo();
  names.set('mantua.test', { port: 1 });
  for (const id of ['m1', 'm2', 'm3']) {
    romeo.client.write(`<message id='${id}' to='juliet@mantua.test'><body>x</body></message>`);
    expect(told(await romeo.client.next())).toContain('remote-server-timeout');
    await clock.advance(id === 'm3' ? 3_000 : 30_000);
  }
  const server = await reachable("<dialback xmlns='urn:xmpp:features:dialback'/>", (socket, said) => {
    const id = / id='([^']+)'/.exec(/<db:verify[^>]*/.exec(said)?.[0] ?? '')?.[1];
    if (id !== undefined) socket.write(`<db:verify type='valid' id='${id}' from='mantua.test' to='verona.test'/>`);
    if (said.includes('<db:result')) socket.write("<db:result type='valid' from='mantua.test' to='verona.test'/>");
  });
  romeo.client.write("<message id='m4' to='juliet@mantua.test'><body>x</body></message>");
  expect(told(await romeo.client.next())).toContain('remote-server-timeout');
  const { client } = await connectAs(s2s(), 'mantua.test', 'verona.test');
  client.write("<db:result from='mantua.test' to='verona.test'>key</db:result>");
  expect(told(await client.next())).toMatch(/db:result.*type="valid"/);
  // it is there: nobody leaves it alone any more
  romeo.client.write("<message id='m5' to='juliet@mantua.test'><body>x</body></message>");
  await expect.poll(() => ids(server)).toEqual(['m5']);
  await Promise.all([romeo.client.destroy(), client.destroy()]);
});

describe('too many', () => {
  test('streams of one domain: the one that was silent for longest makes room', async () => {
    await start();
    const streams: StreamClient[] = [];
    for (let i = 0; i < 36; i++) streams.push(await arrive());
    const ended = (): boolean[] => streams.map(({ inbox }) => inbox.some(({ kind }) => kind === 'end'));
    await expect.poll(() => ended().filter(Boolean).length).toBe(4);
    expect(ended().slice(0, 4)).toEqual([true, true, true, true]);
    await Promise.all(streams.map((one) => one.destroy()));
  });

  test('domains to be called back are bounded, over all streams', async () => {
    await start();
    const mute = await ScriptedServer.start('mute.test', mantua, undefined);
    others.push(mute);
    const peers = await Promise.all(Array.from({ length: 9 }, () => connectAs(s2s(), undefined, 'verona.test')));
    for (const [n, { client }] of peers.entries()) {
      for (let i = 0; i < 32; i++) {
        names.set(`${n}-${i}.test`, { port: mute.port });
        client.write(`<db:result from='${n}-${i}.test' to='verona.test'>key</db:result>`);
      }
    }
    const answers = (): string[] => peers.flatMap(({ client }) => client.inbox.map(told));
    await expect.poll(() => answers().length).toBe(32);
    expect(answers().every((answer) => answer.includes('resource-constraint'))).toBe(true);
    expect(verona.federation.streams().filter(({ direction }) => direction === 'out')).toHaveLength(256);
    await Promise.all(peers.map(({ client }) => client.destroy()));
  });
});
