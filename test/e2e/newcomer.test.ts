// Somebody who has just cloned the project: from the first start to a talk with a friend, in two browsers, by what they read and click. The
// times are those of a person who types at once.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { build, ChildServer } from '../kit/child-server.ts';
import { Chromium, type ChromiumPage } from '../kit/chromium.ts';
import { say } from '../kit/converse.ts';

/** How long either way may take, in milliseconds. */
const FIRST_CHAT = 60_000;
const FRIEND = 120_000;

let server: ChildServer;
let browser: Chromium;
const times: string[] = [];

beforeAll(async () => {
  // `npm install` has done this
  build();
  browser = await Chromium.start();
}, 120_000);
afterAll(async () => {
  // for whoever wants to know
  console.log(times.join('\n'));
  await browser?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
});

function stopwatch(): (what: string) => number {
  const began = performance.now();
  return (what) => {
    const passed = performance.now() - began;
    times.push(`${what}: ${(passed / 1000).toFixed(1)} s`);
    return passed;
  };
}

/** Opens an invitation in a browser of their own, chooses a name and a password, and is in the chat. */
async function accept(link: string, name: string): Promise<ChromiumPage> {
  const page = await browser.open(link, true);
  await page.click('input[name=user]');
  await page.type(name);
  await page.click('input[name=password]');
  await page.type(`${name} and a secret`);
  await page.click('form button');
  await page.shows('I am online');
  expect(new URL(await page.evaluate('location.href')).pathname).toBe('/chat');
  await page.shows(`${name}@localhost`);
  return page;
}

const openTalk = (page: ChromiumPage, name: string): Promise<void> =>
  page.click(`converse-roster .open-chat[data-jid="${name}@localhost"]`);

test('a newcomer chats within a minute, and with a friend within two more', {
  timeout: FIRST_CHAT + FRIEND,
}, async () => {
  const first = stopwatch();
  // as `npm start` does, with the database that comes along, and on new data
  server = await ChildServer.start({ registration: 'invite' });
  first('from the command to the link');
  const link = /http:\/\/localhost:\d+\/join\/[a-z2-7]+/.exec(server.output)?.[0];
  expect(link, server.output).toBeDefined();
  const alice = await accept(link!, 'alice');
  expect(first('from the command to the chat')).toBeLessThan(FIRST_CHAT);

  const second = stopwatch();
  await alice.click('.parley-invite');
  await alice.shows('Whoever opens this link');
  const invitation = await alice.evaluate<string>("document.querySelector('.parley-invitation').href");
  await alice.click('converse-alert-modal .modal-footer button');
  const bob = await accept(invitation, 'bob');
  second('from the invitation to the chat of the friend');
  await openTalk(bob, 'alice');
  await say(bob, 'here I am');
  await openTalk(alice, 'bob');
  await alice.shows('here I am');
  await say(alice, 'so soon!');
  await bob.shows('so soon!');
  expect(second('from the invitation to an answer')).toBeLessThan(FRIEND);

  // they are contacts of each other, and one of them administers the server
  const isContact = (name: string): string =>
    `document.querySelector('.current-xmpp-contact [data-jid="${name}@localhost"]') !== null`;
  expect(await alice.until(10_000, isContact('bob'))).toBe(true);
  expect(await bob.until(10_000, isContact('alice'))).toBe(true);
  const { role } = await server.ask<{ role: string }>('user show', { jid: 'alice@localhost' });
  expect(role).toBe('admin');
});

test('the link of the first start works once, and is not shown again', async () => {
  const link = /http:\/\/localhost:\d+\/join\/[a-z2-7]+/.exec(server.output)![0];
  expect((await fetch(link.replace('localhost', '127.0.0.1'))).status).toBeGreaterThanOrEqual(400);
  await server.stop();
  server.output = '';
  await server.start();
  expect(server.output).toContain('/chat');
  expect(server.output).not.toContain('/join/');
});
