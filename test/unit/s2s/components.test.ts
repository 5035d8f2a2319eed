// External components (XEP-0114): who is let in, whose stanzas are taken, and what becomes of those that are for them.
import { afterEach, describe, expect, test } from 'vitest';
import { parseConfig } from '../../../src/config/load.ts';
import type { ConfigInput } from '../../../src/config/server.ts';
import { loadModules } from '../../../src/index.ts';
import { parentOf } from '../../../src/s2s/components.ts';
import { Server } from '../../../src/server.ts';
import { StreamClient } from '../../kit/client.ts';
import { FakeClock } from '../../kit/clock.ts';
import { connectComponent, handshakeOf, openComponent } from '../../kit/component.ts';
import { enter, TestFederation } from '../../kit/federation.ts';
import { told } from '../../kit/server-peer.ts';
import { mergeSettings, TestServer, type TestServerOptions } from '../../kit/test-server.ts';

const gateway = 'irc.verona.test';
const settings: ConfigInput = {
  hosts: { 'verona.test': {} },
  components: { [gateway]: { secret: 'sesame' }, 'bot.verona.test': { secret: 'other' } },
  listen: { component: 0 },
};

const ended: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).reverse()) await end();
});

async function start(more: ConfigInput = {}, options: TestServerOptions = {}): Promise<TestServer> {
  const server = await TestServer.start(mergeSettings(settings, more), options);
  ended.push(() => server.stop());
  return server;
}

async function join(server: TestServer, domain = gateway, secret = 'sesame'): Promise<StreamClient> {
  const client = await connectComponent(server.addressOf('component'), domain, secret);
  ended.push(() => client.destroy());
  return client;
}

async function stranger(server: TestServer): Promise<StreamClient> {
  const client = await StreamClient.connect(server.addressOf('component'));
  ended.push(() => client.destroy());
  return client;
}

async function person(server: TestServer, name = 'romeo') {
  const entered = await enter(server, `${name}@verona.test`);
  ended.push(() => entered.client.destroy());
  return entered;
}

const heard = async (client: StreamClient): Promise<string> => told(await client.next());

/** Reads up to what matches. */
async function reads(client: StreamClient, pattern: RegExp): Promise<void> {
  for (;;) {
    const text = await heard(client);
    if (pattern.test(text)) return;
    if (text === 'nothing') throw new Error(`${pattern} never came`);
  }
}

/** The header that carries an error, and the error. */
async function refused(client: StreamClient): Promise<string> {
  const first = await client.next();
  return told(first?.kind === 'header' ? await client.next() : first);
}

describe('who is let in', () => {
  test('a component that knows the secret; the header has its name, an id and no version', async () => {
    const server = await start();
    const client = await stranger(server);
    client.write(
      `<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='${gateway}'>`,
    );
    const header = await client.next();
    if (header?.kind !== 'header') throw new Error(told(header));
    const { id, from, version, xmlns } = header.element.attrs as Record<string, string>;
    expect({ from, version, xmlns }).toEqual({ from: gateway, version: undefined, xmlns: 'jabber:component:accept' });
    client.write(handshakeOf(id ?? '', 'sesame'));
    expect(await heard(client)).toBe('<handshake/>');
  });

  test.each([
    ['wrong', (id: string) => handshakeOf(id, 'wrong')],
    ['of another component', (id: string) => handshakeOf(id, 'other')],
    ['of another stream', () => handshakeOf('x', 'sesame')],
    ['empty', () => '<handshake/>'],
    ['right, but with more behind it', (id: string) => handshakeOf(id, 'sesame').replace('</', 'zz</')],
  ])('not one whose handshake is %s', async (_, make) => {
    const client = await stranger(await start());
    client.write(make(await openComponent(client, gateway)));
    expect(await heard(client)).toContain('<not-authorized');
    expect((await client.next())?.kind).toBe('end');
    expect(await client.closed()).toBe(true);
  });

  test('nobody speaks before the handshake', async () => {
    const client = await stranger(await start());
    await openComponent(client, gateway);
    client.write(`<message from='a@${gateway}' to='romeo@verona.test'><body>Hi</body></message>`);
    expect(await heard(client)).toContain('<not-authorized');
  });

  test.each(['mantua.test', 'verona.test', 'constructor', ''])('not "%s", which is no component', async (domain) => {
    const client = await stranger(await start());
    client.write(
      `<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='${domain}'>`,
    );
    expect(await refused(client)).toContain('<host-unknown');
  });

  test('not a client, nor a server', async () => {
    const client = await stranger(await start());
    client.open(gateway);
    expect(await refused(client)).toContain('<invalid-namespace');
  });

  test('nor one that says nothing for too long', async () => {
    const clock = new FakeClock();
    const server = await start({}, { clock });
    const client = await stranger(server);
    await openComponent(client, gateway);
    await clock.advance(30_000);
    expect(await heard(client)).toContain('<connection-timeout');
  });

  test('nor one that sends much before the handshake', async () => {
    const client = await stranger(await start());
    await openComponent(client, gateway);
    client.writeQuietly(`<handshake>${'a'.repeat(20_000)}</handshake>`);
    expect(await heard(client)).toContain('<policy-violation');
  });

  test('nor more than a few at a time that have not proved themselves', async () => {
    const server = await start({ limits: { enabled: true, 'servers-unproved-per-address': 2 } });
    const first = await stranger(server);
    await openComponent(first, gateway);
    await openComponent(await stranger(server), gateway);
    expect(await (await stranger(server)).closed()).toBe(true);
    await first.destroy();
    // the place is free again
    await expect
      .poll(() =>
        join(server).then(
          () => 'in',
          () => 'out',
        ),
      )
      .toBe('in');
  });

  test('one that comes back takes the place of its old connection', async () => {
    const server = await start();
    const old = await join(server);
    const fresh = await join(server);
    expect(await heard(old)).toContain('<conflict');
    const { client } = await person(server);
    client.write(`<message to='x@${gateway}'><body>Who are you?</body></message>`);
    expect(await heard(fresh)).toContain('Who are you?');
  });

  test('a wrong secret does not end the connection of the right one', async () => {
    const server = await start();
    const right = await join(server);
    await expect(join(server, gateway, 'wrong')).rejects.toThrow('not-authorized');
    const { client } = await person(server);
    client.write(`<message to='${gateway}'><body>Still here?</body></message>`);
    expect(await heard(right)).toContain('Still here?');
  });
});

describe('stanzas', () => {
  test('go both ways, with everybody at the domain of the component', async () => {
    const server = await start();
    const component = await join(server);
    const { client, jid } = await person(server);
    for (const who of [gateway, `#parley%net@${gateway}`, `#parley%net@${gateway}/nick name`]) {
      client.write(`<message to='${who}' type='chat'><body>To ${who}</body></message>`);
      const there = await heard(component);
      expect(there).toContain(`To ${who}`);
      expect(there).toContain(`from="${jid}"`);
      component.write(`<message from='${who}' to='${jid}' type='chat'><body>From ${who}</body></message>`);
      const back = await heard(client);
      expect(back).toContain(`From ${who}`);
      expect(back).toContain(`from="${who}"`);
    }
  });

  test('of a component go to another one', async () => {
    const server = await start();
    const one = await join(server);
    const other = await join(server, 'bot.verona.test', 'other');
    one.write(`<message from='a@${gateway}' to='b@bot.verona.test'><body>Beep</body></message>`);
    expect(await heard(other)).toContain('Beep');
  });

  test('keep their order for each pair', async () => {
    const server = await start();
    const component = await join(server);
    const { client, jid } = await person(server);
    const numbers = Array.from({ length: 200 }, (_, i) => i);
    component.write(
      numbers.map((i) => `<message from='a@${gateway}' to='${jid}' type='chat'><body>${i}</body></message>`).join(''),
    );
    const came: number[] = [];
    while (came.length < numbers.length) came.push(Number(/<body>(\d+)</.exec(await heard(client))?.[1]));
    expect(came).toEqual(numbers);
  });

  test.each([
    ['of another domain', "from='romeo@verona.test'", 'invalid-from'],
    ['of a domain below', `from='a@sub.${gateway}'`, 'invalid-from'],
    ['of another component', "from='bot.verona.test'", 'invalid-from'],
    ['that is no address', "from='@@'", 'invalid-from'],
    ['that is missing', '', 'improper-addressing'],
  ])('with a "from" %s end the stream', async (_, from, condition) => {
    const server = await start();
    const component = await join(server);
    const { client, jid } = await person(server);
    component.write(`<message ${from} to='${jid}'><body>Forged</body></message>`);
    expect(await heard(component)).toContain(`<${condition}`);
    await client.fence();
    expect(client.inbox).toEqual([]);
  });

  test('that are none end the stream', async () => {
    const component = await join(await start());
    component.write('<log/>');
    expect(await heard(component)).toContain('<unsupported-stanza-type');
  });

  test('with a nickname that is no address are dropped, and the others go on', async () => {
    const server = await start();
    const component = await join(server);
    const { client, jid } = await person(server);
    component.write(`<message from='a@${gateway}/${'n'.repeat(1100)}' to='${jid}'><body>Odd</body></message>`);
    component.write(`<message from='a@${gateway}/n' to='${jid}'><body>Plain</body></message>`);
    expect(await heard(client)).toContain('Plain');
  });

  test('to what is no address are answered', async () => {
    const component = await join(await start());
    component.write(`<iq type='get' id='i' from='a@${gateway}' to='@@'><ping xmlns='urn:xmpp:ping'/></iq>`);
    const answer = await heard(component);
    expect(answer).toContain('<jid-malformed');
    expect(answer).toContain(`to="a@${gateway}"`);
  });

  test('to nobody are answered as they are to another server', async () => {
    const component = await join(await start());
    component.write(`<message from='a@${gateway}' to='nobody@verona.test' id='m'><body>Hi</body></message>`);
    expect(await heard(component)).toContain('<service-unavailable');
  });

  test('that are too large end the stream', async () => {
    const server = await start({ s2s: { 'stanza-bytes': '20kB' } });
    const component = await join(server);
    component.writeQuietly(
      `<message from='${gateway}' to='a@verona.test'><body>${'a'.repeat(30_000)}</body></message>`,
    );
    expect(await heard(component)).toContain('<policy-violation');
  });

  test('more than the rate are late, and none is lost', async () => {
    const server = await start({
      limits: { enabled: true },
      s2s: { 'stanzas-burst': 10, 'stanzas-per-second': 200 },
    });
    const component = await join(server);
    const { client, jid } = await person(server);
    const began = Date.now();
    for (let i = 0; i < 60; i++) {
      component.write(`<message from='a@${gateway}' to='${jid}' type='chat'><body>${i}</body></message>`);
    }
    for (let i = 0; i < 60; i++) expect(await heard(client)).toContain(`<body>${i}<`);
    expect(Date.now() - began).toBeGreaterThan(150);
  });
});

describe('while a component is away', () => {
  test.each(['before it came', 'after it went'])('senders get an error to wait: %s', async (when) => {
    const server = await start();
    if (when === 'after it went') {
      const component = await join(server);
      component.write('</stream:stream>');
      await component.closed();
    }
    const { client } = await person(server);
    client.write(`<iq type='get' id='q' to='${gateway}'><ping xmlns='urn:xmpp:ping'/></iq>`);
    const answer = await heard(client);
    expect(answer).toContain('<remote-server-timeout');
    expect(answer).toContain('type="wait"');
    expect(answer).toContain(`from="${gateway}"`);
  });

  test('one that does not read is given up, and its senders are told', async () => {
    const server = await start({ s2s: { 'send-queue-bytes': '100kB' } });
    const component = await join(server);
    component.pause();
    const { client } = await person(server);
    const body = 'a'.repeat(50_000);
    for (let i = 0; i < 400; i++)
      client.writeQuietly(`<message to='a@${gateway}' id='m${i}'><body>${body}</body></message>`);
    // what was for it and never left comes back, to the last
    const first = Number(/id="m(\d+)"/.exec(told(await client.next(10_000)))?.[1]);
    for (let i = first + 1; i < 400; i++) expect(await heard(client)).toMatch(`id="m${i}"`);
    expect(server.log.some(({ message }) => message === 'a component has gone')).toBe(true);
  });

  test('errors and results for it are dropped', async () => {
    const server = await start();
    const { client } = await person(server);
    client.write(`<iq type='result' id='q' to='${gateway}'/>`);
    await client.fence();
    expect(client.inbox).toEqual([]);
  });

  test('disco#items of the host above tells of it, and of no other host’s', async () => {
    const server = await start({ hosts: { 'mantua.test': {} }, components: { 'far.example': { secret: 'x' } } });
    const { client } = await person(server);
    client.write("<iq type='get' id='q' to='verona.test'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>");
    const items = await heard(client);
    expect(items).toContain(`jid="${gateway}"`);
    expect(items).toContain('jid="bot.verona.test"');
    expect(items).not.toContain('far.example');
    client.write("<iq type='get' id='r' to='mantua.test'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>");
    expect(await heard(client)).toMatch(
      /<query[^>]*><item jid="groups.mantua.test"\/><item jid="pubsub.mantua.test"\/><item jid="upload.mantua.test"\/><\/query>/,
    );
  });
});

describe('presence', () => {
  test('is exchanged after subscriptions both ways, as with another server', async () => {
    const server = await start();
    const component = await join(server);
    const { client, jid } = await person(server);
    const contact = `dan@${gateway}`;
    client.write("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq><presence/>");
    client.write(`<presence to='${contact}' type='subscribe'/>`);
    await reads(component, /type="subscribe"/);
    component.write(`<presence from='${contact}' to='romeo@verona.test' type='subscribed'/>`);
    await reads(client, /<presence[^>]*type="subscribed"/);
    component.write(`<presence from='${contact}' to='romeo@verona.test' type='subscribe'/>`);
    await reads(client, /<presence[^>]*type="subscribe"/);
    client.write(`<presence to='${contact}' type='subscribed'/>`);
    await reads(component, /type="subscribed"/);
    const available = new RegExp(`<presence from="${jid}"`);
    await reads(component, available);
    component.write(`<presence from='${contact}/irc' to='romeo@verona.test'/>`);
    await reads(client, /<presence from="dan@irc.verona.test\/irc"/);
    component.write(`<presence from='${contact}' to='romeo@verona.test' type='probe'/>`);
    await reads(component, available);
    await client.destroy();
    await reads(component, /type="unavailable"/);
  });
});

describe('other servers', () => {
  test('and components talk, both ways', async () => {
    const world = new TestFederation();
    ended.push(() => world.stop());
    const { hosts: _, ...more } = settings;
    const verona = await world.add('verona.test', more);
    const mantua = await world.add('mantua.test');
    world.names.set(gateway, { port: verona.addressOf('s2s').port });
    const juliet = await enter(mantua, 'juliet@mantua.test');
    juliet.client.write(`<message to='dan@${gateway}' id='m'><body>Anybody?</body></message>`);
    const error = told(await juliet.client.next(5_000));
    expect(error).toContain('<remote-server-timeout');
    const component = await join(verona);
    juliet.client.write(`<message to='dan@${gateway}'><body>Anybody?</body></message>`);
    expect(told(await component.next(5_000))).toContain('Anybody?');
    component.write(`<message from='dan@${gateway}/x' to='${juliet.jid}'><body>Me</body></message>`);
    expect(told(await juliet.client.next(5_000))).toContain('<body>Me<');
    // nobody there: the error finds its way back to the component
    component.write(`<message from='dan@${gateway}/x' to='a@nowhere.test' id='n'><body>Me</body></message>`);
    expect(told(await component.next(5_000))).toContain('<remote-server-not-found');
  });
});

test('a server that stops says goodbye to components', async () => {
  const server = await start();
  const component = await join(server);
  const stopped = server.stop();
  expect(await heard(component)).toContain('<system-shutdown');
  await component.destroy();
  await stopped;
  expect(server.errors).toEqual([]);
});

test('a reload brings components, sends those away that are no more or have another secret, and leaves the others', async () => {
  const configOf = (components: Record<string, { secret: string }>) =>
    parseConfig({
      database: 'memory',
      hosts: { 'verona.test': {} },
      tls: { required: false },
      s2s: { enabled: false },
      components,
      listen: {
        address: ['127.0.0.1'],
        ...{ c2s: null, 'c2s-tls': null, s2s: null, 's2s-tls': null, http: null, https: null },
        component: 0,
      },
    });
  const none = configOf({});
  const server = await Server.start(none, { modules: await loadModules(none) });
  ended.push(() => server.stop());
  expect(server.address('component')).toBeUndefined();
  await server.reload(configOf({ a: { secret: '1' }, b: { secret: '2' }, c: { secret: '3' } }));
  const [a, b, c] = await Promise.all(
    [['a', '1'] as const, ['b', '2'] as const, ['c', '3'] as const].map(async ([name, secret]) => {
      const client = await connectComponent(server.address('component')!, name, secret);
      ended.push(() => client.destroy());
      return client;
    }),
  );
  await server.reload(configOf({ b: { secret: 'new' }, c: { secret: '3' } }));
  expect(await heard(a!)).toContain('<host-gone');
  expect(await heard(b!)).toContain('<reset');
  c!.write("<message from='x@c' to='y@c'><body>Still here</body></message>");
  expect(await heard(c!)).toContain('Still here');
  expect(server.components.list()).toMatchObject([
    { domain: 'b', connected: false },
    { domain: 'c', connected: true, received: 1, sent: 1 },
  ]);
  await a!.destroy();
  await expect.poll(() => server.metrics.text()).toContain('parley_component_failures_total{reason="host-gone"} 1');
  const figures = await server.metrics.text();
  expect(figures).toContain('parley_components_connected{component="c"} 1');
  expect(figures).toContain('parley_component_stanzas_total{direction="in"} 1');
});

test('a component is told what it may do when it connects, and again after a reload when that has changed', async () => {
  const configOf = (more: Partial<NonNullable<ConfigInput['components']>[string]>, other = {}) =>
    parseConfig({
      database: 'memory',
      hosts: { 'verona.test': other, 'mantua.test': {} },
      tls: { required: false },
      s2s: { enabled: false },
      components: { c: { secret: '1', hosts: ['verona.test'], ...more } },
      listen: {
        address: ['127.0.0.1'],
        ...{ c2s: null, 'c2s-tls': null, s2s: null, 's2s-tls': null, http: null, https: null },
        component: 0,
      },
    });
  const first = configOf({ privileges: { roster: 'get' } });
  const server = await Server.start(first, { modules: await loadModules(first) });
  ended.push(() => server.stop());
  const client = await connectComponent(server.address('component')!, 'c', '1');
  ended.push(() => client.destroy());
  const told = await heard(client);
  expect(told).toContain('from="verona.test"');
  expect(told).toContain('<perm access="roster" type="get" push="true"/>');
  await server.reload(configOf({ privileges: { roster: 'get' } }, { registration: 'closed' }));
  await server.reload(configOf({ privileges: { message: 'outgoing' }, delegate: [{ namespace: 'urn:example:x' }] }));
  const changed = [await heard(client), await heard(client), await heard(client), await heard(client)].join('');
  expect(changed).toContain('<delegated namespace="urn:example:x"/>');
  expect(changed).toContain('<perm access="message" type="outgoing"/>');
  // what it was asked and has not answered holds nothing up
  await server.reload(configOf({}));
  const taken = [await heard(client), await heard(client)].join('');
  expect(taken).toContain('<delegation xmlns="urn:xmpp:delegation:2"/>');
  expect(taken).toContain('<privilege xmlns="urn:xmpp:privilege:2"/>');
}, 60_000);

test('nothing listens for components where there are none', async () => {
  const server = await TestServer.start({ listen: { component: 0 } });
  ended.push(() => server.stop());
  expect(() => server.addressOf('component')).toThrow('switched off');
});

test('a component belongs to the closest host above it', () => {
  const hosts = ['example.org', 'chat.example.org', 'org.test'];
  expect(parentOf('irc.chat.example.org', hosts)).toBe('chat.example.org');
  expect(parentOf('irc.example.org', hosts)).toBe('example.org');
  expect(parentOf('notexample.org', hosts)).toBeUndefined();
  expect(parentOf('example.org', hosts)).toBeUndefined();
});
