// Contacts at a server that has forgotten, lies, comes late or is gone (RFC 6121 across servers).
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ConfigInput } from '../../src/config/server.ts';
import { TestAuthority } from '../kit/certificates.ts';
import type { StreamClient } from '../kit/client.ts';
import { enter, TestFederation } from '../kit/federation.ts';
import { logIn } from '../kit/login.ts';
import { RemoteDomain } from '../kit/remote-domain.ts';
import { told } from '../kit/server-peer.ts';
import { mergeSettings, type TestServer } from '../kit/test-server.ts';

const authority = new TestAuthority('Everybody trusts me');
const folder = mkdtempSync(join(tmpdir(), 'parley remote contacts '));
const ca = join(folder, 'ca.pem');
writeFileSync(ca, authority.certificate);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ROMEO = 'romeo@verona.test';
const JULIET = 'juliet@mantua.test';

let world: TestFederation;
let verona: TestServer;
let mantua: RemoteDomain;

beforeEach(() => {
  world = new TestFederation();
});
afterEach(async () => {
  await mantua?.[Symbol.asyncDispose]();
  await world.stop();
});

async function start(more: ConfigInput = {}): Promise<void> {
  verona = await world.add('verona.test', mergeSettings({ tls: { ca } }, more));
  mantua = await RemoteDomain.start('mantua.test', world.names, authority, verona, 'verona.test');
}

const stanza = (name: string, type: string | undefined, from = JULIET, to = ROMEO, inner = ''): string =>
  `<${name} from='${from}' to='${to}'${type === undefined ? '' : ` type='${type}'`} id='${name}-${type}'>${inner}</${name}>`;
const presence = (type: string | undefined, from?: string, to?: string): string => stanza('presence', type, from, to);
const gone = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";

type Person = Awaited<ReturnType<typeof enter>>;

/** A session that has asked for the roster and is available; what it was told of that is read. */
async function online(): Promise<Person> {
  const romeo = await enter(verona, ROMEO);
  romeo.client.write("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq><presence/>");
  await romeo.client.fence();
  romeo.client.inbox.length = 0;
  return romeo;
}

/** What came until now. */
async function inbox(client: StreamClient): Promise<readonly string[]> {
  await client.fence();
  return client.inbox.splice(0).map((item) => told(item));
}

/** In good order: when it returns, the session is over. */
async function leave({ client }: Person): Promise<void> {
  client.write('</stream:stream>');
  await client.closed();
}

/** Both ways, by the protocol. */
async function befriend({ client }: Person): Promise<void> {
  client.write(`<presence type='subscribe' to='${JULIET}'/>`);
  await client.fence();
  mantua.say(presence('subscribed'), presence('subscribe'));
  await mantua.hears(ROMEO);
  client.write(`<presence type='subscribed' to='${JULIET}'/>`);
  await client.fence();
  await mantua.hears(ROMEO);
  expect(await subscriptionOf(client)).toBe('both');
  client.inbox.length = 0;
}

async function subscriptionOf(client: StreamClient): Promise<string | undefined> {
  client.write("<iq type='get' id='state'><query xmlns='jabber:iq:roster'/></iq>");
  const roster = (await inbox(client)).find((text) => text.includes('id="state"')) ?? '';
  return /subscription="(\w+)"/.exec(roster)?.[1];
}

describe('probes', () => {
  test('of strangers are answered alike, whether there is such an account or not', async () => {
    await start();
    await online();
    mantua.say(presence('probe'), presence('probe', `${JULIET}/balcony`), presence('probe', JULIET, `${ROMEO}/here`));
    const known = await mantua.hears(ROMEO);
    expect(known).toHaveLength(3);
    for (const text of known) {
      expect(text).toMatch(/type='unsubscribed'/);
      expect(text).toContain(`from='${ROMEO}'`);
      expect(text).toContain(`to='${JULIET}'`);
    }
    const nobody = 'nobody@verona.test';
    mantua.say(
      presence('probe', JULIET, nobody),
      presence('probe', `${JULIET}/balcony`, nobody),
      presence('probe', JULIET, `${nobody}/here`),
    );
    const unknown = await mantua.hears(nobody);
    expect(unknown).toEqual(known.map((text) => text.replace(ROMEO, nobody)));
  });

  test('of contacts are answered to whoever asked: with what there is, or that there is nothing', async () => {
    await start();
    const romeo = await online();
    await befriend(romeo);
    mantua.say(presence('probe', `${JULIET}/balcony`));
    expect(await mantua.hears(ROMEO)).toEqual([expect.stringMatching(/to='juliet@mantua.test\/balcony'/)]);
    mantua.say(presence('probe'));
    const [shown] = await mantua.hears(ROMEO);
    expect(shown).toContain(`from='${romeo.jid}'`);
    expect(shown).not.toContain('type=');
    romeo.client.write("<presence type='unavailable'/>");
    await romeo.client.fence();
    expect(await mantua.hears(ROMEO)).toEqual([expect.stringMatching(/type='unavailable'/)]);
    mantua.say(presence('probe'));
    const [away, ...more] = await mantua.hears(ROMEO);
    expect(away).toMatch(/type='unavailable'/);
    expect(away).toContain(`from='${ROMEO}'`);
    expect(more).toEqual([]);
  });
});

describe('a server that has forgotten', () => {
  test('its account answers our probe with "unsubscribed", and may ask again without asking anybody', async () => {
    await start();
    const romeo = await online();
    await befriend(romeo);
    romeo.client.write("<presence type='unavailable'/><presence/>");
    await romeo.client.fence();
    expect((await mantua.hears(ROMEO)).filter((text) => text.includes("'probe'"))).toHaveLength(1);
    romeo.client.inbox.length = 0;
    mantua.say(presence('unsubscribed'));
    await mantua.hears(ROMEO);
    expect(await inbox(romeo.client)).toEqual([
      expect.stringMatching(/<presence .*type="unsubscribed"/),
      expect.stringMatching(/subscription="from"/),
    ]);
    // its people still see ours: what they ask for they have
    mantua.say(presence('subscribe'));
    const answers = await mantua.hears(ROMEO);
    expect(answers).toEqual([
      expect.stringMatching(/type='subscribed'/),
      expect.stringMatching(new RegExp(`<presence [^>]*from='${romeo.jid}'`)),
    ]);
    expect(await inbox(romeo.client)).toEqual([]);
    mantua.say(presence('unsubscribe'));
    expect(await mantua.hears(ROMEO)).toEqual([expect.stringMatching(/type='unavailable'/)]);
    expect(await subscriptionOf(romeo.client)).toBe('none');
  });

  test('what it says of subscriptions that never were changes nothing, and is not answered', async () => {
    await start();
    const romeo = await online();
    for (const type of ['subscribed', 'unsubscribed', 'unsubscribe']) mantua.say(presence(type));
    expect(await mantua.hears(ROMEO)).toEqual([]);
    expect(await inbox(romeo.client)).toEqual([]);
    expect(await subscriptionOf(romeo.client)).toBeUndefined();
  });
});

describe('errors', () => {
  test('are never answered, whoever they are for', async () => {
    await start();
    const romeo = await online();
    for (const to of [ROMEO, romeo.jid, `${ROMEO}/elsewhere`, 'nobody@verona.test', 'verona.test', 'verona.test/x']) {
      for (const name of ['message', 'presence', 'iq']) mantua.say(stanza(name, 'error', JULIET, to, gone));
      mantua.say(stanza('iq', 'result', JULIET, to));
    }
    expect(await mantua.hears(ROMEO)).toEqual([]);
    expect(mantua.isRefused).toBe(false);
    expect(verona.errors).toEqual([]);
  });

  test('that answer presence reach the resource, once, and change no subscription', async () => {
    await start();
    const romeo = await online();
    await befriend(romeo);
    mantua.say(stanza('presence', 'error', JULIET, romeo.jid, gone), stanza('presence', 'error', JULIET, ROMEO, gone));
    expect(await mantua.hears(ROMEO)).toEqual([]);
    expect(await inbox(romeo.client)).toHaveLength(2);
    expect(await subscriptionOf(romeo.client)).toBe('both');
  });

  test('that come when the session is over go nowhere: they are neither kept nor archived nor sent back', async () => {
    await start();
    const romeo = await online();
    romeo.client.write(`<message to='${JULIET}' id='m' type='chat'><body>x</body></message>`);
    await romeo.client.fence();
    await mantua.hears(ROMEO);
    await leave(romeo);
    mantua.say(stanza('message', 'error', JULIET, romeo.jid, gone), stanza('message', 'error', JULIET, ROMEO, gone));
    expect(await mantua.hears(ROMEO)).toEqual([]);
    const again = await logIn(verona.c2s, { domain: 'verona.test', user: 'romeo', password: 'secret' });
    again.client.write("<presence/><iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>");
    const came = await inbox(again.client);
    expect(came.filter((text) => text.includes('gone'))).toEqual([]);
    expect(came.filter((text) => text.includes('urn:xmpp:mam:2') && text.includes('<message'))).toHaveLength(1);
    await again.client.destroy();
  });

  test('for a message that cannot be delivered after its sender has left make no message of their own', async () => {
    await start({ s2s: { 'queue-time': '1s' } });
    world.names.set('dead.test', { port: 1 });
    const romeo = await online();
    romeo.client.write("<message to='paris@dead.test' id='m' type='chat'><body>x</body></message>");
    await romeo.client.destroy();
    await expect.poll(() => verona.server.federation().every(({ waiting }) => waiting === 0)).toBe(true);
    const again = await logIn(verona.c2s, { domain: 'verona.test', user: 'romeo', password: 'secret' });
    again.client.write('<presence/>');
    expect((await inbox(again.client)).filter((text) => text.startsWith('<message'))).toEqual([]);
    expect(verona.errors).toEqual([]);
    await again.client.destroy();
  });
});

describe('presence', () => {
  test('that was directed abroad is taken back when its session ends, however it ends', async () => {
    await start();
    const romeo = await online();
    romeo.client.write(`<presence to='${JULIET}/balcony'/><presence to='room@mantua.test/romeo'/>`);
    await romeo.client.fence();
    expect(await mantua.hears(ROMEO)).toHaveLength(2);
    await romeo.client.destroy();
    const ends: string[] = [];
    await expect.poll(async () => ends.push(...(await mantua.hears(ROMEO)))).toBe(2);
    expect(ends.map((text) => /to='([^']+)'/.exec(text)?.[1])).toEqual([`${JULIET}/balcony`, 'room@mantua.test/romeo']);
    for (const text of ends) expect(text).toMatch(/type='unavailable'/);
  });

  test('of all who are online is withdrawn when the server stops', async () => {
    await start();
    const romeo = await online();
    await befriend(romeo);
    romeo.client.write("<presence to='room@mantua.test/romeo'/>");
    await romeo.client.fence();
    await mantua.hears(ROMEO);
    const before = mantua.server.heard.length;
    await verona.stop();
    const ends = mantua.server.heard.slice(before);
    expect(ends).toMatch(new RegExp(`type='unavailable'[^>]*to='${JULIET}'|to='${JULIET}'[^>]*type='unavailable'`));
    expect(ends).toMatch(/to='room@mantua.test\/romeo'/);
    expect(ends).toContain('</stream:stream>');
  });

  test('for many contacts at a domain that is nowhere costs one look-up, and one error for each stanza', async () => {
    await start();
    const romeo = await enter(verona, ROMEO);
    const contacts = Array.from({ length: 50 }, (_, i) => `c${i}@nowhere.test`);
    for (const contact of contacts) romeo.client.write(`<presence to='${contact}'/>`);
    await romeo.client.fence();
    await expect.poll(() => romeo.client.inbox.length).toBe(50);
    const lookups = world.names.asked.filter((name) => name.includes('nowhere.test'));
    expect(lookups.length).toBeLessThanOrEqual(2);
    expect(new Set(lookups).size).toBe(lookups.length);
    const from = romeo.client.inbox.map((item) => / from="([^"]+)"/.exec(told(item))?.[1]);
    expect(from).toEqual(contacts);
    await romeo.client.fence();
    expect(romeo.client.inbox).toHaveLength(50);
  });
});

describe('what pretends to be of ours', () => {
  test('ids of our archives are taken out of what comes, and others stay', async () => {
    await start();
    const romeo = await online();
    const id = (by: string): string => `<stanza-id xmlns='urn:xmpp:sid:0' by='${by}' id='false'/>`;
    mantua.say(
      stanza('message', 'chat', JULIET, ROMEO, `<body>x</body>${id(ROMEO)}${id('ROMEO@VERONA.test')}${id(JULIET)}`),
    );
    await mantua.hears(ROMEO);
    const [came] = await inbox(romeo.client);
    expect(came?.match(/<stanza-id[^>]*by="romeo@verona.test"/g)).toHaveLength(1);
    expect(came).not.toMatch(/by="romeo@verona.test"[^>]*id="false"|id="false"[^>]*by="romeo/i);
    expect(came).toContain(`by="${JULIET}"`);
  });

  test('a copy in our name ends the stream, and one in its own is a message like others', async () => {
    await start();
    const romeo = await online();
    romeo.client.write("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
    await inbox(romeo.client);
    const copy = `<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='${JULIET}' to='${romeo.jid}' type='chat'><body>forged</body></message></forwarded></received>`;
    mantua.say(stanza('message', 'chat', JULIET, romeo.jid, copy));
    await mantua.hears(ROMEO);
    const [came, ...more] = await inbox(romeo.client);
    expect(came).toMatch(/^<message [^>]*from="juliet@mantua.test"/);
    expect(more).toEqual([]);
    mantua.say(stanza('message', 'chat', ROMEO, romeo.jid, copy));
    await expect.poll(() => mantua.isRefused).toBe(true);
    expect(await inbox(romeo.client)).toEqual([]);
  });
});
