import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { silent } from '../../../src/base/log.ts';
import type { Host } from '../../../src/core/host.ts';
import { shownPath, WebRefusal, type WebRoute, WebRoutes } from '../../../src/core/web.ts';
import { compileRoute } from '../../../src/core/web-path.ts';
import { Http } from '../../../src/net/http.ts';
import { StorageUnavailable } from '../../../src/storage/errors.ts';

function hostOf(
  domain: string,
  routes: readonly WebRoute[],
  more: Partial<Host> & { readonly url?: string } = {},
): Host {
  const { url = null, ...rest } = more;
  return { domain, settings: { web: { url } }, instances: [{ installed: { routes } }], ...rest } as unknown as Host;
}

let given = '';
const unsaid = Readable.from(['a']);
const knows = (domain: string): WebRoute => ({
  methods: ['GET'],
  path: '/who/:name',
  handle({ params: { name } }) {
    if (name === 'stranger' || name === `strange-to-${domain}`) return { status: 410, body: domain, isUnknown: true };
    return name === 'nobody' || name === `not-${domain}` ? undefined : { status: 200, body: domain };
  },
});
const things: WebRoute[] = [
  knows('one.example'),
  {
    methods: ['GET', 'PUT'],
    path: '/things',
    handle: ({ method }) => ({ status: 200, body: method, headers: { 'set-cookie': ['a=1', 'b=2'] } }),
  },
  {
    methods: ['POST'],
    path: '/read',
    async handle({ read }) {
      given = (await read(1000)).toString();
      return { status: 201, type: 'application/json', body: '{}' };
    },
  },
  {
    methods: ['PUT'],
    path: '/refused',
    handle: () => Promise.reject(new WebRefusal(403, 'not for you', { 'x-why': 'because' })),
  },
  { methods: ['GET'], path: '/broken', handle: () => Promise.reject(new Error('secret')) },
  { methods: ['GET'], path: '/no-database', handle: () => Promise.reject(new StorageUnavailable('away')) },
  { methods: ['GET'], path: '/long', handle: () => ({ status: 200, body: Readable.from(['a'.repeat(100_000), 'b']) }) },
  {
    methods: ['GET'],
    path: '/unsayable',
    handle: () => ({ status: 200, type: 'text/plain; x="\u0100"', body: unsaid }),
  },
  { methods: ['GET'], path: '/same', handle: () => ({ status: 304, headers: { etag: '"1"' } }) },
  { methods: ['GET'], path: '/huge', handle: () => ({ status: 200, body: Buffer.alloc(16 * 2 ** 20) }) },
  { methods: ['GET'], path: '/files/*', handle: ({ params }) => ({ status: 200, body: params['*']! }) },
];
const first = hostOf('one.example', things);
const hosts = new Map(
  [
    first,
    hostOf('two.example', [knows('two.example')], { url: 'https://chat.two.example/below' }),
    hostOf('service.one.example', [{ ...knows('service'), path: '/of-service' }], { parent: first }),
  ].map((host) => [host.domain, host]),
);
const http = new Http();
let port = 0;
const answers: ServerResponse[] = [];

beforeAll(async () => {
  http.route('GET', '/healthz', async () => ({ status: 200, body: 'ok' }));
  const routes = new WebRoutes(hosts, silent, 300);
  http.otherwise((request, response, peer) => {
    answers.push(response);
    return routes.take(request, response, peer);
  });
  ({ port } = await http.listen('test', ['127.0.0.1'], 0));
});
afterAll(() => http.close());

interface Got {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  /** The server gave leave to send the body. */
  readonly hadLeave: boolean;
}
interface Asked {
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
  /** Sends the body only when the server says so. */
  readonly waits?: boolean;
}
function ask(method: string, path: string, { headers = {}, body, waits = false }: Asked = {}): Promise<Got> {
  return new Promise((resolve, reject) => {
    const expects = waits ? { expect: '100-continue', 'content-length': String(Buffer.byteLength(body!)) } : {};
    const request = httpRequest({ port, method, path, agent: false, headers: { ...headers, ...expects } });
    let hadLeave = false;
    request.on('continue', () => {
      hadLeave = true;
      request.end(body);
    });
    request.on('error', reject);
    request.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        resolve({ status: response.statusCode!, headers: response.headers, text, hadLeave });
      });
    });
    if (waits) request.flushHeaders();
    else request.end(body);
  });
}

describe('who answers', () => {
  const who = async (host: string, name = 'me'): Promise<string> =>
    (await ask('GET', `/who/${name}`, { headers: { host } })).text;
  test.each([
    ['one.example', 'one.example'],
    ['two.example:5443', 'two.example'],
    ['TWO.example', 'two.example'],
    ['chat.two.example', 'two.example'],
    ['service.one.example', 'one.example'],
    ['127.0.0.1:5280', 'one.example'],
    ['', 'one.example'],
  ])('for "%s" it is %s', async (host, expected) => {
    expect(await who(host)).toBe(expected);
  });

  test('the next host is asked where one does not know', async () => {
    expect(await who('two.example', 'not-two.example')).toBe('one.example');
    expect(await ask('GET', '/who/nobody')).toMatchObject({ status: 404, text: 'there is nothing here\n' });
  });

  test('who says that it is unknown comes after who knows', async () => {
    expect(await who('two.example', 'strange-to-two.example')).toBe('one.example');
    const headers = { host: 'two.example' };
    expect(await ask('GET', '/who/stranger', { headers })).toMatchObject({ status: 410, text: 'two.example' });
  });
});

describe('methods', () => {
  test('HEAD gets what GET would, without the body', async () => {
    expect(await ask('HEAD', '/things')).toMatchObject({ status: 200, text: '', headers: { 'content-length': '3' } });
    expect(await ask('HEAD', '/long')).toMatchObject({ status: 200, text: '' });
  });
  test('others are refused with those there are', async () => {
    expect(await ask('DELETE', '/things')).toMatchObject({
      status: 405,
      headers: { allow: 'GET, HEAD, PUT, OPTIONS' },
    });
    expect(await ask('OPTIONS', '/things')).toMatchObject({
      status: 204,
      headers: { allow: 'GET, HEAD, PUT, OPTIONS' },
    });
  });
});

describe('answers', () => {
  test('are never guessed at, and not kept, unless the route says otherwise', async () => {
    const { headers } = await ask('GET', '/things');
    expect(headers).toMatchObject({
      'content-type': 'text/plain; charset=utf-8',
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
      'set-cookie': ['a=1', 'b=2'],
    });
  });
  test('that cannot be said are not kept open', async () => {
    await expect(ask('GET', '/unsayable')).rejects.toThrow();
    expect(unsaid.destroyed).toBe(true);
  });
  test('that somebody has already say nothing of the content', async () => {
    const { status, headers } = await ask('GET', '/same');
    expect([status, headers.etag, headers['content-type'], headers['content-length']]).toEqual([
      304,
      '"1"',
      undefined,
      undefined,
    ]);
  });
  test('are not for whoever does not read them', async () => {
    const socket = connect(port, '127.0.0.1').pause();
    socket.on('error', () => {});
    answers.length = 0;
    socket.write('GET /huge HTTP/1.1\r\nHost: one.example\r\n\r\n');
    await expect.poll(() => answers).toHaveLength(1);
    await once(answers[0]!, 'timeout');
    expect(answers[0]!.destroyed).toBe(true);
    socket.destroy();
  });
  test('may be streams', async () => {
    expect((await ask('GET', '/long')).text).toBe(`${'a'.repeat(100_000)}b`);
  });
  test('say what went wrong, and no more of it than people should know', async () => {
    expect(await ask('PUT', '/refused')).toMatchObject({
      status: 403,
      text: 'not for you\n',
      headers: { 'x-why': 'because' },
    });
    expect(await ask('GET', '/broken')).toMatchObject({ status: 500, text: 'something went wrong here\n' });
    expect(await ask('GET', '/no-database')).toMatchObject({ status: 503, headers: { 'retry-after': '10' } });
    expect(await ask('GET', '/elsewhere')).toMatchObject({ status: 404 });
    expect(await ask('GET', '/healthz')).toMatchObject({ status: 200, text: 'ok' });
  });
});

describe('bodies', () => {
  test('are read up to a limit', async () => {
    expect(await ask('POST', '/read', { body: 'x'.repeat(1000) })).toMatchObject({ status: 201 });
    expect(given).toBe('x'.repeat(1000));
    expect(await ask('POST', '/read', { body: 'x'.repeat(1001) })).toMatchObject({
      status: 413,
      headers: { connection: 'close' },
    });
    const chunked = { headers: { 'transfer-encoding': 'chunked' }, body: 'x'.repeat(1001) };
    expect(await ask('POST', '/read', chunked)).toMatchObject({ status: 413 });
  });
  test('of clients that ask for leave come when somebody reads them, and not when they are refused', async () => {
    expect(await ask('POST', '/read', { body: 'please', waits: true })).toMatchObject({ status: 201, hadLeave: true });
    expect(given).toBe('please');
    expect(await ask('PUT', '/refused', { body: 'please', waits: true })).toMatchObject({
      status: 403,
      hadLeave: false,
    });
  });
});

describe('paths', () => {
  test('are compared by segments, and decoded afterwards', async () => {
    const match = compileRoute('/upload/:id/:name');
    expect(match('/upload/x%2Fy/caf%C3%A9')).toEqual({ id: 'x/y', name: 'café' });
    expect(match('/upload/x')).toBeUndefined();
    expect(match('/upload//name')).toBeUndefined();
    expect(match('/upload/x/y/z')).toBeUndefined();
    expect(match('/upload/%ff/y')).toBe('malformed');
    expect(await ask('GET', '/who/%ff')).toMatchObject({ status: 400 });
  });
  test.each([
    ['/files/', ''],
    ['/files/a/b%20c.js', 'a/b c.js'],
    ['/files/../etc/passwd', undefined],
    ['/files/%2e%2e/etc/passwd', undefined],
    ['/files/a%2f..%2fb', undefined],
    ['/files/a%5c..%5cb', undefined],
    ['/files/a%00', undefined],
  ])('%s leads nowhere else', (path, rest) => {
    expect(compileRoute('/files/*')(path)).toEqual(rest === undefined ? 'malformed' : { '*': rest });
  });
});

test('tokens in paths are not for the log', () => {
  expect(shownPath('/register_api/invite/2oasuh3abuacjmgzscywk4ge/x')).toBe('/register_api/invite/.../x');
});
