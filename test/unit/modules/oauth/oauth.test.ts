// OAuth as programs and browsers use it: over HTTP, on a server in memory.
import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../../../src/base/clock.ts';
import type { Server } from '../../../../src/server.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import { FakeClock } from '../../../kit/clock.ts';
import { startServer } from '../../../kit/test-server.ts';

const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';
const domain = 'one.test';
const clock = new FakeClock();
let server: Server;
let base: string;

beforeAll(async () => {
  server = await startServer(
    {
      hosts: { [domain]: {} },
      listen: { http: 0 },
      limits: { enabled: true },
      modules: { oauth: { 'per-minute': 10_000 } },
    },
    { clock },
  );
  base = `http://127.0.0.1:${server.address('http')!.port}`;
  const { accounts } = server.hosts.get(domain)!;
  await accounts.create('romeo', 'wherefore');
  await accounts.create('juliet', 'a rose');
});
afterAll(() => server.stop());

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: what is answered is looked at by the tests
  readonly json: any;
}

async function send(
  method: string,
  path: string,
  body?: Record<string, string> | object,
  headers: Record<string, string> = {},
  isJson = false,
): Promise<Answer> {
  const response = await fetch(base + path, {
    method,
    redirect: 'manual',
    headers: {
      ...(body === undefined
        ? {}
        : { 'content-type': isJson ? 'application/json' : 'application/x-www-form-urlencoded' }),
      ...headers,
    },
    ...(body === undefined
      ? {}
      : { body: isJson ? JSON.stringify(body) : new URLSearchParams(body as Record<string, string>).toString() }),
  });
  const text = await response.text();
  const json =
    response.headers.get('content-type')?.startsWith('application/json') === true ? JSON.parse(text) : undefined;
  return { status: response.status, headers: response.headers, text, json };
}

const metadata = {
  client_name: 'Orchard',
  client_uri: 'https://orchard.example/',
  redirect_uris: ['https://orchard.example/back'],
};
const register = (more: object = {}): Promise<Answer> =>
  send('POST', '/oauth2/register', { ...metadata, ...more }, {}, true);
interface Client {
  readonly client_id: string;
  readonly client_secret: string;
}
const basic = ({ client_id, client_secret }: Client): Record<string, string> => ({
  authorization: `Basic ${Buffer.from(`${client_id}:${client_secret}`).toString('base64')}`,
});
const token = (client: Client, form: Record<string, string>): Promise<Answer> =>
  send('POST', '/oauth2/token', form, basic(client));

describe('registration', () => {
  test('a client is told its id and its secret, and what it said', async () => {
    const { status, json } = await register();
    expect(status).toBe(201);
    expect(json).toMatchObject({ ...metadata, application_type: 'web', grant_types: ['authorization_code'] });
    expect((await register()).json.client_id).not.toBe(json.client_id);
  });

  test('addresses that are not the client’s own are refused', async () => {
    const wrong: [object, string][] = [
      [{ redirect_uris: ['https://elsewhere.example/back'] }, 'invalid_redirect_uri'],
      [{ redirect_uris: ['http://orchard.example/back'] }, 'invalid_redirect_uri'],
      [{ redirect_uris: ['https://orchard.example/back#x'] }, 'invalid_redirect_uri'],
      [{ redirect_uris: ['javascript:alert(1)'] }, 'invalid_redirect_uri'],
      [{ application_type: 'native', redirect_uris: ['myapp:/back'] }, 'invalid_redirect_uri'],
      [{ redirect_uris: [] }, 'invalid_redirect_uri'],
      [{ client_uri: 'http://orchard.example/' }, 'invalid_client_metadata'],
      [{ tos_uri: 'https://elsewhere.example/' }, 'invalid_client_metadata'],
      [{ grant_types: ['implicit'] }, 'invalid_client_metadata'],
      [{ client_name: '' }, 'invalid_client_metadata'],
    ];
    for (const [more, error] of wrong) {
      const { status, json } = await register(more);
      expect([status, json.error], JSON.stringify(more)).toEqual([400, error]);
    }
    expect(
      (await register({ redirect_uris: ['http://127.0.0.1/back', 'org.example.app:/back'] })).json.application_type,
    ).toBe('native');
  });

  test('nobody makes up a client', async () => {
    const client = (await register({ grant_types: ['password'] })).json as Client;
    const [payload = ''] = client.client_id.split('.');
    const other = Buffer.from(payload, 'base64url').toString().replace('Orchard', 'Trusted');
    const forged = {
      client_id: `${Buffer.from(other).toString('base64url')}.${client.client_id.split('.')[1]}`,
      client_secret: client.client_secret,
    };
    for (const one of [forged, { ...client, client_secret: 'x' }, { client_id: 'x', client_secret: 'y' }]) {
      const { status, json } = await token(one, {
        grant_type: 'password',
        username: 'romeo',
        password: 'wherefore',
        scope: 'xmpp',
      });
      expect([status, json.error]).toEqual([401, 'invalid_client']);
    }
  });
});

describe('the authorization code', () => {
  const verifier = randomBytes(32).toString('base64url');
  const challenge = createHash('sha256').update(verifier).digest('base64url');
  let client: Client;
  beforeAll(async () => {
    client = (await register({ grant_types: ['authorization_code', 'refresh_token'] })).json;
  });
  const query = (more: Record<string, string> = {}): string =>
    new URLSearchParams({
      client_id: client.client_id,
      response_type: 'code',
      redirect_uri: metadata.redirect_uris[0]!,
      scope: 'xmpp openid offline_access',
      state: 'the state',
      code_challenge: challenge,
      code_challenge_method: 'S256',
      ...more,
    }).toString();
  const allow = { username: 'romeo', password: 'wherefore', decision: 'allow' };

  async function codeOf(): Promise<string> {
    const { headers } = await send('POST', `/oauth2/authorize?${query()}`, allow);
    return new URL(headers.get('location')!).searchParams.get('code')!;
  }
  const redeem = (code: string, more: Record<string, string> = {}): Promise<Answer> =>
    token(client, {
      grant_type: 'authorization_code',
      code,
      redirect_uri: metadata.redirect_uris[0]!,
      code_verifier: verifier,
      ...more,
    });

  test('whoever is asked sees who asks, for what; in no frame, and without scripts', async () => {
    const { status, text, headers } = await send('GET', `/oauth2/authorize?${query()}`);
    expect(status).toBe(200);
    expect(text).toContain('Orchard');
    expect(text).toContain('orchard.example');
    expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(headers.get('content-security-policy')).toContain("form-action 'self' https://orchard.example");
    expect(headers.get('x-frame-options')).toBe('DENY');
  });

  test('who allows it goes back with a code, which is good once, for who asked', async () => {
    const { status, headers } = await send('POST', `/oauth2/authorize?${query()}`, allow);
    expect(status).toBe(303);
    const back = new URL(headers.get('location')!);
    expect(back.origin + back.pathname).toBe('https://orchard.example/back');
    expect([back.searchParams.get('state'), back.searchParams.get('iss')]).toEqual([
      'the state',
      expect.stringContaining(domain),
    ]);
    const code = back.searchParams.get('code')!;
    const answer = await redeem(code);
    expect(answer.status).toBe(200);
    expect(answer.json).toMatchObject({
      token_type: 'bearer',
      scope: 'xmpp openid offline_access',
      expires_in: 3600,
      refresh_token: expect.any(String),
    });
    expect((await redeem(code)).json.error).toBe('invalid_grant');
    const info = await send('GET', '/oauth2/userinfo', undefined, {
      authorization: `Bearer ${answer.json.access_token}`,
    });
    expect(info.json).toMatchObject({ sub: `xmpp:romeo@${domain}` });
    // what others are had with lets nobody in
    const wrong = await send('GET', '/oauth2/userinfo', undefined, {
      authorization: `Bearer ${answer.json.refresh_token}`,
    });
    expect(wrong.status).toBe(401);
  });

  test('a code is worth nothing to others, or late', async () => {
    expect((await redeem(await codeOf(), { code_verifier: 'another' })).json.error).toBe('invalid_grant');
    expect((await redeem(await codeOf(), { redirect_uri: 'https://orchard.example/other' })).json.error).toBe(
      'invalid_grant',
    );
    const other = (await register()).json as Client;
    const stolen = await token(other, {
      grant_type: 'authorization_code',
      code: await codeOf(),
      redirect_uri: metadata.redirect_uris[0]!,
      code_verifier: verifier,
    });
    expect(stolen.json.error).toBe('invalid_grant');
    const late = await codeOf();
    await clock.advance(61_000);
    expect((await redeem(late)).json.error).toBe('invalid_grant');
  });

  test('who does not allow it goes back without one', async () => {
    const { headers } = await send('POST', `/oauth2/authorize?${query()}`, { decision: 'deny' });
    const back = new URL(headers.get('location')!);
    expect([back.searchParams.get('error'), back.searchParams.has('code')]).toEqual(['access_denied', false]);
  });

  test('a wrong password asks again', async () => {
    const { status, text } = await send('POST', `/oauth2/authorize?${query()}`, {
      ...allow,
      username: '"><script>',
      password: 'wrong',
    });
    expect(status).toBe(401);
    expect(text).toContain('The name or the password is wrong');
    expect(text).not.toContain('<script>');
  });

  test('nobody is sent anywhere by a link alone, and never to where no client is', async () => {
    const wrong = [
      { client_id: 'x' },
      { redirect_uri: 'https://evil.example/' },
      { redirect_uri: 'https://orchard.example/back?x=1' },
      { response_type: 'token' },
      { scope: '' },
      { code_challenge: '' },
      { code_challenge_method: 'plain' },
    ];
    for (const more of wrong) {
      for (const answer of [
        await send('GET', `/oauth2/authorize?${query(more)}`),
        await send('POST', `/oauth2/authorize?${query(more)}`, allow),
      ]) {
        expect(answer.status, JSON.stringify(more)).toBe(400);
        expect(answer.headers.get('location')).toBeNull();
      }
    }
    expect((await send('GET', `/oauth2/authorize?${query()}&state=twice`)).status).toBe(400);
  });

  test('a token for others is good once; who shows it again ends all that came of it', async () => {
    const first = (await redeem(await codeOf())).json;
    const refresh = (text: string): Promise<Answer> =>
      token(client, { grant_type: 'refresh_token', refresh_token: text });
    const second = (await refresh(first.refresh_token)).json;
    expect(second.refresh_token).not.toBe(first.refresh_token);
    const third = (await refresh(second.refresh_token)).json;
    const info = (text: string): Promise<Answer> =>
      send('GET', '/oauth2/userinfo', undefined, { authorization: `Bearer ${text}` });
    expect((await info(third.access_token)).status).toBe(200);
    expect((await refresh(first.refresh_token)).json.error).toBe('invalid_grant');
    expect((await info(third.access_token)).status).toBe(401);
    expect((await refresh(third.refresh_token)).json.error).toBe('invalid_grant');
  });

  test('one that was good once is told as none', async () => {
    const { refresh_token } = (await redeem(await codeOf())).json;
    const isActive = async (text: string): Promise<boolean> =>
      (await send('POST', '/oauth2/introspect', { token: text }, basic(client))).json.active;
    expect(await isActive(refresh_token)).toBe(true);
    const next = (await token(client, { grant_type: 'refresh_token', refresh_token })).json;
    expect(await isActive(refresh_token)).toBe(false);
    expect(await isActive(next.refresh_token)).toBe(true);
  });

  test('of two that show it at a time one has tokens, and then nobody', async () => {
    const { refresh_token } = (await redeem(await codeOf())).json;
    const form = { grant_type: 'refresh_token', refresh_token };
    const answers = await Promise.all([token(client, form), token(client, form)]);
    expect(answers.filter(({ status }) => status === 200).length).toBeLessThanOrEqual(1);
  });

  test('a new password ends what was let in by the old one', async () => {
    const { access_token, refresh_token } = (await redeem(await codeOf())).json;
    await server.hosts.get(domain)!.accounts.setPassword('romeo', 'wherefore');
    expect((await send('GET', '/oauth2/userinfo', undefined, { authorization: `Bearer ${access_token}` })).status).toBe(
      401,
    );
    expect((await token(client, { grant_type: 'refresh_token', refresh_token })).json.error).toBe('invalid_grant');
  });

  test('a client is told of its own tokens, and takes them back', async () => {
    const { access_token } = (await redeem(await codeOf())).json;
    const introspect = (one: Client): Promise<Answer> =>
      send('POST', '/oauth2/introspect', { token: access_token }, basic(one));
    expect((await introspect(client)).json).toMatchObject({
      active: true,
      username: 'romeo',
      scope: 'xmpp openid offline_access',
    });
    const other = (await register()).json as Client;
    expect((await introspect(other)).json).toEqual({ active: false });
    expect((await send('POST', '/oauth2/introspect', { token: access_token })).status).toBe(401);
    await send('POST', '/oauth2/revoke', { token: access_token }, basic(other));
    expect((await introspect(client)).json.active).toBe(true);
    expect((await send('POST', '/oauth2/revoke', { token: access_token }, basic(client))).status).toBe(200);
    expect((await introspect(client)).json).toEqual({ active: false });
    // what is none is taken back, too
    expect((await send('POST', '/oauth2/revoke', { token: 'x' })).status).toBe(200);
  });
});

describe('devices', () => {
  let client: Client;
  beforeAll(async () => {
    client = (await register({ redirect_uris: [], grant_types: [DEVICE] })).json;
  });
  const begin = async () => (await send('POST', '/oauth2/device', { scope: 'xmpp' }, basic(client))).json;
  const poll = (code: string): Promise<Answer> => token(client, { grant_type: DEVICE, device_code: code });

  test('one shows a code, somebody lets it in, and it has its token; once', async () => {
    const { device_code, user_code, verification_uri, interval } = await begin();
    expect(user_code).toMatch(/^[B-Z]{4}-[B-Z]{4}$/);
    expect([verification_uri.endsWith('/oauth2/device'), interval]).toEqual([true, 5]);
    expect((await poll(device_code)).json.error).toBe('authorization_pending');
    expect((await poll(device_code)).json.error).toBe('slow_down');
    const page = await send('GET', `/oauth2/device?user_code=${user_code.toLowerCase()}`);
    expect(page.text).toContain('Orchard');
    const said = await send('POST', '/oauth2/device/approve', {
      user_code,
      username: 'juliet',
      password: 'a rose',
      decision: 'allow',
    });
    expect(said.status).toBe(200);
    const { json } = await poll(device_code);
    expect(json).toMatchObject({ token_type: 'bearer', scope: 'xmpp' });
    expect((await poll(device_code)).json.error).toBe('expired_token');
    expect((await send('GET', `/oauth2/device?user_code=${user_code}`)).status).toBe(400);
  });

  test('who does not let it in says so, and codes end', async () => {
    const denied = await begin();
    await send('POST', '/oauth2/device/approve', { user_code: denied.user_code, decision: 'deny' });
    expect((await poll(denied.device_code)).json.error).toBe('access_denied');
    const late = await begin();
    await clock.advance(10 * 60_000 + 1);
    expect((await poll(late.device_code)).json.error).toBe('expired_token');
  });

  test('only clients that are registered for it', async () => {
    const other = (await register()).json as Client;
    expect((await send('POST', '/oauth2/device', { scope: 'xmpp' }, basic(other))).json.error).toBe(
      'unauthorized_client',
    );
    expect((await send('POST', '/oauth2/device', { scope: 'xmpp' })).status).toBe(401);
  });
});

describe('passwords', () => {
  let client: Client;
  beforeAll(async () => {
    client = (await register({ grant_types: ['password'] })).json;
  });
  const login = (username: string, password: string, headers: Record<string, string> = {}): Promise<Answer> =>
    send(
      'POST',
      '/oauth2/token',
      { grant_type: 'password', username, password, scope: 'xmpp' },
      { ...basic(client), ...headers },
    );

  test('are taken from programs on this machine, and from nobody else unless the settings say so', async () => {
    expect((await login('juliet', 'a rose')).status).toBe(200);
    const away = await login('juliet', 'a rose', { 'x-forwarded-for': '192.0.2.7', 'x-forwarded-proto': 'https' });
    expect([away.status, away.json.error]).toEqual([400, 'unauthorized_client']);
  });

  test('are not sent in the clear', async () => {
    const plain = await login('juliet', 'a rose', { 'x-forwarded-for': '192.0.2.7', 'x-forwarded-proto': 'http' });
    expect(plain.status).toBe(403);
  });

  test('are not guessed for long, in whatever way the name is written', async () => {
    const names = ['mercutio', 'Mercutio', `mercutio@${domain}`, 'MERCUTIO'];
    const statuses: string[] = [];
    for (let i = 0; i < 12; i++) {
      const asked = login(names[i % names.length]!, `guess ${i}`);
      let isDone = false;
      void asked.finally(() => {
        isDone = true;
      });
      while (!isDone) {
        await clock.advance(20_000 / 12);
        await new Promise((done) => setTimeout(done, 1));
      }
      statuses.push((await asked).json.error_description);
    }
    expect(statuses.slice(0, 10).every((text) => text.includes('wrong'))).toBe(true);
    expect(statuses.slice(10).every((text) => text.includes('too many'))).toBe(true);
    // others come in from there all the same
    expect((await login('juliet', 'a rose')).status).toBe(200);
  });

  test('of accounts that are locked let nobody in', async () => {
    const { accounts } = server.hosts.get(domain)!;
    await accounts.create('paris', 'the count');
    await accounts.disable('paris');
    expect((await login('paris', 'the count')).json.error).toBe('invalid_grant');
  });
});

test('what is sent is a form, with everything once', async () => {
  const client = (await register({ grant_types: ['password'] })).json as Client;
  const raw = (body: string, type: string) =>
    fetch(`${base}/oauth2/token`, { method: 'POST', body, headers: { ...basic(client), 'content-type': type } });
  expect((await raw('grant_type=password&grant_type=password', 'application/x-www-form-urlencoded')).status).toBe(400);
  expect((await raw('<x/>', 'text/xml')).status).toBe(415);
  expect((await raw('x'.repeat(70_000), 'application/x-www-form-urlencoded')).status).toBe(413);
  expect((await token(client, { grant_type: 'made-up' })).json.error).toBe('unsupported_grant_type');
});

test('where everything is says a document', async () => {
  const { json } = await send('GET', '/.well-known/oauth-authorization-server');
  expect(json).toMatchObject({
    code_challenge_methods_supported: ['S256'],
    token_endpoint: expect.stringContaining('/oauth2/token'),
  });
});

test('on several nodes a code, and a token that others are had with, are good once among all of them', async () => {
  const driver = createMemoryDriver(systemClock);
  const settings = { hosts: { [domain]: {} }, listen: { http: 0 } };
  const nodes = [await startServer(settings, { driver }), await startServer(settings, { driver })] as const;
  const at = (i: 0 | 1): string => `http://127.0.0.1:${nodes[i].address('http')!.port}`;
  const ask = async (i: 0 | 1, path: string, form: Record<string, string>, headers: Record<string, string>) => {
    const body = new URLSearchParams(form).toString();
    const type = { 'content-type': 'application/x-www-form-urlencoded' };
    return fetch(at(i) + path, { method: 'POST', redirect: 'manual', headers: { ...type, ...headers }, body });
  };
  await nodes[0].hosts.get(domain)!.accounts.create('romeo', 'wherefore');
  const body = JSON.stringify({ ...metadata, grant_types: ['authorization_code', 'refresh_token'] });
  const client = (await (
    await fetch(`${at(0)}/oauth2/register`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  ).json()) as Client;
  const verifier = randomBytes(32).toString('base64url');
  const query = new URLSearchParams({
    client_id: client.client_id,
    response_type: 'code',
    scope: 'xmpp offline_access',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  const allowed = await ask(
    1,
    `/oauth2/authorize?${query}`,
    { username: 'romeo', password: 'wherefore', decision: 'allow' },
    {},
  );
  const code = new URL(allowed.headers.get('location')!).searchParams.get('code')!;
  const redeem = { grant_type: 'authorization_code', code, code_verifier: verifier };
  const [a, b] = await Promise.all([
    ask(0, '/oauth2/token', redeem, basic(client)),
    ask(1, '/oauth2/token', redeem, basic(client)),
  ]);
  expect([a.status, b.status].sort()).toEqual([200, 400]);
  const { refresh_token } = (await (a.status === 200 ? a : b).json()) as { refresh_token: string };
  const refresh = { grant_type: 'refresh_token', refresh_token };
  const both = await Promise.all([
    ask(0, '/oauth2/token', refresh, basic(client)),
    ask(1, '/oauth2/token', refresh, basic(client)),
  ]);
  expect(both.filter(({ status }) => status === 200).length).toBeLessThanOrEqual(1);
  expect((await ask(0, '/oauth2/token', refresh, basic(client))).status).toBe(400);
  await Promise.all(nodes.map((node) => node.stop()));
});
