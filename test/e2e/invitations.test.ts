// Pages of invitations as people see them, in Chromium: without scripts, on a phone, and on the way into the web client (XEP-0401 4.2).
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Invitations, invitations } from '../../src/modules/invitations/service.ts';
import type { Server } from '../../src/server.ts';
import { Chromium, type ChromiumPage } from '../kit/chromium.ts';
import { logIn } from '../kit/login.ts';
import { startServer } from '../kit/test-server.ts';

const domain = 'browser.example';
const timeout = 60_000;
const password = 'a rose by any other name';

let server: Server;
let browser: Chromium;
let base: string;
let service: Invitations;

beforeAll(async () => {
  // clients refuse keys that are made in fewer rounds
  const settings = { hosts: { [domain]: {} }, registration: 'invite', listen: { http: 0 } } as const;
  server = await startServer(settings, { iterations: 4096 });
  await server.hosts.get(domain)!.accounts.create('romeo', password);
  service = server.hosts.get(domain)!.find(invitations)!;
  base = `http://127.0.0.1:${server.address('http')!.port}`;
  browser = await Chromium.start();
}, 120_000);
afterAll(async () => {
  await browser?.[Symbol.asyncDispose]();
  await server?.stop();
});

async function open(token: string, scripts: boolean): Promise<ChromiumPage> {
  const page = await browser.open('about:blank', true);
  if (!scripts) await page.withoutScripts();
  await page.goTo(`${base}/join/${token}`);
  await page.shows(`romeo invites you to ${domain}`);
  return page;
}

async function fill(page: ChromiumPage, user: string, secret: string): Promise<void> {
  await page.click('#user');
  await page.type(user);
  await page.click('#password');
  await page.type(secret);
  await page.click('button');
}

test('somebody without scripts chooses a name that is taken, then another one, and has an account', {
  timeout,
}, async () => {
  const { token } = await service.create({ kind: 'account', inviter: 'romeo' });
  const page = await open(token, false);
  await fill(page, 'romeo', password);
  await page.shows('Somebody has this name already.');
  expect(await page.evaluate('document.querySelector("#user").value')).toBe('romeo');
  expect(await page.evaluate('document.querySelector("#password").value')).toBe('');
  expect(await page.evaluate('document.querySelector("main script, script") === null')).toBe(true);
  await page.evaluate('document.querySelector("#user").value = ""');
  await fill(page, 'juliet', password);
  expect(await page.until(15_000, 'location.pathname === "/chat" || location.pathname.endsWith("/done")')).toBe(true);
  const { client } = await logIn(server.address('c2s')!, { domain, user: 'juliet', password });
  await client.destroy();
  expect((await service.show(token))?.usedBy).toEqual([`juliet@${domain}`]);
  expect(page.fetched.filter((url) => !url.startsWith(base) && url !== 'about:blank')).toEqual([]);
  expect(page.refused).toEqual([]);
});

test('on a phone nothing is wider than the screen, and each field has its label', { timeout }, async () => {
  const { token } = await service.create({ kind: 'account', inviter: 'romeo', note: 'x' });
  const page = await open(token, false);
  await page.resize(320, 640);
  expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(320);
  expect(await page.evaluate('getComputedStyle(document.body).fontFamily')).toContain('system-ui');
  expect(await page.evaluate('[...document.querySelectorAll("input")].every((one) => one.labels.length === 1)')).toBe(
    true,
  );
});

test('whoever has a browser only goes from the link into the chat, signed in, and sees who has invited them', {
  timeout: 90_000,
}, async () => {
  const { token } = await service.create({ kind: 'account', inviter: 'romeo' });
  const romeo = await logIn(server.address('c2s')!, { domain, user: 'romeo', password });
  romeo.client.write('<presence/>');
  const page = await open(token, true);
  const began = Date.now();
  await fill(page, 'benvolio', password);
  await page.shows('I am online', 40_000);
  expect(await page.until(15_000, `document.querySelector('[data-jid="romeo@${domain}"]')`)).toBe(true);
  expect(Date.now() - began).toBeLessThan(60_000);
  await romeo.client.destroy();
});
