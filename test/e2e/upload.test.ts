// Files by HTTP (XEP-0363 7), as browsers, phones and those who mean ill send and read them.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { PATIENCE } from '../kit/client.ts';
import { FakeClock } from '../kit/clock.ts';
import { TestServer } from '../kit/test-server.ts';
import { http, Sender } from '../kit/uploads.ts';

// (where addresses lead to the plain HTTP of this machine)
const domain = 'localhost';
const TEN = '0123456789';
const folder = mkdtempSync(join(tmpdir(), 'parley-uploads-'));
const clock = new FakeClock();
let server: TestServer;
let romeo: Sender;

beforeAll(async () => {
  server = await TestServer.start(
    { hosts: { [domain]: {} }, upload: { folder, retention: '2d' }, listen: { c2s: 0, http: 0 } },
    { clock },
  );
});
beforeEach(async ({ task }) => {
  romeo = await Sender.come(server, `romeo${task.id.replace(/\W/g, '')}`.toLowerCase(), domain);
});
afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

/** All that is on disk, but what tells the folder. */
const kept = (): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true, encoding: 'utf8' })
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
    .map(({ name }) => name);
const idOf = (url: string): string => new URL(url).pathname.split('/')[2]!;

describe('a file that is put', () => {
  test('is there, as it was sent, when the client is told so', async () => {
    const slot = await romeo.slot({ name: 'très cool.jpg', size: 10, type: 'image/jpeg' });
    expect(slot.get).toMatch(/^http:\/\/localhost:\d+\/upload\/[\w-]{32}\/tr%C3%A8s%20cool\.jpg$/);
    expect(slot.put.startsWith(`${slot.get}?slot=`)).toBe(true);
    expect((await http('GET', slot.get)).status).toBe(404);
    expect(await http('PUT', slot.put, { body: TEN, type: 'image/jpeg' })).toMatchObject({
      status: 201,
      headers: { 'access-control-allow-origin': '*' },
    });
    const got = await http('GET', slot.get);
    expect(got).toMatchObject({
      status: 200,
      headers: {
        'content-type': 'image/jpeg',
        'content-length': '10',
        'content-disposition': `inline; filename="tr_s cool.jpg"; filename*=UTF-8''tr%C3%A8s%20cool.jpg`,
        'accept-ranges': 'bytes',
        'access-control-allow-origin': '*',
        'x-content-type-options': 'nosniff',
        'cross-origin-resource-policy': 'cross-origin',
        etag: `"${idOf(slot.get)}"`,
        'last-modified': new Date(clock.now()).toUTCString(),
      },
    });
    expect(got.body.toString()).toBe(TEN);
    expect(got.headers['content-security-policy']).toMatch(/default-src 'none'.*frame-ancestors 'none'.*sandbox/);
    expect(got.headers['cache-control']).toBe('private, max-age=86400, immutable');
    expect(kept()).toContain(idOf(slot.get));
  });

  test('has its length and its end told to those who ask by HEAD', async () => {
    const url = await romeo.send(TEN, { type: 'text/plain' });
    const { status, headers, body } = await http('HEAD', url);
    expect([status, headers['content-length'], body.length]).toEqual([200, '10', 0]);
    const part = await http('HEAD', url, { headers: { range: 'bytes=2-4' } });
    expect([part.status, part.headers['content-length']]).toEqual([200, '10']);
  });

  test('is put once', async () => {
    const slot = await romeo.slot({ size: 10 });
    const both = await Promise.all([
      http('PUT', slot.put, { body: TEN }),
      http('PUT', slot.put, { body: 'abcdefghij' }),
    ]);
    expect(both.map(({ status }) => status).sort()).toEqual([201, 409]);
    const first = (await http('GET', slot.get)).body.toString();
    expect((await http('PUT', slot.put, { body: TEN })).status).toBe(409);
    expect((await http('GET', slot.get)).body.toString()).toBe(first);
  });

  test('may be sent again where it did not come', async () => {
    const slot = await romeo.slot({ size: 10 });
    expect((await http('PUT', slot.put, { body: 'short' })).status).toBe(400);
    expect((await http('PUT', slot.put, { body: TEN })).status).toBe(201);
  });
});

describe('refused is', () => {
  test.each([
    ['less than was said', 400, 'short', {}],
    ['more than was said', 413, `${TEN}!`, {}],
    ['another type', 415, TEN, { 'content-type': 'text/html' }],
    ['what is no type', 415, TEN, { 'content-type': 'image' }],
    ['no type where there was one', 415, TEN, {}],
    ['what has no length', 411, undefined, { 'content-type': 'image/png', 'transfer-encoding': 'chunked' }],
    ['a part', 400, TEN, { 'content-type': 'image/png', 'content-range': 'bytes 0-9/100' }],
    ['what is encoded', 415, TEN, { 'content-type': 'image/png', 'content-encoding': 'gzip' }],
  ] as const)('%s', async (_, status, body, headers) => {
    const slot = await romeo.slot({ size: 10, type: 'image/png' });
    const type = status === 400 || status === 413 ? { 'content-type': 'image/png' } : {};
    const got = await http('PUT', slot.put, { ...(body && { body }), headers: { ...type, ...headers } });
    expect([got.status, got.headers['access-control-allow-origin']]).toEqual([status, '*']);
    expect((await http('GET', slot.get)).status).toBe(404);
    expect(kept()).not.toContain(idOf(slot.get));
  });

  test('an address that was not given out', async () => {
    const [slot, other] = [await romeo.slot({ size: 10 }), await romeo.slot({ size: 10 })];
    const leave = new URL(slot.put).search;
    const later = leave.replace(/=\w+\./, (until) => `${until.slice(0, -1)}0.`);
    const put = (url: string) => http('PUT', url, { body: TEN }).then(({ status }) => status);
    expect(await put(slot.get)).toBe(403);
    expect(await put(slot.get + new URL(other.put).search)).toBe(403);
    expect(await put(slot.get + later)).toBe(403);
    expect(await put(`${slot.get}?slot=`)).toBe(403);
    expect(await put(slot.put.replace(idOf(slot.put), 'A'.repeat(32)))).toBe(404);
    expect(await put(slot.put.replace(idOf(slot.put), 'x'))).toBe(404);
    expect((await http('GET', slot.get.replace(idOf(slot.get), 'A'.repeat(32)))).status).toBe(404);
    expect((await http('GET', slot.get.replace(idOf(slot.get), '%2e%2e%2f%2e%2e%2fetc'))).status).toBe(404);
    expect(await put(slot.put)).toBe(201);
  });

  test('what comes too late', async () => {
    const slot = await romeo.slot({ size: 10 });
    await clock.advance(5 * 60_000 + 1);
    expect((await http('PUT', slot.put, { body: TEN })).status).toBe(403);
  });

  test('any other method', async () => {
    const url = await romeo.send(TEN);
    expect((await http('DELETE', url)).status).toBe(405);
    expect((await http('POST', url, { body: TEN })).status).toBe(405);
  });
});

describe('a type', () => {
  test('that was not asked for is the one that comes, or none', async () => {
    const [plain, unknown] = [await romeo.slot({ size: 10 }), await romeo.slot({ size: 10 })];
    await http('PUT', plain.put, { body: TEN, type: 'text/plain; charset=UTF-8' });
    await http('PUT', unknown.put, { body: TEN });
    expect((await http('GET', plain.get)).headers['content-type']).toBe('text/plain; charset=UTF-8');
    expect((await http('GET', unknown.get)).headers['content-type']).toBe('application/octet-stream');
  });

  test('may have parameters that were not asked for, as browsers add them', async () => {
    const slot = await romeo.slot({ size: 10, type: 'text/plain' });
    expect((await http('PUT', slot.put, { body: TEN, type: 'Text/Plain;charset=UTF-8' })).status).toBe(201);
    expect((await http('GET', slot.get)).headers['content-type']).toBe('text/plain');
  });

  test.each([
    'text/html',
    'image/svg+xml',
    'application/xml',
    'text/xml',
    'application/xhtml+xml',
    'application/pdf',
    'text/javascript',
    'application/octet-stream',
    'multipart/x-mixed-replace',
    'text/css',
  ])('that browsers run something of is saved, and not shown: %s', async (type) => {
    const { headers } = await http('GET', await romeo.send('<script>alert(1)</script>', { name: 'x.html', type }));
    expect(headers['content-disposition']).toMatch(/^attachment; filename="x\.html"/);
    expect(headers['x-content-type-options']).toBe('nosniff');
    expect(headers['content-security-policy']).toMatch(/sandbox$/);
  });

  test.each(['image/png', 'video/mp4', 'audio/ogg', 'text/plain'])('that is harmless is shown: %s', async (type) => {
    const { headers } = await http('GET', await romeo.send(TEN, { type }));
    expect(headers['content-disposition']).toMatch(/^inline/);
  });
});

describe('parts', () => {
  test.each([
    ['bytes=2-4', 206, '234', 'bytes 2-4/10'],
    ['bytes=7-', 206, '789', 'bytes 7-9/10'],
    ['bytes=7-100', 206, '789', 'bytes 7-9/10'],
    ['bytes=-3', 206, '789', 'bytes 7-9/10'],
    ['bytes=-100', 206, TEN, 'bytes 0-9/10'],
    ['bytes=0-9', 206, TEN, 'bytes 0-9/10'],
    ['bytes=10-', 416, undefined, 'bytes */10'],
    ['bytes=-0', 416, undefined, 'bytes */10'],
    ['bytes=4-2', 200, TEN, undefined],
    ['bytes=0-1,4-5', 200, TEN, undefined],
    ['lines=1-2', 200, TEN, undefined],
    ['bytes=', 200, TEN, undefined],
  ])('%s is answered by %i', async (range, status, content, told) => {
    const url = await romeo.send(TEN);
    const got = await http('GET', url, { headers: { range } });
    expect([got.status, got.headers['content-range']]).toEqual([status, told]);
    if (content === undefined) return;
    expect(got.body.toString()).toBe(content);
    expect(got.headers['content-length']).toBe(String(content.length));
  });

  test('are of the file that is meant, or else it is all of it', async () => {
    const url = await romeo.send(TEN);
    const { etag = '', 'last-modified': modified = '' } = (await http('GET', url)).headers;
    const read = async (headers: Record<string, string>) => {
      const { status, body } = await http('GET', url, { headers });
      return [status, body.toString()];
    };
    expect(await read({ range: 'bytes=1-2', 'if-range': etag })).toEqual([206, '12']);
    expect(await read({ range: 'bytes=1-2', 'if-range': modified })).toEqual([206, '12']);
    expect(await read({ range: 'bytes=1-2', 'if-range': '"another"' })).toEqual([200, TEN]);
    expect(await read({ range: 'bytes=1-2', 'if-range': new Date(0).toUTCString() })).toEqual([200, TEN]);
    expect(await read({ 'if-none-match': etag })).toEqual([304, '']);
    expect(await read({ 'if-none-match': `"x", W/${etag}` })).toEqual([304, '']);
    expect(await read({ 'if-none-match': '"x"', 'if-modified-since': modified })).toEqual([200, TEN]);
    expect(await read({ 'if-modified-since': modified })).toEqual([304, '']);
    expect(await read({ 'if-modified-since': new Date(0).toUTCString() })).toEqual([200, TEN]);
    expect((await read({ 'if-match': '"x"' }))[0]).toBe(412);
    expect((await read({ 'if-match': etag }))[0]).toBe(200);
    expect((await read({ 'if-unmodified-since': new Date(0).toUTCString() }))[0]).toBe(412);
  });
});

describe('pages of other origins', () => {
  test('are told what they may do before they do it', async () => {
    const slot = await romeo.slot({ size: 10, type: 'image/png' });
    const { status, headers } = await http('OPTIONS', slot.put, {
      headers: {
        origin: 'https://chat.example',
        'access-control-request-method': 'PUT',
        'access-control-request-headers': 'content-type,x-requested-with',
      },
    });
    expect(status).toBe(204);
    expect(headers).toMatchObject({
      'access-control-allow-origin': '*',
      'access-control-allow-methods': 'OPTIONS, HEAD, GET, PUT',
      'access-control-allow-headers': 'content-type,x-requested-with',
    });
    expect(headers['access-control-allow-credentials']).toBeUndefined();
  });

  test('may read what matters of the answer', async () => {
    const { headers } = await http('GET', await romeo.send(TEN), { headers: { origin: 'https://chat.example' } });
    expect(headers['access-control-expose-headers']).toMatch(/Content-Length.*Content-Range/);
  });
});

describe('time', () => {
  test('ends a file for messages after the retention, a profile stays, and what is ephemeral goes when it has to', async () => {
    const purpose = (name: string, more = ''): { purpose: string } => ({
      purpose: `<${name} xmlns='urn:xmpp:http:upload:purpose:0'${more}/>`,
    });
    const end = new Date(clock.now() + 3_600_000).toISOString();
    const message = await romeo.send(TEN);
    const profile = await romeo.send(TEN, purpose('profile'));
    const permanent = await romeo.send(TEN, purpose('permanent'));
    const ephemeral = await romeo.send(TEN, purpose('ephemeral', ` expire-before='${end}'`));
    const late = await romeo.send(TEN, purpose('ephemeral', " expire-before='2099-01-01T00:00:00Z'"));
    const all = [message, profile, permanent, ephemeral, late];
    const there = async (): Promise<number[]> => Promise.all(all.map(async (url) => (await http('GET', url)).status));
    await clock.advance(3_590_000);
    expect(await there()).toEqual([200, 200, 200, 200, 200]);
    expect((await http('GET', ephemeral)).headers['cache-control']).toBe('private, max-age=10, immutable');
    await clock.advance(10_000);
    expect(await there()).toEqual([200, 200, 200, 404, 200]);
    await clock.advance(2 * 86_400_000);
    expect(await there()).toEqual([404, 200, 200, 404, 404]);
    // what nobody can read is not kept
    const isKept = async (): Promise<boolean[]> => {
      // (disks take their time, whatever the clock says)
      await clock.advance(3_600_000);
      return all.map((url) => kept().includes(idOf(url)));
    };
    await expect.poll(isKept, { timeout: PATIENCE }).toEqual([false, true, true, false, false]);
  });

  test('counts what was sent today although it was deleted', async () => {
    const small = await TestServer.start(
      { hosts: { [domain]: {} }, upload: { folder, 'daily-quota': 25 }, listen: { c2s: 0, http: 0 } },
      { clock },
    );
    try {
      const juliet = await Sender.come(small, 'juliet', domain);
      for (let i = 0; i < 2; i++) await juliet.send(TEN);
      const submitted = "<x xmlns='jabber:x:data' type='submit'><field var='all'><value>1</value></field></x>";
      const done = await juliet.ask(
        'set',
        `<command xmlns='http://jabber.org/protocol/commands' node='upload:delete' action='complete'>${submitted}</command>`,
      );
      expect(done.getChild('command')!.getChildText('note')).toBe('2 files deleted');
      const error = (await juliet.request({ size: 10 })).getChild('error')!;
      expect(error.getChild('retry')?.attrs.stamp).toBe(
        new Date(Math.ceil(clock.now() / 1000) * 1000 + 86_400_000).toISOString(),
      );
      await clock.advance(86_400_000 + 1000);
      await juliet.send(TEN);
    } finally {
      await small.stop();
    }
  });
});

describe('whose files they are', () => {
  const command = (node: string, form = ''): string =>
    `<command xmlns='http://jabber.org/protocol/commands' node='upload:${node}'>${form}</command>`;

  test('their owner lists and deletes them, and nobody else', async () => {
    const [one, two] = [await romeo.send(TEN, { name: 'one.txt' }), await romeo.send(TEN, { name: 'two.txt' })];
    const listed = (await romeo.ask('set', command('list'))).getChild('command')!;
    expect(listed.getChildText('note')).toBe('2 files, 20 bytes');
    const cells = listed
      .getChild('x')!
      .getChildren('item')
      .flatMap((item) => item.getChildren('field'))
      .filter((field) => field.attrs.var === 'url')
      .map((field) => field.getChildText('value'));
    expect(cells.sort()).toEqual([one, two].sort());

    const tybalt = await Sender.come(server, 'tybalt', domain);
    const chosen = `<x xmlns='jabber:x:data' type='submit'><field var='files'><value>${idOf(one)}</value></field></x>`;
    expect((await tybalt.ask('set', command('delete', chosen))).attrs.type).toBe('error');
    expect((await http('GET', one)).status).toBe(200);
    const form = (await romeo.ask('set', command('delete'))).getChild('command')!.getChild('x')!;
    const options = form
      .getChildren('field')
      .find(({ attrs }) => attrs.var === 'files')!
      .getChildren('option');
    expect(options.map((option) => option.getChildText('value')).sort()).toEqual([idOf(one), idOf(two)].sort());
    const done = (await romeo.ask('set', command('delete', chosen))).getChild('command')!;
    expect(done.getChildText('note')).toBe('1 file deleted');
    expect((await http('GET', one)).status).toBe(404);
    expect((await http('GET', two)).status).toBe(200);
    expect(kept()).not.toContain(idOf(one));
  });

  test('they go with the account', async () => {
    const user = romeo.jid.split('@')[0]!;
    const [url, slot] = [await romeo.send(TEN), await romeo.slot({ size: 10 })];
    await server.server.accounts.remove(`${user}@${domain}`);
    expect((await http('GET', url)).status).toBe(404);
    expect((await http('PUT', slot.put, { body: TEN })).status).toBe(404);
    expect(kept()).not.toContain(idOf(url));
  });
});
