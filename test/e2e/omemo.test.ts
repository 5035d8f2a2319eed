// OMEMO (XEP-0384) between clients that others wrote: keys are made, found, compared and trusted by people who type and click, what they
// say arrives as they said it, and the server never has more than what is encrypted.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChildServer, passwordOf, until } from '../kit/child-server.ts';
import { Chromium, type ChromiumPage } from '../kit/chromium.ts';
import { addContact, enterRoom, openConverse, say } from '../kit/converse.ts';
import { ConverseSite } from '../kit/converse-site.ts';
import { logIn } from '../kit/login.ts';
import { fillIn, startProfanity } from '../kit/profanity.ts';
import { told } from '../kit/server-peer.ts';
import type { Terminal } from '../kit/terminal.ts';

const domain = 'chat.example';
const SIACS = 'eu.siacs.conversations.axolotl';
/** Each step has a limit of its own. */
const timeout = 90_000;

let server: ChildServer;
let browser: Chromium;
let site: ConverseSite;
const couples = [
  ['peter', 'sampson'],
  ['gregory', 'abram'],
  ['antony', 'potpan'],
] as const;
let attempts = 0;
const terminals = new Set<Terminal>();
/** Who know each other's keys by then. */
let benvolio: Terminal;
let nurse: ChromiumPage;

beforeAll(async () => {
  server = await ChildServer.start({ hosts: { [domain]: {} }, database: 'memory' });
  await server.addUsers(domain, ['romeo', 'juliet', 'benvolio', 'nurse', ...couples.flat()]);
  site = await ConverseSite.start();
  browser = await Chromium.start();
}, 120_000);
afterAll(async () => {
  await Promise.all([...terminals].map((terminal) => terminal[Symbol.asyncDispose]()));
  await browser?.[Symbol.asyncDispose]();
  site?.[Symbol.dispose]();
  await server?.[Symbol.asyncDispose]();
});

async function profanity(user: string): Promise<Terminal> {
  const terminal = await startProfanity(server, domain, user);
  terminals.add(terminal);
  // what is written beside its list of contacts is broken into lines
  terminal.type('/roster hide');
  return terminal;
}

/** Somebody whose keys are published: there are no others who could be written to. */
async function converse(user: string): Promise<ChromiumPage> {
  const page = await openConverse(browser, site, server, domain, user);
  await page.evaluate("api.waitUntil('OMEMOInitialized').then(() => true)");
  return page;
}

/** Makes and publishes keys. @returns their fingerprint */
async function makeKeys(terminal: Terminal): Promise<string> {
  terminal.type('/omemo gen');
  await terminal.shows('Going to publish own device ID', 20_000);
  terminal.type('/omemo fingerprint');
  await terminal.shows(/Your OMEMO fingerprint: \S+/);
  return /Your OMEMO fingerprint: (\S+)/.exec(terminal.text)?.[1] ?? '';
}

/** Opens a talk that is encrypted, and trusts the keys of the other, whose fingerprint is looked up where they made them. */
async function trust(terminal: Terminal, user: string, fingerprint: string): Promise<void> {
  const found = `${user}@${domain}'s OMEMO fingerprint: ${fingerprint}`;
  for (let attempt = 1; !terminal.text.includes(found); attempt++) {
    if (attempt > 1) terminal.type('/omemo end');
    terminal.type(`/omemo start ${user}@${domain}`);
    await terminal.shows('[OMEMO]');
    // the keys come a little later
    terminal.type('/omemo fingerprint');
    await terminal.shows(found, 2_000).catch((error: unknown) => {
      if (attempt === 5) throw error;
    });
  }
  terminal.type(`/omemo trust ${fingerprint}`);
  await terminal.shows(`${found} (trusted)`);
}

/** What the archive has of the talk with somebody. */
async function archived(user: string, other: string): Promise<string[]> {
  const login = { domain, user, password: passwordOf(user), tls: 'starttls', resource: 'reader' } as const;
  const { client } = await logIn(server.address('c2s'), login);
  const form = `<field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field><field var='with'><value>${other}@${domain}</value></field>`;
  const query = `<query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='submit'>${form}</x></query>`;
  client.write(`<iq type='set' id='archive'>${query}</iq>`);
  const found: string[] = [];
  for (;;) {
    const item = await client.next(10_000);
    if (item?.kind !== 'element') throw new Error(`the archive does not answer: ${found.join('\n')}`);
    if (item.element.attrs.id === 'archive') break;
    if (item.element.name === 'message') found.push(told(item));
  }
  await client.destroy();
  return found;
}

/** How many of them say something, in that namespace; others only begin or renew what keys are agreed on. */
const encrypted = (messages: readonly string[], namespace: string): number =>
  messages.filter((xml) => xml.includes(`<encrypted xmlns="${namespace}"`) && xml.includes('<payload')).length;

test('two people with Profanity talk encrypted, also while one of them is away', { timeout }, async () => {
  const [romeo, first] = await Promise.all([profanity('romeo'), profanity('juliet')]);
  const [keysOfRomeo, keysOfJuliet] = await Promise.all([makeKeys(romeo), makeKeys(first)]);
  await trust(romeo, 'juliet', keysOfJuliet);
  await trust(first, 'romeo', keysOfRomeo);
  romeo.type('he jests at scars');
  await first.shows(/~ romeo@\S+: he jests at scars/);
  first.type('ay me');
  await romeo.shows(/~ juliet@\S+: ay me/);

  first.type('/quit');
  await first.ended();
  romeo.type('she speaks');
  await romeo.shows('~ me: she speaks');
  const juliet = await profanity('juliet');
  await juliet.shows(/<< chat message: romeo@\S+ \(win 2\)/);
  juliet.type(`/win romeo@${domain}`);
  await juliet.shows(/~ romeo@\S+: she speaks/);

  for (const messages of [await archived('romeo', 'juliet'), await archived('juliet', 'romeo')]) {
    expect(encrypted(messages, SIACS)).toBe(3);
    expect(messages.join('\n')).not.toMatch(/jests|ay me|speaks/);
  }
});

test('somebody with Converse.js and somebody with Profanity talk encrypted', { timeout }, async () => {
  benvolio = await profanity('benvolio');
  await makeKeys(benvolio);
  nurse = await converse('nurse');
  await addContact(nurse, `benvolio@${domain}`);
  await benvolio.shows(`Received authorization request from nurse@${domain}`);
  benvolio.type(`/sub allow nurse@${domain}`);
  await encrypt(nurse);
  await say(nurse, 'I desire some confidence with you');
  await benvolio.shows(`<< chat message: nurse@${domain}`);
  benvolio.type(`/win nurse@${domain}`);
  await benvolio.shows(/~ nurse@\S+: I desire some confidence with you/);

  // Profanity trusts nobody by itself
  await trust(benvolio, 'nurse', await fingerprintOf(nurse));
  benvolio.type('she will indite him to some supper');
  await nurse.shows('she will indite him to some supper');

  const messages = await archived('nurse', 'benvolio');
  expect(encrypted(messages, SIACS)).toBe(2);
  expect(messages.join('\n')).not.toMatch(/confidence|supper/);
});

test('they talk encrypted in a room for members who see who is who', { timeout }, async () => {
  const room = `den@groups.${domain}`;
  benvolio.type(`/join ${room}`);
  await benvolio.shows('Room locked, requires configuration.');
  benvolio.type('/room config');
  await fillIn(benvolio, 'Only members may enter:', 'on');
  await fillIn(benvolio, 'Who may see real addresses:', 'anyone');
  benvolio.type('/form submit');
  await benvolio.shows('Room configuration successful');
  benvolio.type(`/affiliation set member nurse@${domain}`);
  await enterRoom(nurse, room, 'nurse');
  // (in the list of those who are there)
  await benvolio.shows(' nurse ');
  await encrypt(nurse);
  await say(nurse, 'my back, my back');
  await benvolio.shows(/~ nurse: my back, my back/);
  // Profanity still believes the room to be as it was
  benvolio.type('/info');
  await benvolio.shows('muc_nonanonymous');
  benvolio.type('/omemo start');
  await benvolio.shows('[OMEMO]');
  benvolio.type('good heart, and in faith');
  await nurse.shows('good heart, and in faith');
});

test('two people with Converse.js talk encrypted as it is done by now', {
  timeout,
  retry: couples.length - 1,
}, async () => {
  // where the browser was too slow, others try: what is left of the first ones would be in the way
  const [one, other] = couples[attempts++]!;
  const peter = await converse(one);
  const sampson = await converse(other);
  await addContact(peter, `${other}@${domain}`);
  await encrypt(peter);
  await say(peter, 'anon');
  await sampson.click(`converse-roster .open-chat[data-jid="${one}@${domain}"]`);
  await sampson.shows('anon');
  await encrypt(sampson);
  await say(sampson, 'before, and apace');
  await peter.shows('before, and apace');

  const read = (): Promise<string[]> => archived(one, other);
  expect(await until(5_000, async () => encrypted(await read(), 'urn:xmpp:omemo:2') >= 2, 200)).toBe(true);
  expect((await read()).join('\n')).not.toMatch(/anon|apace/);
});

/** Shuts the lock of the talk that is open. */
async function encrypt(page: ChromiumPage): Promise<void> {
  await page.click('.toggle-omemo[data-disabled=false]');
  expect(
    await page.until(15_000, "document.querySelector('.toggle-omemo')?.title === 'Messages are sent encrypted'"),
  ).toBe(true);
}

/** What somebody with Converse.js reads aloud of their own keys, as Profanity writes it. */
async function fingerprintOf(page: ChromiumPage): Promise<string> {
  await page.click('.show-profile');
  await page.click('#omemo-tab');
  const shown = "document.querySelector('converse-omemo-profile .fingerprint')?.innerText";
  expect(await page.until(15_000, shown)).toBe(true);
  const fingerprint = await page.evaluate<string>(shown);
  await page.click('converse-profile-modal .modal-footer button', 'Close');
  return fingerprint.trim().replaceAll(' ', '-');
}

test('the server never logged an error', () => {
  expect(server.output.split('\n').filter((line) => line.includes('"level":"error"'))).toEqual([]);
});
