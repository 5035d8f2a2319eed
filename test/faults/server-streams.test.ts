// What another server may do to the streams between it and us: out of turn, at their end, and in between.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { silent } from '../../src/base/log.ts';
import { parseConfig } from '../../src/config/load.ts';
import type { Config, ConfigInput } from '../../src/config/server.ts';
import { loadModules } from '../../src/index.ts';
import { Server } from '../../src/server.ts';
import { TestAuthority } from '../kit/certificates.ts';
import { StreamClient } from '../kit/client.ts';
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

async function start(more: ConfigInput = {}): Promise<void> {
  const config = configOf(more);
  const modules = await loadModules(config);
  verona = await Server.start(config, { modules, nameServer: names, iterations: 1, log: silent });
}
beforeEach(() => {
  names = new TestNames();
});
afterEach(async () => {
  for (const one of others.splice(0)) await one[Symbol.asyncDispose]();
  await verona.stop();
});

async function enterAsRomeo() {
  await verona.hosts.get('verona.test')!.accounts.create('romeo', 'secret');
  const where = verona.address('c2s')!;
  return logIn(where, { domain: 'verona.test', user: 'romeo', password: 'secret', resource: 'here' });
}

const s2s = () => verona.address('s2s')!;

type Socket = { write(text: string): void; end(): void };

/** A server for mantua.test that takes everybody who shows a certificate; `more` is what it does besides. */
async function reachable(features: string, more: (socket: Socket, said: string) => void = () => {}) {
  const server = await ScriptedServer.start('mantua.test', mantua, features, (socket, said) => {
    if (said.includes('<auth')) socket.write("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
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
