// Converse.js in a browser, over WebSocket and over BOSH, from a page of another origin than the server's.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openChaosPipe } from '../kit/chaos.ts';
import { ChildServer, passwordOf, until } from '../kit/child-server.ts';
import { Chromium } from '../kit/chromium.ts';
import type { StreamClient } from '../kit/client.ts';
import { confirm, openConverse, pick } from '../kit/converse.ts';
import { ConverseSite } from '../kit/converse-site.ts';
import { logIn } from '../kit/login.ts';

const domain = 'browser.example';
const patience = 15_000;

let server: ChildServer;
let browser: Chromium;
let site: ConverseSite;

beforeAll(async () => {
  server = await ChildServer.start({ hosts: { [domain]: {} } });
  await server.addUsers(domain, ['juliet', 'romeo', 'nurse', 'peter']);
  site = await ConverseSite.start();
  browser = await Chromium.start();
}, 120_000);
afterAll(async () => {
  await browser?.[Symbol.asyncDispose]();
  site?.[Symbol.dispose]();
  await server?.[Symbol.asyncDispose]();
});

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
  const account = { auto_login: true, jid: `juliet@${domain}`, password: passwordOf('juliet') };
  // the other modes show pictures from the project's own site
  const tab = await browser.open(site.url({ ...account, [by]: at, view_mode: 'overlayed' }));
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

test('somebody blocks somebody by clicks, hears nothing of them, and lets them talk again', {
  timeout: 60_000,
}, async () => {
  const nurse = await openConverse(browser, site, server, domain, 'nurse');
  const login = { domain, user: 'peter', password: passwordOf('peter'), tls: 'starttls', resource: 'desktop' } as const;
  const { client: peter } = await logIn(server.address('c2s'), login);
  const say = (text: string): void =>
    peter.write(`<message type='chat' to='nurse@${domain}' id='${text}'><body>${text}</body></message>`);
  say('anon');
  await nurse.click(`converse-roster .open-chat[data-jid="peter@${domain}"]`);
  await nurse.shows('anon');

  await pick(nurse, 'converse-chat-heading', 'Block this user');
  await confirm(nurse);
  await pick(nurse, 'converse-roster', 'Show block list');
  await nurse.click('converse-blocklist-modal label', `peter@${domain}`);
  say('fan');
  const answer = await peter.next(patience);
  expect(answer?.kind === 'element' && answer.element.attrs).toMatchObject({ type: 'error', id: 'fan' });

  await nurse.click('converse-blocklist-modal [type=submit]', 'Unblock selected users');
  await nurse.shows('No blocked XMPP addresses');
  say('before, and apace');
  await nurse.click('converse-blocklist-modal .modal-footer button', 'Close');
  await nurse.click(`converse-roster .open-chat[data-jid="peter@${domain}"]`);
  await nurse.shows('before, and apace');
  expect(await nurse.evaluate("document.body.innerText.includes('fan')")).toBe(false);
  await peter.destroy();
});

test('the server never logged an error', () => {
  expect(server.output.split('\n').filter((line) => line.includes('"level":"error"'))).toEqual([]);
});
