import { describe, expect, test } from 'vitest';
import { type AccountError, accountStores } from '../../../src/auth/accounts.ts';
import {
  createPasswordHasher,
  deriveCredentials,
  type PasswordHasher,
  preparePassword,
} from '../../../src/auth/credentials.ts';
import { createMemoryDriver } from '../../../src/storage/memory.ts';
import { kv } from '../../../src/storage/specs.ts';
import { FakeClock, START, turn } from '../../kit/clock.ts';
import { domain, failure, testAccounts } from './kit.ts';

async function problem(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return (error as AccountError).problem;
  }
  return 'no problem';
}

describe('an account', () => {
  test('is made with keys for every hash and no password, under its prepared name', async () => {
    const driver = createMemoryDriver();
    const accounts = await testAccounts({ driver });
    expect(await accounts.create('Alice', 'secret')).toBe('alice');
    const stores = await driver.open(domain, 'accounts', accountStores);
    const row = JSON.stringify(await (stores.accounts as { get(owner: string): unknown }).get('alice'));
    expect(row).not.toContain('secret');
    expect(Object.keys(JSON.parse(row).credentials)).toEqual(['sha-1', 'sha-256', 'sha-512']);
    expect(await accounts.exists('alice')).toBe(true);
    expect(await accounts.exists('ALICE')).toBe(true);
    expect(await accounts.exists('bob')).toBe(false);
    expect(await accounts.exists('a b')).toBe(false);
    const facts = { created: START, passwordSet: START, epoch: START, isDisabled: false, role: 'member' };
    expect(await accounts.facts('alice')).toEqual(facts);
    expect(await accounts.facts('bob')).toBeUndefined();
  });

  test('needs a name and a password that work', async () => {
    const accounts = await testAccounts({ minPasswordLength: 6 });
    for (const name of ['', 'a b', 'a@b', 'a/b', '"a"', 'x'.repeat(1024)]) {
      expect(await problem(accounts.create(name, 'secret'))).toBe('invalid-name');
    }
    // RFC 4013 2.3, 2.4, 2.5: prohibited, a mixture of directions, not in Unicode 3.2
    for (const password of ['', '\u0007bell-and-more', '\u06271secret', '😀😀😀😀😀😀', '\u00ad', 'x'.repeat(2000)]) {
      expect(await problem(accounts.create('alice', password))).toBe('invalid-password');
    }
    expect(await problem(accounts.create('alice', 'short'))).toBe('weak-password');
    expect(await accounts.exists('alice')).toBe(false);
    expect(await problem(accounts.create('alice', 'long enough'))).toBe('no problem');
  });

  test('is made once, however many try at the same time', async () => {
    const accounts = await testAccounts();
    const tries = Array.from({ length: 8 }, (_, i) => problem(accounts.create('alice', `password-${i}`)));
    const results = await Promise.all(tries);
    expect(results.filter((result) => result === 'no problem')).toHaveLength(1);
    expect(results.filter((result) => result === 'conflict')).toHaveLength(7);
    // and has the password of the one who won
    expect(await accounts.verifyPlain('alice', `password-${results.indexOf('no problem')}`)).toBe(true);
    expect(await problem(accounts.createWithKeys('alice', { 'sha-1': await someKeys() }))).toBe('conflict');
  });

  test('may come with keys from elsewhere, but not with none', async () => {
    const accounts = await testAccounts();
    await accounts.createWithKeys('bob', { 'sha-1': await someKeys() });
    expect(await accounts.verifyPlain('bob', 'pencil')).toBe(true);
    expect(await accounts.verifyPlain('bob', 'pencils')).toBe(false);
    expect(await problem(accounts.createWithKeys('carol', {}))).toBe('invalid-password');
  });

  test('can be disabled and enabled', async () => {
    const accounts = await testAccounts();
    await accounts.create('alice', 'secret');
    await accounts.disable('alice');
    expect((await accounts.facts('alice'))?.isDisabled).toBe(true);
    expect(await accounts.plain('alice', 'secret')).toEqual({ state: 'disabled', epoch: START + 1 });
    expect(await accounts.verifyPlain('alice', 'secret')).toBe(false);
    await accounts.enable('alice');
    expect(await accounts.verifyPlain('alice', 'secret')).toBe(true);
    expect(await problem(accounts.disable('bob'))).toBe('not-found');
    expect(await accounts.exists('bob')).toBe(false);
  });

  test('has roles', async () => {
    const accounts = await testAccounts();
    await accounts.create('alice', 'secret');
    expect((await accounts.facts('alice'))?.role).toBe('member');
    await accounts.setRole('alice', 'admin');
    expect((await accounts.facts('alice'))?.role).toBe('admin');
    expect(await accounts.roleOf('alice')).toBe('admin');
    expect(await accounts.roleOf('bob')).toBeUndefined();
    expect(await problem(accounts.setRole('bob', 'member'))).toBe('not-found');
  });

  test('gets another password, and the old one is worth nothing, cached or not', async () => {
    const clock = new FakeClock();
    const accounts = await testAccounts({ clock });
    await accounts.create('alice', 'secret');
    expect(await accounts.verifyPlain('alice', 'secret')).toBe(true);
    await clock.advance(1000);
    await accounts.setPassword('alice', 'another');
    expect(await accounts.verifyPlain('alice', 'secret')).toBe(false);
    expect(await accounts.verifyPlain('alice', 'another')).toBe(true);
    expect((await accounts.facts('alice'))?.passwordSet).toBe(START + 1000);
    expect(await problem(accounts.setPassword('alice', ''))).toBe('invalid-password');
    expect(await problem(accounts.setPassword('bob', 'secret'))).toBe('not-found');
  });

  test('another node’s change of the password counts at once', async () => {
    const driver = createMemoryDriver();
    const here = await testAccounts({ driver });
    const there = await testAccounts({ driver });
    await here.create('alice', 'secret');
    expect(await here.verifyPlain('alice', 'secret')).toBe(true);
    await there.setPassword('alice', 'another');
    expect(await here.verifyPlain('alice', 'secret')).toBe(false);
  });

  test('is listed a page at a time', async () => {
    const accounts = await testAccounts();
    for (const name of ['carol', 'alice', 'bob']) await accounts.createWithKeys(name, { 'sha-1': await someKeys() });
    expect(await accounts.list(undefined, 2)).toEqual(['alice', 'bob']);
    expect(await accounts.list('bob', 2)).toEqual(['carol']);
    expect(await accounts.list()).toEqual(['alice', 'bob', 'carol']);
  });
});

describe('removing an account', () => {
  test('takes everything it has along, after those who care were told', async () => {
    const driver = createMemoryDriver();
    const accounts = await testAccounts({ driver });
    const { notes } = (await driver.open(domain, 'notes', { notes: kv<string>() })) as {
      notes: { get(owner: string): unknown; set(owner: string, value: string): Promise<void> };
    };
    await accounts.create('alice', 'secret');
    await notes.set('alice', 'hers');
    const seen: unknown[] = [];
    accounts.listen({
      removing: async (local) => {
        seen.push(local, await notes.get('alice'), await accounts.exists('alice'));
        // nobody gets in meanwhile
        seen.push(await accounts.verifyPlain('alice', 'secret'));
      },
    });
    await accounts.remove('Alice');
    expect(seen).toEqual(['alice', 'hers', false, false]);
    expect(await notes.get('alice')).toBeUndefined();
    expect(await accounts.list()).toEqual([]);
    expect(await problem(accounts.remove('alice'))).toBe('not-found');
    await accounts.create('alice', 'new');
    expect(await accounts.verifyPlain('alice', 'new')).toBe(true);
  });

  test('is waited for by whoever wants the name, who finds nothing that was there', async () => {
    const driver = createMemoryDriver();
    const accounts = await testAccounts({ driver });
    const { notes } = (await driver.open(domain, 'notes', { notes: kv<string>() })) as {
      notes: { get(owner: string): unknown; set(owner: string, value: string): Promise<void> };
    };
    await accounts.create('alice', 'secret');
    const seen: unknown[] = [];
    let made: Promise<unknown> | undefined;
    accounts.listen({
      removing: async (local) => {
        // both come too early, and one can have it
        made = Promise.all([
          problem(accounts.create('alice', 'new')),
          problem(accounts.createWithKeys('alice', { 'sha-1': await someKeys() })),
        ]);
        await turn();
        await notes.set(local, 'what came late');
        seen.push('all is gone');
      },
      created: () => void seen.push('made'),
    });
    await accounts.condemn('Alice');
    expect(await accounts.exists('alice')).toBe(false);
    await accounts.remove('Alice');
    expect([...((await made) as string[])].sort()).toEqual(['conflict', 'no problem']);
    expect(seen).toEqual(['all is gone', 'made']);
    expect(await notes.get('alice')).toBeUndefined();
  });

  test('elsewhere is waited for until word of its end comes, or it is seen', async () => {
    const driver = createMemoryDriver();
    const clock = new FakeClock();
    const [here, there] = [await testAccounts({ driver, clock }), await testAccounts({ driver, clock })];
    await here.create('alice', 'secret');
    await there.condemn('alice');
    let isMade = false;
    const made = here.create('alice', 'new').then(() => {
      isMade = true;
    });
    await clock.advance(1000);
    expect(isMade).toBe(false);
    await there.remove('alice');
    await turn();
    expect(isMade).toBe(false);
    here.removedElsewhere('alice');
    await made;
    await there.condemn('alice');
    const again = here.create('alice', 'new');
    await there.remove('alice');
    await turn();
    await clock.advance(250);
    await again;
    expect(clock.pending).toBe(0);
  });

  test('that was cut short is finished by the next', async () => {
    const driver = createMemoryDriver();
    const clock = new FakeClock();
    let fails = true;
    const accounts = await testAccounts({
      driver,
      clock,
      purge: async (owner) => {
        if (fails) throw new Error('the database went away');
        await driver.purge(domain, owner);
      },
    });
    await accounts.create('alice', 'secret');
    await expect(accounts.remove('alice')).rejects.toThrow('went away');
    expect(await accounts.exists('alice')).toBe(false);
    const made = problem(accounts.create('alice', 'secret'));
    await turn();
    await clock.advance(5000);
    expect(await made).toBe('conflict');
    fails = false;
    await accounts.remove('alice');
    expect(await problem(accounts.create('alice', 'secret'))).toBe('no problem');
  });
});

test('listeners hear of changes until they stop', async () => {
  const accounts = await testAccounts();
  const heard: string[] = [];
  const stop = accounts.listen({
    created: (local) => void heard.push(`created ${local}`),
    disabled: (local) => void heard.push(`disabled ${local}`),
    passwordChanged: (local) => void heard.push(`password ${local}`),
  });
  await accounts.create('alice', 'secret');
  await accounts.disable('alice');
  await accounts.setPassword('alice', 'another');
  stop();
  await accounts.create('bob', 'secret');
  expect(heard).toEqual(['created alice', 'disabled alice', 'password alice']);
});

describe('made-up salts', () => {
  test('are the same on every node and after every restart, and differ from host to host', async () => {
    const driver = createMemoryDriver();
    const one = await testAccounts({ driver });
    const two = await testAccounts({ driver });
    const elsewhere = await testAccounts();
    const salt = async (accounts: typeof one): Promise<string> =>
      (await accounts.scram('nobody', 'nobody', 'sha-256')).credentials.salt;
    expect(await salt(two)).toBe(await salt(one));
    expect(await salt(elsewhere)).not.toBe(await salt(one));
  });
});

describe('hashing passwords', () => {
  function counting(): PasswordHasher & { count: number } {
    const hasher = createPasswordHasher();
    const self = {
      count: 0,
      salted: (...args: Parameters<PasswordHasher['salted']>) => {
        self.count++;
        return hasher.salted(...args);
      },
    };
    return self;
  }

  test('is not done again for a while after the password was right; always when it was wrong', async () => {
    const clock = new FakeClock();
    const hasher = counting();
    const accounts = await testAccounts({ hasher, clock });
    await accounts.create('alice', 'secret');
    hasher.count = 0;
    for (let i = 0; i < 5; i++) expect(await accounts.verifyPlain('alice', 'secret')).toBe(true);
    expect(hasher.count).toBe(1);
    for (let i = 0; i < 3; i++) expect(await accounts.verifyPlain('alice', 'wrong')).toBe(false);
    expect(hasher.count).toBe(4);
    await clock.advance(10 * 60_000);
    await accounts.verifyPlain('alice', 'secret');
    expect(hasher.count).toBe(5);
  });

  test('is the same work for names and passwords that cannot be', async () => {
    const hasher = counting();
    const accounts = await testAccounts({ hasher });
    for (const [local, password] of [
      ['nobody', 'secret'],
      [undefined, 'secret'],
      ['nobody', '\u0007'],
      ['nobody', 'x'.repeat(5000)],
    ] as const) {
      hasher.count = 0;
      expect(await accounts.plain(local, password)).toEqual({ state: 'none', epoch: 0 });
      expect(hasher.count).toBe(1);
    }
  });

  test('goes a few at a time, and refuses when too many wait', async () => {
    const hasher = createPasswordHasher(1, 2);
    const hash = (): Promise<unknown> => hasher.salted('a', Buffer.alloc(16), 'sha-1', 10);
    const results = await Promise.all([hash(), hash(), hash(), hash(), hash()].map((work) => failure(work)));
    expect(results.filter((result) => result === 'temporary-auth-failure')).toHaveLength(2);
    expect(await failure(hash())).toBe('no failure');
  });

  test('takes a password as SASLprep makes it (RFC 4013 3)', () => {
    expect(preparePassword('I\u00adX')).toBe('IX');
    expect(preparePassword('user')).toBe('user');
    expect(preparePassword('USER')).toBe('USER');
    expect(preparePassword('\u00aa')).toBe('a');
    expect(preparePassword('\u2168')).toBe('IX');
    expect(preparePassword('\u0007')).toBeUndefined();
    expect(preparePassword('\u06271')).toBeUndefined();
  });
});

function someKeys(): ReturnType<typeof deriveCredentials> {
  return deriveCredentials(createPasswordHasher(), 'pencil', 'sha-1', 10);
}
