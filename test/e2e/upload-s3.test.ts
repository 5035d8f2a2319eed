// Files in storage that speaks S3: they come and go through the server, and the storage believes each request.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { PATIENCE } from '../kit/client.ts';
import { FakeClock } from '../kit/clock.ts';
import { S3Server } from '../kit/s3-server.ts';
import { TestServer } from '../kit/test-server.ts';
import { http, open, Sender } from '../kit/uploads.ts';

const domain = 'localhost';
const TEN = '0123456789';
const key = { bucket: 'verona-files', accessKey: 'AKIAROMEO', secretKey: 'wherefore/art+thou', region: 'eu-verona-1' };
const clock = new FakeClock();
let storage: S3Server;
let server: TestServer;
let romeo: Sender;

const settings = (more: object = {}) => ({
  hosts: { [domain]: {} },
  upload: {
    retention: '2d',
    s3: {
      endpoint: storage.endpoint,
      bucket: key.bucket,
      region: key.region,
      prefix: 'parley/',
      'access-key': key.accessKey,
      'secret-key': key.secretKey,
      ...more,
    },
  },
  listen: { c2s: 0, http: 0 },
});

beforeAll(async () => {
  storage = await S3Server.start(key);
  server = await TestServer.start(settings(), { clock });
  romeo = await Sender.come(server, 'romeo', domain);
});
beforeEach(() => {
  storage.trouble = undefined;
  storage.objects.clear();
  storage.refused.length = 0;
});
afterAll(async () => {
  await server.stop();
  await storage[Symbol.asyncDispose]();
});

/** Storage takes its time, whatever the clock says. */
async function hourLater<T>(look: () => T): Promise<T> {
  await clock.advance(3_600_000);
  return look();
}
const idOf = (url: string): string => new URL(url).pathname.split('/')[2]!;
const nameOf = (url: string): string => `parley/${domain}/${idOf(url)}`;

test('a file is there under its id, below what the operator wants, and is read from there', async () => {
  const url = await romeo.send(TEN, { name: 'ten.txt', type: 'text/plain' });
  expect([...storage.objects]).toEqual([[nameOf(url), Buffer.from(TEN)]]);
  const got = await http('GET', url);
  expect([got.status, got.body.toString(), got.headers['content-type']]).toEqual([200, TEN, 'text/plain']);
  expect(got.headers['content-security-policy']).toMatch(/sandbox/);
  const part = await http('GET', url, { headers: { range: 'bytes=2-4' } });
  expect([part.status, part.body.toString(), part.headers['content-range']]).toEqual([206, '234', 'bytes 2-4/10']);
  expect((await http('HEAD', url)).headers['content-length']).toBe('10');
  expect(storage.refused).toEqual([]);
});

test('a large file comes whole', async () => {
  const large = Buffer.alloc(8 * 2 ** 20, 'abc');
  const url = await romeo.send(large);
  expect(storage.objects.get(nameOf(url))!.equals(large)).toBe(true);
  expect((await http('GET', url)).body.equals(large)).toBe(true);
});

test('what is deleted or has expired is gone from there', async () => {
  const url = await romeo.send(TEN);
  await clock.advance(2 * 86_400_000 + 1);
  expect((await http('GET', url)).status).toBe(404);
  await expect.poll(() => hourLater(() => storage.objects.size), { timeout: PATIENCE }).toBe(0);
});

test('an upload that breaks off leaves nothing, and may be made again', async () => {
  const slot = await romeo.slot({ size: 1000 });
  const request = open('PUT', slot.put, { 'content-length': '1000' });
  request.on('error', () => {});
  request.write('half');
  await new Promise((resolve) => setTimeout(resolve, 100));
  request.destroy();
  await expect
    .poll(async () => (await http('PUT', slot.put, { body: Buffer.alloc(1000) })).status, { interval: 50 })
    .toBe(201);
  expect(storage.objects.get(nameOf(slot.get))!.length).toBe(1000);
});

describe('storage that does not do what it should', () => {
  const told = (): readonly string[] => server.errors.map(({ message }) => message);
  test.each([
    ['is broken', 500, 'InternalError', 503, 'files cannot be kept'],
    ['does not know the key any more', 403, 'InvalidAccessKeyId', 503, 'files cannot be kept'],
    ['is full', 507, 'XMinioStorageFull', 507, 'there is no room for files'],
  ])('%s: nobody is told that the file is there', async (_, status, code, answer, line) => {
    const slot = await romeo.slot({ size: 10 });
    storage.trouble = [status, code];
    const got = await http('PUT', slot.put, { body: TEN });
    expect([got.status, got.headers['access-control-allow-origin']]).toEqual([answer, '*']);
    expect(told().at(-1)).toBe(line);
    storage.trouble = undefined;
    expect((await http('PUT', slot.put, { body: TEN })).status).toBe(201);
  });

  test('has lost a file: who reads it is told that it is not there', async () => {
    const url = await romeo.send(TEN);
    storage.objects.clear();
    expect((await http('GET', url)).status).toBe(404);
    storage.trouble = [503, 'SlowDown'];
    expect((await http('GET', url)).status).toBe(503);
  });

  test('is not there at all', async () => {
    const gone = await S3Server.start(key);
    const { endpoint } = gone;
    await gone[Symbol.asyncDispose]();
    await using other = await TestServer.start(settings({ endpoint }), { clock });
    const juliet = await Sender.come(other, 'juliet', domain);
    const slot = await juliet.slot({ size: 10 });
    expect((await http('PUT', slot.put, { body: TEN })).status).toBe(503);
  });

  test('does not let an account stay: it goes, and its files when the storage is back', async () => {
    const juliet = await Sender.come(server, 'nurse', domain);
    const url = await juliet.send(TEN);
    storage.trouble = [500, 'InternalError'];
    await server.server.accounts.remove(`nurse@${domain}`);
    expect((await http('GET', url)).status).toBe(404);
    storage.trouble = undefined;
    await clock.advance(24 * 3_600_000);
    await expect.poll(() => hourLater(() => storage.objects.has(nameOf(url))), { timeout: PATIENCE }).toBe(false);
  });
});

test('a signature with another key is not believed', async () => {
  await using other = await TestServer.start(settings({ 'secret-key': 'wherefore' }), { clock });
  const juliet = await Sender.come(other, 'juliet', domain);
  const slot = await juliet.slot({ size: 10 });
  expect((await http('PUT', slot.put, { body: TEN })).status).toBe(503);
  expect(storage.refused).toEqual([expect.stringContaining('SignatureDoesNotMatch')]);
});
