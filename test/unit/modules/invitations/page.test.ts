// The pages at /join (XEP-0379 3.2, XEP-0401 4.2), over HTTP.
import { request } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Host } from '../../../../src/core/host.ts';
import type { NewInvitation } from '../../../../src/core/invitations.ts';
import { type Invitations, invitations } from '../../../../src/modules/invitations/service.ts';
import type { Server } from '../../../../src/server.ts';
import { FakeClock } from '../../../kit/clock.ts';
import { startServer } from '../../../kit/test-server.ts';

const MINUTE = 60_000;
const clock = new FakeClock();
let server: Server;
let host: Host;
let service: Invitations;
let port = 0;

beforeAll(async () => {
  server = await startServer(
    {
      hosts: { 'mantua.test': {}, 'verona.test': { modules: { 'web-chat': false } } },
      registration: 'invite',
      listen: { http: 0 },
    },
    { clock },
  );
  host = server.hosts.get('verona.test')!;
  service = host.find(invitations)!;
  port = server.listening.find(({ name }) => name === 'http')!.port;
  await host.accounts.create('romeo', 'secret');
});
afterAll(() => server.stop());
// whoever guesses in one test is forgotten in the next
beforeEach(() => clock.advance(10 * MINUTE));

interface Got {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}
function ask(method: string, path: string, headers: Record<string, string> = {}, body = ''): Promise<Got> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { port, method, path, agent: false, headers: { host: 'verona.test', ...headers } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () =>
          resolve({ status: response.statusCode!, headers: response.headers, text: Buffer.concat(chunks).toString() }),
        );
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}
const get = (path: string, headers = {}): Promise<Got> => ask('GET', path, headers);
const form = { 'content-type': 'application/x-www-form-urlencoded', 'sec-fetch-site': 'same-origin', origin: 'null' };
const post = (token: string, fields: Record<string, string>, headers: Record<string, string> = {}): Promise<Got> =>
  ask('POST', `/join/${token}`, { ...form, ...headers }, new URLSearchParams(fields).toString());
const make = async (wanted: NewInvitation = { kind: 'account' }): Promise<string> =>
  (await service.create(wanted)).token;
const heading = ({ text }: Got): string | undefined => /<h1>(.*?)<\/h1>/.exec(text)?.[1];
const password = 'a long password';

describe('a page that is looked at', () => {
  test('loads nothing, tells nobody where it is, and is for nobody else', async () => {
    const { status, headers, text } = await get(`/join/${await make()}`);
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'x-robots-tag': 'noindex, nofollow',
    });
    expect(headers['content-security-policy']).toMatch(
      /^default-src 'none'; style-src 'sha256-[^']+'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'$/,
    );
    expect(text).not.toMatch(/<script|<img|<link|style="|\son\w+="|src=|@import|url\(/i);
  });

  test('has labels, a language, and a place for those who see the form only', async () => {
    const { text } = await get(`/join/${await make()}`);
    expect(text).toContain('<html lang="en">');
    expect(text).toContain('width=device-width');
    expect(text).toContain('prefers-color-scheme:dark');
    for (const name of ['user', 'password']) {
      expect(text).toContain(`<label for="${name}">`);
      expect(text).toMatch(new RegExp(`<input id="${name}" name="${name}" [^>]*required`));
    }
    expect(text).toContain('autocomplete="new-password"');
    expect(text).toMatch(/<svg [^>]*role="img" aria-label="QR code/);
    expect(text).toContain('>Conversations</a> (Android)');
  });

  test('of an account, a contact, one without an account, and a password', async () => {
    const account = await make({ kind: 'account', inviter: 'romeo' });
    const contact = await make({ kind: 'contact', inviter: 'romeo' });
    const elsewhere = await make({ kind: 'contact', inviter: 'romeo', withoutAccount: true });
    const reset = await make({ kind: 'reset', user: 'romeo' });
    const pages = await Promise.all([account, contact, elsewhere, reset].map((token) => get(`/join/${token}`)));
    expect(pages.map(heading)).toEqual([
      'romeo invites you to verona.test',
      'romeo wants to be in touch with you',
      'romeo wants to be in touch with you',
      'A new password for romeo@verona.test',
    ]);
    expect(pages.map(({ text }) => /href="(xmpp:[^"]*)"/.exec(text)?.[1])).toEqual([
      `xmpp:verona.test?register;preauth=${account}`,
      `xmpp:romeo@verona.test?roster;preauth=${contact};ibr=y`,
      `xmpp:romeo@verona.test?roster;preauth=${elsewhere}`,
      undefined,
    ]);
    expect(pages.map(({ text }) => text.includes('<form'))).toEqual([true, true, false, true]);
    expect(pages[3]!.text).toContain('<input type="hidden" name="user" autocomplete="username" value="romeo">');
  });

  test('uses nothing, however often, and not by HEAD', async () => {
    const token = await make();
    for (let i = 0; i < 50; i++) await ask(i % 2 ? 'HEAD' : 'GET', `/join/${token}`, { 'user-agent': 'a bot' });
    expect((await ask('HEAD', `/join/${token}`)).text).toBe('');
    expect((await service.show(token))?.state).toBe('open');
    expect((await post(token, { user: 'looked-at', password })).status).toBe(303);
  });

  test('is found by whatever name the server is asked', async () => {
    expect(heading(await get(`/join/${await make()}`, { host: 'mantua.test' }))).toBe('You are invited to verona.test');
    expect(heading(await get(`/join/${await make()}`, { host: '127.0.0.1' }))).toBe('You are invited to verona.test');
  });
});

describe('a form that is filled in', () => {
  test('makes the account, and says so at an address of its own', async () => {
    const token = await make({ kind: 'account', inviter: 'romeo' });
    const { status, headers } = await post(token, { user: 'Juliet', password });
    expect([status, headers.location]).toEqual([303, `${token}/done?user=juliet`]);
    expect(await host.accounts.verifyPlain('juliet', password)).toBe(true);
    const done = await get(`/join/${token}/done?user=juliet`);
    expect(done.text).toContain('Your account is juliet@verona.test.');
    expect((await get(`/join/${token}/done?user=prince`)).status).toBe(404);
    expect((await get(`/join/${token}/done?user=%3Cscript%3E`)).text).not.toContain('<script');
    const again = await get(`/join/${token}`);
    expect([again.status, heading(again)]).toEqual([410, 'This invitation has been used already']);
  });

  test('that will not do is shown again, with the name and why', async () => {
    const token = await make();
    const tries = [
      ['romeo', password, 409, 'Somebody has this name already.'],
      ['<b>"x y', password, 422, 'This cannot be a name.'],
      ['benvolio', 'Sh0rt!', 422, 'The password is too short: 8 characters, or more.'],
      ['benvolio', `nul\0${password}`, 422, 'characters that not every app can send'],
      ['', password, 422, 'This cannot be a name.'],
    ] as const;
    for (const [user, secret, status, sentence] of tries) {
      const got = await post(token, { user, password: secret });
      expect(got.status).toBe(status);
      expect(got.text).toMatch(new RegExp(`<p class="error" role="alert" id="error">[^<]*${sentence}`));
      const shown = user.replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
      expect(got.text).toContain(` value="${shown}"`);
      expect(got.text).not.toContain(secret);
      expect(got.text).toMatch(/aria-describedby="\w+-hint error"[^>]* aria-invalid="true"/);
    }
    expect((await post(token, { user: 'benvolio', password })).status).toBe(303);
  });

  test('with a name that is kept needs no name', async () => {
    const token = await make({ kind: 'account', user: 'rosaline' });
    expect((await get(`/join/${token}`)).text).toContain(' value="rosaline" readonly>');
    expect((await post(token, { user: 'somebody-else', password })).headers.location).toBe(
      `${token}/done?user=rosaline`,
    );
  });

  test('sets a new password', async () => {
    const token = await make({ kind: 'reset', user: 'romeo' });
    const { headers } = await post(token, { user: 'romeo', password });
    expect((await get(`/join/${String(headers.location)}`)).text).toContain(
      'romeo@verona.test has the new password now.',
    );
    expect(await host.accounts.verifyPlain('romeo', password)).toBe(true);
  });

  test('leads into the chat, where there is one: that of the domain', async () => {
    const there = server.hosts.get('mantua.test')!.find(invitations)!;
    const [one, other] = [await there.create({ kind: 'account' }), await there.create({ kind: 'account' })];
    expect((await get(`/join/${one.token}`, { host: 'mantua.test' })).text).toContain('start to chat</button>');
    const here = await post(one.token, { user: 'juliet', password }, { host: 'mantua.test' });
    expect([here.status, here.headers.location]).toEqual([303, expect.stringMatching(/^\.\.\/chat#sign-in=/)]);
    const elsewhere = await post(other.token, { user: 'rosaline', password }, { host: 'verona.test' });
    expect(elsewhere.headers.location).toMatch(/^https:\/\/mantua\.test\/chat#sign-in=/);
  });

  test('at the same moment by two makes one account', async () => {
    const token = await make();
    const answers = await Promise.all([
      post(token, { user: 'sampson', password }),
      post(token, { user: 'gregory', password }),
    ]);
    expect(answers.map(({ status }) => status).sort()).toEqual([303, 503]);
    const made = await Promise.all(['sampson', 'gregory'].map((user) => host.accounts.exists(user)));
    expect(made.filter(Boolean)).toHaveLength(1);
  });

  test('in time is taken a little later, and later than that no more', async () => {
    const [token, late] = [await make({ kind: 'account', ttl: MINUTE }), await make({ kind: 'account', ttl: MINUTE })];
    await clock.advance(2 * MINUTE);
    expect(heading(await get(`/join/${token}`))).toBe('This invitation has expired');
    expect((await post(token, { user: 'tybalt', password })).status).toBe(303);
    await clock.advance(30 * MINUTE);
    const refused = await post(late, { user: 'paris', password });
    expect([refused.status, heading(refused)]).toEqual([410, 'This invitation has expired']);
    expect(await host.accounts.exists('paris')).toBe(false);
  });

  test.each([
    ['of another site', { 'sec-fetch-site': 'cross-site' }],
    ['of another site below the same domain', { 'sec-fetch-site': 'same-site' }],
    ['of another origin, from a browser that says nothing else', { 'sec-fetch-site': '', origin: 'https://evil.test' }],
    ['of another kind', { 'content-type': 'text/plain' }],
  ])('on a page %s is refused', async (_, more) => {
    const token = await make();
    const headers = Object.fromEntries(Object.entries({ ...form, ...more }).filter(([, value]) => value !== ''));
    const refused = await ask(
      'POST',
      `/join/${token}`,
      headers,
      new URLSearchParams({ user: 'abram', password }).toString(),
    );
    expect([refused.status, heading(refused)]).toEqual([403, 'This form was sent from another page']);
    expect(await host.accounts.exists('abram')).toBe(false);
    expect((await service.show(token))?.state).toBe('open');
  });

  test('from a browser that does not say where it comes from is taken', async () => {
    const { 'sec-fetch-site': _, ...headers } = { ...form, origin: 'http://verona.test' };
    const body = new URLSearchParams({ user: 'balthasar', password }).toString();
    expect((await ask('POST', `/join/${await make()}`, headers, body)).status).toBe(303);
  });

  test('with more than anybody fills in is refused', async () => {
    expect((await post(await make(), { user: 'x'.repeat(20_000), password })).status).toBe(413);
  });
});

describe('what cannot be used', () => {
  test('is told in words', async () => {
    const [revoked, closed] = [await make(), await make()];
    await service.revoke(revoked);
    const unknown = await get('/join/aaaaaaaaaaaaaaaaaaaaaaaa');
    expect([unknown.status, heading(unknown)]).toEqual([404, 'There is no such invitation']);
    expect((await get('/join/%00')).status).toBe(400);
    expect((await get(`/join/${closed}/`)).status).toBe(404);
    expect((await get('/join/<script>')).text).not.toContain('<script>');
    const gone = await get(`/join/${revoked}`);
    expect([gone.status, heading(gone)]).toEqual([410, 'This invitation was taken back']);
    expect((await post(revoked, { user: 'paris', password })).status).toBe(410);
  });

  test('is not looked for without end, by whoever has no link; others are let alone', async () => {
    const token = await make();
    const statuses = new Map<number, number>();
    for (let i = 0; i < 40; i++) {
      const { status } = await get(`/join/${'abcdefghijklmnopqrstuvwxyz'.slice(i % 26, (i % 26) + 1).repeat(24)}`, {
        'x-forwarded-for': '192.0.2.7',
      });
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
    expect([...statuses.keys()]).toEqual([404, 429]);
    const refused = await get(`/join/${token}`, { 'x-forwarded-for': '192.0.2.7' });
    expect([refused.status, refused.headers['retry-after']]).toEqual([429, '60']);
    expect((await get(`/join/${token}`, { 'x-forwarded-for': '192.0.2.8' })).status).toBe(200);
    await clock.advance(2 * MINUTE);
    expect((await get(`/join/${token}`, { 'x-forwarded-for': '192.0.2.7' })).status).toBe(200);
  });

  test('is not asked for where others can listen', async () => {
    const token = await make();
    const open = { 'x-forwarded-for': '192.0.2.9', 'x-forwarded-proto': 'http' };
    expect(heading(await get(`/join/${token}`, open))).toBe('This needs a connection that nobody can listen to');
    expect((await post(token, { user: 'peter', password }, open)).status).toBe(403);
    expect(await host.accounts.exists('peter')).toBe(false);
  });
});
