import { createHmac } from 'node:crypto';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Accounts } from '../../../src/auth/accounts.ts';
import type { ClientLogin, ClientPolicy, IssuedToken } from '../../../src/auth/clients.ts';
import type { Step } from '../../../src/auth/mechanism.ts';
import { offeredTokenMechanisms } from '../../../src/auth/sasl.ts';
import type { TlsInfo } from '../../../src/net/tls.ts';
import { createMemoryDriver } from '../../../src/storage/memory.ts';
import type { Driver } from '../../../src/storage/ports.ts';
import { FakeClock } from '../../kit/clock.ts';
import { domain, exchange, failure, successOf, testAccounts, testPolicy, tls12, tls13 } from './kit.ts';

const agent = 'd4565fa7-4d72-4749-b3d3-740edbf87770';
const other = 'd4565fa7-4d72-4749-b3d3-740edbf87771';
const NONE = 'HT-SHA-256-NONE';
const ENDP = 'HT-SHA-256-ENDP';
const EXPR = 'HT-SHA-256-EXPR';
const hour = 60 * 60_000;
const day = 24 * hour;

let clock: FakeClock;
let driver: Driver;
let accounts: Accounts;
let policy: ClientPolicy;

beforeEach(async () => {
  clock = new FakeClock();
  driver = createMemoryDriver(clock);
  policy = testPolicy;
  accounts = await testAccounts({ clock, driver, clients: () => policy });
  await accounts.create('user', 'pencil');
  await accounts.create('other', 'pencil');
});

async function login(
  change: Partial<ClientLogin> = {},
  local = 'user',
  agentId = agent,
): Promise<IssuedToken | undefined> {
  const epoch = (await accounts.facts(local))?.epoch ?? 0;
  return accounts.clients.login(local, accounts.clients.idOf(local, agentId), {
    agent: { id: agentId, software: 'Soft', device: 'Phone' },
    mechanism: 'PLAIN',
    isPassword: true,
    isBinding: false,
    epoch,
    token: undefined,
    count: undefined,
    isLast: false,
    wanted: undefined,
    ...change,
  });
}

/** A token, by way of the password. */
async function tokenFor(mechanism: string): Promise<string> {
  const issued = await login({ wanted: mechanism });
  if (issued === undefined) throw new Error('there was no token');
  return issued.secret;
}

function prove(
  mechanism: string,
  token: string,
  binding: Buffer,
  { name = 'user', agentId = agent, tls = tls13 }: { name?: string; agentId?: string; tls?: TlsInfo | undefined } = {},
): Promise<Step> {
  const proof = createHmac('sha256', token).update('Initiator').update(binding).digest();
  const running = exchange(accounts, mechanism, {
    offered: offeredTokenMechanisms(tls),
    tokens: accounts.tokensOf(agentId),
    ...(tls === undefined ? {} : { tls }),
  });
  return running.step(Buffer.concat([Buffer.from(`${name}\0`), proof]));
}

async function use(token: string, change: Partial<ClientLogin> = {}): Promise<IssuedToken | undefined> {
  const id = successOf(await prove(NONE, token, Buffer.alloc(0))).success.token;
  return login({ mechanism: NONE, isPassword: false, token: id, ...change });
}

const fails = (token: string): Promise<string> => failure(prove(NONE, token, Buffer.alloc(0)));
const listed = async (local = 'user') => accounts.clients.list(local, (await accounts.facts(local))!);

describe('HT', () => {
  test('is offered for what the channel has', () => {
    expect(offeredTokenMechanisms(tls13)).toEqual([EXPR, ENDP, NONE]);
    expect(offeredTokenMechanisms(tls12)).toEqual([ENDP, NONE]);
    expect(offeredTokenMechanisms(undefined)).toEqual([NONE]);
  });

  test.each([
    [NONE, Buffer.alloc(0)],
    [ENDP, tls13.endPoint!],
    [EXPR, tls13.exporter!],
  ])('%s proves the token on this channel, and the server proves that it knows it too', async (mechanism, binding) => {
    const token = await tokenFor(mechanism);
    const step = successOf(await prove(mechanism, token, binding));
    expect(step.success).toMatchObject({ local: 'user', anonymous: false });
    expect(step.data).toEqual(createHmac('sha256', token).update('Responder').update(binding).digest());
    // somebody in between has another channel
    expect(await failure(prove(mechanism, token, Buffer.alloc(32, 9)))).toBe('not-authorized');
  });

  test.each([
    [ENDP, NONE, Buffer.alloc(0)],
    [EXPR, ENDP, tls13.endPoint!],
    [NONE, EXPR, tls13.exporter!],
  ])('a token for %s is none for %s', async (mechanism, another, binding) => {
    const token = await tokenFor(mechanism);
    expect(await failure(prove(another, token, binding))).toBe('not-authorized');
  });

  test('is for one client of one account', async () => {
    const token = await tokenFor(NONE);
    for (const stranger of [{ agentId: other }, { name: 'other' }, { name: 'nobody' }, { name: '\u{fffe}' }]) {
      expect(await failure(prove(NONE, token, Buffer.alloc(0), stranger))).toBe('not-authorized');
    }
    expect('success' in (await prove(NONE, token, Buffer.alloc(0), { name: 'USER' }))).toBe(true);
  });

  test.each(['', '\0', '\0abc', 'user', '\xff\0abc'])('takes no message like %j', async (text) => {
    const running = exchange(accounts, NONE, { offered: [NONE], tokens: accounts.tokensOf(agent) });
    expect(await failure(running.step(Buffer.from(text, 'latin1')))).toBe('malformed-request');
  });

  test('needs a message', async () => {
    const running = exchange(accounts, NONE, { offered: [NONE], tokens: accounts.tokensOf(agent) });
    expect(await failure(running.step(undefined))).toBe('malformed-request');
  });
});

describe('a token', () => {
  test('ends with its time, and only who has it is told so', async () => {
    const token = await tokenFor(NONE);
    await clock.advance(policy['token-lifetime']);
    expect(await fails(token)).toBe('credentials-expired');
    expect(await fails('another')).toBe('not-authorized');
  });

  test('that is old is replaced when it is used, and good until the new one is', async () => {
    const first = await tokenFor(NONE);
    expect(await use(first)).toBeUndefined();
    await clock.advance(policy['token-rotation']);
    const second = await use(first);
    expect(second?.expires).toBe(clock.now() + policy['token-lifetime']);
    expect(await fails(first)).toBe('no failure');
    expect(await use(second!.secret)).toBeUndefined();
    expect(await fails(first)).toBe('not-authorized');
    expect(await fails(second!.secret)).toBe('no failure');
  });

  test('that was never used is void when there is another', async () => {
    const first = await tokenFor(NONE);
    const second = await tokenFor(NONE);
    expect(await fails(first)).toBe('not-authorized');
    expect(await fails(second)).toBe('no failure');
  });

  test('keeps the mechanism that the client chose when it is replaced', async () => {
    const token = await tokenFor(ENDP);
    await clock.advance(2 * day);
    const id = successOf(await prove(ENDP, token, tls13.endPoint!)).success.token;
    const next = await login({ mechanism: ENDP, isPassword: false, token: id });
    expect('success' in (await prove(ENDP, next!.secret, tls13.endPoint!))).toBe(true);
    expect(await fails(next!.secret)).toBe('not-authorized');
  });

  test('counts: what was there before is refused, also at the same time', async () => {
    const token = await tokenFor(NONE);
    await use(token, { count: 5 });
    for (const count of [5, 4, 0]) expect(await failure(use(token, { count }))).toBe('not-authorized');
    const twice = await Promise.all([failure(use(token, { count: 6 })), failure(use(token, { count: 6 }))]);
    expect(twice.sort()).toEqual(['no failure', 'not-authorized']);
    // who does not count is not held to it (there is no 0-RTT)
    expect(await failure(use(token))).toBe('no failure');
    expect(await failure(use(token, { count: 6 }))).toBe('not-authorized');
  });

  test('is given up by the client that logs out, with what was to follow it', async () => {
    const token = await tokenFor(NONE);
    await clock.advance(2 * day);
    const next = await use(token);
    expect(await use(token, { isLast: true })).toBeUndefined();
    expect(await fails(token)).toBe('not-authorized');
    expect(await fails(next!.secret)).toBe('not-authorized');
  });

  test('is void with another password, with an account that is disabled, or removed', async () => {
    const token = await tokenFor(NONE);
    await accounts.setPassword('user', 'pencil');
    expect(await fails(token)).toBe('credentials-expired');

    const second = await tokenFor(NONE);
    await accounts.disable('user');
    expect(await fails(second)).toBe('account-disabled');
    await accounts.enable('user');
    expect(await fails(second)).toBe('credentials-expired');

    const third = await tokenFor(NONE);
    await accounts.remove('user');
    expect(await fails(third)).toBe('not-authorized');
    await accounts.create('user', 'pencil');
    expect(await fails(third)).toBe('not-authorized');
    expect(await listed()).toEqual([]);
  });

  test('that was proved is nothing where the password was changed before the login was written down', async () => {
    const token = await tokenFor(NONE);
    const id = successOf(await prove(NONE, token, Buffer.alloc(0))).success.token;
    await accounts.setPassword('user', 'other');
    const late = login({ mechanism: NONE, isPassword: false, token: id });
    expect(await failure(late)).toBe('credentials-expired');
  });

  test('is not in the database, and neither is what the client calls itself', async () => {
    const token = await tokenFor(NONE);
    const { clients } = await driver.open(
      domain,
      'accounts',
      (await import('../../../src/auth/accounts.ts')).accountStores,
    );
    const rows = await (clients as { all(owner: string): Promise<Map<string, unknown>> }).all('user');
    const text = JSON.stringify([...rows]);
    expect(rows.size).toBe(1);
    expect(text).not.toContain(token);
    expect(text).not.toContain(agent);
  });

  test('is not given out where there are none', async () => {
    policy = { ...policy, 'token-lifetime': 0 };
    expect(await login({ wanted: NONE })).toBeUndefined();
    expect(accounts.clients.hasTokens).toBe(false);
  });
});

describe('a client', () => {
  test('is listed with what it said, and when it was there', async () => {
    const start = clock.now();
    await login();
    await clock.advance(hour);
    await login({ mechanism: 'SCRAM-SHA-256', isBinding: true, wanted: NONE });
    await clock.advance(hour);
    await login({ agent: { id: other, software: undefined, device: undefined } }, 'user', other);
    const [second, first] = await listed();
    expect(first).toMatchObject({
      software: 'Soft',
      device: 'Phone',
      firstSeen: start,
      lastSeen: start + hour,
      mechanism: 'SCRAM-SHA-256',
      bound: true,
      hasToken: true,
      knowsPassword: true,
    });
    expect(second).toMatchObject({ hasToken: false, knowsPassword: true });
    expect(second?.software).toBeUndefined();
    expect(await listed('other')).toEqual([]);
  });

  test('no longer knows the password when there is another', async () => {
    await login({ wanted: NONE });
    await clock.advance(1);
    await accounts.setPassword('user', 'other');
    expect((await listed())[0]).toMatchObject({ hasToken: false, knowsPassword: false });
    await login();
    expect((await listed())[0]).toMatchObject({ knowsPassword: true });
  });

  test('that is revoked has no token; one that could not come back by the password is forgotten', async () => {
    const token = await tokenFor(NONE);
    const [client] = await listed();
    await accounts.clients.revoke('user', client!.id, (await accounts.facts('user'))!);
    expect(await fails(token)).toBe('not-authorized');
    expect((await listed())[0]).toMatchObject({ hasToken: false, knowsPassword: true });
    await clock.advance(1);
    await accounts.setPassword('user', 'other');
    await accounts.clients.revoke('user', client!.id, (await accounts.facts('user'))!);
    expect(await listed()).toEqual([]);
  });

  test('that was not seen for longest makes room for another', async () => {
    const ids = Array.from({ length: 7 }, (_, i) => `d4565fa7-4d72-4749-b3d3-74000000000${i}`);
    for (const id of ids) {
      await clock.advance(1000);
      await login({ agent: { id, software: id, device: undefined } }, 'user', id);
    }
    expect((await listed()).map(({ software }) => software)).toEqual(ids.slice(2).reverse());
  });

  test('that does not come back is forgotten', async () => {
    await login();
    await clock.advance(policy.forget);
    expect(await listed()).toEqual([]);
    await login({}, 'user', other);
    expect(await listed()).toHaveLength(1);
  });

  test('keeps its names to itself where that is wished for', async () => {
    policy = { ...policy, names: false };
    await login();
    const [client] = await listed();
    expect(client?.software).toBeUndefined();
    expect(client?.device).toBeUndefined();
  });

  test('has a name with us, and a resource, that tell neither its own nor each other', () => {
    const { clients } = accounts;
    expect(clients.idOf('user', agent)).toBe(clients.idOf('user', agent));
    expect(clients.idOf('user', agent)).not.toBe(clients.idOf('other', agent));
    expect(clients.resourceOf('user', agent, 'A')).toBe(clients.resourceOf('user', agent, 'A'));
    expect(clients.resourceOf('user', agent, 'A')).not.toBe(clients.resourceOf('user', agent, 'B'));
    expect(clients.resourceOf('user', agent, '')).not.toBe(clients.resourceOf('user', other, ''));
  });
});
