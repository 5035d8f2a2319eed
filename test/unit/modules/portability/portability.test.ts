// XEP-0227: what is exported of accounts is imported whole elsewhere: keys, contacts, nodes, private data, blocks, what waits, and the archive.
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AccountReport } from '../../../../src/core/transfer.ts';
import type { Server } from '../../../../src/server.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import type { ArchiveStore } from '../../../../src/storage/ports.ts';
import { archive, type Spec } from '../../../../src/storage/specs.ts';
import type { StreamClient } from '../../../kit/client.ts';
import { FakeClock } from '../../../kit/clock.ts';
import { logIn } from '../../../kit/login.ts';
import { startServer } from '../../../kit/test-server.ts';

const domain = 'verona.test';
const folder = mkdtempSync(join(tmpdir(), 'parley moves '));
afterAll(() => rmSync(folder, { recursive: true }));

async function start(clock = new FakeClock()) {
  const driver = createMemoryDriver(clock);
  const server = await startServer({ hosts: { [domain]: {} } }, { driver, clock });
  return { server, driver };
}

async function client(server: Server, user: string, password = 'secret'): Promise<StreamClient> {
  const { client } = await logIn(server.address('c2s')!, { user, password, domain, resource: 'orchard' });
  return client;
}

/** Asks, and passes over what else comes. */
async function ask(from: StreamClient, type: 'get' | 'set', payload: string, to = ''): Promise<string> {
  from.write(`<iq type='${type}' id='ask'${to === '' ? '' : ` to='${to}'`}>${payload}</iq>`);
  for (;;) {
    const item = await from.next();
    if (item?.kind !== 'element') throw new Error('there was no answer');
    if (item.element.name === 'iq' && item.element.attrs.id === 'ask') return String(item.element);
  }
}

/** Quotation marks in text may be written in two ways: as the client did that sent them, and as they are here. */
const textOf = (file: string): string => readFileSync(file, 'utf8').replaceAll('&quot;', '"');

const countsOf = (reports: readonly AccountReport[], jid: string) =>
  reports.find((one) => one.jid === jid)?.counts ?? {};

const PICTURE = Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex').toString('base64');

describe('an account that has everything', () => {
  const file = join(folder, 'all.xml');
  let first: Server;
  beforeAll(async () => {
    ({ server: first } = await start());
    for (const user of ['romeo', 'juliet', 'tybalt']) await first.admin.accounts(domain)!.create(user, 'secret');
    await first.admin.accounts(domain)!.disable('tybalt');
    const romeo = await client(first, 'romeo');
    const set = async (payload: string): Promise<void> => expect(await ask(romeo, 'set', payload)).toContain('result');
    await set(
      "<query xmlns='jabber:iq:roster'><item jid='juliet@verona.test' name='Julia &amp; Co'><group>Friends</group><group>Verona</group></item></query>",
    );
    await set("<query xmlns='jabber:iq:roster'><item jid='nurse@capulet.test'/></query>");
    romeo.write(
      "<presence type='subscribe' to='juliet@verona.test'/><presence type='subscribed' to='friar@church.test'/>",
    );
    await set(
      "<query xmlns='jabber:iq:private'><exodus xmlns='exodus:prefs'><defaultnick>Hamlet</defaultnick></exodus></query>",
    );
    await set(
      "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'><conference jid='coven@groups.verona.test' name='The coven' autojoin='1'><nick>R</nick></conference></storage></query>",
    );
    await set("<block xmlns='urn:xmpp:blocking'><item jid='tybalt@verona.test'/><item jid='spam.example'/></block>");
    await set(
      `<vCard xmlns='vcard-temp'><FN>Romeo Montague</FN><N><FAMILY>Montague</FAMILY></N><X-ODD>kept</X-ODD><PHOTO><TYPE>image/png</TYPE><BINVAL>${PICTURE}</BINVAL></PHOTO></vCard>`,
    );
    await set(
      "<prefs xmlns='urn:xmpp:mam:2' default='always'><always/><never><jid>tybalt@verona.test</jid></never></prefs>",
    );
    const publish = (node: string, id: string, payload: string, options = ''): string =>
      `<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='${node}'><item id='${id}'>${payload}</item></publish>${options}</pubsub>`;
    const whitelist =
      "<publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/pubsub#publish-options</value></field><field var='pubsub#access_model'><value>whitelist</value></field><field var='pubsub#max_items'><value>max</value></field></x></publish-options>";
    await set(publish('urn:example:notes', 'one', "<note xmlns='urn:example:notes'>&lt;1&gt;</note>", whitelist));
    await set(publish('urn:example:notes', 'two', "<note xmlns='urn:example:notes'>2</note>"));
    await set(publish('urn:example:notes', 'one', "<note xmlns='urn:example:notes'>1, again</note>"));
    await set(
      "<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><affiliations node='urn:example:notes'><affiliation jid='juliet@verona.test' affiliation='member'/><affiliation jid='friar@church.test' affiliation='publisher'/></affiliations></pubsub>",
    );
    await set(
      "<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><subscriptions node='urn:example:notes'><subscription jid='juliet@verona.test' subscription='subscribed'/></subscriptions></pubsub>",
    );
    romeo.write(
      "<message to='juliet@verona.test' type='chat' id='m1'><body>Neither, &quot;fair&quot; saint</body></message>",
    );
    romeo.write(
      "<message to='juliet@verona.test' type='chat' id='m2' xml:lang='it'><body>Ciao</body><x xmlns='urn:example' a='&apos;'/></message>",
    );
    await romeo.fence();
    await romeo.destroy();
  });
  afterAll(() => first.stop());

  test('is whole in a file that nobody else can read, and there are no passwords', async () => {
    const done = await first.admin.transfer().exportTo(file, {});
    expect(done).toMatchObject({ file, accounts: 3 });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const xml = readFileSync(file, 'utf8');
    expect(Buffer.byteLength(xml)).toBe(done.bytes);
    for (const part of [
      'SCRAM-SHA-512',
      'exodus:prefs',
      'coven@groups.verona.test',
      'urn:example:notes',
      'X-ODD',
      PICTURE,
      'Neither,',
      'spam.example',
      "disabled='true'",
      "type='subscribe'",
    ])
      expect(xml).toContain(part);
    expect(xml).not.toContain('password=');
    expect(xml).not.toContain('secret');
  });

  test('read where it was written, it changes nothing', async () => {
    const { accounts } = await first.admin.transfer().importFrom(file, false);
    for (const { jid, counts, lines } of accounts) {
      expect(lines).toEqual([]);
      for (const [what, { added }] of Object.entries(counts)) expect(added, `${jid}: ${what}`).toBe(0);
    }
    const again = join(folder, 'unchanged.xml');
    await first.admin.transfer().exportTo(again, {});
    expect(readFileSync(again, 'utf8')).toBe(readFileSync(file, 'utf8'));
  });

  test('is the same after an import elsewhere, and once more when that is done again', async () => {
    const { server } = await start();
    try {
      const dry = await server.admin.transfer().importFrom(file, true);
      expect(dry.accounts.map(({ state }) => state)).toEqual(['added', 'added', 'added']);
      expect(await server.admin.accounts(domain)!.list()).toEqual([]);
      const done = await server.admin.transfer().importFrom(file, false);
      expect(done.lines).toEqual([]);
      expect(done.accounts.flatMap(({ lines }) => lines)).toEqual([]);
      // (some nodes follow others by themselves)
      const taken = ({ counts }: AccountReport) =>
        Object.entries(counts).map(([what, { added, same }]) => [what, added + same]);
      expect(done.accounts.map(taken)).toEqual(dry.accounts.map(taken));
      const again = join(folder, 'again.xml');
      await server.admin.transfer().exportTo(again, {});
      expect(textOf(again)).toBe(textOf(file));
      const repeated = await server.admin.transfer().importFrom(file, false);
      for (const { state, counts, lines } of repeated.accounts) {
        expect(state).toBe('there');
        expect(lines).toEqual([]);
        for (const [what, { added }] of Object.entries(counts)) expect(added, what).toBe(0);
      }
      await server.admin.transfer().exportTo(again, {});
      expect(textOf(again)).toBe(textOf(file));
    } finally {
      await server.stop();
    }
  });

  test('works as before: its devices log in with the old password, and find everything', async () => {
    const { server } = await start();
    try {
      await server.admin.transfer().importFrom(file, false);
      const romeo = await client(server, 'romeo');
      const roster = await ask(romeo, 'get', "<query xmlns='jabber:iq:roster'/>");
      expect(roster).toContain('ask="subscribe"');
      expect(roster).toContain('approved="true"');
      expect(roster).toContain('Julia &amp; Co');
      expect(await ask(romeo, 'get', "<blocklist xmlns='urn:xmpp:blocking'/>")).toContain('tybalt@verona.test');
      expect(await ask(romeo, 'get', "<vCard xmlns='vcard-temp'/>")).toContain(PICTURE);
      const items = "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:example:notes'/></pubsub>";
      expect(await ask(romeo, 'get', items)).toMatch(/id="one".*1, again.*id="two"/);
      expect(
        await ask(
          romeo,
          'get',
          "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:bookmarks:1'/></pubsub>",
        ),
      ).toContain('The coven');
      expect(await ask(romeo, 'get', items, 'tybalt@verona.test')).toContain('error');
      await romeo.destroy();
      const juliet = await client(server, 'juliet');
      expect(await ask(juliet, 'get', items, 'romeo@verona.test')).toContain('1, again');
      juliet.write('<presence/>');
      const waiting: string[] = [];
      for (let item = await juliet.next(); waiting.length < 3 && item?.kind === 'element'; item = await juliet.next())
        if (/message|subscribe/.test(String(item.element))) waiting.push(String(item.element));
      expect(waiting.join('')).toContain('Ciao');
      await juliet.destroy();
      await expect(client(server, 'tybalt')).rejects.toThrow();
    } finally {
      await server.stop();
    }
  });

  test('what is there already stays, and is told', async () => {
    const { server } = await start();
    try {
      await server.admin.accounts(domain)!.create('romeo', 'another');
      const romeo = await client(server, 'romeo', 'another');
      await ask(romeo, 'set', "<query xmlns='jabber:iq:roster'><item jid='juliet@verona.test' name='Mine'/></query>");
      await ask(
        romeo,
        'set',
        "<query xmlns='jabber:iq:private'><exodus xmlns='exodus:prefs'><defaultnick>Me</defaultnick></exodus></query>",
      );
      const { accounts } = await server.admin.transfer().importFrom(file, false);
      const report = accounts.find(({ jid }) => jid === 'romeo@verona.test')!;
      expect(report.state).toBe('there');
      expect(report.counts).toMatchObject({
        keys: { kept: 1 },
        contacts: { added: 2, kept: 1 },
        'private data': { kept: 1 },
        messages: { added: 2 },
      });
      expect(report.lines.join('\n')).toContain('juliet@verona.test');
      expect(await ask(romeo, 'get', "<query xmlns='jabber:iq:roster'/>")).toContain('name="Mine"');
      await romeo.destroy();
    } finally {
      await server.stop();
    }
  });
});

test('one account alone, and one domain, can be asked for', async () => {
  const { server } = await start();
  for (const user of ['romeo', 'juliet']) await server.admin.accounts(domain)!.create(user, 'secret');
  const file = join(folder, 'one.xml');
  expect(await server.admin.transfer().exportTo(file, { host: domain, user: 'juliet' })).toMatchObject({ accounts: 1 });
  expect(readFileSync(file, 'utf8')).not.toContain('romeo');
  expect(await server.admin.transfer().exportTo(file, { host: 'nowhere.test' })).toMatchObject({ accounts: 0 });
  await server.stop();
});

const MANY = 20_000;

test('a long archive goes through without being in memory', async () => {
  const clock = new FakeClock();
  const { server } = await start(clock);
  async function* document(): AsyncGenerator<Buffer> {
    yield Buffer.from(
      `<server-data xmlns='urn:xmpp:pie:0'><host jid='${domain}'><user name='romeo' password='secret'><archive xmlns='urn:xmpp:pie:0#mam'>`,
    );
    for (let i = 0; i < MANY; i += 100) {
      const results = Array.from({ length: 100 }, (_, n) => {
        const stamp = new Date(Date.UTC(2020, 0, 1) + (i + n) * 1000).toISOString();
        return `<result xmlns='urn:xmpp:mam:2' id='foreign-${i + n}'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='${stamp}'/><message xmlns='jabber:client' from='juliet@verona.test/b' to='romeo@verona.test' type='chat' id='${i + n}'><body>${i + n}</body></message></forwarded></result>`;
      });
      yield Buffer.from(results.join('\n'));
    }
    yield Buffer.from('</archive></user></host></server-data>');
  }
  const { accounts } = await server.admin.transfer().importDocument(document(), false);
  expect(countsOf(accounts, 'romeo@verona.test')).toMatchObject({ messages: { added: MANY } });
  let longest = 0;
  let messages = 0;
  for await (const text of server.admin.transfer().document({ host: domain })) {
    longest = Math.max(longest, text.length);
    messages += text.match(/<result /g)?.length ?? 0;
  }
  expect(messages).toBe(MANY);
  expect(longest).toBeLessThan(500_000);
  await server.stop();
}, 120_000);

test('messages with ids of others keep their times and their order, also within a millisecond, and come once', async () => {
  const { server, driver } = await start();
  const result = (id: string, stamp: string): string =>
    `<result xmlns='urn:xmpp:mam:2' id='${id}'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='${stamp}'/><message xmlns='jabber:client' from='romeo@verona.test/a' to='juliet@capulet.test' type='chat'><body>${id}</body></message></forwarded></result>`;
  const file = join(folder, 'foreign.xml');
  const at = '2021-03-04T05:06:07.089Z';
  const results = [result('z', at), result('a', at), result('m', at), result('last', '2021-03-04T05:06:08Z')];
  const whole = (parts: readonly string[]): string =>
    `<server-data xmlns='urn:xmpp:pie:0'><host jid='${domain}'><user name='romeo' password='secret'><archive xmlns='urn:xmpp:pie:0#mam'>${parts.join('')}</archive></user></host></server-data>`;
  // cut short, and begun again
  for (const parts of [results.slice(0, 2), results, results]) {
    writeFileSync(file, whole(parts));
    await server.admin.transfer().importFrom(file, false);
  }
  const { messages } = (await driver.open(domain, 'mam', { messages: archive() as Spec<unknown> })) as {
    messages: ArchiveStore;
  };
  const page = await messages.find('romeo', { limit: 10, with: 'juliet@capulet.test' });
  expect(page?.entries.map(({ xml }) => /<body>(.*?)</.exec(xml)?.[1])).toEqual(['z', 'a', 'm', 'last']);
  expect(page?.entries[0]?.at).toBe(Date.parse(at));
  await server.stop();
});
