// SASL mechanisms: what is offered, PLAIN (RFC 4616), ANONYMOUS (RFC 4505, XEP-0175), and types of channel binding (XEP-0440).
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Accounts } from '../../../src/auth/accounts.ts';
import { decodeBase64, decodeInitial, decodeSasl, encodeSasl } from '../../../src/auth/base64.ts';
import { channelBindingFeature, channelBindings } from '../../../src/auth/channel.ts';
import { offeredMechanisms } from '../../../src/auth/sasl.ts';
import { createThrottle } from '../../../src/auth/throttle.ts';
import { FakeClock } from '../../kit/clock.ts';
import { challengeOf, exchange, failure, successOf, testAccounts, tls12, tls13 } from './kit.ts';

const open = { tlsRequired: false, anonymous: false };
const strict = { tlsRequired: true, anonymous: false };
const guests = { tlsRequired: true, anonymous: true };

let accounts: Accounts;
beforeAll(async () => {
  accounts = await testAccounts();
  await accounts.create('user', 'pencil');
  await accounts.create('other', 'pen');
  await accounts.create('disabled', 'pencil');
  await accounts.disable('disabled');
});

describe('what is offered', () => {
  test('is ordered by strength, channel binding first', () => {
    expect(offeredMechanisms(tls13, strict)).toEqual([
      'SCRAM-SHA-512-PLUS',
      'SCRAM-SHA-256-PLUS',
      'SCRAM-SHA-1-PLUS',
      'SCRAM-SHA-512',
      'SCRAM-SHA-256',
      'SCRAM-SHA-1',
      'PLAIN',
    ]);
  });

  test('has -PLUS only where there is something to bind to', () => {
    expect(offeredMechanisms(tls12, strict)).toContain('SCRAM-SHA-256-PLUS');
    const none = { ...tls12, endPoint: undefined };
    expect(offeredMechanisms(none, strict)).toEqual(['SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN']);
  });

  test('is nothing without TLS, unless TLS is not required', () => {
    expect(offeredMechanisms(undefined, strict)).toEqual([]);
    expect(offeredMechanisms(undefined, guests)).toEqual([]);
    expect(offeredMechanisms(undefined, open)).toEqual(['SCRAM-SHA-512', 'SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN']);
  });

  test('is ANONYMOUS for guests and for nobody else (XEP-0175 2)', () => {
    expect(offeredMechanisms(tls13, guests)).toEqual(['ANONYMOUS']);
    expect(offeredMechanisms(tls13, strict)).not.toContain('ANONYMOUS');
  });

  test('lists the types of channel binding (XEP-0440), tls-server-end-point among them', () => {
    expect(channelBindings(tls13)).toEqual(['tls-exporter', 'tls-server-end-point']);
    expect(channelBindings(tls12)).toEqual(['tls-server-end-point']);
    expect(channelBindings(undefined)).toEqual([]);
    expect(channelBindingFeature(undefined)).toBeUndefined();
    const feature = channelBindingFeature(tls13);
    expect(feature?.is('sasl-channel-binding', 'urn:xmpp:sasl-cb:0')).toBe(true);
    expect(feature?.getChildren('channel-binding').map((child) => child.attrs.type)).toEqual([
      'tls-exporter',
      'tls-server-end-point',
    ]);
  });

  test('is all that is accepted', () => {
    const invalid = (mechanism: string, offered: readonly string[]): Promise<string> =>
      failure((async () => exchange(accounts, mechanism, { offered }))());
    return Promise.all([
      expect(invalid('SCRAM-SHA-256-PLUS', offeredMechanisms(undefined, open))).resolves.toBe('invalid-mechanism'),
      expect(invalid('ANONYMOUS', offeredMechanisms(tls13, strict))).resolves.toBe('invalid-mechanism'),
      expect(invalid('PLAIN', offeredMechanisms(tls13, guests))).resolves.toBe('invalid-mechanism'),
      expect(invalid('plain', offeredMechanisms(tls13, strict))).resolves.toBe('invalid-mechanism'),
      expect(invalid('DIGEST-MD5', ['DIGEST-MD5'])).resolves.toBe('invalid-mechanism'),
      expect(invalid('', [])).resolves.toBe('invalid-mechanism'),
    ]);
  });
});

describe('PLAIN', () => {
  const login = (message: string | Buffer): ReturnType<ReturnType<typeof exchange>['step']> =>
    exchange(accounts, 'PLAIN').step(Buffer.from(message));

  test('lets in who has the password, in any case of the name', async () => {
    expect(successOf(await login('\0user\0pencil')).success).toEqual({
      local: 'user',
      anonymous: false,
      epoch: expect.any(Number),
    });
    expect(successOf(await login('\0USER\0pencil')).success.local).toBe('user');
    // SASLprep (RFC 4013 3): a soft hyphen is nothing
    expect(successOf(await login('\0user\0pen\u00adcil')).success.local).toBe('user');
  });

  test('asks for the message where there was no initial response', async () => {
    const running = exchange(accounts, 'PLAIN');
    expect(challengeOf(await running.step(undefined))).toHaveLength(0);
    expect(successOf(await running.step(Buffer.from('\0user\0pencil'))).success.local).toBe('user');
  });

  test('takes the account itself as authorization identity, and nobody else', async () => {
    expect(successOf(await login('user@example.org\0user\0pencil')).success.local).toBe('user');
    expect(successOf(await login('User@Example.org\0user\0pencil')).success.local).toBe('user');
    for (const authzid of ['other@example.org', 'user@example.com', 'user@example.org/home', 'user', 'example.org']) {
      expect(await failure(login(`${authzid}\0user\0pencil`))).toBe('invalid-authzid');
    }
  });

  test.each(['\0user\0wrong', '\0nobody\0pencil', '\0other\0pencil', '\0user\0 ', '\0a b\0pencil', '\0user\0\u0007'])(
    'refuses %j',
    async (message) => {
      expect(await failure(login(message))).toBe('not-authorized');
    },
  );

  test('tells that an account is disabled only to who has its password', async () => {
    expect(await failure(login('\0disabled\0pencil'))).toBe('account-disabled');
    expect(await failure(login('\0disabled\0wrong'))).toBe('not-authorized');
  });

  test.each(['', 'user', 'user\0pencil', '\0user\0', '\0\0pencil', '\0user\0pencil\0', '\0\0user\0pencil'])(
    'refuses the malformed %j',
    async (message) => {
      expect(await failure(login(message))).toBe('malformed-request');
    },
  );

  test('refuses what is not UTF-8', async () => {
    const bad = Buffer.concat([Buffer.from('\0user\0pencil'), Buffer.from([0xc3])]);
    expect(await failure(login(bad))).toBe('malformed-request');
  });
});

describe('ANONYMOUS', () => {
  const visit = async (data: Buffer | undefined): Promise<string> => {
    const running = exchange(accounts, 'ANONYMOUS', { offered: ['ANONYMOUS'] });
    const { success } = successOf(await running.step(data));
    expect(success.anonymous).toBe(true);
    return success.local;
  };

  test('gives every guest another name that nobody guesses, whatever they say', async () => {
    const names = await Promise.all([undefined, Buffer.alloc(0), Buffer.from('user'), Buffer.from('user')].map(visit));
    expect(new Set(names).size).toBe(4);
    for (const name of names) expect(name).toMatch(/^[0-9a-f]{32}$/);
  });
});

describe('base64', () => {
  test('goes both ways', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (octets) => {
        expect(decodeSasl(encodeSasl(Buffer.from(octets)))).toEqual(Buffer.from(octets));
      }),
    );
  });

  test('tells an empty initial response from none (RFC 6120 6.4.2)', () => {
    expect(decodeInitial('')).toBeUndefined();
    expect(decodeInitial('=')).toEqual(Buffer.alloc(0));
    expect(decodeSasl('')).toEqual(Buffer.alloc(0));
    expect(encodeSasl(Buffer.alloc(0))).toBe('=');
  });

  test.each([
    'A',
    'AA',
    'AAA',
    'AA=',
    'A===',
    '====',
    '==',
    'AAAA=',
    'AA==AAAA',
    'AAAA\n',
    ' AAAA',
    'AA AA',
    'AA-_',
    'AB==',
    'AAB=',
    'ÄÄÄÄ',
  ])('refuses %j', async (text) => {
    expect(decodeBase64(text)).toBeUndefined();
    expect(await failure((async () => decodeSasl(text))())).toBe('incorrect-encoding');
  });
});

describe('guessing', () => {
  test('is answered later and later, then not at all; the owner gets in from elsewhere', async () => {
    const clock = new FakeClock();
    const throttle = createThrottle(clock, { perAccount: { free: 1, delay: 1000, limit: 3 } });
    const guess = async (
      password: string,
      address = '192.0.2.1',
    ): Promise<{ condition: string; isLast: boolean; waited: number }> => {
      const running = exchange(accounts, 'PLAIN', { throttle, address });
      const start = clock.now();
      let answered: number | undefined;
      const result = failure(running.step(Buffer.from(`\0user\0${password}`))).then((condition) => {
        answered = clock.now();
        return condition;
      });
      for (let i = 0; answered === undefined && i < 500; i++) {
        await new Promise((resolve) => setTimeout(resolve, 1));
        if (clock.pending > 0) await clock.advance(100);
      }
      return { condition: await result, isLast: running.isLast, waited: (answered ?? 0) - start };
    };
    expect(await guess('one')).toEqual({ condition: 'not-authorized', isLast: false, waited: 0 });
    expect(await guess('two')).toEqual({ condition: 'not-authorized', isLast: false, waited: 1000 });
    expect(await guess('three')).toEqual({ condition: 'not-authorized', isLast: true, waited: 2000 });
    expect(await guess('pencil')).toEqual({ condition: 'temporary-auth-failure', isLast: true, waited: 0 });
    expect(await guess('pencil', '198.51.100.7')).toMatchObject({ condition: 'no failure' });
    await clock.advance(15 * 60_000);
    expect(await guess('pencil')).toMatchObject({ condition: 'no failure' });
  });

  test('does not count messages that are malformed, nor challenges that are not answered', async () => {
    const throttle = createThrottle(new FakeClock(), { perAccount: { free: 0, limit: 1 } });
    for (let i = 0; i < 300; i++) {
      await exchange(accounts, 'SCRAM-SHA-256', { throttle }).step(Buffer.from('n,,n=user,r=abc'));
      await failure(exchange(accounts, 'SCRAM-SHA-256', { throttle }).step(Buffer.from('n,,n=user')));
    }
    const running = exchange(accounts, 'PLAIN', { throttle });
    expect(successOf(await running.step(Buffer.from('\0user\0pencil'))).success.local).toBe('user');
  });
});
