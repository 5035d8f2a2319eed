// Rooms by the hands of people with Converse.js in a browser: everything is clicked and typed, and what is expected is what they read.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChildServer } from '../kit/child-server.ts';
import { Chromium, type ChromiumPage } from '../kit/chromium.ts';
import { confirm, enterRoom, openConverse, pick, say } from '../kit/converse.ts';
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
  romeo = await openConverse(browser, site, server, domain, 'romeo');
  juliet = await openConverse(browser, site, server, domain, 'juliet');
});
afterAll(async () => {
  await browser?.[Symbol.asyncDispose]();
  site?.[Symbol.dispose]();
  await server?.[Symbol.asyncDispose]();
});

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

test('somebody makes a public room, somebody else finds it in the list, and they talk', { timeout }, async () => {
  await enterRoom(romeo, 'The Square', 'romeo');
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
  await enterRoom(juliet, 'The Square', 'juliet');
  await juliet.shows('gone so soon?');
  await juliet.shows('ay me');
});

test('somebody makes a private room, and an invitation lets somebody else in', { timeout }, async () => {
  await enterRoom(romeo, 'The Club', 'romeo');
  await romeo.shows('A new groupchat has been created');
  await tick(romeo, 'Only members may enter', 'List the room publicly');
  await enterRoom(juliet, 'The Club', 'juliet');
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
