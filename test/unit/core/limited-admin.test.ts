import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { adminCommands } from '../../../src/core/admin-commands.ts';
import { type AdminContext, runCommand } from '../../../src/core/commands.ts';
import { limitTo } from '../../../src/core/limited-admin.ts';
import type { Server } from '../../../src/server.ts';
import { startServer } from '../../kit/test-server.ts';

const parents: Readonly<Record<string, string>> = {
  'one.test': 'one.test',
  'groups.one.test': 'one.test',
  'two.test': 'two.test',
  'groups.two.test': 'two.test',
};
const found = (domain: string): string => `what is of ${domain}`;
const kicked: string[] = [];
const admin = {
  hosts: ['one.test', 'two.test'],
  rooms: ['groups.one.test', 'groups.two.test'],
  pubsub: [],
  parentOf: (domain: string) => parents[domain],
  adminsOf: () => [],
  accounts: found,
  archives: found,
  roomsOf: found,
  nodesOf: found,
  workspaceOf: found,
  uploadsOf: found,
  invitationsOf: found,
  sessions: () => [{ jid: 'a@one.test/x' }, { jid: 'b@two.test/x' }],
  unknown: () => [],
  kick: (jid: string) => kicked.push(jid),
  servers: () => [{ host: 'groups.one.test' }, { host: 'two.test' }, { host: undefined }],
  reachServer: async (_domain: string, host: string) => host,
} as unknown as AdminContext;
const limited = limitTo(admin, 'one.test');

test('an administrator of one domain has that domain and its services', async () => {
  expect([limited.hosts, limited.rooms]).toEqual([['one.test'], ['groups.one.test']]);
  for (const find of [
    limited.accounts,
    limited.archives,
    limited.roomsOf,
    limited.nodesOf,
    limited.workspaceOf,
    limited.uploadsOf,
    limited.invitationsOf,
  ]) {
    expect(await find('groups.one.test')).toBe('what is of groups.one.test');
    expect(await find('two.test')).toBeUndefined();
    expect(await find('three.test')).toBeUndefined();
  }
  expect(limited.parentOf('groups.one.test')).toBe('one.test');
  expect(limited.parentOf('two.test')).toBeUndefined();
});

test('sessions and streams of others are neither shown nor ended', async () => {
  expect(await limited.sessions()).toEqual([{ jid: 'a@one.test/x' }]);
  expect(await limited.servers()).toEqual([{ host: 'groups.one.test' }]);
  expect(await limited.kick('b@two.test')).toBe(0);
  await limited.kick('a@one.test');
  expect(kicked).toEqual(['a@one.test']);
});

test('what is for the whole server is forbidden', () => {
  const all = [
    () => limited.tokens(),
    () => limited.reload(),
    () => limited.stop(),
    () => limited.status(),
    () => limited.cluster(),
    () => limited.drain(undefined, true),
    () => limited.restart(),
    () => limited.logLevel('*', 'debug'),
    () => limited.closeServer('three.test'),
    () => limited.reachServer('three.test', 'two.test'),
  ];
  for (const one of all) expect(one).toThrow(expect.objectContaining({ code: 'forbidden' }));
});

describe('who administers other domains as well', () => {
  const chief = 'chief@one.test';
  let server: Server;
  beforeAll(async () => {
    server = await startServer({ hosts: { 'one.test': {}, 'two.test': {} }, admins: [chief, 'other@one.test'] });
    for (const user of ['chief', 'clerk']) await server.hosts.get('one.test')!.accounts.create(user, 'secret');
  });
  afterAll(() => server.stop());
  const run = (name: string, args: object, context = limitTo(server.admin, 'one.test')): Promise<unknown> =>
    (async () => runCommand(adminCommands.find((one) => one.name === name)!, context, args))();

  test('is given no other password, role or end by the administrator of one, nor is anybody given their name', async () => {
    const changes: readonly [string, object][] = [
      ['user passwd', { jid: chief, password: 'mine now' }],
      ['user role', { jid: chief, role: 'admin' }],
      ['user disable', { jid: chief }],
      ['user enable', { jid: chief }],
      ['user rm', { jid: chief }],
      ['user add', { jid: 'other@one.test', password: 'mine now' }],
      ['invite', { reset: chief }],
      ['invite', { host: 'one.test', user: 'Other' }],
    ];
    for (const [name, args] of changes) {
      await expect(run(name, args), name).rejects.toMatchObject({ code: 'forbidden' });
    }
    expect(await server.hosts.get('one.test')!.accounts.verifyPlain('chief', 'secret')).toBe(true);
  });

  test('is shown to them, and all others are theirs', async () => {
    expect(await run('user show', { jid: chief })).toMatchObject({ jid: chief });
    await run('user passwd', { jid: 'clerk@one.test', password: 'another' });
    expect(await server.hosts.get('one.test')!.accounts.verifyPlain('clerk', 'another')).toBe(true);
    expect(await run('invite', { reset: 'clerk@one.test' })).toMatchObject({ kind: 'reset' });
  });

  test('has links for a password that nobody else finds or ends', async () => {
    const { token } = (await run('invite', { reset: chief }, server.admin)) as { readonly token: string };
    const { invitations } = (await run('invite ls', {})) as { readonly invitations: readonly { token: string }[] };
    expect(invitations.some((one) => one.token === token)).toBe(false);
    await expect(run('invite show', { token })).rejects.toMatchObject({ code: 'not-found' });
    await expect(run('invite revoke', { token })).rejects.toMatchObject({ code: 'not-found' });
    expect(await run('invite show', { token }, server.admin)).toMatchObject({ state: 'open' });
  });
});
