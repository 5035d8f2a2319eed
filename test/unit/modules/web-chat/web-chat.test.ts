import { mkdtempSync, rmSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findClient } from '../../../../src/modules/web-chat/assets.ts';
import { TICKET_LIFETIME, webSignIn } from '../../../../src/modules/web-chat/hand-over.ts';
import type { Server } from '../../../../src/server.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import { FakeClock } from '../../../kit/clock.ts';
import { createNodes } from '../../../kit/cluster-pair.ts';
import { startServer } from '../../../kit/test-server.ts';

const verona = 'verona.test';
const mantua = 'mantua.test';
const secret = 'wherefore art thou';
const clock = new FakeClock();
const hosts = {
  [verona]: { web: { url: 'https://chat.verona.test/below' } },
  [mantua]: {},
  'without.test': { modules: { 'web-chat': false } },
  'guests.test': { authentication: 'anonymous' },
  'lonely.test': { modules: { 'web-chat': { media: 'all' } }, registration: 'closed', rooms: { enabled: false } },
} as const;
let one: Server;
let two: Server;

beforeAll(async () => {
  const nodes = createNodes();
  const driver = createMemoryDriver(clock);
  const start = (at: number): Promise<Server> =>
    startServer({ hosts, listen: { http: 0 } } as never, { clock, cluster: nodes.clusters[at]!, driver });
  one = await start(0);
  two = await start(1);
  for (const domain of [verona, mantua]) await accountsOf(one, domain).create('juliet', secret);
});
afterAll(async () => {
  await one.stop();
  await two.stop();
});

const accountsOf = (server: Server, domain: string) => server.hosts.get(domain)!.accounts;
const ticketFor = (domain: string, server = one): Promise<string> =>
  server.hosts.get(domain)!.find(webSignIn)!.ticket('juliet', secret);
const tokenOf = (path: string): string => path.split('=')[1]!;

interface Got {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}
interface Asked {
  readonly method?: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string;
  readonly server?: Server;
}

/** As it is written: `fetch` would put paths right. */
function ask(path: string, { method = 'GET', headers = {}, body, server = one }: Asked = {}): Promise<Got> {
  const { port } = server.address('http')!;
  return new Promise((resolve, reject) => {
    const request = httpRequest({ port, host: '127.0.0.1', path, method, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
    request.on('error', reject);
    request.end(body);
  });
}
const settingsAt = async (host: string): Promise<Record<string, unknown>> =>
  JSON.parse((await ask('/chat/settings', { headers: { host } })).body.toString()).client;

const asPage = { 'content-type': 'application/json', 'sec-fetch-site': 'same-origin' };
const signIn = (ticket: string, more: Asked = {}): Promise<Got> =>
  ask('/chat/sign-in', { method: 'POST', headers: asPage, body: JSON.stringify({ ticket }), ...more });

describe('the page', () => {
  test('loads nothing but what is ours, runs nothing that is written into it, and is shown in no other page', async () => {
    const { status, headers, body } = await ask('/chat', { headers: { host: mantua } });
    expect(status).toBe(200);
    const policy = headers['content-security-policy'] as string;
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'self' 'wasm-unsafe-eval';");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toContain('worker-src');
    expect(policy).toContain("connect-src 'self' https://mantua.test data: blob:;");
    expect(policy).toContain("img-src 'self' https://mantua.test data: blob:;");
    expect(headers).toMatchObject({ 'referrer-policy': 'no-referrer', 'x-content-type-options': 'nosniff' });
    const sources = [...body.toString().matchAll(/(?:src|href)="([^"]*)"/g)].map(([, address]) => address!);
    expect(sources.length).toBeGreaterThan(3);
    for (const source of sources) expect(source).toMatch(/^chat\/assets\/[\w-]+\/[\w./-]+$/);
    expect(body.toString()).not.toMatch(/<script(?![^>]* src=)|<style| on\w+=| style=/);
  });

  test('sends and fetches files where the host has them, and elsewhere where all are shown', async () => {
    const at = async (host: string) => (await ask('/chat', { headers: { host } })).headers['content-security-policy'];
    expect(await at(verona)).toContain("connect-src 'self' https://chat.verona.test data: blob:;");
    for (const kind of ['img', 'media', 'connect']) {
      expect(await at('lonely.test')).toContain(`${kind}-src 'self' https://lonely.test data: blob: https:;`);
    }
  });

  test('is found from the root of the server, also below a path of a proxy', async () => {
    expect(await ask('/')).toMatchObject({ status: 302, headers: { location: 'chat' } });
    expect(await ask('/chat/')).toMatchObject({ status: 302, headers: { location: '../chat' } });
    expect(await ask('/chat', { method: 'HEAD' })).toMatchObject({ status: 200, body: Buffer.alloc(0) });
    expect((await ask('/chat', { method: 'PUT', body: 'x' })).status).toBe(405);
  });

  test('is of the host that is asked for by any of its names, and not there for one that has none', async () => {
    const title = async (host: string) =>
      /<title>(.*)<\/title>/.exec((await ask('/chat', { headers: { host } })).body.toString())?.[1];
    expect(await title('mantua.test:5280')).toBe('Chat at mantua.test');
    expect(await title('MANTUA.test')).toBe('Chat at mantua.test');
    expect(await title('groups.mantua.test')).toBe('Chat at mantua.test');
    expect(await title('chat.verona.test')).toBe('Chat at verona.test');
    expect(await title('192.0.2.1:5280')).toBe('Chat at verona.test');
    for (const path of ['/', '/chat', '/chat/settings']) {
      expect((await ask(path, { headers: { host: 'without.test' } })).status).toBe(404);
    }
    expect(await title('<script>')).toBe('Chat at verona.test');
  });

  test('stands aside with a sentence where there is no client', () => {
    const folder = mkdtempSync(join(tmpdir(), 'parley-no-client-'));
    expect(findClient(pathToFileURL(join(folder, 'assets.js')).href)).toBeUndefined();
    rmSync(folder, { recursive: true });
  });
});

describe('the settings', () => {
  test('are those of the host, and ask nobody else for anything', async () => {
    expect(await settingsAt(mantua)).toMatchObject({
      authentication: 'login',
      locked_domain: mantua,
      muc_domain: 'groups.mantua.test',
      muc_search_service: 'groups.mantua.test',
      view_mode: 'fullscreen',
      discover_connection_methods: false,
      xmpp_providers_url: '',
      autocomplete_providers_url: '',
      allowed_image_domains: ['mantua.test'],
      allowed_audio_domains: ['mantua.test'],
      allowed_video_domains: ['mantua.test'],
      allow_registration: true,
    });
    expect((await settingsAt(verona)).allowed_image_domains).toContain('chat.verona.test');
    const { body } = await ask('/chat/settings');
    expect(body.toString()).not.toMatch(/https?:/);
  });

  test('follow how people come in, and what there is', async () => {
    expect(await settingsAt('guests.test')).toMatchObject({
      authentication: 'anonymous',
      jid: 'guests.test',
      allow_registration: false,
    });
    const lonely = await settingsAt('lonely.test');
    expect(lonely.allow_registration).toBe(false);
    expect(lonely).not.toHaveProperty('allowed_image_domains');
    expect(lonely).not.toHaveProperty('muc_domain');
  });
});

describe('its files', () => {
  let at = '';
  beforeAll(async () => {
    at = /chat\/assets\/[\w-]+/.exec((await ask('/chat')).body.toString())![0];
  });
  const file = (name: string, more: Asked = {}): Promise<Got> => ask(`/${at}/${name}`, more);

  test('are kept by browsers for good, and compressed as they can read', async () => {
    const plain = await file('converse.min.js');
    expect(plain.headers).toMatchObject({
      'content-type': 'text/javascript; charset=utf-8',
      'cache-control': 'public, max-age=31536000, immutable',
      vary: 'accept-encoding',
    });
    expect(plain.headers['content-encoding']).toBeUndefined();
    const brotli = await file('converse.min.js', { headers: { 'accept-encoding': 'gzip, deflate, br' } });
    expect(brotli.headers['content-encoding']).toBe('br');
    expect(brotliDecompressSync(brotli.body).equals(plain.body)).toBe(true);
    expect(brotli.body.length).toBeLessThan(320_000);
    const gzipped = await file('converse.min.js', { headers: { 'accept-encoding': 'br;q=0, gzip;q=0.5' } });
    expect(gzipped.headers['content-encoding']).toBe('gzip');
    expect(gunzipSync(gzipped.body).equals(plain.body)).toBe(true);
    expect(new Set([plain, brotli, gzipped].map(({ headers }) => headers.etag)).size).toBe(3);
  });

  test('are not sent again to who has them', async () => {
    const { etag = '' } = (await file('emoji.json')).headers;
    const again = await file('emoji.json', { headers: { 'if-none-match': `"other", W/${etag}` } });
    expect(again).toMatchObject({ status: 304, body: Buffer.alloc(0), headers: { etag } });
    expect((await file('emoji.json', { headers: { 'if-none-match': '"other"' } })).status).toBe(200);
  });

  test('have another address in another version, and are not kept under a wrong one', async () => {
    const { status, headers } = await ask('/chat/assets/another/parley/start.js');
    expect(status).toBe(200);
    expect(headers['cache-control']).toBe('no-cache');
    expect((await ask('/chat', { server: two })).body.toString()).toContain(`${at}/`);
  });

  test('are those of the client and ours, and nothing around them', async () => {
    for (const name of [
      '../package.json',
      '..%2fpackage.json',
      '..%5cpackage.json',
      '%2e%2e/package.json',
      'images/../../package.json',
      './converse.min.js',
      '/etc/passwd',
      '',
      'images',
      'images/',
      'converse.min.js/',
      'converse.min.js.map',
      'website.css',
      'parley/../converse.min.js',
      'parley/nothing.js',
      'converse.min.js%00.css',
      '%ff',
      `${'a/'.repeat(3000)}b`,
      '__proto__',
    ]) {
      const { status } = await file(name);
      expect([400, 404], name).toContain(status);
    }
    expect((await ask(`/${at}`)).status).toBe(404);
    const script = await file('parley/start.js');
    expect(script.body.toString()).toContain("from '../converse.min.js'");
    expect((await file('curve25519_compiled.wasm')).headers['content-type']).toBe('application/wasm');
  });
});

describe('a ticket', () => {
  test('signs in once, with the keys that a client keeps of the password', async () => {
    const path = await ticketFor(verona);
    expect(path).toMatch(/^\/chat#sign-in=[\w-]{43}$/);
    const { status, headers, body } = await signIn(tokenOf(path));
    expect(status).toBe(200);
    expect(headers['cache-control']).toBe('no-store');
    expect(headers['access-control-allow-origin']).toBeUndefined();
    const { jid, keys } = JSON.parse(body.toString());
    expect(jid).toBe('juliet@verona.test');
    const { credentials } = await accountsOf(one, verona).scram('juliet', 'juliet', 'sha-512');
    expect(keys).toEqual({
      name: 'SHA-512',
      salt: credentials.salt,
      iter: credentials.iterations,
      ck: expect.stringMatching(/^[\w+/]{86}==$/),
      sk: credentials.serverKey,
    });
    expect((await signIn(tokenOf(path))).status).toBe(404);
  });

  test('is taken on any node, by one of those who come with it', async () => {
    const token = tokenOf(await ticketFor(verona));
    const answers = await Promise.all([one, two, one, two].map((server) => signIn(token, { server })));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 404, 404, 404]);
  });

  test('is of its own host, by whatever name the page was opened', async () => {
    const { body } = await signIn(tokenOf(await ticketFor(mantua)), { headers: { ...asPage, host: verona } });
    expect(JSON.parse(body.toString()).jid).toBe('juliet@mantua.test');
  });

  test('is good for a minute', async () => {
    const [early, late] = [tokenOf(await ticketFor(verona)), tokenOf(await ticketFor(verona))];
    await clock.advance(TICKET_LIFETIME - 1);
    expect((await signIn(early)).status).toBe(200);
    await clock.advance(1);
    expect((await signIn(late)).status).toBe(404);
  });

  test('is worth nothing when the password is another one, or the account is disabled', async () => {
    const accounts = accountsOf(one, mantua);
    await accounts.create('nurse', secret);
    const ticket = async (password: string) =>
      tokenOf(await one.hosts.get(mantua)!.find(webSignIn)!.ticket('nurse', password));
    const first = await ticket(secret);
    await accounts.setPassword('nurse', 'another one');
    expect((await signIn(first)).status).toBe(404);
    const second = await ticket('another one');
    await accounts.disable('nurse');
    expect((await signIn(second)).status).toBe(404);
  });

  test('is for nobody without the password', async () => {
    const give = one.hosts.get(verona)!.find(webSignIn)!;
    await expect(give.ticket('juliet', 'wrong')).rejects.toThrow('who has the password');
    await expect(give.ticket('nobody', secret)).rejects.toThrow('who has the password');
  });

  test('that was forged, and what is none, is refused', async () => {
    const token = tokenOf(await ticketFor(verona));
    const forged = token.slice(0, -1) + (token.endsWith('A') ? 'E' : 'A');
    for (const none of [forged, '', 'x', token.repeat(10), '../../etc', "' or 1=1"]) {
      expect((await signIn(none)).status, none).toBe(404);
    }
    const odd = async (body: string, headers = asPage) => (await signIn('', { body, headers } as Asked)).status;
    expect(await odd('not json')).toBe(400);
    expect(await odd('{}')).toBe(400);
    expect(await odd('[1]')).toBe(400);
    expect(await odd(JSON.stringify({ ticket: 1 }))).toBe(400);
    expect(await odd(JSON.stringify({ ticket: 'a'.repeat(2000) }))).toBe(413);
    expect((await signIn(token)).status).toBe(200);
  });

  test('is told to pages of ours alone', async () => {
    const token = tokenOf(await ticketFor(verona));
    const as = async (headers: OutgoingHttpHeaders) => (await signIn(token, { headers })).status;
    expect(await as({ ...asPage, 'sec-fetch-site': 'cross-site' })).toBe(403);
    expect(await as({ ...asPage, 'sec-fetch-site': 'same-site' })).toBe(403);
    expect(await as({ ...asPage, 'x-forwarded-proto': 'http' })).toBe(403);
    expect(await as({ 'content-type': 'text/plain' })).toBe(415);
    expect((await ask(`/chat/sign-in?ticket=${token}`)).status).toBe(405);
    // a proxy on this machine that took it over HTTPS
    expect(await as({ 'content-type': 'application/json', 'x-forwarded-proto': 'https' })).toBe(200);
  });
});
