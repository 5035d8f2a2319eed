// What somebody keeps with one client is there in another: Converse.js and Profanity, of which one knows bookmarks as items and pictures in
// vCards, the other bookmarks in private storage and pictures at nodes.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChildServer } from '../kit/child-server.ts';
import { Chromium, type ChromiumPage } from '../kit/chromium.ts';
import { addContact, enterRoom, openConverse, pick } from '../kit/converse.ts';
import { ConverseSite } from '../kit/converse-site.ts';
import { profanityHome, startProfanity } from '../kit/profanity.ts';
import type { Terminal } from '../kit/terminal.ts';

const domain = 'chat.example';
/** Red, three by two, and blue, two by three. */
const RED = 'iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAIAAAASFvFNAAAAEElEQVR4nGP4z8AAQQxwFgBB0gX7h/C5SAAAAABJRU5ErkJggg==';
const BLUE = 'iVBORw0KGgoAAAANSUhEUgAAAAIAAAADCAIAAAA2iEnWAAAAD0lEQVR4nGNgYPgPRsgUADjcBftBwbf8AAAAAElFTkSuQmCC';
/** Each step has a limit of its own. */
const timeout = 90_000;

let server: ChildServer;
let browser: Chromium;
let site: ConverseSite;
let romeo: Terminal;
/** The same person twice. */
let terminal: Terminal;
let page: ChromiumPage;

beforeAll(async () => {
  server = await ChildServer.start({ hosts: { [domain]: {} }, database: 'memory' });
  await server.addUsers(domain, ['romeo', 'juliet']);
  site = await ConverseSite.start();
  browser = await Chromium.start();
  page = await openConverse(browser, site, server, domain, 'juliet');
  romeo = await startProfanity(server, domain, 'romeo');
  await addContact(page, `romeo@${domain}`);
  await romeo.shows(`Received authorization request from juliet@${domain}`);
  romeo.type(`/sub allow juliet@${domain}`);
  romeo.type(`/sub request juliet@${domain}`);
  await romeo.shows('is online');
}, timeout);
afterAll(async () => {
  await Promise.all([romeo, terminal].map((one) => one?.[Symbol.asyncDispose]()));
  await browser?.[Symbol.asyncDispose]();
  site?.[Symbol.dispose]();
  await server?.[Symbol.asyncDispose]();
});

test('a room that somebody enters with one client is among the bookmarks of the other, and one that the other notes down', {
  timeout,
}, async () => {
  // which notes it down by itself
  await enterRoom(page, 'The Square', 'juliet');
  await page.shows('A new groupchat has been created');
  terminal = await startProfanity(server, domain, 'juliet');
  terminal.type('/roster hide');
  await terminal.shows(`-> Autojoined the-square@groups.${domain} as juliet`);
  terminal.type('/bookmark list');
  await terminal.shows(`the-square@groups.${domain}/juliet (autojoin)`);

  terminal.type(`/bookmark add hall@groups.${domain} nick jule name "The Hall" autojoin off`);
  await terminal.shows(`Bookmark added for hall@groups.${domain}`);
  // (it wants to hear of the list of before only, and then does not read it where there is a newer one)
  const later = await openConverse(browser, site, server, domain, 'juliet');
  await pick(later, 'converse-rooms-list', 'Bookmarks');
  await later.shows('The Hall');
});

test('a picture from a vCard is a picture at a node, and the other way', { timeout }, async () => {
  const picture = join(server.folder, 'red.png');
  writeFileSync(picture, Buffer.from(RED, 'base64'));
  await page.click('.show-profile');
  await page.click('#profile-tab');
  await page.choose('converse-profile-modal [name=avatar_image]', picture);
  await page.click('converse-profile-modal .save-form');
  romeo.type(`/avatar get juliet@${domain}`);
  const saved = join(profanityHome(server, 'romeo'), '.local/share/profanity/avatars', `juliet_at_${domain}.png`);
  await romeo.shows('Avatar saved as');
  expect(readFileSync(saved, 'base64')).toBe(RED);

  const other = join(server.folder, 'blue.png');
  writeFileSync(other, Buffer.from(BLUE, 'base64'));
  romeo.type(`/avatar set "${other}"`);
  const shown = `document.querySelector('converse-roster [data-jid="romeo@${domain}"] image')?.getAttribute('href') ?? ''`;
  expect(await page.until(15_000, `(${shown}).startsWith('data:image/png;base64,')`)).toBe(true);
  // Profanity writes the picture anew
  const bytes = Buffer.from((await page.evaluate<string>(shown)).split(',')[1] ?? '', 'base64');
  expect([bytes.readUInt32BE(16), bytes.readUInt32BE(20)]).toEqual([2, 3]);
});

test('the server never logged an error', () => {
  expect(server.output.split('\n').filter((line) => line.includes('"level":"error"'))).toEqual([]);
});
