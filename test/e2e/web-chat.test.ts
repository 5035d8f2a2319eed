// The web client as the server brings it: at /chat, with nothing from anywhere else, and signed in by whoever has just chosen a password.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChildServer, passwordOf } from '../kit/child-server.ts';
import { Chromium, type ChromiumPage } from '../kit/chromium.ts';
import { addContact, enterRoom, say } from '../kit/converse.ts';

const domain = 'browser.example';
const timeout = 60_000;

let server: ChildServer;
let browser: Chromium;
let base: string;

beforeAll(async () => {
  server = await ChildServer.start({ hosts: { [domain]: {} }, database: 'memory' });
  await server.addUsers(domain, ['romeo', 'juliet']);
  base = `http://127.0.0.1:${server.address('http').port}`;
  browser = await Chromium.start();
}, 120_000);
afterAll(async () => {
  await browser?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
});

async function logIn(user: string): Promise<ChromiumPage> {
  const page = await browser.open(`${base}/chat`, true);
  await page.click('input[name=jid]');
  await page.type(user);
  await page.click('input[name=password]');
  await page.type(passwordOf(user));
  await page.click('form [type=submit]');
  await page.shows('I am online');
  return page;
}

/** Addresses that are not the server's. */
const elsewhere = ({ fetched }: ChromiumPage): string[] =>
  fetched.filter((url) => !url.startsWith(base) && !url.startsWith(base.replace('http', 'ws')) && !/^(data|blob|about):/.test(url));

test('two people log in with their names alone, talk and enter a room, and nothing comes from elsewhere', { timeout }, async () => {
  const romeo = await logIn('romeo');
  const juliet = await logIn('juliet');
  await addContact(romeo, `juliet@${domain}`);
  await say(romeo, 'art thou not Capulet?');
  await enterRoom(romeo, 'The Square', 'romeo');
  await romeo.shows('A new groupchat has been created');
  for (const page of [romeo, juliet]) {
    console.log(page.fetched, page.complaints, page.refused);
    expect(elsewhere(page)).toEqual([]);
  }
  const shot = await (romeo as any).call('Page.captureScreenshot', {});
  (await import('node:fs')).writeFileSync('/tmp/chat-shot.png', Buffer.from(shot.data, 'base64'));
});
