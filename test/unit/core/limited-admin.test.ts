import { expect, test } from 'vitest';
import { adminCommands } from '../../../src/core/admin-commands.ts';
import { type AdminContext, runCommand } from '../../../src/core/commands.ts';
import { limitTo } from '../../../src/core/limited-admin.ts';
import { Portal } from '../../kit/portal.ts';
import { startServer } from '../../kit/test-server.ts';

const parents: Readonly<Record<string, string>> = {
  'one.test': 'one.test',
  'groups.one.test': 'one.test',
  'two.test': 'two.test',
  'groups.two.test': 'two.test',
};
const found = (domain: string): string => `what is of ${domain}`;
const kicked: string[] = [];
const done: string[] = [];
const noted = (what: string) => async (user: string) => void done.push(`${what} ${user}`);
const accounts = {
  create: noted('create'),
  setPassword: noted('setPassword'),
  remove: noted('remove'),
  disable: noted('disable'),
  setRole: noted('setRole'),
};
const admin = {
  hosts: ['one.test', 'two.test'],
  rooms: ['groups.one.test', 'groups.two.test'],
  pubsub: [],
  parentOf: (domain: string) => parents[domain],
  accounts: () => accounts,
  adminsOf: (domain: string) => (domain === 'two.test' ? ['root@one.test', 'guest@three.test'] : []),
  archives: found,
  roomsOf: found,
  nodesOf: found,
  workspaceOf: found,
  uploadsOf: found,
  invitationsOf: () => ({ create: async ({ user }: { user?: string }) => done.push(`invite ${user}`) }),
  sessions: () => [{ jid: 'a@one.test/x' }, { jid: 'b@two.test/x' }],
  unknown: () => [],
  kick: (jid: string) => kicked.push(jid),
  servers: () => [{ host: 'groups.one.test' }, { host: 'two.test' }, { host: undefined }],
  reachServer: async (_domain: string, host: string) => host,
} as unknown as AdminContext;
const limited = limitTo(admin, 'one.test');

test('an administrator of one domain has that domain and its services', async () => {
  expect([limited.hosts, limited.rooms]).toEqual([['one.test'], ['groups.one.test']]);
  for (const find of [limited.archives, limited.roomsOf, limited.nodesOf, limited.workspaceOf, limited.uploadsOf]) {
    expect(await find('groups.one.test')).toBe('what is of groups.one.test');
    expect(await find('two.test')).toBeUndefined();
    expect(await find('three.test')).toBeUndefined();
  }
  expect(limited.accounts('one.test')).toBeDefined();
  expect(limited.accounts('two.test')).toBeUndefined();
  expect(await limited.invitationsOf('one.test')).toBeDefined();
  expect(await limited.invitationsOf('two.test')).toBeUndefined();
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

test('nobody gets at other domains by the account of who administers those', async () => {
  const mine = limited.accounts('one.test')!;
  const invitations = (await limited.invitationsOf('one.test'))!;
  const all = [
    (user: string) => mine.create(user, 'secret'),
    (user: string) => mine.setPassword(user, 'secret'),
    (user: string) => mine.remove(user),
    (user: string) => mine.disable(user),
    (user: string) => invitations.create({ kind: 'reset', user }),
    (user: string) => invitations.create({ kind: 'account', user }),
  ];
  const forbidden = expect.objectContaining({ code: 'forbidden' });
  for (const one of all) {
    for (const user of ['root', 'ROOT']) await expect(one(user)).rejects.toEqual(forbidden);
  }
  expect(done).toEqual([]);
  // what an account is in the domain itself is that domain's
  await mine.setRole('root', 'member');
  for (const one of all) await one('guest');
  expect(done).toHaveLength(1 + all.length);
});

test('nor by a link that somebody else has made for that account', async () => {
  const chief = 'chief@one.test';
  const server = await startServer({ hosts: { 'one.test': {}, 'two.test': {} }, admins: [chief], listen: { http: 0 } });
  const { accounts } = server.hosts.get('one.test')!;
  await accounts.create('chief', 'secret');
  await accounts.create('boss', 'my password', 'admin');
  const run = async (name: string, args: object, context: AdminContext): Promise<unknown> =>
    runCommand(adminCommands.find((one) => one.name === name)!, context, args);
  const { token } = (await run('invite', { reset: chief }, server.admin)) as { readonly token: string };
  const own = limitTo(server.admin, 'one.test');
  expect(await run('invite ls', {}, own)).toEqual({ invitations: [] });
  for (const name of ['invite show', 'invite revoke']) {
    await expect(run(name, { token }, own)).rejects.toMatchObject({ code: 'not-found' });
  }
  const portal = new Portal(`http://127.0.0.1:${server.address('http')!.port}`, 'one.test');
  await portal.login('boss', 'my password');
  expect((await portal.get('/admin_api/invites')).json).toEqual([]);
  expect((await portal.get(`/admin_api/invites/${token}`)).status).toBe(404);
  expect(await run('invite show', { token }, server.admin)).toMatchObject({ state: 'open' });
  await server.stop();
});
