// Files that somebody else has written (XEP-0227): what is wrong with them is told, nothing of them is believed, and nothing outside of their folder is read.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Server } from '../../../../src/server.ts';
import { startServer } from '../../../kit/test-server.ts';

const folder = mkdtempSync(join(tmpdir(), 'parley hostile '));
let server: Server;
beforeAll(async () => {
  server = await startServer({ hosts: { 'verona.test': {} } });
});
afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

const user = (inside: string, attrs = "name='romeo' password='secret'"): string =>
  `<user xmlns='urn:xmpp:pie:0' ${attrs}>${inside}</user>`;
const whole = (inside: string): string =>
  `<?xml version='1.0'?>\n<server-data xmlns='urn:xmpp:pie:0'><host jid='verona.test'>${inside}</host></server-data>`;

async function bring(text: string | Buffer, isDry = true) {
  const file = join(folder, 'given.xml');
  writeFileSync(file, text);
  return server.admin.transfer().importFrom(file, isDry);
}

describe('XML', () => {
  test.each([
    ['entities', `<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>${whole(user('&e;'))}`, 'document type'],
    ['entities that nobody declared', whole(user("<vCard xmlns='vcard-temp'><FN>&e;</FN></vCard>")), ''],
    ['another encoding', whole(user('')).replace("version='1.0'", "version='1.0' encoding='ISO-8859-1'"), 'encoding'],
    ['no UTF-8', Buffer.concat([Buffer.from(whole(user('')).slice(0, -20)), Buffer.from([0xff, 0xfe])]), 'UTF-8'],
    ['an end too early', whole(user('')).slice(0, -10), 'too early'],
    ['two documents', whole('') + whole(''), ''],
    ['tags that do not match', whole('<user name="a"></host>'), ''],
    ['a way out of a piece', whole(user("<vCard xmlns='vcard-temp'></in><in></vCard>")), ''],
    ['another document', '<html/>', 'no part of such a file'],
    ['an instruction', whole(user('<?php exit ?>')), 'instruction'],
    [
      'a piece without an end',
      whole(`<user name='a'><vCard xmlns='vcard-temp'>${'x'.repeat(17 * 1024 * 1024)}`),
      'too long',
    ],
    ['a tag without an end', `<server-data xmlns='urn:xmpp:pie:0' a='${'x'.repeat(17 * 1024 * 1024)}`, 'too long'],
    ['what is too deep', whole(user(`${'<a xmlns="urn:a">'.repeat(600)}${'</a>'.repeat(600)}`)), ''],
  ])('%s: refused', async (_, text, why) => {
    await expect(bring(text)).rejects.toThrow(why === '' ? 'given.xml' : why);
  });

  test('comments and CDATA are no harm', async () => {
    const { accounts } = await bring(
      whole(`<!-- <user name='x'> -->${user("<vCard xmlns='vcard-temp'><!-- a --><FN><![CDATA[a<b]]></FN></vCard>")}`),
    );
    expect(accounts).toMatchObject([{ jid: 'romeo@verona.test', counts: { vCard: { added: 1 } } }]);
  });

  test('byte by byte it is the same', async () => {
    const text = whole(user("<query xmlns='jabber:iq:roster'><item jid='a@b.test' name='&#xe9;é'/></query>"));
    async function* bytes(): AsyncGenerator<Buffer> {
      for (const byte of Buffer.from(text)) yield Buffer.from([byte]);
    }
    const { accounts } = await server.admin.transfer().importDocument(bytes(), true);
    expect(accounts).toMatchObject([{ counts: { contacts: { added: 1 } } }]);
  });
});

describe('what it says', () => {
  test('accounts of domains that are not served, and names that are none, are left out', async () => {
    const text = `<server-data xmlns='urn:xmpp:pie:0'><host jid='mantua.test'>${user("<query xmlns='jabber:iq:roster'/>")}</host><host jid='verona.test'>${user('', "name='a b@c'")}<odd/></host></server-data>`;
    const { accounts, lines } = await bring(text, false);
    expect(lines.join()).toContain('mantua.test');
    expect(accounts).toMatchObject([{ state: 'refused' }]);
    expect(await server.admin.accounts('verona.test')!.list()).toEqual([]);
  });

  test.each([
    ['a key that is none', '<stored-key>x</stored-key>'],
    ['a key of another length', '<stored-key>AAAA</stored-key>'],
    ['no rounds', '<iter-count>0</iter-count>'],
    ['more rounds than a login should cost', '<iter-count>9999999</iter-count>'],
  ])('keys with %s are not taken', async (_, wrong) => {
    const right = {
      'iter-count': '<iter-count>4096</iter-count>',
      salt: '<salt>QSXCR+Q6sek8bf92</salt>',
      'server-key': `<server-key>${Buffer.alloc(20, 1).toString('base64')}</server-key>`,
      'stored-key': `<stored-key>${Buffer.alloc(20, 2).toString('base64')}</stored-key>`,
    };
    const name = /<([\w-]+)>/.exec(wrong)![1]!;
    const keys = (all: object): string =>
      `<scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='SCRAM-SHA-1'>${Object.values(all).join('')}</scram-credentials>`;
    const good = await bring(whole(user(keys(right), "name='x'")));
    expect(good.accounts).toMatchObject([{ counts: { keys: { added: 1 } } }]);
    const bad = await bring(whole(user(keys({ ...right, [name]: wrong }), "name='x'")));
    expect(bad.accounts[0]!.counts.keys).toMatchObject({ added: 0 });
  });

  test('odd parts are told, and the rest is taken', async () => {
    const { accounts } = await bring(
      whole(
        user(
          `<query xmlns='jabber:iq:roster'><item/><item jid='romeo@verona.test'/><item jid='a@b.test' subscription='all'/></query>
           <archive xmlns='urn:xmpp:pie:0#mam'><result xmlns='urn:xmpp:mam:2'/><other xmlns='urn:o'/></archive>
           <pubsub xmlns='http://jabber.org/protocol/pubsub'><items><item id='a'/></items><items node='n'><item><x xmlns='urn:x'/></item><item id='ok'><x xmlns='urn:x'/></item></items></pubsub>
           <pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><configure node='n'><x xmlns='jabber:x:data' type='form'><field var='pubsub#access_model'><value>magic</value></field></x></configure></pubsub>
           <presence xmlns='jabber:client' type='subscribe' from='@'/><offline-messages><iq xmlns='jabber:client'/></offline-messages><strange xmlns='urn:s'/>`,
        ),
      ),
    );
    expect(accounts[0]!.counts).toMatchObject({
      contacts: { added: 1, ignored: 2 },
      messages: { ignored: 2 },
      items: { added: 1, ignored: 1 },
      nodes: { ignored: 1 },
      requests: { ignored: 1 },
      'waiting messages': { ignored: 1 },
      'other data': { ignored: 1 },
    });
  });
});

describe('files in files (XEP-0227 5)', () => {
  const include = (href: string, more = ''): string =>
    `<include xmlns='http://www.w3.org/2001/XInclude' href='${href}'${more}/>`;
  const main = join(folder, 'main', 'main.xml');
  beforeAll(() => {
    mkdirSync(join(folder, 'main', 'verona.test'), { recursive: true });
    writeFileSync(join(folder, 'outside.xml'), user(''));
    symlinkSync(join(folder, 'outside.xml'), join(folder, 'main', 'link.xml'));
    writeFileSync(
      join(folder, 'main', 'verona.test.xml'),
      `<host xmlns='urn:xmpp:pie:0' jid='verona.test'>${include('verona.test/ju%20liet.xml')}</host>`,
    );
    writeFileSync(
      join(folder, 'main', 'verona.test', 'ju liet.xml'),
      user(`${include('../../outside.xml')}`, "name='juliet' password='secret'"),
    );
  });

  test('are read where they are beside or below, and once', async () => {
    writeFileSync(
      join(folder, 'main', 'verona.test', 'ju liet.xml'),
      user("<vCard xmlns='vcard-temp'><FN>J</FN></vCard>", "name='juliet' password='secret'"),
    );
    writeFileSync(main, `<server-data xmlns='urn:xmpp:pie:0'>${include('verona.test.xml')}</server-data>`);
    const { accounts } = await server.admin.transfer().importFrom(main, true);
    expect(accounts.map(({ jid, counts }) => [jid, counts.vCard?.added])).toEqual([['juliet@verona.test', 1]]);
    rmSync(join(folder, 'main', 'link.xml'));
    const all = await server.admin.transfer().importFrom(join(folder, 'main'), true);
    expect(all.accounts).toHaveLength(1);
    symlinkSync(join(folder, 'outside.xml'), join(folder, 'main', 'link.xml'));
  });

  test.each([
    '../outside.xml',
    '/etc/passwd',
    'file:///etc/passwd',
    'http://127.0.0.1/',
    'main.xml',
    'link.xml',
    'none.xml',
    '%2e%2e/outside.xml',
    '%zz',
  ])('%s is not', async (href) => {
    writeFileSync(
      main,
      `<server-data xmlns='urn:xmpp:pie:0'><host jid='verona.test'>${include(href)}</host></server-data>`,
    );
    await expect(server.admin.transfer().importFrom(main, true)).rejects.toThrow();
  });

  test('what is inside of what people keep is theirs, and nothing to include', async () => {
    writeFileSync(
      main,
      whole(user(`<query xmlns='jabber:iq:private'><x xmlns='urn:x'>${include('../outside.xml')}</x></query>`)),
    );
    const { accounts } = await server.admin.transfer().importFrom(main, true);
    expect(accounts).toMatchObject([{ counts: { 'private data': { added: 1 } } }]);
  });

  test('what comes over the network includes none', async () => {
    const text = whole(include('verona.test.xml'));
    async function* once(): AsyncGenerator<Buffer> {
      yield Buffer.from(text);
    }
    await expect(server.admin.transfer().importDocument(once(), true)).rejects.toThrow('no files');
  });
});
