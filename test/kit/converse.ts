// Converse.js by the hands of somebody: logged in by the form, clicked and typed into.
import { type ChildServer, passwordOf } from './child-server.ts';
import type { Chromium, ChromiumPage } from './chromium.ts';
import type { ConverseSite } from './converse-site.ts';

/** Logs in by the form, in a browser of somebody's own. */
export async function openConverse(
  browser: Chromium,
  site: ConverseSite,
  server: ChildServer,
  domain: string,
  user: string,
): Promise<ChromiumPage> {
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

/** Opens a menu, and again when it closes by itself: what is drawn anew has its menu closed. */
export async function pick(page: ChromiumPage, menu: string, item: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    await page.click(`${menu} .dropdown-toggle`);
    try {
      return await page.click(`${menu} .dropdown-item`, item, 2_000);
    } catch (error) {
      if (attempt === 3) throw error;
    }
  }
}

export const confirm = (page: ChromiumPage): Promise<void> => page.click('converse-confirm-modal [type=submit]');

/** Enters a room, which is made where there is none: `room` is its address, or its name on the server's own host. */
export async function enterRoom(page: ChromiumPage, room: string, nick: string): Promise<void> {
  await pick(page, 'converse-rooms-list', 'Add groupchat');
  await page.click('converse-add-muc-modal [name=chatroom]');
  await page.type(room);
  await page.click('converse-add-muc-modal [name=nickname]');
  await page.type(nick);
  await page.click('converse-add-muc-modal [name=join]');
}

/** Asks somebody to be a contact, which opens a talk with them. */
export async function addContact(page: ChromiumPage, jid: string): Promise<void> {
  await pick(page, 'converse-roster', 'Add a contact');
  await page.click('converse-add-contact-modal [name=jid]');
  await page.type(jid);
  await page.click('converse-add-contact-modal [type=submit]');
  await page.shows(jid);
}

/** Says it in what is open: a room, or a talk with somebody. */
export async function say(page: ChromiumPage, text: string): Promise<void> {
  await page.click('.chat-textarea');
  await page.type(text);
  await page.pressEnter();
}
