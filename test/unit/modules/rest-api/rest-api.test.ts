// The REST interface as programs use it: over HTTP, on a server in memory.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../../../src/base/clock.ts';
import type { Logger } from '../../../../src/base/log.ts';
import { adminCommands } from '../../../../src/core/admin-commands.ts';
import { runCommand } from '../../../../src/core/commands.ts';
import { endpoints, leftOut } from '../../../../src/modules/rest-api/table.ts';
import type { Server } from '../../../../src/server.ts';
import { StorageUnavailable } from '../../../../src/storage/errors.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import { lateDriver } from '../../../kit/late-driver.ts';
import { Portal } from '../../../kit/portal.ts';
import { startServer } from '../../../kit/test-server.ts';

let server: Server;
let base: string;
let isDead = false;
const tokens: Record<string, string> = {};
/** What was logged, one line each. */
const logged: string[] = [];
const note = (fields: object, message?: string): void => void logged.push(JSON.stringify({ message, ...fields }));
const log: Logger = { debug: note, info: note, warn: note, error: note, child: () => log };

beforeAll(async () => {
  const driver = lateDriver(createMemoryDriver(systemClock), async () => {
    if (isDead) throw new StorageUnavailable('gone');
  });
  server = await startServer(
    {
      hosts: { 'one.test': {}, 'two.test': {} },
      listen: { http: 0 },
      modules: { 'rest-api': { origins: ['https://admin.example/'] } },
    },
    { driver, log },
  );
  base = `http://127.0.0.1:${server.address('http')!.port}/api/v1`;
  await make('all', { scope: ['*:write'] });
  await make('reader', { scope: ['*:read'] });
  await make('users', { scope: ['users:write'] });
  await make('two', { scope: ['*:write'], host: 'two.test', name: 'for two' });
});
afterAll(() => server.stop());

const run = (name: string, args: object): Promise<object> =>
  runCommand(adminCommands.find((one) => one.name === name)!, server.admin, args);

async function make(name: string, args: object): Promise<void> {
  tokens[name] = ((await run('token create', args)) as { token: string }).token;
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: what is answered is looked at by the tests
  readonly json: any;
}
async function ask(
  method: string,
  path: string,
  body?: unknown,
  { token = 'all', headers = {} }: { token?: string | null; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const response = await fetch(base + path, {
    method,
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${tokens[token] ?? token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, json: text === '' ? undefined : JSON.parse(text) };
}

describe('the table', () => {
  test('every administrative command is served, or left out for a reason', () => {
    const served = new Set(endpoints().map(({ command }) => command.name));
    const missing = adminCommands.filter(({ name }) => !served.has(name) && leftOut[name] === undefined);
    expect(missing.map(({ name }) => name)).toEqual([]);
  });

  test('nothing is left out that is served, or that there is not', () => {
    const names = new Set(adminCommands.map(({ name }) => name));
    const served = new Set(endpoints().map(({ command }) => command.name));
    expect(Object.keys(leftOut).filter((name) => served.has(name) || !names.has(name))).toEqual([]);
  });

  test('what stands in a path is an argument of the command, and what only reads is asked by GET', () => {
    for (const { method, path, named, command, access } of endpoints()) {
      expect(Object.keys(command.args.shape), path).toEqual(expect.arrayContaining([...named]));
      if (method === 'GET') expect(access, path).toBe('read');
    }
  });
});

describe('the description', () => {
  test('is there for everybody, in OpenAPI 3.1, and names every request once', async () => {
    const { status, json } = await ask('GET', '/openapi.json', undefined, { token: null });
    expect(status).toBe(200);
    expect(json.openapi).toBe('3.1.0');
    const operations = Object.values(json.paths as Record<string, Record<string, { operationId: string }>>).flatMap(
      (path) => Object.values(path),
    );
    expect(operations).toHaveLength(endpoints().length);
    expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length);
  });

  test('tells path, query and body of a request from the arguments of its command', async () => {
    const { json } = await ask('GET', '/openapi.json');
    const set = json.paths['/users/{jid}/password'].put;
    expect(set.parameters.map(({ name }: { name: string }) => name)).toEqual(['jid', 'Idempotency-Key']);
    expect(Object.keys(set.requestBody.content['application/json'].schema.properties)).toEqual([
      'password',
      'generate',
    ]);
    const list = json.paths['/rooms'].get;
    expect(list.parameters.map(({ name }: { name: string }) => name)).toEqual(['domain', 'limit', 'cursor']);
    // every name in a path is described, and every reference leads somewhere
    for (const [path, methods] of Object.entries(json.paths as Record<string, Record<string, never>>)) {
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      for (const { parameters } of Object.values(methods) as { parameters: { name: string; in: string }[] }[]) {
        expect(parameters.flatMap((one) => (one.in === 'path' ? [one.name] : []))).toEqual(named);
      }
    }
    const text = JSON.stringify(json);
    for (const [, pointer] of text.matchAll(/"\$ref":"#\/([^"]+)"/g)) {
      expect(
        pointer!.split('/').reduce((at, part) => at?.[part], json),
        pointer,
      ).toBeDefined();
    }
  });
});

describe('commands over HTTP', () => {
  test('an account is made, shown, changed and removed', async () => {
    const made = await ask('POST', '/users', { jid: 'romeo@one.test', generate: true });
    expect(made.status).toBe(201);
    expect(made.headers.get('content-type')).toBe('application/json');
    expect(await server.hosts.get('one.test')!.accounts.verifyPlain('romeo', made.json.password)).toBe(true);
    expect((await ask('GET', '/users/romeo@one.test')).json).toMatchObject({ jid: 'romeo@one.test', disabled: false });
    const changed = await ask('PUT', '/users/romeo%40one.test/password', { password: 'another one' });
    expect([changed.status, changed.json]).toEqual([200, { jid: 'romeo@one.test' }]);
    expect(await server.hosts.get('one.test')!.accounts.verifyPlain('romeo', 'another one')).toBe(true);
    await ask('POST', '/users/romeo@one.test/disable');
    expect((await ask('GET', '/users/romeo@one.test')).json.disabled).toBe(true);
    expect((await ask('DELETE', '/users/romeo@one.test')).status).toBe(200);
    expect((await ask('GET', '/users/romeo@one.test')).status).toBe(404);
  });

  test('what is refused has a status, and a problem that programs can read', async () => {
    await ask('POST', '/users', { jid: 'juliet@one.test', generate: true });
    const twice = await ask('POST', '/users', { jid: 'juliet@one.test', generate: true });
    expect(twice.status).toBe(409);
    expect(twice.headers.get('content-type')).toBe('application/problem+json');
    expect(twice.json).toEqual({
      type: 'about:blank',
      title: 'Conflict',
      status: 409,
      detail: 'there is an account juliet@one.test already',
      code: 'exists',
    });
    const wrong = await ask('POST', '/users', { jid: 'nobody', generate: true });
    expect([wrong.status, wrong.json.code]).toEqual([400, 'bad-arguments']);
    expect((await ask('GET', '/users/nobody@one.test')).status).toBe(404);
    expect((await ask('PUT', '/users/juliet@one.test/password', { password: '\u0007' })).status).toBe(422);
  });

  test('the form of a request is looked at before anything is done', async () => {
    const code = async (...request: Parameters<typeof ask>): Promise<unknown> => {
      const { status, json } = await ask(...request);
      return [status, json.code];
    };
    expect(await code('POST', '/users', '{"jid":')).toEqual([400, 'malformed']);
    expect(await code('POST', '/users', '[1]')).toEqual([400, 'malformed']);
    expect(await code('POST', '/users', { jid: 'a@one.test', more: 1 })).toEqual([400, 'bad-arguments']);
    expect(await code('GET', '/users?colour=red')).toEqual([400, 'bad-arguments']);
    expect(await code('GET', '/rooms?domain=a&domain=b')).toEqual([400, 'bad-arguments']);
    expect(await code('POST', '/users', 'jid=a', { headers: { 'content-type': 'text/plain' } })).toEqual([
      415,
      'unsupported-type',
    ]);
    const long = JSON.stringify({ jid: 'a@one.test', password: 'x'.repeat(1024 * 1024) });
    expect(await code('POST', '/users', long)).toEqual([413, 'too-large']);
    expect(await code('PUT', '/users/a@one.test/password', { jid: 'b@one.test', password: 'x' })).toEqual([
      400,
      'bad-arguments',
    ]);
    expect(await code('GET', '/nothing/here')).toEqual([404, 'not-found']);
    const other = await ask('PUT', '/users');
    expect([other.status, other.headers.get('allow')]).toEqual([405, 'GET, POST']);
  });

  test('a list comes in pages, of which each tells where the next one begins', async () => {
    for (const name of ['page1', 'page2', 'page3'])
      await ask('POST', '/users', { jid: `${name}@two.test`, generate: true });
    const seen: string[] = [];
    let cursor: string | undefined = '';
    let pages = 0;
    do {
      const { json } = await ask('GET', `/users?host=two.test&limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`);
      expect(json.accounts.length).toBeLessThanOrEqual(2);
      seen.push(...json.accounts);
      cursor = json.next;
      pages++;
    } while (cursor !== undefined);
    expect(seen).toEqual(['page1@two.test', 'page2@two.test', 'page3@two.test']);
    expect(pages).toBe(2);
    for (const query of ['limit=0', 'limit=5000', 'limit=x', 'cursor=%21', 'cursor=']) {
      expect((await ask('GET', `/users?${query}`)).status).toBe(400);
    }
  });

  test('whatever is changed is logged with who did it, and without what was said', async () => {
    logged.length = 0;
    await ask('POST', '/users', { jid: 'logged@two.test', password: 'my secret' }, { token: 'two' });
    await ask('GET', '/users', undefined, { token: 'two' });
    const lines = logged.filter((line) => line.includes('admin command'));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('"command":"user add"');
    expect(lines[0]).toContain('"name":"for two"');
    for (const secret of ['my secret', ...Object.values(tokens)]) expect(logged.join('\n')).not.toContain(secret);
  });
});

describe('tokens', () => {
  test('without one, or with one that is none, nobody gets in', async () => {
    const none = await ask('GET', '/users', undefined, { token: null });
    expect([none.status, none.headers.get('www-authenticate')]).toEqual([401, 'Bearer realm="parley"']);
    for (const token of ['x', `${tokens.all}x`, `parley..${'a'.repeat(16)}.${'b'.repeat(43)}`]) {
      const { status, headers } = await ask('GET', '/users', undefined, { token });
      expect([status, headers.get('www-authenticate')]).toEqual([401, 'Bearer realm="parley", error="invalid_token"']);
    }
  });

  test('a token does what its scopes say, and no more', async () => {
    expect((await ask('GET', '/rooms', undefined, { token: 'reader' })).status).toBe(200);
    const write = await ask('POST', '/users', { jid: 'x@one.test', generate: true }, { token: 'reader' });
    expect([write.status, write.json.code]).toEqual([403, 'insufficient-scope']);
    expect(write.headers.get('www-authenticate')).toContain('scope="users:write"');
    // whoever may write may read
    expect((await ask('GET', '/users', undefined, { token: 'users' })).status).toBe(200);
    expect((await ask('GET', '/rooms', undefined, { token: 'users' })).status).toBe(403);
  });

  test('a token for one host sees that host and its services, and nothing of the server', async () => {
    await ask('POST', '/users', { jid: 'alone@one.test', generate: true });
    const { json } = await ask('GET', '/users', undefined, { token: 'two' });
    expect(json.accounts.every((jid: string) => jid.endsWith('@two.test'))).toBe(true);
    const status = async (method: string, path: string, body?: object): Promise<number> =>
      (await ask(method, path, body, { token: 'two' })).status;
    expect(await status('GET', '/users/alone@one.test')).toBe(404);
    expect(await status('DELETE', '/users/alone@one.test')).toBe(404);
    expect(await status('PUT', '/users/alone@one.test/password', { password: 'mine' })).toBe(404);
    expect(await status('GET', '/rooms?domain=groups.one.test')).toBe(404);
    expect(await status('GET', '/rooms?domain=groups.two.test')).toBe(200);
    expect(await status('GET', '/server')).toBe(403);
    expect(await status('PUT', '/cluster/drain', {})).toBe(403);
    expect(await status('POST', '/server/reload')).toBe(403);
    expect((await ask('GET', '/users/alone@one.test')).status).toBe(200);
  });

  test('who administers a host comes with a token of OAuth, too; for that host, and as long as they may', async () => {
    const { accounts } = server.hosts.get('two.test')!;
    await accounts.create('boss', 'my password', 'admin');
    await accounts.create('clerk', 'my password');
    const portal = new Portal(base.replace('/api/v1', ''), 'two.test');
    const token = async (user: string): Promise<string> => {
      await portal.login(user, 'my password');
      return portal.token!;
    };
    const boss = await token('boss');
    const list = await ask('GET', '/users', undefined, { token: boss });
    expect(list.status).toBe(200);
    expect(list.json.accounts.every((jid: string) => jid.endsWith('@two.test'))).toBe(true);
    expect((await ask('GET', '/users/alone@one.test', undefined, { token: boss })).status).toBe(404);
    expect((await ask('GET', '/server', undefined, { token: boss })).status).toBe(403);
    expect((await ask('GET', '/users', undefined, { token: await token('clerk') })).status).toBe(403);
    await accounts.setRole('boss', 'member');
    expect((await ask('GET', '/users', undefined, { token: boss })).status).toBe(403);
    await accounts.remove('boss');
    expect((await ask('GET', '/users', undefined, { token: boss })).status).toBe(401);
  });

  test('a token that was taken back is none', async () => {
    await make('brief', { scope: ['users:read'], name: 'brief' });
    expect((await ask('GET', '/users', undefined, { token: 'brief' })).status).toBe(200);
    const { tokens: list } = (await run('token ls', {})) as { tokens: { id: string; name?: string }[] };
    await run('token revoke', { id: list.find(({ name }) => name === 'brief')!.id });
    expect((await ask('GET', '/users', undefined, { token: 'brief' })).status).toBe(401);
  });

  test('the list of tokens tells none of them', async () => {
    const text = JSON.stringify(await run('token ls', {}));
    for (const token of Object.values(tokens)) expect(text).not.toContain(token.split('.')[3]);
  });

  test('scopes that there are not are refused, with those that there are', async () => {
    await expect(run('token create', { scope: ['users:all'] })).rejects.toThrow('"users:all" is no scope');
    await expect(run('token create', { scope: ['*:read'], host: 'three.test' })).rejects.toThrow('not served here');
  });
});

describe('Idempotency-Key', () => {
  const keyed = (key: string) => ({ headers: { 'idempotency-key': key } });

  test('what was done is not done again, and the answer is the same', async () => {
    const body = { jid: 'once@one.test', generate: true };
    const first = await ask('POST', '/users', body, keyed('k1'));
    const again = await ask('POST', '/users', body, keyed('k1'));
    expect([first.status, again.status]).toEqual([201, 201]);
    expect(again.json).toEqual(first.json);
    // without the key it is another request
    expect((await ask('POST', '/users', body)).status).toBe(409);
  });

  test('of two at a time one is done', async () => {
    const body = { jid: 'both@one.test', generate: true };
    const answers = await Promise.all([
      ask('POST', '/users', body, keyed('k2')),
      ask('POST', '/users', body, keyed('k2')),
    ]);
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409]);
    expect(answers.find(({ status }) => status === 409)!.json.code).toBe('in-use');
  });

  test('a key is for one request of one token', async () => {
    await ask('POST', '/users', { jid: 'k3@one.test', generate: true }, keyed('k3'));
    const other = await ask('POST', '/users', { jid: 'k4@one.test', generate: true }, keyed('k3'));
    expect([other.status, other.json.code]).toEqual([422, 'key-reused']);
    const another = await ask(
      'POST',
      '/users',
      { jid: 'k4@one.test', generate: true },
      { token: 'users', ...keyed('k3') },
    );
    expect(another.status).toBe(201);
  });

  test('whoever has another token by now is told that it is done, and not what came of it', async () => {
    await server.hosts.get('two.test')!.accounts.create('steward', 'my password', 'admin');
    const body = { jid: 'k6@two.test', generate: true };
    const answers: Answer[] = [];
    for (let i = 0; i < 2; i++) {
      const portal = new Portal(base.replace('/api/v1', ''), 'two.test');
      await portal.login('steward', 'my password');
      answers.push(await ask('POST', '/users', body, { token: portal.token!, ...keyed('k6') }));
    }
    expect(answers.map(({ status }) => status)).toEqual([201, 422]);
    expect(answers[1]!.json).toMatchObject({ code: 'key-reused' });
    expect(answers[1]!.json).not.toHaveProperty('password');
  });

  test('what failed may be tried again under its key', async () => {
    expect((await ask('DELETE', '/users/k5@one.test', undefined, keyed('k5'))).status).toBe(404);
    await ask('POST', '/users', { jid: 'k5@one.test', generate: true });
    expect((await ask('DELETE', '/users/k5@one.test', undefined, keyed('k5'))).status).toBe(200);
  });

  test('a key that is none is refused', async () => {
    expect((await ask('POST', '/users', {}, keyed('x'.repeat(201)))).status).toBe(400);
  });
});

describe('pages of other sites', () => {
  test('may read the answers where their site is named', async () => {
    const from = (origin: string) => ({ headers: { origin } });
    const named = await ask('GET', '/users', undefined, from('https://admin.example'));
    expect(named.headers.get('access-control-allow-origin')).toBe('https://admin.example');
    const other = await ask('GET', '/users', undefined, from('https://evil.example'));
    expect(other.headers.get('access-control-allow-origin')).toBeNull();
    const preflight = await ask('OPTIONS', '/users', undefined, { token: null, ...from('https://admin.example') });
    expect([preflight.status, preflight.headers.get('access-control-allow-headers')]).toEqual([
      204,
      'authorization, content-type, idempotency-key',
    ]);
    const refused = await ask('OPTIONS', '/users', undefined, { token: null, ...from('https://evil.example') });
    expect(refused.headers.get('access-control-allow-headers')).toBeNull();
  });
});

test('tokens are known to all nodes at once, and to none when they are taken back', async () => {
  const driver = createMemoryDriver(systemClock);
  const settings = { hosts: { 'one.test': {} }, listen: { http: 0 } };
  const [here, there] = [await startServer(settings, { driver }), await startServer(settings, { driver })];
  const status = async (node: Server, token: string): Promise<number> => {
    const address = `http://127.0.0.1:${node.address('http')!.port}/api/v1/users`;
    return (await fetch(address, { headers: { authorization: `Bearer ${token}` } })).status;
  };
  const command = (name: string, args: object): Promise<object> =>
    runCommand(adminCommands.find((one) => one.name === name)!, here.admin, args);
  const { id, token } = (await command('token create', { scope: ['*:read'] })) as { id: string; token: string };
  expect([await status(here, token), await status(there, token)]).toEqual([200, 200]);
  await command('token revoke', { id });
  expect([await status(here, token), await status(there, token)]).toEqual([401, 401]);
  await Promise.all([here.stop(), there.stop()]);
});

test('while the database is away, that is what is told', async () => {
  isDead = true;
  try {
    const { status, json, headers } = await ask('GET', '/users/alone@one.test');
    expect([status, json.code, headers.get('retry-after')]).toEqual([503, 'unavailable', '10']);
  } finally {
    isDead = false;
  }
});
