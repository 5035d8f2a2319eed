// XEP-0227 with servers that others wrote: accounts of Prosody and ejabberd come here with all they have, and ours go there.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Server } from '../../src/server.ts';
import { TestAuthority } from '../kit/certificates.ts';
import type { StreamClient } from '../kit/client.ts';
import { logIn } from '../kit/login.ts';
import { Ejabberd, freePort, type PeerOptions, Prosody } from '../kit/peers.ts';
import { startServer } from '../kit/test-server.ts';

const domain = 'moved.example';
const authority = new TestAuthority('Everybody trusts me');
const folder = mkdtempSync(join(tmpdir(), 'parley portability '));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function optionsOf(): Promise<PeerOptions> {
  const certificate = authority.issue({ names: [domain, `*.${domain}`] });
  const [dnsPort, s2sPort] = [await freePort(), await freePort()];
  return { domain, certificate, ca: authority.certificate, dnsPort, s2sPort, hasNodes: true, isPortable: true };
}

const ours = (): Promise<Server> => startServer({ hosts: { [domain]: {} } });

/** Asks, and passes over what else comes. */
async function ask(client: StreamClient, type: 'get' | 'set', payload: string): Promise<string> {
  client.write(`<iq type='${type}' id='ask'>${payload}</iq>`);
  for (;;) {
    const item = await client.next();
    if (item?.kind !== 'element') throw new Error(`there was no answer to ${payload}`);
    if (item.element.name === 'iq' && item.element.attrs.id === 'ask') return String(item.element);
  }
}

const roster = "<query xmlns='jabber:iq:roster'/>";
const prefs = (inside: string): string =>
  `<query xmlns='jabber:iq:private'><exodus xmlns='exodus:prefs'>${inside}</exodus></query>`;
const notes = "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:example:notes'/></pubsub>";
const create =
  "<pubsub xmlns='http://jabber.org/protocol/pubsub'><create node='urn:example:notes'/><configure><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>http://jabber.org/protocol/pubsub#node_config</value></field><field var='pubsub#access_model'><value>whitelist</value></field><field var='pubsub#persist_items'><value>1</value></field><field var='pubsub#max_items'><value>10</value></field></x></configure></pubsub>";
const publish = (id: string): string =>
  `<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:example:notes'><item id='${id}'><note xmlns='urn:example:notes'>${id} &amp; more</note></item></publish></pubsub>`;

/** What Romeo does wherever he is. */
async function live(client: StreamClient): Promise<void> {
  const set = async (payload: string): Promise<void> =>
    expect(await ask(client, 'set', payload)).toMatch(/type=.result/);
  await set(
    "<query xmlns='jabber:iq:roster'><item jid='juliet@capulet.example' name='Julia &amp; Co'><group>Verona</group><group>Friends</group></item></query>",
  );
  await set(prefs('<defaultnick>Hamlet</defaultnick>'));
  await set("<vCard xmlns='vcard-temp'><FN>Romeo Montague</FN><NICKNAME>romeo</NICKNAME></vCard>");
  await set(create);
  await set(publish('one'));
  await set(publish('two'));
  client.write(`<presence/><message to='nurse@${domain}' type='chat' id='m'><body>Is she well?</body></message>`);
  await ask(client, 'get', roster);
}

/** That he has everything, wherever he is now; without his nodes, where files have none. */
async function check(client: StreamClient, hasNodes = true): Promise<void> {
  const contacts = await ask(client, 'get', roster);
  expect(contacts).toContain('juliet@capulet.example');
  expect(contacts).toContain('Julia &amp; Co');
  expect(contacts).toContain('Verona');
  expect(await ask(client, 'get', prefs(''))).toContain('Hamlet');
  expect(await ask(client, 'get', "<vCard xmlns='vcard-temp'/>")).toContain('Romeo Montague');
  if (!hasNodes) return;
  const items = await ask(client, 'get', notes);
  expect(items).toContain('one &amp; more');
  expect(items).toContain('two &amp; more');
}

async function enter(
  server: Server,
  user: string,
  mechanism: 'SCRAM-SHA-1' | 'SCRAM-SHA-256' | 'PLAIN',
): Promise<StreamClient> {
  const address = server.address('c2s')!;
  return (await logIn(address, { domain, user, password: 'secret', resource: 'orchard', mechanism })).client;
}

/** A Parley with an account that has lived there. */
async function lived(): Promise<Server> {
  const server = await ours();
  for (const user of ['romeo', 'nurse']) await server.admin.accounts(domain)!.create(user, 'secret');
  const client = await enter(server, 'romeo', 'PLAIN');
  await live(client);
  await client.destroy();
  return server;
}

describe('Prosody', () => {
  test('writes files that are read here: keys, contacts, profile, private data, nodes and archive', async () => {
    await using peer = new Prosody(await optionsOf());
    await peer.start();
    await (await peer.enter('nurse', 'kitchen')).client.destroy();
    const { client } = await peer.enter('romeo', 'orchard');
    await live(client);
    await client.destroy();
    await peer.stop();
    const files = join(folder, 'from Prosody');
    mkdirSync(files);
    peer.migrate('out', files);
    const server = await ours();
    try {
      const { accounts } = await server.admin.transfer().importFrom(files, false);
      const romeo = accounts.find(({ jid }) => jid === `romeo@${domain}`);
      expect(romeo?.lines).toEqual([]);
      expect(romeo).toMatchObject({
        state: 'added',
        counts: { keys: { added: 1 }, contacts: { added: 1 }, 'private data': { added: 1 }, messages: { added: 1 } },
      });
      const here = await enter(server, 'romeo', 'SCRAM-SHA-1');
      await check(here);
      const configuration = `<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><configure node='urn:example:notes'/></pubsub>`;
      expect(await ask(here, 'get', configuration)).toMatch(/pubsub#access_model"[^>]*>.*?<value>whitelist/);
      await here.destroy();
    } finally {
      await server.stop();
    }
  }, 60_000);

  test('reads files of ours: whoever lived here logs in there, and has everything', async () => {
    const server = await lived();
    await using peer = new Prosody(await optionsOf());
    const files = join(folder, 'for Prosody');
    mkdirSync(files);
    for (const user of ['romeo', 'nurse'])
      await server.admin.transfer().exportTo(join(files, `${user}@${domain}.xml`), { host: domain, user });
    await server.stop();
    peer.migrate('in', files);
    await peer.start();
    const { client } = await logIn(peer.address, {
      domain,
      user: 'romeo',
      password: 'secret',
      resource: 'orchard',
      mechanism: 'SCRAM-SHA-1',
    });
    await check(client);
    await client.destroy();
  }, 60_000);
});

describe('ejabberd', () => {
  let peer: Ejabberd;
  beforeAll(async () => {
    peer = new Ejabberd(await optionsOf());
    await peer.start();
  }, 60_000);
  afterAll(() => peer[Symbol.asyncDispose]());

  test('writes files that are read here', async () => {
    await (await peer.enter('nurse', 'kitchen')).client.destroy();
    const { client } = await peer.enter('romeo', 'orchard');
    await live(client);
    await ask(client, 'set', "<block xmlns='urn:xmpp:blocking'><item jid='tybalt@capulet.example'/></block>");
    await client.destroy();
    const files = join(folder, 'from ejabberd');
    mkdirSync(files);
    await peer.run('export_piefxis', { dir: files });
    expect(readdirSync(files).length).toBeGreaterThan(0);
    const server = await ours();
    try {
      const { accounts, lines } = await server.admin.transfer().importFrom(files, false);
      expect(lines).toEqual([]);
      const romeo = accounts.find(({ jid }) => jid === `romeo@${domain}`);
      expect(romeo).toMatchObject({
        state: 'added',
        counts: {
          keys: { added: 1 },
          contacts: { added: 1 },
          'private data': { added: 1 },
          'blocked addresses': { added: 1 },
        },
      });
      const here = await enter(server, 'romeo', 'SCRAM-SHA-1');
      await check(here, false);
      await here.destroy();
      const nurse = accounts.find(({ jid }) => jid === `nurse@${domain}`);
      expect(nurse?.counts['waiting messages']?.added).toBe(1);
    } finally {
      await server.stop();
    }
  }, 60_000);

  test('reads files of ours', async () => {
    const server = await lived();
    const file = join(folder, 'ours.xml');
    await server.admin.transfer().exportTo(file, {});
    await server.stop();
    await peer.run('unregister', { user: 'romeo', host: domain });
    await peer.run('unregister', { user: 'nurse', host: domain });
    await peer.run('import_piefxis', { file });
    // keys it takes only as it writes them itself: base64 of base64
    await peer.run('change_password', { user: 'romeo', host: domain, newpass: 'secret' });
    const { client } = await logIn(peer.address, {
      domain,
      user: 'romeo',
      password: 'secret',
      resource: 'orchard',
      mechanism: 'SCRAM-SHA-1',
    });
    await check(client, false);
    await client.destroy();
  }, 60_000);
});

test('a file without anything to log in with makes an account that waits for a password', async () => {
  const server = await ours();
  const file = join(folder, 'bare.xml');
  writeFileSync(
    file,
    `<server-data xmlns='urn:xmpp:pie:0'><host jid='${domain}'><user name='romeo'/></host></server-data>`,
  );
  const { accounts } = await server.admin.transfer().importFrom(file, false);
  expect(accounts).toMatchObject([{ state: 'added', counts: { keys: { ignored: 1 } } }]);
  await server.admin.accounts(domain)!.setPassword('romeo', 'secret');
  await (await enter(server, 'romeo', 'PLAIN')).destroy();
  await server.stop();
});
