// XMPP over WebSocket as a client sees it (RFC 7395), on a whole server, and where it is announced (XEP-0156).
import { request } from 'node:http';
import { connect } from 'node:net';
import { parse } from 'ltx';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ConfigInput } from '../../../src/config/server.ts';
import { FakeClock } from '../../kit/clock.ts';
import { logIn } from '../../kit/login.ts';
import { TestServer, type TestServerOptions } from '../../kit/test-server.ts';
import { closeFrame, FRAMING, openFrame, WebSocketClient } from '../../kit/websocket-client.ts';

const domain = 'verona.test';
const STREAM = 'http://etherx.jabber.org/streams';
const stanzaBytes = 64 * 1024;
const stanzaBytesBeforeAuth = 8 * 1024;
const settings: ConfigInput = {
  hosts: { [domain]: {}, 'mantua.test': {} },
  tls: { required: true },
  listen: { http: 0, https: 0 },
  limits: { 'stanza-bytes': stanzaBytes, 'stanza-bytes-before-auth': stanzaBytesBeforeAuth },
};

async function start(more: ConfigInput = {}, options: TestServerOptions = {}): Promise<TestServer> {
  const server = await TestServer.start({ ...settings, ...more }, options);
  for (const user of ['romeo', 'juliet']) await server.server.accounts.create(`${user}@${domain}`, 'secret');
  return server;
}

let server: TestServer;
beforeAll(async () => {
  server = await start();
});
afterAll(async () => {
  expect(server.errors).toEqual([]);
  await server.stop();
});

const http = () => server.addressOf('http');
const enter = (user: string, resource = 'web'): Promise<WebSocketClient> =>
  WebSocketClient.logIn(http(), { domain, user, password: 'secret', resource });

describe('the handshake', () => {
  test.each(['/xmpp-websocket', '/websocket', '/ws', '/ws?a=b'])(
    'is answered at %s with the subprotocol',
    async (path) => {
      await using client = await WebSocketClient.connect(http(), { path });
      expect(client.socket.protocol).toBe('xmpp');
      expect(client.socket.extensions).toBe('');
    },
  );

  test('chooses the subprotocol out of several (RFC 6455 4.2.2), from pages of any origin', async () => {
    const headers = { origin: 'https://elsewhere.test' };
    await using client = await WebSocketClient.connect(http(), { protocols: ['mqtt', 'xmpp'], headers });
    expect(client.socket.protocol).toBe('xmpp');
  });

  test.each([[[]], [['mqtt']], [['xmpp-framing', 'XMPP']]])(
    'is refused with the subprotocols %j',
    async (protocols) => {
      expect(await WebSocketClient.try(http(), { protocols })).toMatchObject({ status: 400 });
    },
  );

  test('is refused at other paths', async () => {
    expect(await WebSocketClient.try(http(), { path: '/healthz' })).toMatchObject({ status: 404 });
  });

  test('who comes without one is told what is needed', async () => {
    const { address, port } = http();
    const response = await fetch(`http://${address}:${port}/xmpp-websocket`);
    expect(response.status).toBe(426);
    expect(response.headers.get('upgrade')).toBe('websocket');
    expect(await response.text()).toContain('RFC 7395');
  });

  test('garbage in place of a handshake does no harm', async () => {
    const { address, port } = http();
    for (const bytes of [
      '\0\xff\x16\x03',
      'GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
    ]) {
      const socket = connect(port, address);
      const answer = await new Promise<string>((resolve) => {
        let text = '';
        socket.on('data', (chunk) => {
          text += chunk;
        });
        socket.on('close', () => resolve(text));
        socket.write(bytes, 'latin1');
      });
      expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    }
  });
});

describe('TLS', () => {
  test('over HTTPS there is no channel to bind to, and no STARTTLS (RFC 7395 3.9)', async () => {
    await using client = await WebSocketClient.connect(server.addressOf('https'), { secure: true });
    const features = await client.open(domain);
    const mechanisms = features
      .getChild('mechanisms')
      ?.getChildren('mechanism')
      .map((one) => one.text());
    expect(mechanisms).toEqual(expect.arrayContaining(['SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN']));
    expect(mechanisms?.filter((name) => name.endsWith('-PLUS'))).toEqual([]);
    expect(features.getChild('sasl-channel-binding')).toBeUndefined();
    expect(features.getChild('starttls')).toBeUndefined();
  });

  test('a session over HTTPS is one', async () => {
    const login = { domain, user: 'romeo', password: 'secret', resource: 'wss' };
    await using client = await WebSocketClient.logIn(server.addressOf('https'), login, { secure: true });
    expect(client.jid).toBe(`romeo@${domain}/wss`);
  });

  test('on the same machine it is not needed: mechanisms are offered, STARTTLS is not', async () => {
    await using client = await WebSocketClient.connect(http());
    const features = await client.open(domain);
    expect(features.getChild('mechanisms')?.getChildren('mechanism').length).toBeGreaterThan(0);
    expect(features.getChild('starttls')).toBeUndefined();
    client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    await client.expect('failure', 'urn:ietf:params:xml:ns:xmpp-tls');
    expect(await client.ending()).toMatchObject({ closed: true });
  });

  test('what a proxy took without TLS is refused', async () => {
    const headers = { 'x-forwarded-for': '192.0.2.1', 'x-forwarded-proto': 'http' };
    expect(await WebSocketClient.try(http(), { headers })).toMatchObject({ status: 403 });
  });

  test('behind a proxy that tells it, limits hold for the address of the client, not of the proxy', async () => {
    await using limited = await start({
      limits: { enabled: true, 'connections-per-address': 1 },
    });
    const from = (address: string) => ({ 'x-forwarded-for': `127.0.0.1, ${address}`, 'x-forwarded-proto': 'https' });
    const wishes = (address: string) => ({ headers: from(address) });
    await using first = await WebSocketClient.connect(limited.addressOf('http'), wishes('192.0.2.1'));
    await first.open(domain);
    await using second = await WebSocketClient.connect(limited.addressOf('http'), wishes('192.0.2.1'));
    // RFC 7395 3.4: the error comes behind our header
    await second.expect('open', FRAMING);
    expect(await second.ending()).toEqual({ error: 'policy-violation', closed: true, code: 1000 });
    await using third = await WebSocketClient.connect(limited.addressOf('http'), wishes('198.51.100.1'));
    await third.open(domain);
  });
});

describe('the stream', () => {
  test('opens, opens again after SASL with another id, binds, and is closed by the client (RFC 7395 3.4 to 3.6)', async () => {
    await using client = await enter('romeo');
    expect(client.jid).toBe(`romeo@${domain}/web`);
    const headers = client.frames.map((frame) => parse(frame)).filter(({ name }) => name === 'open');
    expect(headers.map(({ attrs }) => attrs)).toEqual([
      { xmlns: FRAMING, id: expect.any(String), from: domain, version: '1.0', 'xml:lang': 'en' },
      { xmlns: FRAMING, id: expect.any(String), from: domain, to: `romeo@${domain}`, version: '1.0', 'xml:lang': 'en' },
    ]);
    expect(new Set(headers.map(({ attrs }) => attrs.id)).size).toBe(2);
    client.send(closeFrame);
    expect(await client.ending()).toEqual({ error: undefined, closed: true, code: 1000 });
  });

  test('every frame is one document without an XML declaration', async () => {
    await using client = await enter('romeo');
    client.send("<iq xmlns='jabber:client' type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>");
    client.send("<presence xmlns='jabber:client'/>");
    client.send(`<iq xmlns='jabber:client' type='get' id='2' to='${domain}'><ping xmlns='urn:xmpp:ping'/></iq>`);
    for (let id = ''; id !== '2'; ) id = String((await client.next())?.attrs.id);
    // ltx refuses what is more than one element; this is what it lets pass
    for (const frame of client.frames) expect(frame).toMatch(/^<[a-z]+(:[a-z]+)? xmlns(:stream)?='[^']+'/);
  });

  test('is closed by the server, which waits for the answer and closes the WebSocket then', async () => {
    const other = await start();
    await using client = await WebSocketClient.logIn(other.addressOf('http'), {
      domain,
      user: 'romeo',
      password: 'secret',
    });
    const stopped = other.stop();
    expect(await client.ending()).toEqual({ error: 'system-shutdown', closed: true, code: 1000 });
    await stopped;
  });

  test('a connection that breaks ends the session', async () => {
    const client = await enter('romeo', 'breaking');
    client.send("<presence xmlns='jabber:client'/>");
    await client.expect('presence', 'jabber:client');
    await using watcher = await enter('romeo', 'watching');
    watcher.send("<presence xmlns='jabber:client'/>");
    client.socket.terminate();
    for (;;) {
      const stanza = await watcher.next();
      if (stanza?.attrs.from === client.jid && stanza.attrs.type === 'unavailable') break;
    }
  });

  test('an XML declaration is not recommended, and not forbidden (RFC 7395 3.3.3)', async () => {
    await using client = await WebSocketClient.connect(http());
    client.send(`<?xml version='1.0'?>${openFrame(domain)}`);
    await client.expect('open', FRAMING);
  });

  test.each<[what: string, frame: string, error: string]>([
    [
      'the root of RFC 6120',
      `<stream:stream xmlns='jabber:client' xmlns:stream='${STREAM}' to='${domain}' version='1.0'>`,
      'not-well-formed',
    ],
    [
      'that root, empty',
      `<stream:stream xmlns='jabber:client' xmlns:stream='${STREAM}' to='${domain}' version='1.0'/>`,
      'invalid-namespace',
    ],
    ['<open/> of no namespace', `<open to='${domain}' version='1.0'/>`, 'invalid-namespace'],
    ['two elements', openFrame(domain) + openFrame(domain), 'not-well-formed'],
    ['half an element', openFrame(domain).slice(0, -2), 'not-well-formed'],
    ['white space', ' ', 'not-well-formed'],
    ['white space before the element', ` ${openFrame(domain)}`, 'not-well-formed'],
    ['nothing', '', 'not-well-formed'],
    ['text', 'hello', 'not-well-formed'],
    ['a comment', `<!-- -->${openFrame(domain)}`, 'restricted-xml'],
    ['a stanza', "<message xmlns='jabber:client'/>", 'invalid-namespace'],
    ['an unknown element of the framing', `<ajar xmlns='${FRAMING}'/>`, 'bad-format'],
    ['a host that is not ours', openFrame('nowhere.test'), 'host-unknown'],
    ['no version', `<open xmlns='${FRAMING}' to='${domain}'/>`, 'unsupported-version'],
    [
      'what is too large before login',
      `<open xmlns='${FRAMING}' to='${domain}' id='${'x'.repeat(stanzaBytesBeforeAuth)}'/>`,
      'policy-violation',
    ],
  ])('%s in place of <open/> is answered with <open/>, the error and <close/>', async (_what, frame, error) => {
    await using client = await WebSocketClient.connect(http());
    client.send(frame);
    await client.expect('open', FRAMING);
    expect(await client.ending()).toEqual({ error, closed: true, code: 1000 });
  });

  test.each<[what: string, frame: string, error: string]>([
    ['two stanzas', "<message xmlns='jabber:client'/><message xmlns='jabber:client'/>", 'not-well-formed'],
    ['a stanza of no namespace', '<message/>', 'unsupported-stanza-type'],
    ['another <open/>', openFrame(domain), 'bad-format'],
    ['a prefix that only the stream of RFC 6120 declares', '<stream:error/>', 'not-well-formed'],
    [
      'a stanza that is too large',
      `<message xmlns='jabber:client'>${'x'.repeat(stanzaBytes)}</message>`,
      'policy-violation',
    ],
  ])('%s on a bound stream ends it', async (_what, frame, error) => {
    await using client = await enter('romeo');
    client.send(frame);
    expect(await client.ending()).toEqual({ error, closed: true, code: 1000 });
  });

  test('the stream error of a client ends the stream without another', async () => {
    await using client = await enter('romeo');
    client.send(
      `<stream:error xmlns:stream='${STREAM}'><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>`,
    );
    client.send(closeFrame);
    expect(await client.ending()).toEqual({ error: undefined, closed: true, code: 1000 });
  });

  test.each([
    ['a binary frame (RFC 7395 3.2)', Buffer.from(openFrame(domain)), 1003],
    ['a frame beyond every limit', 'x'.repeat(4 * stanzaBytes), 1009],
  ])('%s closes the WebSocket', async (_what, frame, code) => {
    await using client = await enter('romeo');
    client.send(frame);
    expect(await client.ending()).toMatchObject({ code });
  });

  test('control frames are part of no element, however many come before it', async () => {
    await using client = await WebSocketClient.connect(http());
    for (let i = 0; i < 200; i++) {
      client.socket.ping('x'.repeat(100));
      if (i % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await client.open(domain);
  });

  test('before login, a frame that grows too large is not waited for', async () => {
    const { address, port } = http();
    const socket = connect(port, address);
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
    socket.write(
      'GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n',
    );
    await expect.poll(() => text).toMatch(/^HTTP\/1\.1 101 /);
    // a text frame of 60000 bytes, masked with nothing, of which a third comes
    socket.write(Buffer.concat([Buffer.from([0x81, 0xfe, 0xea, 0x60, 0, 0, 0, 0]), Buffer.alloc(20_000, 0x3c)]));
    await expect.poll(() => text).toContain('policy-violation');
    socket.end();
    await closed;
  });
});

describe('stanzas', () => {
  test('go both ways between a WebSocket and a TCP connection, each with its namespace', async () => {
    await using lax = await start({ tls: { required: false } });
    await using web = await WebSocketClient.logIn(lax.addressOf('http'), { domain, user: 'romeo', password: 'secret' });
    const { client: tcp, jid } = await logIn(lax.c2s, { domain, user: 'juliet', password: 'secret' });
    web.send(`<message xmlns='jabber:client' to='${jid}' type='chat' id='1'><body>&lt;hi&gt; ü 🎭</body></message>`);
    const heard = await tcp.next();
    if (heard?.kind !== 'element') throw new Error('no message came');
    expect(heard.element.attrs.from).toBe(web.jid);
    expect(heard.element.getChildText('body')).toBe('<hi> ü 🎭');
    // inside a stream the namespace is the stream's
    expect(heard.element.toString()).not.toContain("xmlns='jabber:client'");

    tcp.write(
      `<message to='${web.jid}' type='chat'><body>ho</body><x xmlns='urn:x'><body xmlns='jabber:client'/></x></message>`,
    );
    const answer = await web.expect('message', 'jabber:client');
    expect(answer.attrs.from).toBe(jid);
    expect(answer.getChildText('body')).toBe('ho');
    expect(answer.getChild('x', 'urn:x')?.getChild('body', 'jabber:client')).toBeDefined();
    await tcp.destroy();
  });

  test('many in one turn are as many frames, in order', async () => {
    await using romeo = await enter('romeo');
    await using juliet = await enter('juliet');
    const ids = Array.from({ length: 500 }, (_, i) => String(i));
    for (const id of ids) romeo.send(`<message xmlns='jabber:client' to='${juliet.jid}' id='${id}'/>`);
    const seen: unknown[] = [];
    while (seen.length < ids.length) seen.push((await juliet.expect('message', 'jabber:client')).attrs.id);
    expect(seen).toEqual(ids);
  });

  test('a reader that does not read is cut off', async () => {
    await using limited = await start({ limits: { 'send-queue-bytes': 256 * 1024 } });
    const at = limited.addressOf('http');
    await using romeo = await WebSocketClient.logIn(at, { domain, user: 'romeo', password: 'secret' });
    await using juliet = await WebSocketClient.logIn(at, { domain, user: 'juliet', password: 'secret' });
    juliet.socket.pause();
    const body = 'x'.repeat(50_000);
    const isGone = () => [...limited.log].some(({ message }) => message === 'a reader was too slow');
    for (let i = 0; i < 400 && !isGone(); i++) {
      romeo.send(`<message xmlns='jabber:client' type='headline' to='${juliet.jid}'><body>${body}</body></message>`);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await expect.poll(isGone).toBe(true);
  });
});

describe('silence', () => {
  test('is broken by pings (RFC 7395 3.8), and who does not answer them is dropped', async () => {
    const clock = new FakeClock();
    await using timed = await start({}, { clock });
    await using client = await WebSocketClient.logIn(timed.addressOf('http'), {
      domain,
      user: 'romeo',
      password: 'secret',
    });
    await clock.advance(45_000);
    await expect.poll(() => client.pings).toBe(1);
    // a peer without a sound: not even its pongs get out
    client.socket.pause();
    await clock.advance(4 * 45_000);
    client.socket.resume();
    expect(await client.ending()).toMatchObject({ error: undefined, code: 1006 });
  });

  test('who does not log in in time is closed', async () => {
    const clock = new FakeClock();
    await using timed = await start({}, { clock });
    await using client = await WebSocketClient.connect(timed.addressOf('http'));
    await client.open(domain);
    await clock.advance(60_000);
    expect(await client.ending()).toEqual({ error: 'connection-timeout', closed: true, code: 1000 });
  });
});

describe('host-meta', () => {
  const linksOf = (base: string) => [
    { rel: 'urn:xmpp:alt-connections:websocket', href: `wss://${base}/xmpp-websocket` },
    { rel: 'urn:xmpp:alt-connections:xbosh', href: `https://${base}/http-bind` },
  ];
  const path = '/.well-known/host-meta';

  /** What is answered to somebody who knows the server by that name. */
  const ask = (url: string, host: string, headers = {}, at = http()) =>
    new Promise<{ status: number; type: string; cors: unknown; body: string }>((resolve, reject) => {
      const asked = request(
        { host: at.address, port: at.port, path: url, headers: { ...headers, host } },
        (response) => {
          let body = '';
          response.on('data', (chunk) => {
            body += chunk;
          });
          response.on('end', () =>
            resolve({
              status: response.statusCode ?? 0,
              type: String(response.headers['content-type']),
              cors: response.headers['access-control-allow-origin'],
              body,
            }),
          );
        },
      );
      asked.on('error', reject);
      asked.end();
    });

  test('names WebSocket and BOSH, in that order, in XML and in JSON, to pages of any origin', async () => {
    const base = `${domain}:${server.addressOf('https').port}`;
    const links = linksOf(base);
    const xml = await ask(path, `${domain}:${http().port}`);
    expect(xml).toMatchObject({ status: 200, cors: '*' });
    expect(xml.type).toMatch(/^application\/xrd\+xml/);
    const root = parse(xml.body.replace(/^<\?.*\?>/, ''));
    expect(root.is('XRD', 'http://docs.oasis-open.org/ns/xri/xrd-1.0')).toBe(true);
    expect(root.getChildren('Link').map(({ attrs }) => attrs)).toEqual(links);

    const json = await ask(`${path}.json`, domain);
    expect(json).toMatchObject({ status: 200, cors: '*' });
    expect(json.type).toMatch(/^application\/json/);
    expect(JSON.parse(json.body)).toEqual({ links });
  });

  test('each host has its own', async () => {
    const { body } = await ask(`${path}.json`, 'MANTUA.test');
    expect(JSON.parse(body).links[0].href).toMatch(/^wss:\/\/mantua\.test:/);
  });

  test.each([domain, `${domain}:8443`])('behind a proxy it is the proxy that is named: %s', async (host) => {
    const { body } = await ask(`${path}.json`, host, { 'x-forwarded-proto': 'https' });
    expect(JSON.parse(body).links).toEqual(linksOf(host));
  });

  test.each(['nowhere.test', `romeo@${domain}`, `${domain}/x`, '[::1]', `${domain}:99999999`, "'><x/>"])(
    'nothing is said of %s',
    async (host) => {
      expect(await ask(path, host)).toMatchObject({ status: 404 });
    },
  );

  test('there is none where nothing is reached with TLS', async () => {
    await using plain = await start({ listen: { http: 0, https: null } });
    expect(await ask(path, domain, {}, plain.addressOf('http'))).toMatchObject({ status: 404 });
  });

  test('other pages are for nobody else to read', async () => {
    expect((await ask('/healthz', domain)).cors).toBeUndefined();
  });
});
