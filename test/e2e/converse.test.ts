// Converse.js in a browser, over WebSocket and over BOSH, from a page of another origin than the server's.
import { createReadStream } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openChaosPipe } from '../kit/chaos.ts';
import { ChildServer, passwordOf, until } from '../kit/child-server.ts';
import { Chromium } from '../kit/chromium.ts';
import type { StreamClient } from '../kit/client.ts';
import { logIn } from '../kit/login.ts';

const domain = 'browser.example';
const patience = 8_000;
const dist = dirname(fileURLToPath(import.meta.resolve('converse.js/dist/converse.min.js')));
const types: Readonly<Record<string, string>> = {
  js: 'text/javascript',
  css: 'text/css',
  json: 'application/json',
  wasm: 'application/wasm',
};

let server: ChildServer;
let browser: Chromium;
let site: Server;

beforeAll(async () => {
  server = await ChildServer.start({ hosts: { [domain]: {} } });
  await server.addUsers(domain, ['juliet', 'romeo']);
  await befriend('juliet', 'romeo');
  site = createServer(({ url = '/' }, response) => {
    const { pathname, searchParams } = new URL(url, 'http://127.0.0.1');
    if (pathname === '/') {
      response.setHeader('content-type', 'text/html; charset=utf-8');
      response.end(page(searchParams));
      return;
    }
    response.setHeader('content-type', types[pathname.split('.').at(-1) ?? ''] ?? 'application/octet-stream');
    const file = createReadStream(join(dist, normalize(pathname).replace(/^\/dist/, '')));
    file.on('error', () => response.writeHead(404).end());
    file.pipe(response);
  });
  await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
  browser = await Chromium.start();
});
afterAll(async () => {
  await browser?.[Symbol.asyncDispose]();
  site?.close();
  await server?.[Symbol.asyncDispose]();
});

/** Converse.js asks for a block list (XEP-0191) before it talks to strangers, and there is none. */
async function befriend(user: string, other: string): Promise<void> {
  const login = { domain, user, password: passwordOf(user), tls: 'starttls', resource: 'desktop' } as const;
  const { client } = await logIn(server.address('c2s'), login);
  const item = `<item jid='${other}@${domain}'/>`;
  client.write(`<iq type='set' id='1'><query xmlns='jabber:iq:roster'>${item}</query></iq>`);
  await client.next();
  await client.destroy();
}

/** A page with nothing but the client, which logs in. */
function page(wishes: URLSearchParams): string {
  const settings = {
    authentication: 'login',
    auto_login: true,
    jid: `juliet@${domain}`,
    password: passwordOf('juliet'),
    discover_connection_methods: false,
    [wishes.get('by') ?? '']: wishes.get('at'),
    assets_path: '/dist/',
    allow_non_roster_messaging: true,
    play_sounds: false,
    // the other modes show pictures from the project's own site
    view_mode: 'overlayed',
    i18n: 'en',
    whitelisted_plugins: ['probe'],
  };
  return `<!doctype html><html><head><meta charset="utf-8">
<link rel="stylesheet" href="/dist/converse.min.css"></head>
<body><script type="module">
import converse from "/dist/converse.min.js";
window.connections = 0;
converse.plugins.add('probe', { initialize() {
  window.api = this._converse.api;
  for (const event of ['connected', 'reconnected']) api.listen.on(event, () => connections++);
} });
converse.initialize(${JSON.stringify(settings)});
</script></body></html>`;
}

/** The bodies of messages that somebody gets. */
function listen(client: StreamClient): string[] {
  const heard: string[] = [];
  void (async () => {
    for (let item = await client.next(60_000); item?.kind === 'element'; item = await client.next(60_000)) {
      const body = item.element.getChildText('body');
      if (item.element.name === 'message' && body !== null) heard.push(body);
    }
  })().catch(() => {});
  return heard;
}

test.each([
  ['WebSocket', 'websocket_url', 'ws', '/xmpp-websocket'],
  ['BOSH', 'bosh_service_url', 'http', '/http-bind'],
])('somebody with Converse.js talks over %s, whatever happens to the connection', async (_name, by, scheme, path) => {
  await using pipe = await openChaosPipe(server.address('http'));
  const login = { domain, user: 'romeo', password: passwordOf('romeo'), tls: 'starttls', resource: 'desktop' } as const;
  const { client: romeo, jid } = await logIn(server.address('c2s'), login);
  romeo.write('<presence/>');
  const heard = listen(romeo);

  const at = `${scheme}://${pipe.address.address}:${pipe.address.port}${path}`;
  const { port } = site.address() as AddressInfo;
  const tab = await browser.open(`http://127.0.0.1:${port}/?${new URLSearchParams({ by, at })}`);
  expect(await tab.until(patience, 'window.connections > 0'), tab.complaints.join('\n')).toBe(true);

  const say = (text: string): Promise<void> =>
    tab.evaluate(`(async () => {
      const chat = await api.chats.open('romeo@${domain}');
      await chat.sendMessage({ body: ${JSON.stringify(text)} });
    })()`);
  const isShown = (text: string): Promise<boolean> =>
    tab.until(patience, `document.body.innerText.includes(${JSON.stringify(text)})`);
  const answer = (text: string): void =>
    romeo.write(`<message type='chat' to='juliet@${domain}'><body>${text}</body></message>`);

  await say('art thou not Romeo?');
  expect(await until(patience, () => heard.includes('art thou not Romeo?'))).toBe(true);
  answer('neither, fair saint');
  expect(await isShown('neither, fair saint')).toBe(true);

  pipe.reset();
  // until the server has noticed
  await new Promise((resolve) => setTimeout(resolve, 100));
  answer('said into the void');
  expect(await isShown('said into the void')).toBe(true);
  expect(await tab.until(patience, 'api.connection.connected()')).toBe(true);
  await say('how camest thou hither?');
  expect(await until(patience, () => heard.includes('how camest thou hither?'))).toBe(true);

  expect(heard).toEqual(['art thou not Romeo?', 'how camest thou hither?']);
  const elsewhere = tab.fetched.filter((url) => !/^((https?|wss?):\/\/127\.0\.0\.1:|data:|blob:|about:)/.test(url));
  expect(elsewhere).toEqual([]);
  expect(jid).toBe(`romeo@${domain}/desktop`);
  await tab.evaluate('void api.user.logout()');
  await romeo.destroy();
});

test('somebody with Converse.js makes a room, talks in it, and finds what was said after a reload', async () => {
  const login = { domain, user: 'romeo', password: passwordOf('romeo'), tls: 'starttls', resource: 'square' } as const;
  const { client: romeo } = await logIn(server.address('c2s'), login);
  romeo.write('<presence/>');
  const heard = listen(romeo);
  const room = `hall@groups.${domain}`;

  const at = server.address('http');
  const wishes = new URLSearchParams({
    by: 'websocket_url',
    at: `ws://${at.address}:${at.port}/xmpp-websocket`,
  });
  const url = `http://127.0.0.1:${(site.address() as AddressInfo).port}/?${wishes}`;
  const enterRoom = `(async () => {
    window.room = await api.rooms.open('${room}', { nick: 'juliet', auto_configure: true, roomconfig: { persistentroom: true } }, true);
  })()`;
  const isInside = `window.room?.session.get('connection_status') === 5`;
  const shows = (text: string): string => `document.body.innerText.includes(${JSON.stringify(text)})`;

  const tab = await browser.open(url);
  expect(await tab.until(patience, 'window.connections > 0'), tab.complaints.join('\n')).toBe(true);
  await tab.evaluate(enterRoom);
  expect(await tab.until(patience, isInside), tab.complaints.join('\n')).toBe(true);
  // it fills in the form after that
  expect(await tab.until(patience, `window.room.features.get('persistent')`)).toBe(true);
  romeo.write(`<presence to='${room}/romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>`);
  expect(await tab.until(patience, `window.room.occupants.findWhere({ nick: 'romeo' }) !== undefined`)).toBe(true);
  romeo.write(`<message type='groupchat' id='r' to='${room}'><body>with love’s light wings</body></message>`);
  expect(await tab.until(patience, shows('with love’s light wings'))).toBe(true);
  await tab.evaluate(`(async () => { await window.room.sendMessage({ body: "how camest thou?" }); })()`);
  expect(await until(patience, () => heard.includes('how camest thou?'))).toBe(true);

  const again = await browser.open(url);
  expect(await again.until(patience, 'window.connections > 0'), again.complaints.join('\n')).toBe(true);
  await again.evaluate(enterRoom);
  for (const text of ['with love’s light wings', 'how camest thou?']) {
    expect(await again.until(patience, shows(text)), text).toBe(true);
  }
  await again.evaluate('void api.user.logout()');
  await romeo.destroy();
});

test('the server never logged an error', () => {
  expect(server.output.split('\n').filter((line) => line.includes('"level":"error"'))).toEqual([]);
});
