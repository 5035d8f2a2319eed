// Servers of ours among themselves: what RFC 6121 and the streams between them promise.
// Names are proved by certificates (XEP-0178, XEP-0344 2.4) or dialback (XEP-0220); one connection serves both directions (XEP-0288).
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ConfigInput } from '../../../src/config/server.ts';
import { TestAuthority } from '../../kit/certificates.ts';
import type { StreamClient } from '../../kit/client.ts';
import { enter, TestFederation } from '../../kit/federation.ts';
import { logIn } from '../../kit/login.ts';
import { told } from '../../kit/server-peer.ts';
import { mergeSettings, type TestServer } from '../../kit/test-server.ts';

const authority = new TestAuthority('Everybody trusts me');
const folder = mkdtempSync(join(tmpdir(), 'parley s2s '));
writeFileSync(join(folder, 'ca.pem'), authority.certificate);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Settings with certificates that everybody trusts. */
function trusted(...domains: string[]): ConfigInput {
  const own = mkdtempSync(join(folder, 'certs '));
  for (const domain of domains) {
    const { certificate, key } = authority.issue({ names: [domain] });
    writeFileSync(join(own, `${domain}.pem`), certificate + key);
  }
  return { tls: { certificates: own, ca: join(folder, 'ca.pem') } };
}

let world: TestFederation;
beforeEach(() => {
  world = new TestFederation();
});
afterEach(() => world.stop());

type Person = Awaited<ReturnType<typeof enter>>;

async function couple(more: ConfigInput = {}, other: ConfigInput = more) {
  const verona = await world.add('verona.test', more);
  const mantua = await world.add('mantua.test', other);
  const romeo = await enter(verona, 'romeo@verona.test');
  const juliet = await enter(mantua, 'juliet@mantua.test');
  return { verona, mantua, romeo, juliet };
}

const heard = async (client: StreamClient): Promise<string> => told(await client.next(5_000));

async function talk(from: Person, to: Person, body: string): Promise<void> {
  from.client.write(`<message to='${to.jid}'><body>${body}</body></message>`);
  expect(await heard(to.client)).toContain(body);
}

const streamsOf = ({ server }: TestServer) =>
  server
    .federation()
    .map(({ direction, proof, state, bidi }) => `${direction} ${proof} ${state}${bidi ? ' bidi' : ''}`);

describe('names are proved', () => {
  test('by dialback where certificates say nothing', async () => {
    const { verona, mantua, romeo, juliet } = await couple({ s2s: { bidi: false } });
    await talk(romeo, juliet, 'Wherefore?');
    await talk(juliet, romeo, 'Deny thy father');
    expect(streamsOf(verona).sort()).toEqual(['in dialback open', 'out dialback open']);
    expect(streamsOf(mantua).sort()).toEqual(['in dialback open', 'out dialback open']);
  });

  test('by certificates where they are valid, and one connection serves both directions', async () => {
    const { verona, mantua, romeo, juliet } = await couple(trusted('verona.test'), trusted('mantua.test'));
    await talk(romeo, juliet, 'Wherefore?');
    await talk(juliet, romeo, 'Deny thy father');
    await talk(romeo, juliet, 'Call me but love');
    expect(streamsOf(verona)).toEqual(['out external open bidi']);
    expect(streamsOf(mantua)).toEqual(['in certificate open bidi']);
  });

  test('over direct TLS too', async () => {
    const { verona, mantua, romeo, juliet } = await couple(trusted('verona.test'), trusted('mantua.test'));
    world.names.set('mantua.test', { port: mantua.addressOf('s2s-tls').port, isDirectTls: true });
    await talk(romeo, juliet, 'Wherefore?');
    expect(streamsOf(verona)).toEqual(['out external open bidi']);
  });

  test('by certificates only, where that is asked for', async () => {
    const strict = { s2s: { 'require-valid-certificates': true } };
    const { verona, mantua, romeo, juliet } = await couple(mergeSettings(trusted('verona.test'), strict), {});
    romeo.client.write(`<message id='1' to='${juliet.jid}'><body>x</body></message>`);
    expect(await heard(romeo.client)).toMatch(/remote-server-not-found.*does not lead to an authority/);
    juliet.client.write(`<message id='1' to='${romeo.jid}'><body>x</body></message>`);
    expect(await heard(juliet.client)).toMatch(/remote-server-(timeout|not-found)/);
    expect(streamsOf(verona).concat(streamsOf(mantua))).not.toContainEqual(expect.stringContaining('open'));
  });
});

describe('names beyond ASCII', () => {
  test.each<[string, (...domains: string[]) => ConfigInput, string]>([
    ['certificates', trusted, 'out external open bidi'],
    ['dialback', () => ({}), 'out dialback open bidi'],
  ])('are reached and proved by %s, however they are written', async (_, settings, stream) => {
    const ascii = 'xn--bcher-kva.test';
    const books = await world.add('bücher.test', settings(ascii));
    world.names.set(ascii, { port: books.addressOf('s2s').port });
    const verona = await world.add('verona.test', settings('verona.test'));
    const reader = await enter(books, 'Žofie@bücher.test', 'лампа');
    const romeo = await enter(verona, 'romeo@verona.test', 'ö');
    expect(reader.jid).toBe('žofie@bücher.test/лампа');
    await talk(romeo, reader, 'as it is');
    await talk(reader, romeo, 'and back');
    await talk(romeo, { ...reader, jid: `ŽOFIE@${ascii.toUpperCase()}/лампа` }, 'as DNS has it');
    expect(streamsOf(verona)).toContain(stream);
    expect(world.names.asked.filter((name) => name.includes('bücher'))).toEqual([]);
    expect([...verona.errors, ...books.errors]).toEqual([]);
  });
});

describe('order and size', () => {
  test('a thousand messages arrive in order, in both directions at once', async () => {
    const { romeo, juliet } = await couple();
    for (let i = 0; i < 1000; i++) {
      romeo.client.write(`<message to='${juliet.jid}'><body>r${i}</body></message>`);
      juliet.client.write(`<message to='${romeo.jid}'><body>j${i}</body></message>`);
    }
    for (let i = 0; i < 1000; i++) {
      expect(await heard(juliet.client)).toContain(`<body>r${i}</body>`);
      expect(await heard(romeo.client)).toContain(`<body>j${i}</body>`);
    }
  }, 30_000);

  test('large messages arrive whole', async () => {
    const { romeo, juliet } = await couple();
    const body = `${'x'.repeat(200_000)}ä🎭&amp;`;
    romeo.client.write(`<message to='${juliet.jid}'><body>${body}</body></message>`);
    const came = await juliet.client.next(5_000);
    // the client's reader resolves entities
    expect(came?.kind === 'element' && came.element.getChildText('body')).toBe(body.replaceAll('&amp;', '&'));
  });
});

describe('RFC 6121 between servers', () => {
  /** What matters of the stanzas that came, once nothing more is on its way. */
  const summary = async ({ client }: Person, wanted: number): Promise<string[]> => {
    const lines: string[] = [];
    while (lines.length < wanted) {
      const item = await client.next(5_000);
      if (item?.kind !== 'element') throw new Error(`only ${lines.join(', ')}`);
      const { name, attrs } = item.element;
      if (name === 'presence') lines.push(`${attrs.type ?? 'available'} from ${attrs.from}`);
      else if (name === 'iq') {
        const [contact] = item.element.getChild('query')?.getChildElements() ?? [];
        if (attrs.type === 'set') lines.push(`push ${contact?.attrs.subscription}${contact?.attrs.ask ? ' ask' : ''}`);
      } else lines.push(name);
    }
    return lines.sort();
  };
  const interested = ({ client }: Person): void => {
    client.write("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq><presence/>");
  };

  test('contacts subscribe, see each other come and go, and leave each other', async () => {
    const { romeo, juliet, verona, mantua } = await couple();
    interested(romeo);
    interested(juliet);
    expect(await summary(romeo, 1)).toEqual([`available from ${romeo.jid}`]);
    expect(await summary(juliet, 1)).toEqual([`available from ${juliet.jid}`]);

    romeo.client.write("<presence type='subscribe' to='juliet@mantua.test'/>");
    expect(await summary(romeo, 1)).toEqual(['push none ask']);
    expect(await summary(juliet, 1)).toEqual(['subscribe from romeo@verona.test']);
    juliet.client.write("<presence type='subscribed' to='romeo@verona.test'/>");
    expect(await summary(juliet, 1)).toEqual(['push from']);
    expect(await summary(romeo, 3)).toEqual([
      `available from ${juliet.jid}`,
      'push to',
      'subscribed from juliet@mantua.test',
    ]);
    juliet.client.write("<presence type='subscribe' to='romeo@verona.test'/>");
    expect(await summary(juliet, 1)).toEqual(['push from ask']);
    expect(await summary(romeo, 1)).toEqual(['subscribe from juliet@mantua.test']);
    romeo.client.write("<presence type='subscribed' to='juliet@mantua.test'/>");
    expect(await summary(romeo, 1)).toEqual(['push both']);
    expect(await summary(juliet, 3)).toEqual([
      `available from ${romeo.jid}`,
      'push both',
      'subscribed from romeo@verona.test',
    ]);

    // whoever comes is told who is there, and is seen
    await romeo.client.destroy();
    expect(await summary(juliet, 1)).toEqual([`unavailable from ${romeo.jid}`]);
    const again = await logIn(verona.c2s, {
      domain: 'verona.test',
      user: 'romeo',
      password: 'secret',
      resource: 'again',
    });
    interested(again);
    expect(await summary(again, 2)).toEqual([`available from ${juliet.jid}`, `available from ${again.jid}`].sort());
    expect(await summary(juliet, 1)).toEqual([`available from ${again.jid}`]);

    again.client.write("<presence type='unsubscribe' to='juliet@mantua.test'/>");
    expect(await summary(juliet, 2)).toEqual(['push to', 'unsubscribe from romeo@verona.test']);
    expect(await summary(again, 2)).toEqual(['push from', `unavailable from ${juliet.jid}`]);
    expect([...verona.errors, ...mantua.errors]).toEqual([]);
    await again.client.destroy();
  });

  test('errors of the other server come back', async () => {
    const { romeo } = await couple();
    romeo.client.write("<message id='1' to='nobody@mantua.test'><body>x</body></message>");
    expect(await heard(romeo.client)).toMatch(/from="nobody@mantua.test".*service-unavailable/);
    romeo.client.write("<iq type='get' id='2' to='mantua.test'><query xmlns='jabber:iq:version'/></iq>");
    expect(await heard(romeo.client)).toMatch(/type="result".*jabber:iq:version/);
  });
});

describe('policy', () => {
  const refused = /type="error".*(not-allowed|remote-server-not-found|policy-violation)/;

  test('federation can be off for one host, and on for another', async () => {
    const verona = await world.add('verona.test', { hosts: { 'closed.test': { s2s: { enabled: false } } } });
    const mantua = await world.add('mantua.test');
    world.names.set('closed.test', { port: verona.addressOf('s2s').port });
    const closed = await enter(verona, 'hermit@closed.test');
    const juliet = await enter(mantua, 'juliet@mantua.test');
    closed.client.write(`<message id='1' to='${juliet.jid}'><body>x</body></message>`);
    expect(await heard(closed.client)).toMatch(refused);
    juliet.client.write(`<message id='1' to='${closed.jid}'><body>x</body></message>`);
    expect(await heard(juliet.client)).toMatch(refused);
    // hosts of one server need nobody's leave
    const romeo = await enter(verona, 'romeo@verona.test');
    await talk(closed, romeo, 'neighbour');
    await talk(romeo, juliet, 'abroad');
  });

  test.each<[string, ConfigInput]>([
    ['an allow-list', { s2s: { policy: 'allow-list', allow: ['*.friends.test', 'friend.test'] } }],
    ['a deny-list', { s2s: { policy: 'deny-list', deny: ['mantua.test'] } }],
  ])('%s keeps strangers out, in both directions', async (_, settings) => {
    const { romeo, juliet, verona } = await couple(settings, {});
    const friend = await world.add('friend.test');
    const laurence = await enter(friend, 'laurence@friend.test');
    romeo.client.write(`<message id='1' to='${juliet.jid}'><body>x</body></message>`);
    expect(await heard(romeo.client)).toMatch(/not-allowed.*does not talk to mantua.test/);
    juliet.client.write(`<message id='1' to='${romeo.jid}'><body>x</body></message>`);
    expect(await heard(juliet.client)).toMatch(refused);
    await talk(laurence, romeo, 'a friend');
    await talk(romeo, laurence, 'indeed');
    expect(streamsOf(verona).filter((one) => one.includes('open')).length).toBeGreaterThan(0);
  });
});

describe('streams that end', () => {
  test('a server that comes back is found again, and nothing is lost meanwhile', async () => {
    const verona = await world.add('verona.test');
    const first = await world.add('mantua.test');
    const romeo = await enter(verona, 'romeo@verona.test');
    const juliet = await enter(first, 'juliet@mantua.test');
    await talk(romeo, juliet, 'before');
    await juliet.client.destroy();
    const { port } = first.addressOf('s2s');
    await first.stop();
    const second = await world.add('mantua.test', { listen: { s2s: port } });
    await second.server.accounts.create('juliet@mantua.test', 'secret');
    romeo.client.write("<message to='juliet@mantua.test' type='chat'><body>after</body></message>");
    romeo.client.write("<iq type='get' id='fence' to='mantua.test'><query xmlns='jabber:iq:version'/></iq>");
    expect(await heard(romeo.client)).toContain('id="fence"');
    const again = await logIn(second.c2s, { domain: 'mantua.test', user: 'juliet', password: 'secret' });
    again.client.write('<presence/>');
    const came = [await heard(again.client), await heard(again.client)];
    expect(came.join('')).toContain('after');
    await again.client.destroy();
  });

  test('a stop says goodbye, and does not wait for long', async () => {
    const { verona, mantua, romeo, juliet } = await couple();
    await talk(romeo, juliet, 'x');
    const before = Date.now();
    await verona.stop();
    expect(Date.now() - before).toBeLessThan(2_500);
    await expect.poll(() => mantua.server.federation()).toEqual([]);
  });
});
