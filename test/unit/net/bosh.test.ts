// XMPP over BOSH as a client sees it (XEP-0124, XEP-0206), on a whole server. The rules for requests are in bosh-session.test.ts.
import { createConnection } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ConfigInput } from '../../../src/config/server.ts';
import { type BodyAttrs, BoshClient, bodyXml, exchange, HTTPBIND, wrapperOf } from '../../kit/bosh-client.ts';
import { FakeClock } from '../../kit/clock.ts';
import { logIn } from '../../kit/login.ts';
import { TestServer, type TestServerOptions } from '../../kit/test-server.ts';

const domain = 'verona.test';
const STREAM = 'http://etherx.jabber.org/streams';
const settings: ConfigInput = {
  hosts: { [domain]: {}, 'mantua.test': {} },
  tls: { required: true },
  listen: { http: 0, https: 0 },
  limits: { 'stanza-bytes': 64 * 1024, 'stanza-bytes-before-auth': 8 * 1024 },
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
const enter = (user: string, resource: string, attrs: BodyAttrs = {}): Promise<BoshClient> =>
  BoshClient.logIn(http(), { domain, user, password: 'secret', resource }, attrs);
const message = (to: string, text: string): string =>
  `<message xmlns='jabber:client' type='chat' to='${to}'><body>${text}</body></message>`;

/** A figure of the metrics. */
async function figure(of: TestServer, name: string): Promise<number | undefined> {
  const { address, port } = of.addressOf('http');
  const lines = (await (await fetch(`http://${address}:${port}/metrics`)).text()).split('\n');
  const line = lines.find((one) => one.startsWith(`parley_${name} `));
  return line === undefined ? undefined : Number(line.split(' ').at(-1));
}

describe('over HTTP (XEP-0124 4)', () => {
  test.each(['/http-bind', '/http-bind/', '/http-bind?x=y'])('requests are taken at %s', async (path) => {
    const client = new BoshClient(http(), { path });
    expect((await client.create({ to: domain })).attrs.sid).toBeDefined();
  });

  test('pages of any origin may send them, and read the responses', async () => {
    const { address, port } = http();
    const url = `http://${address}:${port}/http-bind`;
    const asked = await fetch(url, {
      method: 'OPTIONS',
      headers: {
        origin: 'https://elsewhere.test',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type',
      },
    });
    expect(asked.status).toBe(204);
    expect(asked.headers.get('access-control-allow-origin')).toBe('*');
    expect(asked.headers.get('access-control-allow-methods')).toContain('POST');
    expect(asked.headers.get('access-control-allow-headers')).toBe('Content-Type');
    const { headers } = await new BoshClient(http()).raw(bodyXml({ rid: 1, to: domain, ver: '1.6' })).answer;
    expect(headers['access-control-allow-origin']).toBe('*');
  });

  test('responses are XML of known length, and not to be kept', async () => {
    const { headers, text } = await exchange(http(), bodyXml({ rid: 1, to: domain, ver: '1.6' })).answer;
    expect(headers).toMatchObject({
      'content-type': 'text/xml; charset=utf-8',
      'content-length': String(Buffer.byteLength(text)),
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    });
    expect(headers['transfer-encoding']).toBeUndefined();
  });

  test('whatever type a request claims to be is ignored', async () => {
    const client = new BoshClient(http(), { headers: { 'content-type': 'application/x-www-form-urlencoded' } });
    expect((await client.create({ to: domain })).attrs.sid).toBeDefined();
  });

  test('HTTP/1.0 will do', async () => {
    const body = bodyXml({ rid: 1, to: domain, ver: '1.6' });
    const { address, port } = http();
    const text = await new Promise<string>((resolve, reject) => {
      let all = '';
      const socket = createConnection(port, address, () =>
        socket.write(`POST /http-bind HTTP/1.0\r\nContent-Length: ${body.length}\r\n\r\n${body}`),
      );
      socket.on('data', (chunk) => {
        all += chunk;
      });
      socket.on('end', () => resolve(all)).on('error', reject);
    });
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
    expect(text).toContain(' sid=');
  });

  test('who comes with another method is told what this is for', async () => {
    const { address, port } = http();
    const response = await fetch(`http://${address}:${port}/http-bind`);
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST, OPTIONS']);
    expect(await response.text()).toContain('XEP-0124');
  });

  test('compressed requests are refused: they were not offered', async () => {
    const { status } = await exchange(http(), 'x', { headers: { 'content-encoding': 'gzip' } }).answer;
    expect(status).toBe(415);
  });
});

describe('TLS', () => {
  test('over HTTPS there is no channel to bind to, and no STARTTLS', async () => {
    const client = new BoshClient(server.addressOf('https'), { secure: true });
    const features = (await client.create({ to: domain })).getChild('features', STREAM);
    const mechanisms = features?.getChild('mechanisms')?.getChildren('mechanism');
    expect(mechanisms?.map((one) => one.text()).filter((name) => name.endsWith('-PLUS'))).toEqual([]);
    expect(mechanisms?.length).toBeGreaterThan(0);
    expect(features?.getChild('starttls')).toBeUndefined();
    await client.authenticate({ domain, user: 'romeo', password: 'secret', resource: 'https' });
    expect(client.jid).toBe(`romeo@${domain}/https`);
  });

  const fromOutside = { 'x-forwarded-for': '192.0.2.1', 'x-forwarded-proto': 'http' };

  test('who comes without it is sent to where it is', async () => {
    const headers = { ...fromOutside, host: `${domain}:5280` };
    const { text } = await exchange(http(), bodyXml({ rid: 1, to: domain, ver: '1.6' }), { headers }).answer;
    const { port } = server.addressOf('https');
    expect(text).toBe(
      `<body xmlns='${HTTPBIND}' type='terminate' condition='see-other-uri'><uri>https://${domain}:${port}/http-bind</uri></body>`,
    );
  });

  test('or refused, where that is not known', async () => {
    const { text } = await exchange(http(), bodyXml({ rid: 1, to: domain, ver: '1.6' }), { headers: fromOutside })
      .answer;
    expect(text).toContain("condition='policy-violation'");
    const legacy = await exchange(http(), bodyXml({ rid: 1, to: domain }), { headers: fromOutside }).answer;
    expect(legacy.status).toBe(403);
  });
});

describe('the stream (XEP-0206)', () => {
  test('the features come with the session, and again behind the restart', async () => {
    const client = new BoshClient(http());
    const body = await client.create({ to: domain });
    expect(body.attrs['xmlns:stream']).toBe(STREAM);
    expect(body.getChild('features', STREAM)?.getChild('mechanisms')).toBeDefined();
    const auth = Buffer.from('\0romeo\0secret').toString('base64');
    await client.ask(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${auth}</auth>`);
    // what is in the request is ignored (XEP-0206 5)
    const stanza = "<iq xmlns='jabber:client' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>";
    const restarted = await client.ask(stanza, { 'xmpp:restart': '1' });
    expect(restarted.getChildElements().map((one) => one.name)).toEqual(['stream:features']);
    expect(restarted.getChild('features', STREAM)?.getChild('bind')).toBeDefined();
  });

  test('what is not said again holds on', async () => {
    const client = await enter('romeo', 'lang');
    const other = await enter('juliet', 'lang');
    expect(client.jid).toBe(`romeo@${domain}/lang`);
    const held = other.send();
    client.send(message(other.jid, 'hi'));
    const heard = wrapperOf(await held.answer).getChild('message', 'jabber:client');
    expect(heard?.attrs['xml:lang']).toBe('en');
  });

  test('without a restart nothing goes on, and without a reason there is none', async () => {
    const client = new BoshClient(http());
    await client.create({ to: domain });
    const early = await client.ask('', { 'xmpp:restart': 'true' });
    expect(early.getChild('error', STREAM)?.getChild('bad-format')).toBeDefined();
    const other = new BoshClient(http());
    await other.create({ to: domain });
    const auth = Buffer.from('\0romeo\0secret').toString('base64');
    await other.ask(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${auth}</auth>`);
    const bind = "<iq xmlns='jabber:client' type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
    const refused = await other.ask(bind);
    expect(refused.attrs).toMatchObject({ type: 'terminate', condition: 'remote-stream-error' });
  });

  test('a wrong password is refused, and another try is possible', async () => {
    const client = new BoshClient(http());
    await client.create({ to: domain });
    const auth = Buffer.from('\0romeo\0wrong').toString('base64');
    const answer = await client.ask(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${auth}</auth>`);
    expect(answer.getChild('failure')?.getChild('not-authorized')).toBeDefined();
    await client.authenticate({ domain, user: 'romeo', password: 'secret', resource: 'second' });
  });

  test('a version that is none of ours is refused', async () => {
    const body = await new BoshClient(http()).create({ to: domain, 'xmpp:version': '0.9' });
    expect(body.attrs.condition).toBe('remote-stream-error');
    expect(body.getChild('error', STREAM)?.getChild('unsupported-version')).toBeDefined();
  });

  test('several stanzas in one request are taken in order, and come in order', async () => {
    const romeo = await enter('romeo', 'many');
    const juliet = await enter('juliet', 'many');
    const texts = Array.from({ length: 50 }, (_, i) => `line ${i} &lt;ü&gt;`);
    const sent = romeo.send(texts.map((text) => message(juliet.jid, text)).join(''));
    const heard: string[] = [];
    while (heard.length < texts.length) {
      const { children } = await juliet.ask();
      for (const child of children) if (typeof child === 'object') heard.push(child.getChildText('body') ?? '');
    }
    expect(heard).toEqual(texts.map((text) => text.replace('&lt;', '<').replace('&gt;', '>')));
    sent.request.destroy();
  });

  test('somebody in a browser and somebody on a desktop talk', async () => {
    const romeo = await enter('romeo', 'web');
    const login = { domain, user: 'juliet', password: 'secret', tls: 'starttls', resource: 'desktop' } as const;
    const { client: juliet, jid } = await logIn(server.c2s, login);
    const held = romeo.send(message(jid, 'to the desktop'));
    const first = await juliet.next();
    expect(first?.kind === 'element' && first.element.getChildText('body')).toBe('to the desktop');
    juliet.write(message(romeo.jid, 'to the web'));
    const heard = wrapperOf(await held.answer);
    expect(heard.getChild('message')?.getChildText('body')).toBe('to the web');
    await juliet.destroy();
  });

  test('who ends the session is gone, behind its last words', async () => {
    const romeo = await enter('romeo', 'bye');
    const juliet = await enter('juliet', 'bye');
    const held = juliet.send();
    const end = await romeo.ask(message(juliet.jid, 'good night'), { type: 'terminate' });
    expect(end.attrs.type).toBe('terminate');
    expect(
      wrapperOf(await held.answer)
        .getChild('message')
        ?.getChildText('body'),
    ).toBe('good night');
    const answer = await juliet.ask(
      `<iq xmlns='jabber:client' type='get' id='1' to='${romeo.jid}'><ping xmlns='urn:xmpp:ping'/></iq>`,
    );
    expect(answer.getChild('iq')?.attrs.type).toBe('error');
    const after = await romeo.ask();
    expect(after.attrs).toMatchObject({ type: 'terminate', condition: 'item-not-found' });
  });

  test('who is thrown out learns why', async () => {
    const romeo = await enter('romeo', 'same');
    const held = romeo.send();
    await enter('romeo', 'same');
    const body = wrapperOf(await held.answer);
    expect(body.attrs).toMatchObject({ type: 'terminate', condition: 'remote-stream-error' });
    expect(body.getChild('error', STREAM)?.getChild('conflict')).toBeDefined();
  });
});

describe('what is wrapped', () => {
  test.each([
    [
      'has the namespace of the wrapper',
      `<body xmlns='${HTTPBIND}' ATTRS><iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq></body>`,
    ],
    [
      'has its own',
      `<body xmlns='${HTTPBIND}' ATTRS><iq xmlns='jabber:client' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq></body>`,
    ],
    [
      'inherits one from a wrapper with a prefix',
      `<b:body xmlns:b='${HTTPBIND}' xmlns='jabber:client' ATTRS><iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq></b:body>`,
    ],
    [
      'uses prefixes of the wrapper',
      `<body xmlns='${HTTPBIND}' xmlns:c='jabber:client' xmlns:p='urn:xmpp:ping' ATTRS><c:iq type='get' id='1'><p:ping/></c:iq></body>`,
    ],
    [
      'stands between white space, behind a declaration and a byte order mark',
      `\ufeff<?xml version='1.0' encoding='utf-8'?>\n<body xmlns='${HTTPBIND}' ATTRS>\n  <iq xmlns='jabber:client' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>\r\n</body>\n`,
    ],
  ])('is a stanza when it %s (XEP-0206 2)', async (_what, text) => {
    const client = await enter('romeo', 'ns');
    const request = text.replace('ATTRS', `rid='${++client.rid}' sid='${client.sid}'`);
    const answer = wrapperOf(await client.raw(request).answer);
    expect(answer.getChild('iq', 'jabber:client')?.attrs).toMatchObject({ id: '1', type: 'result' });
  });

  test.each([
    ['text', 'hello', 'bad-format'],
    ['a section of text', '<![CDATA[hello]]>', 'bad-format'],
    ['a comment', '<!-- hello -->', 'restricted-xml'],
    ['an instruction', '<?hello?>', 'restricted-xml'],
    ['half an element', "<message xmlns='jabber:client'>", 'not-well-formed'],
    ['an unknown entity', "<message xmlns='jabber:client'>&nbsp;</message>", 'restricted-xml'],
    ['the end, and another wrapper', `</body><body xmlns='${HTTPBIND}'>`, 'not-well-formed'],
    ['the end, and more', '</body>more<body>', 'not-well-formed'],
    ['a prefix that nobody declared', '<a:b/>', 'not-well-formed'],
    ['something that is too large', message('juliet@verona.test', 'x'.repeat(70_000)), 'policy-violation'],
    ['a stanza of servers', "<message xmlns='jabber:server' to='juliet@verona.test'/>", undefined],
  ])('must not be %s', async (_what, content, condition) => {
    const client = await enter('romeo', 'wrong');
    const body = await client.ask(content);
    expect(body.attrs).toMatchObject({ type: 'terminate', condition: 'remote-stream-error' });
    const error = body.getChild('error', STREAM);
    if (condition !== undefined) expect(error?.getChild(condition)).toBeDefined();
    expect((await client.ask()).attrs.condition).toBe('item-not-found');
  });

  test('must be UTF-8', async () => {
    const client = await enter('romeo', 'utf8');
    const text = Buffer.from(client.next(message('juliet@verona.test', 'caf?')));
    text[text.indexOf('?')] = 0xe9;
    const body = wrapperOf(await client.raw(text).answer);
    expect(body.getChild('error', STREAM)?.getChild('unsupported-encoding')).toBeDefined();
  });

  test('does not choose the namespace of stanzas by what it declares', async () => {
    const client = await enter('romeo', 'smuggler');
    const content = "<message xmlns='jabber:server' to='juliet@verona.test'/>";
    const body = await client.ask(content, { 'xmlns:s': 'jabber:server' });
    expect(body.attrs.condition).toBe('remote-stream-error');
  });

  test('cannot say that it comes from somebody else', async () => {
    const romeo = await enter('romeo', 'spoof');
    const juliet = await enter('juliet', 'spoof');
    const body = await romeo.ask(
      `<message xmlns='jabber:client' from='nurse@${domain}' to='${juliet.jid}'><body>x</body></message>`,
      { from: `nurse@${domain}` },
    );
    expect(body.getChild('error', STREAM)?.getChild('invalid-from')).toBeDefined();
  });

  test.each([
    ['nothing', ''],
    ['no XML', 'hello'],
    ['half a tag', `<body xmlns='${HTTPBIND}' rid='1'`],
    ['another element', "<message xmlns='jabber:client' rid='1'/>"],
    ['another namespace', "<body xmlns='jabber:client' rid='1'/>"],
    ['a document type', `<!DOCTYPE body><body xmlns='${HTTPBIND}' rid='1'/>`],
    ['an attribute that is there twice', `<body xmlns='${HTTPBIND}' rid='1' rid='2'/>`],
    ['no identifier', `<body xmlns='${HTTPBIND}' to='${domain}'/>`],
  ])('is not looked for in %s', async (_what, text) => {
    const { text: answer } = await exchange(http(), text).answer;
    expect(answer).toBe(`<body xmlns='${HTTPBIND}' type='terminate' condition='bad-request'/>`);
  });
});

test('what is too large before anybody has logged in ends the stream', async () => {
  const client = new BoshClient(http());
  await client.create({ to: domain });
  const body = await client.ask(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>${'x'.repeat(10_000)}</auth>`);
  expect(body.getChild('error', STREAM)?.getChild('policy-violation')).toBeDefined();
});

test('a flood of stanzas is slowed down, and nothing of it is lost', async () => {
  await using limited = await start({
    limits: { enabled: true, 'stanzas-per-second': 100, 'stanzas-burst': 20, 'bytes-per-second': '1MB' },
  });
  const login = (user: string) => ({ domain, user, password: 'secret', resource: 'flood' });
  const romeo = await BoshClient.logIn(limited.addressOf('http'), login('romeo'));
  const juliet = await BoshClient.logIn(limited.addressOf('http'), login('juliet'));
  const begun = Date.now();
  romeo.send(Array.from({ length: 60 }, (_, i) => message(juliet.jid, String(i))).join(''));
  const heard: string[] = [];
  while (heard.length < 60) {
    for (const child of (await juliet.ask()).getChildElements()) heard.push(child.getChildText('body') ?? '');
  }
  expect(heard).toEqual(Array.from({ length: 60 }, (_, i) => String(i)));
  expect(Date.now() - begun).toBeGreaterThan(300);
  // a stop waits a little for those who could still be told
  for (const one of [romeo, juliet]) await one.ask('', { type: 'terminate' });
});

test('too many sessions of one address are refused, and told so', async () => {
  await using limited = await start({ limits: { enabled: true, 'connections-per-address': 2 } });
  const address = limited.addressOf('http');
  const allowed = [new BoshClient(address), new BoshClient(address)];
  for (const one of allowed) await one.create({ to: domain });
  const body = await new BoshClient(address).create({ to: domain });
  expect(body.attrs.condition).toBe('remote-stream-error');
  expect(body.getChild('error', STREAM)?.getChild('policy-violation')).toBeDefined();
  for (const one of allowed) await one.ask('', { type: 'terminate' });
});

test('who does not log in has to go, and who is silent is unavailable', async () => {
  const clock = new FakeClock();
  await using still = await start({ limits: { enabled: false, 'auth-timeout': '20s' } }, { clock });
  const stranger = new BoshClient(still.addressOf('http'));
  await stranger.create({ to: domain });
  const login = { domain, user: 'romeo', password: 'secret', resource: 'silent' };
  await BoshClient.logIn(still.addressOf('http'), login);
  expect(await figure(still, 'sessions{host="verona.test"}')).toBe(1);
  await clock.advance(30_000);
  const body = await stranger.ask();
  expect(body.getChild('error', STREAM)?.getChild('connection-timeout')).toBeDefined();
  await clock.advance(40_000);
  expect(await figure(still, 'sessions{host="verona.test"}')).toBe(0);
});

test('sessions are counted', async () => {
  await using counted = await start();
  expect(await figure(counted, 'bosh_sessions')).toBe(0);
  const client = new BoshClient(counted.addressOf('http'));
  await client.create({ to: domain });
  expect(await figure(counted, 'bosh_sessions')).toBe(1);
  await client.ask('', { type: 'terminate' });
  expect(await figure(counted, 'bosh_sessions')).toBe(0);
});

test('a server that stops tells those who wait', async () => {
  const stopping = await start();
  const login = { domain, user: 'romeo', password: 'secret', resource: 'last' };
  const romeo = await BoshClient.logIn(stopping.addressOf('http'), login);
  const held = romeo.send();
  await new Promise((resolve) => setTimeout(resolve, 50));
  await stopping.stop();
  const body = wrapperOf(await held.answer);
  expect(body.attrs.condition).toBe('remote-stream-error');
  expect(body.getChild('error', STREAM)?.getChild('system-shutdown')).toBeDefined();
});
