// The web client as the server brings it: at /chat, with nothing from anywhere else, and signed in for whoever has just chosen a password.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { Session } from '../../src/core/sessions.ts';
import { invitations } from '../../src/modules/invitations/service.ts';
import { webSignIn } from '../../src/modules/web-chat/hand-over.ts';
import type { Server } from '../../src/server.ts';
import { StreamError } from '../../src/xmpp/errors.ts';
import { Chromium, type ChromiumPage } from '../kit/chromium.ts';
import { addContact, enterRoom, pick, say } from '../kit/converse.ts';
import { logIn as kitLogIn } from '../kit/login.ts';
import { PrefixProxy } from '../kit/prefix-proxy.ts';
import { startServer } from '../kit/test-server.ts';

// its files are at http://localhost, which is elsewhere for a page at http://127.0.0.1
const domain = 'localhost';
const secret = 'a rose by any other name';
const timeout = 60_000;
const folder = mkdtempSync(join(tmpdir(), 'parley-web-chat-'));
/** One pixel. */
const picture = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);

let server: Server;
let browser: Chromium;
let base: string;
let files: string;
const pages: ChromiumPage[] = [];

beforeAll(async () => {
  // clients refuse keys that are made in fewer rounds
  server = await startServer({ hosts: { [domain]: {} }, listen: { http: 0 } }, { iterations: 4096 });
  for (const user of ['romeo', 'juliet', 'nurse']) await server.hosts.get(domain)!.accounts.create(user, secret);
  base = `http://127.0.0.1:${server.address('http')!.port}`;
  files = `http://localhost:${server.address('http')!.port}`;
  browser = await Chromium.start();
}, 120_000);
afterAll(async () => {
  await browser?.[Symbol.asyncDispose]();
  await server?.stop();
  rmSync(folder, { recursive: true });
});

async function open(path: string): Promise<ChromiumPage> {
  const page = await browser.open(base + path, true);
  pages.push(page);
  return page;
}

async function logIn(user: string): Promise<ChromiumPage> {
  const page = await open('/chat');
  await page.click('input[name=jid]');
  await page.type(user);
  await page.click('input[name=password]');
  await page.type(secret);
  await page.click('form [type=submit]');
  await page.shows('I am online');
  return page;
}

const ticket = (user: string): Promise<string> => server.hosts.get(domain)!.find(webSignIn)!.ticket(user, secret);

test('people log in with their names alone, talk, enter a room, and choose a smiley', { timeout }, async () => {
  const romeo = await logIn('romeo');
  const juliet = await logIn('juliet');
  await addContact(romeo, `juliet@${domain}`);
  await pick(juliet, `converse-roster-contact:has([data-jid="romeo@${domain}"])`, 'Accept as contact');
  await juliet.click('converse-accept-contact-request-modal [type=submit]');
  await romeo.click(`converse-roster .open-chat[data-jid="juliet@${domain}"]`);
  await say(romeo, 'art thou not Capulet? :smiley: https://pictures.example/rose.png');
  await juliet.click(`converse-roster .open-chat[data-jid="romeo@${domain}"]`);
  await juliet.shows('art thou not Capulet?');
  // what lies elsewhere is a link
  await juliet.shows('https://pictures.example/rose.png');
  // nor is what is attached, which the client would show (XEP-0066)
  const nurse = await kitLogIn(server.address('c2s')!, { domain, user: 'nurse', password: secret });
  const attached = "<x xmlns='jabber:x:oob'><url>https://pictures.example/thorn.png</url></x>";
  nurse.client.write(`<message type='chat' to='juliet@${domain}'><body>see this</body>${attached}</message>`);
  await juliet.click(`converse-roster .open-chat[data-jid="nurse@${domain}"]`);
  await juliet.shows('see this');
  await nurse.client.destroy();

  await enterRoom(romeo, 'The Square', '');
  await romeo.shows('A new groupchat has been created');
  await romeo.shows('romeo has entered the groupchat');
  await romeo.click('converse-emoji-dropdown button');
  await romeo.shows('Smileys and emotions');
});

test('a picture is sent from the page, and seen by the other', { timeout }, async () => {
  const [romeo, juliet] = pages as [ChromiumPage, ChromiumPage];
  const file = join(folder, 'rose.png');
  writeFileSync(file, picture);
  await romeo.click(`converse-roster .open-chat[data-jid="juliet@${domain}"]`);
  await romeo.until(10_000, "document.querySelector('input.fileupload') !== null");
  await romeo.choose('input.fileupload', file);
  await juliet.until(15_000, "document.querySelector('converse-roster .unread-msgs') !== null");
  await juliet.click(`converse-roster .open-chat[data-jid="romeo@${domain}"]`);
  const isSeen = `[...document.querySelectorAll('.chat-msg__media img, .chat-msg__text img')]
    .some(({ src, complete, naturalWidth }) => src.startsWith('${files}/') && complete && naturalWidth === 1)`;
  expect(await juliet.until(15_000, isSeen), await juliet.evaluate('document.body.innerText')).toBe(true);
});

test('a ticket opens it signed in, leaves no trace in the address, and is needed only once', { timeout }, async () => {
  const path = await ticket('nurse');
  const nurse = await open(path);
  await nurse.shows('I am online');
  await nurse.shows(`nurse@${domain}`);
  expect(await nurse.evaluate('location.href')).toBe(`${base}/chat`);
  expect(await nurse.evaluate('history.length')).toBeLessThan(3);
  const token = path.split('=')[1]!;
  expect(nurse.fetched.filter((url) => url.includes(token))).toEqual([]);

  // the next time it is there as after a login with the password
  await nurse.evaluate('(window.isOld = true, location.reload())');
  expect(await nurse.until(20_000, "!window.isOld && document.body?.innerText.includes('I am online')")).toBe(true);
  const streamOf = (): Session['stream'] =>
    [...server.sessions.all()].find(({ jid, stream }) => jid.local === 'nurse' && stream !== undefined)?.stream;
  const before = await vi.waitUntil(streamOf, 10_000);
  before.close(new StreamError('reset'));
  await vi.waitUntil(() => ![undefined, before].includes(streamOf()), 20_000);
  await nurse.shows('I am online');

  const other = await open(path);
  await other.shows('Log in');
  expect(await other.evaluate('location.href')).toBe(`${base}/chat`);
});

test('a ticket puts nobody into another account unawares', { timeout }, async () => {
  const nurse = pages.find(({ fetched }) => fetched.some((url) => url.endsWith('/chat/sign-in')))!;
  const stays = async (): Promise<boolean> => {
    await nurse.shows('I am online');
    return nurse.evaluate(`document.querySelector('converse-user-profile').innerText.includes('nurse@${domain}')`);
  };
  const visit = (path: string): Promise<unknown> =>
    nurse.evaluate(`(location.href = ${JSON.stringify(path)}, location.reload())`);
  await visit(await ticket('romeo'));
  await nurse.click('#notice button', `Stay nurse@${domain}`);
  expect(await stays()).toBe(true);
  await visit(await ticket('romeo'));
  await nurse.click('#notice button', `Sign in as romeo@${domain}`);
  expect(await stays()).toBe(false);
});

test('it works below a path of a web server in front', { timeout }, async () => {
  using proxy = await PrefixProxy.start('/below', server.address('http')!.port);
  const page = await browser.open(`${proxy.url}${await ticket('romeo')}`, true);
  await page.shows('I am online');
  expect(page.fetched).toContain(`${proxy.url.replace('http', 'ws')}/xmpp-websocket`);
  expect(proxy.strays).toEqual([]);
  expect([...page.complaints, ...page.refused]).toEqual([]);
  await page.evaluate("void (location.href = 'about:blank')");
});

test('who comes over plain HTTP from elsewhere is told why there is no chat', { timeout }, async () => {
  const page = await browser.open(`${base.replace('127.0.0.1', 'lan.example')}/chat`, true);
  await page.shows('use an address with https');
  expect(page.complaints).toEqual([]);
});

test('somebody asks for an invitation below their own name, and gets a link to pass on', { timeout }, async () => {
  const [juliet] = pages.slice(1);
  await juliet!.click('.parley-invite');
  await juliet!.shows('Whoever opens this link');
  const link = await juliet!.evaluate<string>("document.querySelector('.parley-invitation').href");
  const [invitation] = await server.hosts.get(domain)!.find(invitations)!.list();
  expect(invitation).toMatchObject({ page: link, inviter: `juliet@${domain}`, kind: 'contact', makesAccount: true });
});

test('nothing was fetched from elsewhere, nothing was kept from the page, and nothing went wrong in it', () => {
  for (const page of pages) {
    const own = [base, files, base.replace('http', 'ws'), 'data:', `blob:${base}`];
    expect(page.fetched.filter((url) => !own.some((start) => url.startsWith(start)))).toEqual([]);
    const refused = page.refused.filter((text) => !text.includes("'https://pictures.example/thorn.png'"));
    expect(refused).toEqual([]);
    expect(page.complaints).toEqual([]);
  }
});
