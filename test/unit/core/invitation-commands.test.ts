import { beforeEach, expect, test } from 'vitest';
import { roleTable } from '../../../src/config/roles.ts';
import { adminCommands } from '../../../src/core/admin-commands.ts';
import { CommandError, type OfflineContext, runCommand } from '../../../src/core/commands.ts';
import { openInvitations } from '../../../src/modules/invitations/administration.ts';
import { settings } from '../../../src/modules/invitations/settings.ts';
import { createMemoryDriver } from '../../../src/storage/memory.ts';

let context: OfflineContext;
beforeEach(() => {
  const driver = createMemoryDriver();
  context = {
    hosts: ['verona.test', 'mantua.test'],
    accounts: () => undefined,
    rolesOf: () => roleTable({}),
    adminsOf: () => [],
    tokens: () => {
      throw new Error('nobody asks for tokens');
    },
    archives: () => undefined,
    invitationsOf: (domain) =>
      domain === 'nowhere.test'
        ? undefined
        : openInvitations({
            driver,
            domain,
            settings: settings.parse({}),
            clock: { now: () => Date.now(), after: () => () => {} },
            exists: async (user) => user === 'romeo',
            page: (path) => (domain === 'verona.test' ? `https://verona.test${path}` : undefined),
          }),
    close: async () => {},
  };
});

interface Made {
  readonly token: string;
  readonly uri: string;
  readonly page?: string;
}
const find = (name: string) => adminCommands.find((one) => one.name === name)!;
const run = async <T extends object>(name: string, args: object = {}): Promise<T> =>
  JSON.parse(JSON.stringify(await runCommand(find(name), context, args)));
const text = async (name: string, args: object = {}): Promise<string> => find(name).render(await run(name, args));
const code = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'done',
    (error: unknown) => (error instanceof CommandError ? error.code : error),
  );

test('an account, with all that may be said of it', async () => {
  const args = { host: 'Verona.test', user: 'Juliet', role: 'moderator', ttl: '2d', note: 'for the ball' };
  const made = await run<Made>('invite', args);
  expect(made).toMatchObject({
    host: 'verona.test',
    kind: 'account',
    state: 'open',
    uri: `xmpp:juliet@verona.test?register;preauth=${made.token}`,
    page: `https://verona.test/join/${made.token}`,
    user: 'juliet',
    role: 'moderator',
    note: 'for the ball',
    source: 'operator',
    uses: 1,
    usedBy: [],
  });
  expect(made.token).toMatch(/^[a-z2-7]{24}$/);
  expect(find('invite').render(made)).toMatch(
    /^https:\S+\nan account with the role "moderator" at verona.test, named juliet, until 20\S+Z\nfor XMPP apps: xmpp:/,
  );
});

test('a contact, a new password and an administrator', async () => {
  const contact = await run<Made>('invite', { contact: 'romeo@mantua.test', uses: '3' });
  expect(contact.uri).toBe(`xmpp:romeo@mantua.test?roster;preauth=${contact.token};ibr=y`);
  expect(find('invite').render(contact)).toMatch(/^xmpp:\S+\nto become a contact of romeo@mantua.test, for 3 people/);
  const reset = await run<Made>('invite', { reset: 'romeo@verona.test' });
  expect(find('invite').render(reset)).toMatch(/\na new password for romeo@verona.test, until/);
  expect(await run('invite', { host: 'mantua.test', admin: true })).toMatchObject({ role: 'admin' });
});

test('they are listed, shown and taken back, by token or by link', async () => {
  const one = await run<Made>('invite', { host: 'verona.test', note: 'one' });
  const other = await run<Made>('invite', { host: 'mantua.test' });
  expect(await text('invite ls')).toMatch(new RegExp(`${one.token} .* 0/1 +6 d 23 h left +one\n${other.token}`));
  expect(await text('invite ls', { host: 'mantua.test' })).not.toContain(one.token);
  for (const token of [one.token, one.uri, one.page, `${one.uri};ibr=y`]) {
    expect(await text('invite show', { token })).toMatch(/^for +an account at verona.test\nstate +open\npage/);
  }
  expect(await text('invite revoke', { token: other.uri })).toBe('the invitation is taken back');
  expect(await text('invite ls')).not.toContain(other.token);
  expect(await text('invite ls', { all: true })).toMatch(/ 0\/1 +revoked/);
  expect(await text('invite ls', { host: 'mantua.test' })).toBe('there are no invitations');
});

test('what cannot be is refused', async () => {
  expect(await code(run('invite'))).toBe('bad-arguments');
  expect(await code(run('invite', { host: 'nowhere.test' }))).toBe('not-found');
  expect(await code(run('invite ls', { host: 'nowhere.test' }))).toBe('not-found');
  expect(await code(run('invite', { host: 'mantua.test', contact: 'romeo@verona.test' }))).toBe('bad-arguments');
  expect(await code(run('invite', { reset: 'romeo@verona.test', contact: 'romeo@verona.test' }))).toBe('bad-arguments');
  expect(await code(run('invite', { host: 'verona.test', admin: true, role: 'member' }))).toBe('bad-arguments');
  expect(await code(run('invite', { host: 'verona.test', role: 'king' }))).toBe('refused');
  expect(await code(run('invite', { host: 'verona.test', uses: 5000 }))).toBe('bad-arguments');
  expect(await code(run('invite', { host: 'verona.test', ttl: 'long' }))).toBe('bad-arguments');
  expect(await code(run('invite', { host: 'verona.test', user: 'romeo' }))).toBe('exists');
  expect(await code(run('invite', { reset: 'nobody@verona.test' }))).toBe('not-found');
  expect(await code(run('invite show', { token: 'aaaaaaaaaaaaaaaaaaaaaaaa' }))).toBe('not-found');
  expect(await code(run('invite revoke', { token: '' }))).toBe('not-found');
});
