// Files that are sent and read with programs of others: in a browser, from pages of another origin, Converse.js among them; and with Profanity.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChildServer, passwordOf, until } from '../kit/child-server.ts';
import { Chromium, type ChromiumPage } from '../kit/chromium.ts';
import { ConverseSite } from '../kit/converse-site.ts';
import { startProfanity } from '../kit/profanity.ts';
import { http, Sender } from '../kit/uploads.ts';

// (a name that leads a browser to the plain HTTP of this machine)
const domain = 'localhost';
const patience = 20_000;

let server: ChildServer;
let browser: Chromium;
let site: ConverseSite;
let tab: ChromiumPage;
let romeo: Sender;

beforeAll(async () => {
  server = await ChildServer.start({ hosts: { [domain]: {} }, database: 'memory' });
  await server.addUsers(domain, ['romeo', 'juliet']);
  const login = { user: 'romeo', password: passwordOf('romeo'), tls: 'starttls', domain } as const;
  romeo = await Sender.enter(server.address('c2s'), login);
  romeo.client.write('<presence/>');
  site = await ConverseSite.start();
  browser = await Chromium.start();
  const { address, port } = server.address('http');
  tab = await browser.open(
    site.url({
      auto_login: true,
      jid: `juliet@${domain}`,
      password: passwordOf('juliet'),
      websocket_url: `ws://${address}:${port}/xmpp-websocket`,
      view_mode: 'overlayed',
    }),
  );
  expect(await tab.until(patience, 'window.connections > 0'), tab.complaints.join('\n')).toBe(true);
}, 120_000);
afterAll(async () => {
  await browser?.[Symbol.asyncDispose]();
  site?.[Symbol.dispose]();
  await server?.[Symbol.asyncDispose]();
});

/** The next message with an address of a file. */
async function hearsOfFile(): Promise<{ readonly body: string; readonly url: string | null | undefined }> {
  for (;;) {
    const item = await romeo.client.next(patience);
    if (item?.kind !== 'element') throw new Error('nothing of a file was heard');
    const body = item.element.getChildText('body');
    if (body?.includes('/upload/'))
      return { body, url: item.element.getChild('x', 'jabber:x:oob')?.getChildText('url') };
  }
}

test('Converse.js sends a file from a page of another origin', async () => {
  const content = 'x'.repeat(100_000);
  await tab.evaluate(`(async () => {
    const chat = await api.chats.open('romeo@${domain}');
    await chat.sendFiles([new File(['${content}'], 'Ein Bild & mehr.png', { type: 'image/png' })]);
  })()`);
  const { body, url } = await hearsOfFile();
  expect(url).toBe(body);
  expect(body).toContain('/Ein%20Bild%20%26%20mehr.png');
  const got = await http('GET', body);
  expect([got.status, got.body.toString() === content, got.headers['content-type']]).toEqual([200, true, 'image/png']);
});

test('Profanity sends a file', async () => {
  await using juliet = await startProfanity(server, domain, 'juliet');
  const file = join(server.folder, 'letter.txt');
  writeFileSync(file, 'what light through yonder window');
  juliet.type(`/msg romeo@${domain} a letter comes`);
  await juliet.shows('a letter comes');
  let isHeard = false;
  const heard = hearsOfFile().finally(() => {
    isHeard = true;
  });
  // (it finds out what the server can do after it has logged in, and until then says that this is not possible)
  do juliet.type(`/sendfile ${file}`);
  while (!(await until(2_000, () => isHeard)));
  const { body, url } = await heard;
  expect(url).toBe(body);
  const got = await http('GET', body);
  expect([got.status, got.body.toString(), got.headers['content-type']]).toEqual([
    200,
    'what light through yonder window',
    'text/plain',
  ]);
}, 60_000);

test('a page of another origin reads a file whole and in parts, and what is said of it', async () => {
  const url = await romeo.send('0123456789', { name: 'a.txt', type: 'text/plain' });
  const read = (headers: object): Promise<unknown> =>
    tab.evaluate(`(async () => {
      const answer = await fetch(${JSON.stringify(url)}, { headers: ${JSON.stringify(headers)} });
      const told = ['content-range', 'content-length', 'content-disposition'].map((name) => answer.headers.get(name));
      return [answer.status, await answer.text(), ...told];
    })()`);
  const shown = `inline; filename="a.txt"; filename*=UTF-8''a.txt`;
  expect(await read({})).toEqual([200, '0123456789', null, '10', shown]);
  // (a part of it, and a header of its own, are asked for in advance)
  expect(await read({ range: 'bytes=2-4', 'x-of-its-own': '1' })).toEqual([206, '234', 'bytes 2-4/10', '3', shown]);
});

test('a page of another origin is told that a file is gone, and why one is not taken', async () => {
  const slot = await romeo.slot({ size: 10 });
  const status = (method: string, url: string, body?: string): Promise<number> =>
    tab.evaluate(`fetch(${JSON.stringify(url)}, ${JSON.stringify({ method, body })}).then(({ status }) => status)`);
  expect(await status('GET', slot.get)).toBe(404);
  expect(await status('PUT', slot.put, 'short')).toBe(400);
  expect(await status('PUT', slot.put, '0123456789')).toBe(201);
  expect(await status('PUT', slot.put, '0123456789')).toBe(409);
});

test('a script that was sent as a page does not run', async () => {
  const page = '<!doctype html><title>sent</title><script>document.title = "ran"</script>';
  const url = await romeo.send(page, { name: 'x.svg', type: 'image/png' });
  const script = `<svg xmlns="http://www.w3.org/2000/svg"><script>document.title = "ran"</script></svg>`;
  const picture = await romeo.send(script, { name: 'y.svg', type: 'image/svg+xml' });
  for (const one of [url, picture]) {
    const opened = await browser.open(one).catch(() => undefined);
    if (opened === undefined) continue;
    await until(1_000, async () => (await opened.evaluate('document.title')) === 'ran').then((ran) =>
      expect(ran).toBe(false),
    );
  }
});
