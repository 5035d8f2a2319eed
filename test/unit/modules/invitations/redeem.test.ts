// XEP-0401, XEP-0445: what becomes of an invitation when several use it at once, or somebody dies over it.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Host } from '../../../../src/core/host.ts';
import { InvitationBook } from '../../../../src/modules/invitations/book.ts';
import type { InvitationRow } from '../../../../src/modules/invitations/invitation.ts';
import { InvitationRefusal, type Invitations, invitations } from '../../../../src/modules/invitations/service.ts';
import { stores } from '../../../../src/modules/invitations/stores.ts';
import { roster } from '../../../../src/modules/roster/index.ts';
import type { Server } from '../../../../src/server.ts';
import { StorageUnavailable } from '../../../../src/storage/errors.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import type { Driver, MapStore } from '../../../../src/storage/ports.ts';
import type { Opened } from '../../../../src/storage/specs.ts';
import type { BareJid } from '../../../../src/xmpp/jid.ts';
import { FakeClock } from '../../../kit/clock.ts';
import { startServer } from '../../../kit/test-server.ts';

const MINUTE = 60_000;
const password = 'a long password';

let clock: FakeClock;
let driver: Driver;
let rows: MapStore<InvitationRow>;
let server: Server;
let host: Host;
let service: Invitations;

beforeEach(async () => {
  clock = new FakeClock();
  driver = createMemoryDriver(clock);
  server = await startServer(
    { hosts: { 'verona.test': {} }, registration: 'invite', admins: ['prince@verona.test'] },
    { clock, driver },
  );
  host = server.hosts.get('verona.test')!;
  service = host.find(invitations)!;
  const opened = await driver.open('verona.test', 'invitations', stores);
  rows = opened.invitations as MapStore<InvitationRow>;
  await host.accounts.create('romeo', 'secret');
});
afterEach(() => server.stop());

const problemOf = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error: unknown) => (error instanceof InvitationRefusal ? error.problem : Promise.reject(error)),
  );

/** A life that ends right after that step. */
const dying = (): Error => new StorageUnavailable('the node has died');

describe('a use is for one', () => {
  test('of many at the same moment, whatever names they choose', async () => {
    const { token } = await service.create({ kind: 'account' });
    const names = Array.from({ length: 12 }, (_, i) => `guest${i}`);
    const problems = await Promise.all(names.map((user) => problemOf(service.redeem({ token, user, password }))));
    expect(problems.filter((problem) => problem === 'none')).toHaveLength(1);
    expect(new Set(problems)).toEqual(new Set(['none', 'busy']));
    const made = await Promise.all(names.map((user) => host.accounts.exists(user)));
    expect(made.filter(Boolean)).toHaveLength(1);
    expect((await service.show(token))?.state).toBe('used');
    expect(await problemOf(service.redeem({ token, user: 'late', password }))).toBe('used');
  });

  test('at two nodes', async () => {
    const other = await startServer(
      { hosts: { 'verona.test': {} }, registration: 'invite' },
      { clock, driver: { ...driver, close: async () => {} } },
    );
    const there = other.hosts.get('verona.test')!.find(invitations)!;
    const { token } = await service.create({ kind: 'account' });
    expect((await there.show(token))?.token).toBe(token);
    const problems = await Promise.all([
      problemOf(service.redeem({ token, user: 'juliet', password })),
      problemOf(there.redeem({ token, user: 'rosaline', password })),
    ]);
    expect(problems.sort()).toEqual(['busy', 'none']);
    await other.stop();
  });

  test('and of N there are N', async () => {
    const { token } = await service.create({ kind: 'account', uses: 3 });
    const names = Array.from({ length: 5 }, (_, i) => `guest${i}`);
    await Promise.all(names.map((user) => problemOf(service.redeem({ token, user, password }))));
    const shown = await service.show(token);
    expect([shown?.state, shown?.usedBy.length]).toEqual(['used', 3]);
  });

  test('who takes a name that is taken, or a password that will not do, has used nothing', async () => {
    const { token } = await service.create({ kind: 'account' });
    expect(await problemOf(service.redeem({ token, user: 'romeo', password }))).toBe('taken');
    expect(await problemOf(service.redeem({ token, user: 'prince', password }))).toBe('taken');
    expect(await problemOf(service.redeem({ token, user: 'ben volio', password }))).toBe('invalid-name');
    expect(await problemOf(service.redeem({ token, user: 'benvolio', password: 'short' }))).toBe('weak-password');
    expect(await problemOf(service.redeem({ token, user: 'benvolio', password: 'nul\0byte in it' }))).toBe(
      'invalid-password',
    );
    expect((await service.redeem({ token, user: 'Benvolio', password })).user).toBe('benvolio');
  });

  test('a name that is taken while its account is being made leaves the invitation as it was', async () => {
    const [one, other] = await Promise.all([service.create({ kind: 'account' }), service.create({ kind: 'account' })]);
    const problems = await Promise.all(
      [one, other].map(({ token }) => problemOf(service.redeem({ token, user: 'juliet', password }))),
    );
    expect(problems.sort()).toEqual(['none', 'taken']);
    const states = await Promise.all([one, other].map(async ({ token }) => (await service.show(token))?.state));
    expect(states.sort()).toEqual(['open', 'used']);
    expect([...(await rows.all('')).values()].filter(({ claims }) => claims !== undefined)).toEqual([]);
  });
});

describe('somebody dies over it', () => {
  test('before the account was made: it can be used again, and not before it is certain', async () => {
    const { token } = await service.create({ kind: 'account' });
    vi.spyOn(host.accounts, 'create').mockRejectedValueOnce(dying());
    await expect(service.redeem({ token, user: 'juliet', password })).rejects.toThrow('the node has died');
    expect(await problemOf(service.redeem({ token, user: 'rosaline', password }))).toBe('busy');
    await clock.advance(2 * MINUTE);
    expect(await problemOf(service.redeem({ token, user: 'rosaline', password }))).toBe('none');
    expect(await host.accounts.exists('juliet')).toBe(false);
  });

  test('when the account was made: it is used, and what belongs to it is done', async () => {
    const { token } = await service.create({ kind: 'account', inviter: 'romeo', role: 'moderator' });
    const create = vi.spyOn(host.accounts, 'create').mockImplementationOnce(async (user, secret, role) => {
      create.mockRestore();
      await host.accounts.create(user, secret, role);
      throw dying();
    });
    await expect(service.redeem({ token, user: 'juliet', password })).rejects.toThrow('the node has died');
    expect((await service.show(token))?.state).toBe('open');
    expect(await problemOf(service.redeem({ token, user: 'rosaline', password }))).toBe('busy');
    await clock.advance(2 * MINUTE);
    expect(await problemOf(service.redeem({ token, user: 'rosaline', password }))).toBe('used');
    expect((await service.show(token))?.usedBy).toEqual(['juliet@verona.test']);
    expect((await host.accounts.facts('juliet'))?.role).toBe('moderator');
    expect((await host.find(roster)!.get('romeo', 'juliet@verona.test' as BareJid))?.subscription).toBe('both');
  });

  test('and nobody comes to see it: the server looks by itself', async () => {
    const { token } = await service.create({ kind: 'account' });
    const settle = vi.spyOn(host.accounts, 'create').mockImplementationOnce(async (user, secret) => {
      settle.mockRestore();
      await host.accounts.create(user, secret);
      throw dying();
    });
    await expect(service.redeem({ token, user: 'juliet', password })).rejects.toThrow('the node has died');
    await clock.advance(21 * MINUTE);
    expect((await service.show(token))?.state).toBe('used');
  });

  test('who takes so long that somebody else has come in has no account', async () => {
    const { token } = await service.create({ kind: 'account' });
    const create = vi.spyOn(host.accounts, 'create').mockImplementationOnce(async (user, secret) => {
      create.mockRestore();
      await clock.advance(3 * MINUTE);
      expect((await service.redeem({ token, user: 'rosaline', password })).user).toBe('rosaline');
      return host.accounts.create(user, secret);
    });
    expect(await problemOf(service.redeem({ token, user: 'juliet', password }))).toBe('used');
    expect(await host.accounts.exists('juliet')).toBe(false);
    expect(await host.accounts.exists('rosaline')).toBe(true);
  });
});

describe('what an invitation may be', () => {
  test('it ends, and whoever began in time may finish', async () => {
    const { token } = await service.create({ kind: 'account', ttl: MINUTE });
    await clock.advance(MINUTE);
    expect(await problemOf(service.open(token))).toBe('expired');
    expect(await problemOf(service.redeem({ token, user: 'juliet', password }))).toBe('expired');
    expect(await problemOf(service.redeem({ token, user: 'juliet', password, lateness: MINUTE }))).toBe('none');
  });

  test('it is taken back, by its maker or with the account that made it', async () => {
    const [one, other] = [
      await service.create({ kind: 'account' }),
      await service.create({ kind: 'contact', inviter: 'romeo' }),
    ];
    expect(await service.revoke(one.token)).toBe(true);
    expect(await service.revoke('aaaaaaaaaaaaaaaaaaaaaaaa')).toBe(false);
    await host.accounts.remove('romeo');
    for (const { token } of [one, other]) {
      expect(
        await problemOf(service.redeem({ token, user: 'juliet', password, lateness: Number.POSITIVE_INFINITY })),
      ).toBe('revoked');
    }
  });

  test('what was made by somebody who is locked out is good for nothing, until they are let in again', async () => {
    const { token } = await service.create({ kind: 'contact', inviter: 'romeo' });
    await host.accounts.disable('romeo');
    expect(await problemOf(service.open(token))).toBe('revoked');
    expect(await problemOf(service.redeem({ token, user: 'juliet', password }))).toBe('revoked');
    await host.accounts.enable('romeo');
    expect(await problemOf(service.redeem({ token, user: 'juliet', password }))).toBe('none');
    await service.revoke(token);
    expect((await service.show(token))?.state).toBe('used');
  });

  test('a name is kept for one, until that invitation has ended', async () => {
    const { token } = await service.create({ kind: 'account', user: 'Juliet', ttl: MINUTE });
    expect(await problemOf(service.create({ kind: 'account', user: 'juliet' }))).toBe('taken');
    const { token: another } = await service.create({ kind: 'account' });
    expect(await problemOf(service.redeem({ token: another, user: 'juliet', password }))).toBe('taken');
    expect(await problemOf(service.redeem({ token, user: 'rosaline', password }))).toBe('not-allowed');
    await clock.advance(MINUTE);
    expect(await problemOf(service.redeem({ token: another, user: 'juliet', password }))).toBe('none');
  });

  test('a name is free when its invitation is taken back', async () => {
    const { token } = await service.create({ kind: 'account', user: 'juliet' });
    await service.revoke(token);
    expect((await service.create({ kind: 'account', user: 'juliet' })).user).toBe('juliet');
  });

  test('an administrator is invited by name, or by role', async () => {
    const named = await service.create({ kind: 'account', user: 'prince' });
    expect(await problemOf(service.redeem({ token: named.token, password }))).toBe('none');
    const { token } = await service.create({ kind: 'account', role: 'admin' });
    await service.redeem({ token, user: 'escalus', password });
    expect((await host.accounts.facts('escalus'))?.role).toBe('admin');
  });

  test('whoever is no operator gives an administrator’s name to nobody', async () => {
    const { token } = await service.create({ kind: 'account', user: 'prince', inviter: 'romeo' });
    expect(await problemOf(service.redeem({ token, password }))).toBe('taken');
    expect(await host.accounts.exists('prince')).toBe(false);
  });

  test('a new password is for the account that was there, and for nobody who has its name since', async () => {
    const { token } = await service.create({ kind: 'reset', user: 'romeo' });
    await host.accounts.remove('romeo');
    expect(await problemOf(service.redeem({ token, password }))).toBe('no-account');
    await clock.advance(MINUTE);
    await host.accounts.create('romeo', 'another romeo');
    expect(await problemOf(service.redeem({ token, password }))).toBe('revoked');
    expect(await host.accounts.verifyPlain('romeo', 'another romeo')).toBe(true);
  });

  test('one that was refused counts for nobody', async () => {
    await service.create({ kind: 'account', user: 'juliet' });
    for (let i = 0; i < 50; i++)
      expect(await problemOf(service.create({ kind: 'account', user: 'juliet', inviter: 'romeo' }))).toBe('taken');
    expect((await service.create({ kind: 'contact', inviter: 'romeo' })).inviter).toBe('romeo@verona.test');
  });

  test('one account has only so many', async () => {
    for (let i = 0; i < 50; i++) await service.create({ kind: 'contact', inviter: 'romeo', ttl: MINUTE });
    expect(await problemOf(service.create({ kind: 'contact', inviter: 'romeo' }))).toBe('too-many');
    await clock.advance(MINUTE);
    expect((await service.create({ kind: 'contact', inviter: 'romeo' })).inviter).toBe('romeo@verona.test');
  });

  test('what makes no sense is refused', async () => {
    const wrong = [
      { kind: 'contact' },
      { kind: 'reset' },
      { kind: 'account', uses: 0 },
      { kind: 'account', uses: 1001 },
      { kind: 'account', uses: 1.5 },
      { kind: 'account', ttl: 0 },
      { kind: 'account', ttl: Number.POSITIVE_INFINITY },
      { kind: 'account', user: 'juliet', uses: 2 },
      { kind: 'account', note: 'x'.repeat(1001) },
      { kind: 'reset', user: 'romeo', role: 'admin' },
    ] as const;
    for (const wanted of wrong) expect(await problemOf(service.create(wanted))).toBe('bad-request');
    expect(await problemOf(service.create({ kind: 'reset', user: 'nobody' }))).toBe('no-account');
    expect(await problemOf(service.create({ kind: 'contact', inviter: 'nobody' }))).toBe('no-account');
    expect(await problemOf(service.create({ kind: 'account', user: 'romeo' }))).toBe('taken');
    expect(await problemOf(service.create({ kind: 'account', user: 'ben volio' }))).toBe('invalid-name');
  });

  test('a new password is one use, and what was proved by the old one holds no more', async () => {
    const before = await host.accounts.facts('romeo');
    const { token, uri } = await service.create({ kind: 'reset', user: 'romeo' });
    expect(uri).toBe(`xmpp:romeo@verona.test?register;preauth=${token}`);
    expect(await problemOf(service.redeem({ token, user: 'juliet', password }))).toBe('not-allowed');
    expect(await service.redeem({ token, password })).toEqual({ user: 'romeo', isNew: false });
    expect((await host.accounts.facts('romeo'))?.epoch).toBe(before!.epoch + 1);
    expect(await host.accounts.verifyPlain('romeo', password)).toBe(true);
    expect(await problemOf(service.redeem({ token, password }))).toBe('used');
  });

  test('ten thousand of them are as quick as one', async () => {
    for (let i = 0; i < 10_000; i++) await service.create({ kind: 'account', note: `guest ${i}` });
    const { token } = await service.create({ kind: 'account' });
    const began = performance.now();
    await service.redeem({ token, user: 'juliet', password });
    expect(performance.now() - began).toBeLessThan(500);
    expect(await service.list()).toHaveLength(10_001);
    const later = new FakeClock(clock.now() + 38 * 86_400_000);
    const book = new InvitationBook({
      domain: 'verona.test',
      stores: (await driver.open('verona.test', 'invitations', stores)) as Opened<typeof stores>,
      clock: later,
      exists: () => true,
      page: () => undefined,
      ttl: MINUTE,
      perAccount: 1,
    });
    expect((await book.sweep()).size).toBe(0);
    expect(await service.list()).toEqual([]);
  });
});
