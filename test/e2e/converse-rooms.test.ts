// Rooms by the hands of people with Converse.js in a browser: everything is clicked and typed, and what is expected is what they read.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChildServer, passwordOf } from '../kit/child-server.ts';
import { Chromium, type ChromiumPage } from '../kit/chromium.ts';
import { ConverseSite } from '../kit/converse-site.ts';

const domain = 'browser.example';
/** Each step has a limit of its own. */
const timeout = 60_000;

let server: ChildServer;
let browser: Chromium;
let site: ConverseSite;
let romeo: ChromiumPage;
let juliet: ChromiumPage;

beforeAll(async () => {
  server = await ChildServer.start({ hosts: { [domain]: {} }, database: 'memory' });
  await server.addUsers(domain, ['romeo', 'juliet']);
  site = await ConverseSite.start();
  browser = await Chromium.start();
  romeo = await logIn('romeo');
  juliet = await logIn('juliet');
});
afterAll(async () => {
  await browser?.[Symbol.asyncDispose]();
  site?.[Symbol.dispose]();
  await server?.[Symbol.asyncDispose]();
});

/** By the form, in a browser of somebody's own. */
async function logIn(user: string): Promise<ChromiumPage> {
  const { address, port } = server.address('http');
  const settings = { websocket_url: `ws://${address}:${port}/xmpp-websocket`, view_mode: 'fullscreen' };
  const page = await browser.open(site.url(settings), true);
  await page.click('input[name=jid]');
  await page.type(`${user}@${domain}`);
  await page.click('input[name=password]');
  await page.type(passwordOf(user));
  await page.click('form [type=submit]');
  await page.shows('I am online');
  return page;
}

async function add(page: ChromiumPage, room: string, nick: string): Promise<void> {
  await pick(page, 'converse-rooms-list', 'Add groupchat');
  await page.click('converse-add-muc-modal [name=chatroom]');
  await page.type(room);
  await page.click('converse-add-muc-modal [name=nickname]');
  await page.type(nick);
  await page.click('converse-add-muc-modal [name=join]');
}

/** Opens a menu, and again when it closes by itself: what is drawn anew has its menu closed. */
async function pick(page: ChromiumPage, menu: string, item: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    await page.click(`${menu} .dropdown-toggle`);
    try {
      return await page.click(`${menu} .dropdown-item`, item, 2_000);
    } catch (error) {
      if (attempt === 3) throw error;
    }
  }
}

async function tick(page: ChromiumPage, ...labels: string[]): Promise<void> {
  await pick(page, 'converse-muc-heading', 'Configure');
  for (const label of labels) await page.click('converse-muc-config-modal label', label);
  await page.click('converse-muc-config-modal [type=submit]');
  await page.shows('The groupchat configuration has changed');
}

async function leave(page: ChromiumPage): Promise<void> {
  await pick(page, 'converse-muc-heading', 'Leave');
  await confirm(page);
}

/** The nick, where it is asked for on the way in. */
async function choose(page: ChromiumPage, nick: string): Promise<void> {
  await page.click('converse-muc-nickname-form [name=nick]');
  await page.type(nick);
  await page.click('converse-muc-nickname-form [type=submit]');
}

const confirm = (page: ChromiumPage): Promise<void> => page.click('converse-confirm-modal [type=submit]');

async function say(page: ChromiumPage, text: string): Promise<void> {
  await page.click('converse-muc .chat-textarea');
  await page.type(text);
  await page.pressEnter();
}

test('somebody makes a public room, somebody else finds it in the list, and they talk', { timeout }, async () => {
  await add(romeo, 'The Square', 'romeo');
  await romeo.shows('A new groupchat has been created');
  await tick(romeo, 'Keep the room when the last occupant leaves', 'Participants may change the subject');

  await pick(juliet, 'converse-rooms-list', 'Query server');
  await juliet.click('converse-muc-list-modal [type=submit]');
  await juliet.click('converse-muc-list-modal a', 'The Square');
  await choose(juliet, 'juliet');
  await romeo.shows('2 Participants');
  await say(romeo, 'good morrow');
  await juliet.shows('good morrow');
  await say(juliet, 'ay me');
  await romeo.shows('ay me');
  await say(juliet, '/topic Feuds');
  await romeo.shows('Topic set by juliet');

  await leave(juliet);
  await romeo.shows('juliet has left the groupchat');
  await say(romeo, 'gone so soon?');
  await add(juliet, 'The Square', 'juliet');
  await juliet.shows('gone so soon?');
  await juliet.shows('ay me');
});

test('somebody makes a private room, and an invitation lets somebody else in', { timeout }, async () => {
  await add(romeo, 'The Club', 'romeo');
  await romeo.shows('A new groupchat has been created');
  await tick(romeo, 'Only members may enter', 'List the room publicly');
  await add(juliet, 'The Club', 'juliet');
  await juliet.shows('You are not on the member list of this groupchat.');
  await leave(juliet);

  await pick(romeo, 'converse-muc-sidebar', 'Invite');
  await romeo.click('converse-muc-invite-modal [name=invitee_jids]');
  await romeo.type(`juliet@${domain}`);
  await romeo.click('converse-muc-invite-modal [type=submit]');
  await juliet.shows(`romeo@${domain} has invited you to join the groupchat`);
  await confirm(juliet);
  await choose(juliet, 'juliet');
  await say(juliet, 'here I am');
  await romeo.shows('here I am');
});

test('the server never logged an error', () => {
  expect(server.output.split('\n').filter((line) => line.includes('"level":"error"'))).toEqual([]);
});
