// SCRAM (RFC 5802, RFC 7677), bound to the channel or not: test vectors, and who gets in.
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Accounts } from '../../../src/auth/accounts.ts';
import { createPasswordHasher, deriveCredentials, type ScramHash } from '../../../src/auth/credentials.ts';
import { ScramClient, type ScramClientOptions } from '../../kit/scram.ts';
import { challengeOf, exchange, failure, successOf, testAccounts, tls12, tls13 } from './kit.ts';

let accounts: Accounts;
beforeAll(async () => {
  accounts = await testAccounts();
  await accounts.create('user', 'pencil');
  await accounts.create('disabled', 'pencil');
  await accounts.disable('disabled');
});

const client = (options: Partial<ScramClientOptions> = {}): ScramClient =>
  new ScramClient({ digest: 'sha256', username: 'user', password: 'pencil', ...options });

describe('test vectors', () => {
  // RFC 5802 5, RFC 7677 3
  const vectors = [
    {
      hash: 'sha-1',
      salt: 'QSXCR+Q6sek8bf92',
      first: 'n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL',
      serverNonce: '3rfcNHYJY1ZVvWVs7j',
      serverFirst: 'r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096',
      final: 'c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=',
      serverFinal: 'v=rmF9pqV8S7suAoZWja4dJRkFsKQ=',
    },
    {
      hash: 'sha-256',
      salt: 'W22ZaJ0SNY7soEsUEjb6gQ==',
      first: 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO',
      serverNonce: '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0',
      serverFirst: 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
      final:
        'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
      serverFinal: 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
    },
  ] as const;

  test.each(vectors)('the example of $hash runs to its end', async (vector) => {
    const stored = await deriveCredentials(createPasswordHasher(), 'pencil', vector.hash, 4096, vector.salt);
    const vectorAccounts = await testAccounts();
    await vectorAccounts.createWithKeys('user', { [vector.hash]: stored });
    const nonce = (): string => vector.serverNonce;
    const running = exchange(vectorAccounts, `SCRAM-${vector.hash.toUpperCase()}`, { nonce, attributes: () => '' });
    expect(challengeOf(await running.step(Buffer.from(vector.first))).toString()).toBe(vector.serverFirst);
    const { success, data } = successOf(await running.step(Buffer.from(vector.final)));
    expect(success).toEqual({ local: 'user', anonymous: false, epoch: expect.any(Number) });
    expect(data?.toString()).toBe(vector.serverFinal);
  });
});

describe('a login', () => {
  const hashes = [
    ['sha-1', 'sha1'],
    ['sha-256', 'sha256'],
    ['sha-512', 'sha512'],
  ] as const;
  const bindings = [
    ['tls-exporter', tls13, tls13.exporter],
    ['tls-server-end-point', tls13, tls13.endPoint],
    ['tls-server-end-point', tls12, tls12.endPoint],
    // used by clients that do not look at what is advertised (XEP-0440)
    ['tls-unique', tls13, tls13.unique],
  ] as const;

  test.each(hashes)('works with %s, and both sides know the password', async (hash, digest) => {
    const one = client({ digest });
    const running = exchange(accounts, `SCRAM-${hash.toUpperCase()}`);
    const first = challengeOf(await running.step(one.first()));
    expect(one.accepts(successOf(await running.step(one.final(first))).data)).toBe(true);
    expect(running.name).toBe('user');
  });

  test.each(
    hashes.flatMap(([hash, digest]) => bindings.map(([type, tls, data]) => ({ hash, digest, type, tls, data }))),
  )('is bound to its channel by $hash and $type', async ({ hash, digest, type, tls, data }) => {
    const one = client({ digest, flag: `p=${type}`, ...(data === undefined ? {} : { bindingData: data }) });
    const running = exchange(accounts, `SCRAM-${hash.toUpperCase()}-PLUS`, { tls });
    const first = challengeOf(await running.step(one.first()));
    expect(one.accepts(successOf(await running.step(one.final(first))).data)).toBe(true);
  });

  test('is asked for where there was no initial response', async () => {
    const running = exchange(accounts, 'SCRAM-SHA-256');
    expect(challengeOf(await running.step(undefined))).toHaveLength(0);
    const one = client();
    const first = challengeOf(await running.step(one.first()));
    expect(successOf(await running.step(one.final(first))).success.local).toBe('user');
  });

  test('takes the name in any case, the account itself as authorization identity, and unknown extensions', async () => {
    const one = client({ username: 'UsEr', authzid: 'user@example.org' });
    const running = exchange(accounts, 'SCRAM-SHA-256');
    const first = challengeOf(await running.step(one.first()));
    const final = one.final(first, (text) => `${text},x=whatever`);
    expect(successOf(await running.step(final)).success.local).toBe('user');
  });

  test('gives each exchange a nonce of its own', async () => {
    const nonces = await Promise.all(
      Array.from({ length: 20 }, async () =>
        challengeOf(await exchange(accounts, 'SCRAM-SHA-256').step(client().first())).toString(),
      ),
    );
    expect(new Set(nonces).size).toBe(20);
  });
});

describe('an attack fails', () => {
  /** Runs an exchange; returns the condition it fails with. */
  async function attempt(
    options: Partial<ScramClientOptions>,
    change?: (withoutProof: string) => string,
    mechanism = 'SCRAM-SHA-256',
    tls = tls13,
  ): Promise<string> {
    const one = client(options);
    const running = exchange(accounts, mechanism, { tls });
    return failure(
      (async () => {
        const first = challengeOf(await running.step(one.first()));
        await running.step(one.final(first, change));
      })(),
    );
  }

  test('with a wrong password', async () => {
    expect(await attempt({ password: 'pencils' })).toBe('not-authorized');
  });

  test('with a nonce that is not the whole of ours', async () => {
    expect(await attempt({}, (text) => text.slice(0, -1))).toBe('not-authorized');
    expect(await attempt({}, (text) => `${text}x`)).toBe('not-authorized');
    expect(await attempt({}, (text) => text.replace(/r=.*/, 'r=fyko+d2lbbFgONRv9qkxdawL'))).toBe('not-authorized');
  });

  test('with another channel binding in the end than in the beginning', async () => {
    const c = (data: string): ((text: string) => string) => {
      return (text) => text.replace(/c=[^,]*/, `c=${Buffer.from(data).toString('base64')}`);
    };
    expect(await attempt({}, c('y,,'))).toBe('not-authorized');
    expect(await attempt({}, c('n,,more'))).toBe('not-authorized');
    expect(await attempt({}, c('n,a=other,'))).toBe('not-authorized');
  });

  test('in the middle: the channel is another one', async () => {
    for (const type of ['tls-exporter', 'tls-server-end-point']) {
      const bindingData = Buffer.alloc(32, 9);
      expect(await attempt({ flag: `p=${type}`, bindingData }, undefined, 'SCRAM-SHA-256-PLUS')).toBe('not-authorized');
    }
    // one binding's data under the other's name
    const bindingData = tls13.endPoint!;
    expect(await attempt({ flag: 'p=tls-exporter', bindingData }, undefined, 'SCRAM-SHA-256-PLUS')).toBe(
      'not-authorized',
    );
  });

  test('in the middle: -PLUS was taken out of the list (RFC 5802 6)', async () => {
    expect(await attempt({ flag: 'y' })).toBe('not-authorized');
  });

  test('but "y" is fine where there is nothing to bind to', async () => {
    const one = client({ flag: 'y' });
    const running = exchange(accounts, 'SCRAM-SHA-256', { tls: undefined });
    const first = challengeOf(await running.step(one.first()));
    expect(successOf(await running.step(one.final(first))).success.local).toBe('user');
  });

  test('with a flag that does not go with the mechanism, or a type that is not offered', async () => {
    expect(await attempt({ flag: 'n' }, undefined, 'SCRAM-SHA-256-PLUS')).toBe('malformed-request');
    expect(await attempt({ flag: 'y' }, undefined, 'SCRAM-SHA-256-PLUS')).toBe('malformed-request');
    expect(await attempt({ flag: 'p=tls-exporter' })).toBe('malformed-request');
    expect(await attempt({ flag: 'p=tls-other' }, undefined, 'SCRAM-SHA-256-PLUS')).toBe('malformed-request');
    // RFC 9266: not below TLS 1.3 here
    expect(await attempt({ flag: 'p=tls-exporter' }, undefined, 'SCRAM-SHA-256-PLUS', tls12)).toBe('malformed-request');
  });

  test('as somebody else', async () => {
    for (const authzid of ['other@example.org', 'user@example.com', 'user', 'user@example.org/home', '@']) {
      expect(await attempt({ authzid })).toBe('invalid-authzid');
    }
  });

  test('with the proof of another exchange', async () => {
    const one = client();
    const first = challengeOf(await exchange(accounts, 'SCRAM-SHA-256').step(one.first()));
    const final = one.final(first);
    const again = exchange(accounts, 'SCRAM-SHA-256');
    await again.step(one.first());
    expect(await failure(again.step(final))).toBe('not-authorized');
  });

  test.each([
    '',
    'n',
    'n,',
    'n,,',
    'n,,n=user',
    'n,,n=user,r=',
    'n,,n=,r=abc',
    'n,,r=abc,n=user',
    'n,a=,n=user,r=abc',
    'n,b=user,n=user,r=abc',
    'N,,n=user,r=abc',
    'p=,,n=user,r=abc',
    'p,,n=user,r=abc',
    'n,,m=something,n=user,r=abc',
    'n,,n=user,r=abc,m=something',
    'n,,n=user,r=abc,r=def',
    'n,,n=user,r=abc,x',
    'n,,n=user,r=abc,x=',
    'n,,n=us=er,r=abc',
    'n,,n=user=2c,r=abc',
    'n,,n=us\0er,r=abc',
    'n,,n=user,r=a b',
    'n,,n=user,r=äbc',
    'n,,n=user,r=abc\n',
    ' n,,n=user,r=abc',
  ])('with the malformed first message %j', async (message) => {
    expect(await failure(exchange(accounts, 'SCRAM-SHA-256').step(Buffer.from(message)))).toBe('malformed-request');
  });

  test('with octets that are not UTF-8, and with far too many', async () => {
    const bad = Buffer.concat([Buffer.from('n,,n=user'), Buffer.from([0xff]), Buffer.from(',r=abc')]);
    expect(await failure(exchange(accounts, 'SCRAM-SHA-256').step(bad))).toBe('malformed-request');
    const huge = Buffer.from(`n,,n=user,r=${'a'.repeat(1_000_000)}`);
    expect(await failure(exchange(accounts, 'SCRAM-SHA-256').step(huge))).toBe('malformed-request');
  });

  test.each([
    ['nothing', () => ''],
    ['no proof', (text: string) => text.replace(/,p=.*/, '')],
    ['an empty proof', (text: string) => text.replace(/,p=.*/, ',p=')],
    ['something behind the proof', (text: string) => `${text},x=y`],
    ['two proofs', (text: string) => text.replace(/(,p=.*)/, '$1$1')],
    ['the order changed', (text: string) => text.replace(/^(c=[^,]*),(r=[^,]*)/, '$2,$1')],
    ['a binding that is no base64', (text: string) => text.replace('c=biws', 'c=biw')],
    ['a proof that is no base64', (text: string) => text.replace(/=$/, '')],
    ['a mandatory extension', (text: string) => text.replace(',p=', ',m=x,p=')],
  ])('with a final message that has %s', async (_, change) => {
    const one = client();
    const running = exchange(accounts, 'SCRAM-SHA-256');
    const first = challengeOf(await running.step(one.first()));
    const final = Buffer.from(change(one.final(first).toString()));
    expect(await failure(running.step(final))).toBe('malformed-request');
  });

  test.each([0, 1, 20, 31, 33, 64])('with a proof of %i octets', async (size) => {
    const one = client();
    const running = exchange(accounts, 'SCRAM-SHA-256');
    const first = challengeOf(await running.step(one.first()));
    const proof = Buffer.alloc(size).toString('base64');
    const final = Buffer.from(one.final(first).toString().replace(/,p=.*/, `,p=${proof}`));
    expect(await failure(running.step(final))).toMatch(size === 0 ? 'malformed-request' : 'not-authorized');
  });

  test('by truncating the final message anywhere', async () => {
    for (let cut = 1; cut < 60; cut += 7) {
      const one = client();
      const running = exchange(accounts, 'SCRAM-SHA-256');
      const first = challengeOf(await running.step(one.first()));
      const final = one.final(first);
      expect(await failure(running.step(final.subarray(0, final.length - cut)))).toMatch(
        /^(malformed-request|not-authorized)$/,
      );
    }
  });

  test('by going on with an exchange that is over', async () => {
    const one = client();
    const done = exchange(accounts, 'SCRAM-SHA-256');
    const first = challengeOf(await done.step(one.first()));
    const final = one.final(first);
    await done.step(final);
    expect(await failure(done.step(final))).toBe('malformed-request');

    const failed = exchange(accounts, 'SCRAM-SHA-256');
    const second = challengeOf(await failed.step(one.first()));
    expect(await failure(failed.step(Buffer.from('nonsense')))).toBe('malformed-request');
    expect(await failure(failed.step(one.final(second)))).toBe('malformed-request');
  });

  test('by sending two messages at once', async () => {
    const running = exchange(accounts, 'SCRAM-SHA-256');
    const steps = await Promise.all([running.step(client().first()), failure(running.step(client().first()))]);
    expect(steps[1]).toBe('malformed-request');
  });

  test('with anything at all', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 80 }), async (octets) => {
        expect(await failure(exchange(accounts, 'SCRAM-SHA-256').step(Buffer.from(octets)))).toBe('malformed-request');
      }),
      { numRuns: 200 },
    );
  });
});

describe('who has an account does not show', () => {
  const hashes: readonly (readonly [ScramHash, 'sha1' | 'sha256' | 'sha512'])[] = [
    ['sha-1', 'sha1'],
    ['sha-256', 'sha256'],
    ['sha-512', 'sha512'],
  ];
  async function serverFirst(username: string, from = accounts, mechanism = 'SCRAM-SHA-256'): Promise<string> {
    return challengeOf(await exchange(from, mechanism).step(client({ username }).first())).toString();
  }
  const saltOf = (message: string): string => /,s=([^,]*)/.exec(message)?.[1] ?? '';

  test('an unknown name is challenged like a known one, with the same salt every time', async () => {
    const known = await serverFirst('user');
    const unknown = await serverFirst('nobody');
    const shape = /^r=[\x21-\x2b\x2d-\x7e]{56},s=[A-Za-z0-9+/]{22}==,i=4096,h=[A-Za-z0-9+/]{43}=,t=0304$/;
    expect(known).toMatch(shape);
    expect(unknown).toMatch(shape);
    expect(saltOf(await serverFirst('nobody'))).toBe(saltOf(unknown));
    // however it is written
    expect(saltOf(await serverFirst('NoBody'))).toBe(saltOf(unknown));
    expect(saltOf(await serverFirst('nobody2'))).not.toBe(saltOf(unknown));
    expect(saltOf(await serverFirst('nobody', accounts, 'SCRAM-SHA-1'))).not.toBe(saltOf(unknown));
  });

  test.each(hashes)('and fails like a known one with %s', async (hash, digest) => {
    for (const username of ['nobody', 'user', 'no body', 'a@b']) {
      const one = client({ username, digest, password: 'wrong' });
      const running = exchange(accounts, `SCRAM-${hash.toUpperCase()}`);
      const first = challengeOf(await running.step(one.first()));
      expect(await failure(running.step(one.final(first)))).toBe('not-authorized');
    }
  });

  test('a hash that an account has no key for behaves likewise', async () => {
    const some = await testAccounts();
    const key = await deriveCredentials(createPasswordHasher(), 'pencil', 'sha-1', 4096);
    await some.createWithKeys('user', { 'sha-1': key });
    const one = client();
    const running = exchange(some, 'SCRAM-SHA-256');
    const first = challengeOf(await running.step(one.first()));
    expect(saltOf(await serverFirst('user', some))).toBe(saltOf(first.toString()));
    expect(await failure(running.step(one.final(first)))).toBe('not-authorized');
  });

  test('only who has the password learns that an account is disabled', async () => {
    for (const [password, condition] of [
      ['pencil', 'account-disabled'],
      ['wrong', 'not-authorized'],
    ] as const) {
      const one = client({ username: 'disabled', password });
      const running = exchange(accounts, 'SCRAM-SHA-256');
      const first = challengeOf(await running.step(one.first()));
      expect(await failure(running.step(one.final(first)))).toBe(condition);
    }
  });

  test('it takes about as long', async () => {
    const time = async (username: string): Promise<number> => {
      const start = process.hrtime.bigint();
      const running = exchange(accounts, 'SCRAM-SHA-256');
      await running.step(client({ username }).first());
      await failure(running.step(Buffer.from(`c=biws,r=x,p=${Buffer.alloc(32).toString('base64')}`)));
      return Number(process.hrtime.bigint() - start);
    };
    const median = (times: number[]): number => times.sort((a, b) => a - b)[Math.floor(times.length / 2)]!;
    const known: number[] = [];
    const unknown: number[] = [];
    for (let i = 0; i < 400; i++) {
      known.push(await time('user'));
      unknown.push(await time('nobody'));
    }
    const ratio = median(known) / median(unknown);
    expect(ratio).toBeGreaterThan(0.6);
    expect(ratio).toBeLessThan(1.7);
  });
});

test('a password that is changed, or an account that goes, while an exchange is under way ends it', async () => {
  const some = await testAccounts();
  for (const change of [
    () => some.setPassword('user', 'new password'),
    () => some.remove('user'),
    () => some.disable('user'),
  ]) {
    if (!(await some.exists('user'))) await some.create('user', 'pencil');
    else await some.setPassword('user', 'pencil');
    const one = client();
    const running = exchange(some, 'SCRAM-SHA-256');
    const first = challengeOf(await running.step(one.first()));
    await change();
    expect(await failure(running.step(one.final(first)))).toMatch(/^(not-authorized|account-disabled)$/);
  }
});
