// What other servers may try, and what may go wrong with them.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ConfigInput } from '../../src/config/server.ts';
import { dialbackKey } from '../../src/s2s/dialback.ts';
import { TestAuthority } from '../kit/certificates.ts';
import { StreamClient } from '../kit/client.ts';
import { enter, TestFederation } from '../kit/federation.ts';
import { authenticateAs, connectAs, open, ScriptedServer, told } from '../kit/server-peer.ts';
import { mergeSettings, type TestServer } from '../kit/test-server.ts';

const authority = new TestAuthority('Everybody trusts me');
const folder = mkdtempSync(join(tmpdir(), 'parley s2s '));
const ca = join(folder, 'ca.pem');
writeFileSync(ca, authority.certificate);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const evil = authority.issue({ names: ['evil.test'] });

let world: TestFederation;
let verona: TestServer;
const open_: AsyncDisposable[] = [];

async function start(more: ConfigInput = {}): Promise<void> {
  verona = await world.add('verona.test', mergeSettings({ tls: { ca } }, more));
}
beforeEach(() => {
  world = new TestFederation();
});
afterEach(async () => {
  for (const one of open_.splice(0)) await one[Symbol.asyncDispose]();
  await world.stop();
});

async function scripted(...args: Parameters<typeof ScriptedServer.start>): Promise<ScriptedServer> {
  const server = await ScriptedServer.start(...args);
  open_.push(server);
  world.names.set(args[0], { port: server.port });
  return server;
}

const message = (from: string, to = 'romeo@verona.test', body = 'hello'): string =>
  `<message from='${from}' to='${to}'><body>${body}</body></message>`;

describe('names that were not proved', () => {
  beforeEach(() => start());

  test('a forged "from" ends the stream, and the stanza goes nowhere', async () => {
    const romeo = await enter(verona, 'romeo@verona.test');
    const client = await authenticateAs(verona.addressOf('s2s'), 'evil.test', 'verona.test', evil);
    client.write(message('mallory@evil.test', romeo.jid, 'mine'));
    client.write(message('juliet@mantua.test', romeo.jid, 'forged'));
    expect(told(await client.next())).toContain('invalid-from');
    expect(await client.closed()).toBe(true);
    expect(told(await romeo.client.next())).toContain('mine');
    await romeo.client.fence();
    expect(romeo.client.inbox).toEqual([]);
    await romeo.client.destroy();
  });

  test('nothing is taken before a name is proved, and nothing at all without TLS', async () => {
    const { client } = await connectAs(verona.addressOf('s2s'), 'evil.test', 'verona.test', evil);
    client.write(message('mallory@evil.test'));
    expect(told(await client.next())).toContain('not-authorized');
    expect(await client.closed()).toBe(true);

    for (const said of [
      message('mallory@evil.test'),
      "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>",
    ]) {
      const plain = await StreamClient.connect(verona.addressOf('s2s'));
      await open(plain, 'evil.test', 'verona.test');
      plain.write(said);
      expect(told(await plain.next())).toContain('not-authorized');
      expect(await plain.closed()).toBe(true);
    }
    const plain = await StreamClient.connect(verona.addressOf('s2s'));
    await open(plain, 'evil.test', 'verona.test');
    plain.write("<db:result from='evil.test' to='verona.test'>key</db:result>");
    expect(told(await plain.next())).toContain('policy-violation');
    await plain.destroy();
  });

  test('a certificate for another name is not even asked for', async () => {
    const { client, features } = await connectAs(verona.addressOf('s2s'), 'mantua.test', 'verona.test', evil);
    expect(features.toString()).not.toContain('EXTERNAL');
    client.write(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>`);
    expect(told(await client.next())).toContain('not-authorized');
    // an identity that is not the one of the header is no way around
    const name = Buffer.from('evil.test').toString('base64');
    client.write(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>${name}</auth>`);
    expect(told(await client.next())).toContain('invalid-authzid');
    await client.destroy();
  });

  test('nobody else is the domain that is served here', async () => {
    const self = authority.issue({ names: ['verona.test'] });
    const client = await StreamClient.connect(verona.addressOf('s2s'));
    client.openServer('verona.test', 'verona.test');
    expect((await client.next())?.kind).toBe('header');
    expect(told(await client.next())).toContain('invalid-from');
    await client.destroy();
    const other = await connectAs(verona.addressOf('s2s'), undefined, 'verona.test', self);
    const name = Buffer.from('verona.test').toString('base64');
    other.client.write(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>${name}</auth>`);
    expect(told(await other.client.next())).toContain('not-authorized');
    other.client.write("<db:result from='verona.test' to='verona.test'>key</db:result>");
    expect(told(await other.client.next())).toContain('not-acceptable');
    await other.client.destroy();
  });
});

describe('dialback', () => {
  beforeEach(() => start());

  test('with a wrong key fails, and the stream ends', async () => {
    const mantua = await world.add('mantua.test');
    const { client } = await connectAs(verona.addressOf('s2s'), 'mantua.test', 'verona.test');
    client.write("<db:result from='mantua.test' to='verona.test'>0123456789abcdef</db:result>");
    expect(told(await client.next())).toMatch(/db:result.*type="invalid"/);
    expect((await client.next())?.kind).toBe('end');
    await client.destroy();
    expect(mantua.errors).toEqual([]);
  });

  test('with a key that was made for another stream or another domain fails', async () => {
    await world.add('mantua.test');
    const guess = dialbackKey('guess', 'verona.test', 'mantua.test', 'id');
    const { client } = await connectAs(verona.addressOf('s2s'), 'mantua.test', 'verona.test');
    client.write(`<db:result from='mantua.test' to='verona.test'>${guess}</db:result>`);
    expect(told(await client.next())).toMatch(/type="invalid"/);
    await client.destroy();
  });

  test('answers that nobody asked for end the stream, and prove nothing', async () => {
    for (const said of [
      "<db:verify type='valid' id='x' from='mantua.test' to='verona.test'/>",
      "<db:result type='valid' from='mantua.test' to='verona.test'/>",
    ]) {
      const { client } = await connectAs(verona.addressOf('s2s'), 'mantua.test', 'verona.test');
      client.write(said + message('juliet@mantua.test'));
      expect(told(await client.next())).toContain('policy-violation');
      expect(await client.closed()).toBe(true);
    }
  });

  test('from a domain that is nowhere is an error, and the stream goes on', async () => {
    const { client } = await connectAs(verona.addressOf('s2s'), 'evil.test', 'verona.test', evil);
    client.write("<db:result from='nowhere.test' to='verona.test'>key</db:result>");
    expect(told(await client.next())).toMatch(/type="error".*remote-server-not-found/);
    client.write("<db:result from='evil.test' to='elsewhere.test'>key</db:result>");
    expect(told(await client.next())).toMatch(/type="error".*item-not-found/);
    // the certificate speaks for this one: nobody is called back
    client.write("<db:result from='evil.test' to='verona.test'>whatever</db:result>");
    expect(told(await client.next())).toMatch(/type="valid"/);
    await client.destroy();
  });

  test('tells whether a key is ours, and for which domains we can tell', async () => {
    const { client } = await connectAs(verona.addressOf('s2s'), 'evil.test', 'verona.test');
    client.write("<db:verify id='s' from='evil.test' to='verona.test'>guess</db:verify>");
    expect(told(await client.next())).toMatch(/db:verify.*type="invalid"/);
    client.write("<db:verify id='s' from='evil.test' to='mantua.test'>guess</db:verify>");
    expect(told(await client.next())).toMatch(/db:verify.*item-not-found/);
    await client.destroy();
  });
});

describe('stanzas that have no place here', () => {
  let client: StreamClient;
  beforeEach(async () => {
    await start({ s2s: { 'stanza-bytes': '20kB' } });
    client = await authenticateAs(verona.addressOf('s2s'), 'evil.test', 'verona.test', evil);
  });
  afterEach(() => client.destroy());

  test.each([
    ['to a domain that is not served', message('a@evil.test', 'b@elsewhere.test'), 'host-unknown'],
    ['without "to"', "<message from='a@evil.test'/>", 'improper-addressing'],
    ['without "from"', "<message to='romeo@verona.test'/>", 'improper-addressing'],
    [
      'of the namespace of clients',
      "<message xmlns='jabber:client' from='a@evil.test' to='romeo@verona.test'/>",
      'unsupported-stanza-type',
    ],
    ['that are too large', message('a@evil.test', 'romeo@verona.test', 'x'.repeat(30_000)), 'policy-violation'],
    ['that are no XML', '<message from="a"', 'not-well-formed'],
  ])('%s', async (_, xml, condition) => {
    client.write(xml === '<message from="a"' ? `${xml}<` : xml);
    expect(told(await client.next())).toContain(condition);
    expect(await client.closed()).toBe(true);
    expect(verona.errors).toEqual([]);
  });

  test('an address that is none is answered where that can be, and the stream goes on', async () => {
    const bounced = await scripted(
      'evil.test',
      evil,
      "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>",
      (socket, said) => {
        if (said.includes('<auth')) socket.write("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
      },
    );
    client.write(message('a@evil.test', 'not an address@verona.test'));
    client.write(message('not an address@evil.test'));
    client.write("<iq type='get' id='p' from='a@evil.test' to='verona.test'><ping xmlns='urn:xmpp:ping'/></iq>");
    await expect.poll(() => bounced.heard).toContain("id='p'");
    expect(bounced.heard).toContain('jid-malformed');
    expect(client.isClosed).toBe(false);
  });
});

describe('floods', () => {
  test('of connections that say nothing are bounded, and others get in', async () => {
    await start({ limits: { enabled: true, 'servers-unproved-per-address': 20, 'servers-connections-burst': 2000 } });
    const clients = await Promise.all(
      Array.from({ length: 1000 }, () => StreamClient.connect(verona.addressOf('s2s'))),
    );
    await expect.poll(() => clients.filter((one) => one.isClosed).length).toBe(980);
    expect(verona.server.federation()).toHaveLength(20);
    await Promise.all(clients.map((one) => one.destroy()));
    await expect.poll(() => verona.server.federation().length).toBe(0);
    const client = await authenticateAs(verona.addressOf('s2s'), 'evil.test', 'verona.test', evil);
    await client.destroy();
  });

  test('of connections that come too fast are turned away, and forgotten soon', async () => {
    await start({ limits: { enabled: true, 'servers-connections-burst': 5 } });
    const clients = await Promise.all(Array.from({ length: 300 }, () => StreamClient.connect(verona.addressOf('s2s'))));
    await expect.poll(() => clients.filter((one) => one.isClosed).length).toBeGreaterThan(280);
    await Promise.all(clients.map((one) => one.destroy()));
    await new Promise((resolve) => setTimeout(resolve, 200));
    const client = await authenticateAs(verona.addressOf('s2s'), 'evil.test', 'verona.test', evil);
    await client.destroy();
  });

  test('of questions about keys are answered at the pace that the limits allow', async () => {
    await start({ limits: { enabled: true } });
    const { client } = await connectAs(verona.addressOf('s2s'), 'evil.test', 'verona.test');
    const question = "<db:verify id='s' from='evil.test' to='verona.test'>guess</db:verify>";
    for (let i = 0; i < 2000; i++) client.write(question);
    await expect.poll(() => client.inbox.length).toBeGreaterThan(400);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(client.inbox.length).toBeLessThan(1000);
    await client.destroy();
  });
});

describe('servers that are not well', () => {
  const external = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>";
  const takesAll = (socket: { write(text: string): void }, said: string): void => {
    if (said.includes('<auth')) socket.write("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
  };
  const mantua = authority.issue({ names: ['mantua.test'] });

  test('one that accepts and never answers costs its senders an error, in time', async () => {
    await start({ s2s: { 'queue-time': '1s' } });
    await scripted('mantua.test', mantua, undefined);
    const romeo = await enter(verona, 'romeo@verona.test');
    for (const id of ['1', '2'])
      romeo.client.write(`<message id='${id}' to='juliet@mantua.test'><body>x</body></message>`);
    expect(told(await romeo.client.next(5_000))).toMatch(/id="1".*remote-server-timeout/);
    expect(told(await romeo.client.next(5_000))).toMatch(/id="2".*remote-server-timeout/);
    // it is left alone for a moment now
    romeo.client.write("<message id='3' to='juliet@mantua.test'><body>x</body></message>");
    expect(told(await romeo.client.next(500))).toMatch(/id="3".*remote-server-timeout/);
    await romeo.client.destroy();
  });

  test('a domain that is nowhere is told as such', async () => {
    await start();
    const romeo = await enter(verona, 'romeo@verona.test');
    romeo.client.write("<iq type='get' id='1' to='nowhere.test'><ping xmlns='urn:xmpp:ping'/></iq>");
    expect(told(await romeo.client.next())).toMatch(/remote-server-not-found/);
    await romeo.client.destroy();
  });

  test('the next machine is tried when the first one is dead, or no server of XMPP', async () => {
    await start({ s2s: { 'auth-timeout': '1s' } });
    const romeo = await enter(verona, 'romeo@verona.test');
    const good = await scripted('mantua.test', mantua, external, takesAll);
    const mute = await scripted('mute.test', mantua, undefined);
    world.names.set(
      'mantua.test',
      { port: 1, priority: 1 },
      { port: mute.port, priority: 2 },
      { port: good.port, priority: 3 },
    );
    romeo.client.write("<message to='juliet@mantua.test'><body>third time lucky</body></message>");
    await expect.poll(() => good.heard, { timeout: 5_000 }).toContain('third time lucky');
    expect(mute.connections).toBe(1);
    await romeo.client.destroy();
  });

  test('what waits is bounded, and comes in order', async () => {
    await start({ s2s: { 'queue-stanzas': 10 } });
    const romeo = await enter(verona, 'romeo@verona.test');
    const slow = await scripted('mantua.test', mantua, external, (socket, said) => {
      if (said.includes('<auth')) setTimeout(() => takesAll(socket, said), 300);
    });
    for (let i = 0; i < 15; i++)
      romeo.client.write(`<message id='m${i}' to='juliet@mantua.test'><body>${i}</body></message>`);
    for (let i = 10; i < 15; i++) {
      expect(told(await romeo.client.next())).toMatch(new RegExp(`id="m${i}".*resource-constraint`));
    }
    await expect.poll(() => slow.heard).toContain("id='m9'");
    const order = [...slow.heard.matchAll(/id='m(\d+)'/g)].map(([, n]) => Number(n));
    expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    await romeo.client.destroy();
  });

  test('what is not acknowledged is bounded, without the stream', async () => {
    await start({ s2s: { 'queue-stanzas': 10 } });
    const romeo = await enter(verona, 'romeo@verona.test');
    const managed = `${external}<sm xmlns='urn:xmpp:sm:3'/>`;
    let acknowledge = (): void => {};
    const slow = await scripted('mantua.test', mantua, managed, (socket, said) => {
      takesAll(socket, said);
      if (said.includes('<enable')) socket.write("<enabled xmlns='urn:xmpp:sm:3'/>");
      acknowledge = () => socket.write("<a xmlns='urn:xmpp:sm:3' h='10'/>");
    });
    const say = (i: number): void =>
      romeo.client.write(`<message id='m${i}' to='juliet@mantua.test'><body>${i}</body></message>`);
    say(0);
    await expect.poll(() => slow.heard).toContain("id='m0'");
    for (let i = 1; i < 12; i++) say(i);
    for (const i of [10, 11]) {
      expect(told(await romeo.client.next())).toMatch(new RegExp(`id="m${i}".*type="wait".*resource-constraint`));
    }
    acknowledge();
    await expect
      .poll(() => {
        say(12);
        return slow.heard;
      })
      .toContain("id='m12'");
    const order = [...slow.heard.matchAll(/id='m(\d+)'/g)].map(([, n]) => Number(n));
    expect(order.slice(0, 11)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12]);
    expect(slow.connections).toBe(1);
    await romeo.client.destroy();
  });

  test('one that never reads is cut off, and does not hold up others', async () => {
    await start({ s2s: { 'send-queue-bytes': '256kB' } });
    const romeo = await enter(verona, 'romeo@verona.test');
    const stuck = await scripted('mantua.test', mantua, external, (socket, said) => {
      takesAll(socket, said);
      if (said.includes('<message')) (socket as unknown as { pause(): void }).pause();
    });
    const other = await scripted('evil.test', evil, external, takesAll);
    const big = 'x'.repeat(100_000);
    for (let i = 0; i < 100; i++) romeo.client.write(`<message to='juliet@mantua.test'><body>${big}</body></message>`);
    romeo.client.write("<message to='mallory@evil.test'><body>on time</body></message>");
    await expect.poll(() => other.heard, { timeout: 5_000 }).toContain('on time');
    await expect
      .poll(() => verona.log.some(({ message: line }) => line === 'a reader was too slow'), { timeout: 10_000 })
      .toBe(true);
    expect(stuck.connections).toBeGreaterThan(0);
    await romeo.client.destroy();
  }, 20_000);

  /** Says so much to a server that most of it stays here; resolves when that has begun to read. */
  async function flood(server: ScriptedServer, count: number): Promise<Awaited<ReturnType<typeof enter>>> {
    const romeo = await enter(verona, 'romeo@verona.test');
    const body = 'x'.repeat(100_000);
    for (let i = 0; i < count; i++) {
      romeo.client.write(`<message id='m${i}' to='juliet@mantua.test'><body>${body}</body></message>`);
    }
    const isThere = (): Promise<boolean> =>
      romeo.client.fence().then(
        () => true,
        () => false,
      );
    await expect.poll(isThere, { timeout: 15_000 }).toBe(true);
    await expect.poll(() => heardBy(server).length, { timeout: 15_000 }).toBe(1);
    return romeo;
  }

  const heardBy = ({ heard }: ScriptedServer): number[] =>
    [...heard.matchAll(/<message id='m(\d+)'/g)].map(([, n]) => Number(n));

  test('what never left for one that does not read is sent over a new stream, where nothing is acknowledged', async () => {
    await start({ s2s: { 'send-queue-bytes': '200MB', 'queue-bytes': '100MB' } });
    const stuck = await scripted('mantua.test', mantua, external, (socket, said) => {
      takesAll(socket, said);
      if (stuck.connections === 1 && said.includes('<message')) socket.pause();
    });
    const romeo = await flood(stuck, 150);
    stuck.cut();
    await expect.poll(() => stuck.heard.includes("id='m149'"), { timeout: 10_000 }).toBe(true);
    // all of them, in order, and once
    const [, first = 0, ...rest] = heardBy(stuck);
    expect(first).toBeGreaterThan(0);
    expect(rest).toEqual(Array.from({ length: 149 - first }, (_, i) => first + 1 + i));
    expect(stuck.connections).toBe(2);
    await romeo.client.destroy();
  }, 40_000);

  test('what never left for one that does not read the second time goes back', async () => {
    await start({ s2s: { 'send-queue-bytes': '200MB', 'queue-bytes': '100MB' } });
    const stuck = await scripted('mantua.test', mantua, external, (socket, said) => {
      takesAll(socket, said);
      if (said.includes('<message')) socket.pause();
    });
    const romeo = await flood(stuck, 200);
    stuck.cut();
    await expect.poll(() => heardBy(stuck).length, { timeout: 10_000 }).toBe(2);
    stuck.cut();
    let text = '';
    while (!text.includes('id="m199"')) {
      text = told(await romeo.client.next(10_000));
      expect(text).toContain('remote-server-timeout');
    }
    await romeo.client.destroy();
  }, 40_000);

  test('what was not acknowledged is sent once more over a new stream, and no oftener', async () => {
    await start();
    const romeo = await enter(verona, 'romeo@verona.test');
    const managed = `${external}<sm xmlns='urn:xmpp:sm:3'/>`;
    const server = await scripted('mantua.test', mantua, managed, (socket, said) => {
      takesAll(socket, said);
      if (said.includes('<enable')) socket.write("<enabled xmlns='urn:xmpp:sm:3'/>");
    });
    romeo.client.write("<message id='kept' to='juliet@mantua.test'><body>x</body></message>");
    await expect.poll(() => server.heard).toContain("id='kept'");
    server.cut();
    await expect.poll(() => server.heard.split("id='kept'").length - 1).toBe(2);
    server.cut();
    expect(told(await romeo.client.next())).toMatch(/id="kept".*remote-server-timeout/);
    expect(server.heard.split("id='kept'").length - 1).toBe(2);
    await romeo.client.destroy();
  });

  test('what is larger than the peer takes goes back, and nothing else suffers from it (XEP-0478)', async () => {
    await start();
    const romeo = await enter(verona, 'romeo@verona.test');
    const limits = "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>20000</max-bytes></limits>";
    const server = await scripted('mantua.test', mantua, external + limits, takesAll);
    const say = (id: string, body: string): void =>
      romeo.client.write(`<message id='${id}' to='juliet@mantua.test'><body>${body}</body></message>`);
    say('a', 'x'.repeat(25_000));
    expect(told(await romeo.client.next())).toMatch(/id="a".*policy-violation.*larger than mantua.test takes/);
    say('b', 'small');
    say('c', 'ä'.repeat(10_000));
    expect(told(await romeo.client.next())).toMatch(/id="c".*policy-violation/);
    say('d', 'ä'.repeat(9_000));
    await expect.poll(() => server.heard).toContain("id='d'");
    expect(server.heard).toContain("id='b'");
    expect(server.heard).not.toContain("id='c'");
    expect(server.connections).toBe(1);
    await romeo.client.destroy();
  });

  test('acknowledging more than was sent ends the stream', async () => {
    await start();
    const romeo = await enter(verona, 'romeo@verona.test');
    const server = await scripted('mantua.test', mantua, `${external}<sm xmlns='urn:xmpp:sm:3'/>`, (socket, said) => {
      takesAll(socket, said);
      if (said.includes('<message')) socket.write("<a xmlns='urn:xmpp:sm:3' h='77'/>");
    });
    romeo.client.write("<message to='juliet@mantua.test'><body>x</body></message>");
    await expect.poll(() => server.heard).toContain('handled-count-too-high');
    await romeo.client.destroy();
  });
});
