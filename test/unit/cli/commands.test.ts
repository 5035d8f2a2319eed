import { describe, expect, it } from 'vitest';
import { AccountError } from '../../../src/auth/accounts.ts';
import type { Client } from '../../../src/auth/clients.ts';
import { Tokens, tokenStore } from '../../../src/auth/tokens.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { parseBatch, runBatch } from '../../../src/cli/batch.ts';
import { roleTable } from '../../../src/config/roles.ts';
import { adminCommands, formatEndpoint } from '../../../src/core/admin-commands.ts';
import {
  type AdminContext,
  CommandError,
  runCommand,
  type ServerStreamInfo,
  type SessionInfo,
} from '../../../src/core/commands.ts';
import { generatePassword } from '../../../src/core/user-commands.ts';
import { createMemoryDriver } from '../../../src/storage/memory.ts';

/** A server with accounts in a map, and sessions that never change. */
function fakeServer() {
  const accounts = new Map<string, { password: string; isDisabled: boolean; role: string }>();
  const levels: unknown[] = [];
  const need = (user: string) => {
    const account = accounts.get(user);
    if (!account) throw new AccountError('not-found', 'no');
    return account;
  };
  const revoked: string[] = [];
  const kept = new Map<string, number>();
  const purged: [user: string, before: number | undefined][] = [];
  const clients: Client[] = [
    {
      id: 'c1',
      software: 'Gajim',
      device: 'laptop',
      firstSeen: 0,
      lastSeen: 0,
      mechanism: 'PLAIN',
      hasToken: true,
      knowsPassword: true,
    },
    { id: 'c2', firstSeen: 0, lastSeen: 0, mechanism: 'HT-SHA-256-NONE', hasToken: false, knowsPassword: false },
  ];
  const sessions: SessionInfo[] = [
    {
      jid: 'alice@localhost/phone',
      client: 'c1',
      address: '127.0.0.1',
      hibernating: false,
      since: 0,
      available: true,
      priority: 5,
    },
    { jid: 'bob@localhost/pc', hibernating: true, since: 0, available: false, priority: 0 },
  ];
  const servers: ServerStreamInfo[] = [
    {
      direction: 'out',
      host: 'localhost',
      domains: ['mantua.test'],
      state: 'open',
      address: '192.0.2.1',
      tls: 'TLSv1.3',
      proof: 'external',
      bidi: true,
      since: 0,
      sent: 3,
      received: 2,
      waiting: 1,
    },
  ];
  const driver = createMemoryDriver(systemClock);
  const context: AdminContext = {
    hosts: ['localhost'],
    parentOf: (domain) => (domain.endsWith('localhost') ? 'localhost' : undefined),
    circlesOf: () => undefined,
    tokens: async () => {
      const { tokens } = (await driver.open('', 'api', { tokens: tokenStore() })) as never;
      return new Tokens(tokens, systemClock);
    },
    rooms: ['groups.localhost'],
    pubsub: ['pubsub.localhost'],
    accounts: (host) =>
      host !== 'localhost'
        ? undefined
        : {
            exists: (user) => accounts.has(user),
            create: async (user, password, role = 'member') => {
              if (accounts.has(user)) throw new AccountError('conflict', 'there');
              if (password === 'weak') throw new AccountError('weak-password', 'The password is too weak');
              accounts.set(user, { password, isDisabled: false, role });
              return user;
            },
            setRole: async (user, role) => {
              need(user).role = role;
            },
            setPassword: async (user, password) => {
              need(user).password = password;
            },
            remove: async (user) => {
              need(user);
              accounts.delete(user);
            },
            clientsOf: async (user) => {
              need(user);
              return clients;
            },
            revokeClient: async (_user, id) => void revoked.push(id),
            disable: async (user) => {
              need(user).isDisabled = true;
            },
            enable: async (user) => {
              need(user).isDisabled = false;
            },
            facts: (user) => {
              const account = accounts.get(user);
              return (
                account && { created: 0, passwordSet: 0, epoch: 0, role: account.role, isDisabled: account.isDisabled }
              );
            },
            list: async (after = '', limit = 100) =>
              [...accounts.keys()]
                .sort()
                .filter((user) => user > after)
                .slice(0, limit),
          },
    rolesOf: (host) => (host === 'localhost' ? roleTable({}) : undefined),
    adminsOf: () => ['root@localhost'],
    archives: (host) =>
      host !== 'localhost'
        ? undefined
        : {
            state: async (user) => ({
              ends: user === 'alice' ? { first: 0, last: 86_400_000 } : undefined,
              count: user === 'alice' ? 3 : undefined,
              retention: { ms: kept.get(user) ?? Number.POSITIVE_INFINITY, isOwn: kept.has(user) },
            }),
            message: async () => undefined,
            setRetention: async (user, ms) => {
              if (ms === undefined) kept.delete(user);
              else kept.set(user, ms);
              return { ms: ms ?? Number.POSITIVE_INFINITY, isOwn: ms !== undefined };
            },
            purge: async (user, before) => {
              purged.push([user, before]);
              return before === undefined ? 3 : 1;
            },
          },
    roomsOf: () => undefined,
    nodesOf: () => undefined,
    announcementsOf: () => undefined,
    peersOf: () => undefined,
    peopleOf: () => undefined,
    reportsOf: () => undefined,
    workspaceOf: () => undefined,
    movesOf: () => undefined,
    uploadsOf: () => undefined,
    transfer: () => {
      throw new Error('nobody takes accounts anywhere here');
    },
    invitationsOf: () => undefined,
    sessions: () => sessions,
    unknown: () => [],
    kick: (jid) => sessions.filter((session) => session.jid === jid || session.jid.startsWith(`${jid}/`)).length,
    servers: () => servers,
    closeServer: (domain) => servers.filter(({ domains }) => domains.includes(domain)).length,
    reachServer: async (domain, host) => ({
      domain,
      host,
      reached: domain === 'mantua.test',
      steps: [{ kind: 'dns', text: 'there are no SRV records', ok: domain === 'mantua.test', at: 3 }],
    }),
    reload: async () => ({ applied: ['registration'], restart: ['listen.c2s'] }),
    stop: () => void levels.push('stop'),
    status: () => ({
      version: '1',
      pid: 42,
      started: Date.now() - 3_700_000,
      data: '/data',
      hosts: ['localhost'],
      rooms: ['groups.localhost'],
      pubsub: ['pubsub.localhost'],
      listeners: [{ name: 'c2s', address: '::1', port: 5222 }],
      sessions: 2,
      components: [
        { domain: 'irc.localhost', connected: true, address: '127.0.0.1' },
        { domain: 'bot.localhost', connected: false },
      ],
      certificates: [{ host: 'localhost', issuer: 'us', expires: Date.now() - 60_000 }],
      database: { kind: 'postgres', ok: false, problem: 'gone' },
      errors: [{ at: 0, message: 'boom' }],
    }),
    cluster: () => ({
      redis: { ok: true, version: 'Redis 7.0.15', latency: 0.4 },
      nodes: [
        {
          name: 'alpha-1',
          version: '1',
          started: Date.now() - 3_700_000,
          sessions: 2,
          inbox: 1,
          lag: 3.6,
          owned: 4,
          moved: 7,
          rebuilt: 1,
          draining: false,
          self: true,
        },
        {
          name: 'alpha-2',
          version: '1',
          started: Date.now(),
          sessions: 0,
          inbox: 0,
          lag: 0,
          owned: 0,
          moved: 0,
          rebuilt: 0,
          draining: true,
          self: false,
          silent: true,
        },
      ],
    }),
    drain: async (node = 'alpha-1', draining = true) => ({ node, draining, sessions: draining ? 2 : 0 }),
    restart: () => ({ replaced: [{ node: 'alpha-1', by: 'alpha-3' }] }),
    logLevel: (...args) => void levels.push(args),
  };
  return { context, accounts, levels, revoked, purged };
}

function find(name: string) {
  const command = adminCommands.find((one) => one.name === name);
  if (!command) throw new Error(name);
  return command;
}
/** Runs a command, and renders what it gave. */
async function run(context: AdminContext, name: string, args: object = {}): Promise<string> {
  const command = find(name);
  const result = await runCommand(command, context, args);
  // as it arrives from another process
  return command.render(JSON.parse(JSON.stringify(result)));
}
const code = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'done',
    (error: unknown) => (error instanceof CommandError ? error.code : error),
  );

describe('accounts', () => {
  it('are made, shown, listed, disabled, enabled, given passwords and removed', async () => {
    const { context, accounts } = fakeServer();
    expect(await run(context, 'user add', { jid: 'Alice@localhost', password: 'one' })).toBe(
      'alice@localhost is there now',
    );
    expect(accounts.get('alice')?.password).toBe('one');
    expect(await code(run(context, 'user add', { jid: 'alice@localhost', password: 'x' }))).toBe('exists');
    await run(context, 'user passwd', { jid: 'alice@localhost', password: 'two' });
    expect(accounts.get('alice')?.password).toBe('two');
    await run(context, 'user disable', { jid: 'alice@localhost' });
    expect(await run(context, 'user show', { jid: 'alice@localhost' })).toMatch(
      /alice@localhost \(disabled\)[\s\S]*alice@localhost\/phone/,
    );
    await run(context, 'user enable', { jid: 'alice@localhost' });
    expect(accounts.get('alice')?.isDisabled).toBe(false);
    expect(await run(context, 'user ls')).toBe('alice@localhost');
    await run(context, 'user rm', { jid: 'alice@localhost' });
    expect(await run(context, 'user ls', { host: 'LOCALHOST' })).toBe('there are no accounts');
  });

  it('have clients, which can be revoked', async () => {
    const { context, revoked } = fakeServer();
    await run(context, 'user add', { jid: 'alice@localhost', password: 'one' });
    const shown = await run(context, 'user show', { jid: 'alice@localhost' });
    expect(shown).toMatch(/^client {4}c1 Gajim on laptop, last here 1970-01-01T00:00:00Z, with a token$/m);
    expect(shown).toMatch(/^client {4}c2 \(no name\), last here 1970-01-01T00:00:00Z$/m);
    expect(await run(context, 'client revoke', { jid: 'alice@localhost', client: 'c1' })).toMatch(/by the password/);
    expect(await run(context, 'client revoke', { jid: 'alice@localhost', client: 'c2' })).toBe(
      'c2 of alice@localhost is logged out',
    );
    expect(revoked).toEqual(['c1', 'c2']);
    expect(await code(run(context, 'client revoke', { jid: 'alice@localhost', client: 'c3' }))).toBe('not-found');
    expect(await code(run(context, 'client revoke', { jid: 'bob@localhost', client: 'c1' }))).toBe('not-found');
  });

  it('passwords that are made up are told once, and are long', async () => {
    const { context, accounts } = fakeServer();
    const text = await run(context, 'user add', { jid: 'bob@localhost', generate: true });
    expect(text.endsWith(accounts.get('bob')!.password)).toBe(true);
    expect(new Set(Array.from({ length: 50 }, generatePassword)).size).toBe(50);
    expect(generatePassword()).toMatch(/^[a-zA-Z2-9]{20}$/);
  });

  it.each([
    ['user add', { jid: 'alice@localhost' }, 'bad-arguments'],
    ['user add', { jid: 'localhost', password: 'x' }, 'bad-arguments'],
    ['user add', { jid: 'a@b/c', password: 'x' }, 'bad-arguments'],
    ['user add', { jid: 'a@elsewhere', password: 'x' }, 'not-found'],
    ['user add', { jid: 'a@localhost', password: 'weak' }, 'refused'],
    ['user passwd', { jid: 'a@localhost', password: 'x' }, 'not-found'],
    ['user rm', { jid: 'a@localhost' }, 'not-found'],
    ['user show', { jid: 'a@localhost' }, 'not-found'],
    ['user disable', { jid: 'a@localhost' }, 'not-found'],
    ['user ls', { host: 'elsewhere' }, 'not-found'],
  ])('%s %j is refused as %s', async (name, args, expected) => {
    expect(await code(run(fakeServer().context, name, args))).toBe(expected);
  });

  it('a list longer than a page is whole', async () => {
    const { context, accounts } = fakeServer();
    for (let i = 0; i < 2345; i++)
      accounts.set(`u${String(i).padStart(5, '0')}`, { password: '', isDisabled: false, role: 'member' });
    expect((await run(context, 'user ls')).split('\n')).toHaveLength(2345);
  });
});

describe('archives', () => {
  it('are shown, kept for as long as an account wants, and emptied', async () => {
    const { context, purged } = fakeServer();
    const jid = 'alice@localhost';
    await run(context, 'user add', { jid, password: 'one' });
    await run(context, 'user add', { jid: 'bob@localhost', password: 'two' });
    expect(await run(context, 'archive show', { jid })).toBe(
      `${jid}: 3 messages from 1970-01-01T00:00:00Z to 1970-01-02T00:00:00Z; kept forever, as for everybody`,
    );
    expect(await run(context, 'archive retention', { jid, keep: '90d' })).toBe(`messages of ${jid} are kept for 90d`);
    expect(await run(context, 'archive show', { jid })).toContain('; kept for 90d, as set for it alone');
    expect(await run(context, 'user show', { jid })).toMatch(/^archive {3}3 messages from .* kept for 90d/m);
    expect(await run(context, 'archive retention', { jid, keep: '365d' })).toContain('for 1y');
    expect(await run(context, 'archive retention', { jid, keep: 'forever' })).toBe(
      `messages of ${jid} are kept forever`,
    );
    expect(await run(context, 'archive retention', { jid, keep: 'default' })).toBe(
      `messages of ${jid} are kept forever, as for everybody`,
    );
    expect(await run(context, 'archive show', { jid: 'bob@localhost' })).toContain('bob@localhost: empty; kept');
    expect(await run(context, 'archive purge', { jid })).toBe(`3 messages of ${jid} removed`);
    expect(await run(context, 'archive purge', { jid, before: '2026-01-31' })).toBe(
      `1 message of ${jid} from before 2026-01-31T00:00:00Z removed`,
    );
    await run(context, 'archive purge', { jid, before: '2026-01-31T12:00:00+02:00' });
    expect(purged).toEqual([
      ['alice', undefined],
      ['alice', Date.UTC(2026, 0, 31)],
      ['alice', Date.UTC(2026, 0, 31, 10)],
    ]);
  });

  it.each([
    ['archive show', { jid: 'nobody@localhost' }, 'not-found'],
    ['archive show', { jid: 'alice@elsewhere' }, 'not-found'],
    ['archive purge', { jid: 'nobody@localhost' }, 'not-found'],
    ['archive retention', { jid: 'alice@localhost' }, 'bad-arguments'],
    ['archive retention', { jid: 'alice@localhost', keep: '90' }, 'bad-arguments'],
    ['archive retention', { jid: 'alice@localhost', keep: 'always' }, 'bad-arguments'],
    ['archive purge', { jid: 'alice@localhost', before: 'yesterday' }, 'bad-arguments'],
    ['archive purge', { jid: 'alice@localhost', before: '2026-02-30' }, 'bad-arguments'],
    ['archive purge', { jid: 'alice@localhost', before: '2026-13-01' }, 'bad-arguments'],
  ])('%s %j is refused as %s', async (name, args, expected) => {
    const { context } = fakeServer();
    await run(context, 'user add', { jid: 'alice@localhost', password: 'one' });
    expect(await code(run(context, name, args))).toBe(expected);
  });

  it('are refused where their domain keeps none', async () => {
    const { context } = fakeServer();
    await run(context, 'user add', { jid: 'alice@localhost', password: 'one' });
    const without = { ...context, archives: () => undefined };
    expect(await code(run(without, 'archive show', { jid: 'alice@localhost' }))).toBe('refused');
    expect(await run(without, 'user show', { jid: 'alice@localhost' })).not.toContain('archive');
  });
});

describe('a batch', () => {
  it('is one "JID password" a line; bad lines are told by their numbers', () => {
    const text = '\uFEFFa@localhost one two \r\n\n# comment\nb@localhost\n  c@localhost\tpw\n';
    const { entries, failed } = parseBatch(text);
    expect(entries).toEqual([
      { line: 1, jid: 'a@localhost', password: 'one two ' },
      { line: 5, jid: 'c@localhost', password: 'pw' },
    ]);
    expect(failed.map(({ line }) => line)).toEqual([4]);
  });

  it('goes on after failures', async () => {
    const { context, accounts } = fakeServer();
    accounts.set('there', { password: '', isDisabled: false, role: 'member' });
    const result = (await runCommand(find('user batch'), context, {
      accounts: [
        { line: 1, jid: 'there@localhost', password: 'x' },
        { line: 2, jid: 'new@localhost', password: 'x' },
        { line: 3, jid: 'nonsense@', password: 'x' },
        { line: 4, jid: 'new2@localhost', password: 'weak' },
      ],
    })) as { created: number; failed: { line: number }[] };
    expect(result.created).toBe(1);
    expect(result.failed.map(({ line }) => line)).toEqual([1, 3, 4]);
  });

  it('a file that cannot be read is refused', async () => {
    const remote = { live: true, run: async () => ({}), closed: Promise.resolve(), close: async () => {} };
    expect(await code(runBatch('/nowhere/at/all', remote, find('user batch')))).toBe('refused');
  });
});

describe('the server', () => {
  it('sessions are listed by account or domain, and ended', async () => {
    const { context } = fakeServer();
    expect((await run(context, 'session ls')).split('\n')).toHaveLength(3);
    await run(context, 'user add', { jid: 'alice@localhost', password: 'one' });
    expect(await run(context, 'session ls', { of: 'alice@localhost' })).toMatch(
      /^alice@localhost\/phone +Gajim on laptop +127\.0\.0\.1 +1970-01-01T00:00:00Z +available \(5\)$/m,
    );
    await run(context, 'user add', { jid: 'bob@localhost', password: 'two' });
    expect(await run(context, 'user show', { jid: 'bob@localhost' })).toMatch(
      /\/pc since .*Z, waiting to be resumed$/m,
    );
    expect(await run(context, 'session ls', { of: 'bob@localhost' })).toContain('waiting to be resumed');
    expect(await run(context, 'session ls', { of: 'elsewhere' })).toBe('nobody is connected');
    expect(await run(context, 'session kick', { jid: 'alice@localhost' })).toBe('1 session of alice@localhost ended');
    expect(await code(run(context, 'session kick', { jid: 'alice@localhost/other' }))).toBe('not-found');
    expect(await code(run(context, 'session kick', { jid: 'localhost' }))).toBe('bad-arguments');
    expect(await code(run(context, 'session ls', { of: '@' }))).toBe('bad-arguments');
  });

  it('other servers are listed, left and tried', async () => {
    const { context } = fakeServer();
    const [head, line] = (await run(context, 's2s ls')).split('\n');
    expect(head).toContain('PROVED BY');
    expect(line).toMatch(/^out\+ +mantua\.test +localhost +open +TLSv1\.3 +external +192\.0\.2\.1 .* 3 +2 +1$/);
    expect(await run(context, 's2s ls', { domain: 'elsewhere.test' })).toBe('there are no streams with elsewhere.test');
    expect(await run(context, 's2s close', { domain: 'mantua.test' })).toBe('1 stream with mantua.test closed');
    expect(await code(run(context, 's2s close', { domain: 'elsewhere.test' }))).toBe('not-found');
    expect(await code(run(context, 's2s close', { domain: 'a b' }))).toBe('bad-arguments');
    expect(await run(context, 's2s test', { domain: 'mantua.test' })).toBe(
      'ok    dns: there are no SRV records (3 ms)\n\nlocalhost reaches mantua.test',
    );
    expect(await run(context, 's2s test', { domain: 'x.test', host: 'localhost' })).toMatch(/^fail .*does not reach/s);
    expect(await code(run(context, 's2s test', { domain: 'x.test', host: 'other.test' }))).toBe('not-found');
  });

  it('its state fits on a screen', async () => {
    const text = await run(fakeServer().context, 'status');
    expect(text).toContain('up 1 h 1 min');
    expect(text).toContain('postgres, FAILS: gone');
    expect(text).toContain('[::1]:5222');
    expect(text).toContain('EXPIRED');
    expect(text).toContain('irc.localhost: connected from 127.0.0.1');
    expect(text).toContain('bot.localhost: not connected');
    expect(text).toContain('boom');
  });

  it('reload, stop and levels are passed on', async () => {
    const { context, levels } = fakeServer();
    expect(await run(context, 'reload')).toMatch(/applied\s+registration\nneeds a restart\s+listen\.c2s/);
    expect(await run(context, 'stop')).toBe('stopping');
    await run(context, 'log level', { module: 'c2s', level: 'debug', for: '10m' });
    await run(context, 'log level', { module: '*', level: 'warn' });
    expect(levels).toEqual(['stop', ['c2s', 'debug', 600_000], ['*', 'warn', undefined]]);
    expect(await code(run(context, 'log level', { module: 'c2s', level: 'loud' }))).toBe('bad-arguments');
    expect(await code(run(context, 'log level', { module: 'c2s', level: 'info', for: 'ever' }))).toBe('bad-arguments');
  });

  it('the nodes of a cluster are told, and what is wrong with them', async () => {
    const { context } = fakeServer();
    const text = await run(context, 'cluster status');
    expect(text).toContain('Redis 7.0.15, 0.4 ms');
    expect(text).toMatch(/alpha-1 \*\s+1\s+1 h 1 min\s+2\s+1\s+4 ms\s+4\s+7\s+1\s+serving/);
    expect(text).toMatch(/alpha-2\s.*DOES NOT ANSWER/);
    expect(await runCommand(find('cluster status'), context, {})).toMatchObject({ ok: false });
    const two = (await context.cluster()).nodes[1]!;
    const told = async (more: object): Promise<string> => {
      const nodes = [{ ...two, silent: false, draining: false, ...more }];
      return run({ ...context, cluster: () => ({ nodes }) }, 'cluster status');
    };
    expect(await told({ starting: true })).toMatch(/alpha-2\s.* starting$/);
    expect(await told({ unknown: true })).toMatch(/alpha-2\s.* not known: Redis fails$/);
    expect(await told({ differs: true })).toMatch(/alpha-2\s.* serving, OTHER SETTINGS\n/);
    const alone = { ...context, cluster: () => ({ nodes: [] }) };
    expect(await runCommand(find('cluster status'), alone, {})).toMatchObject({ ok: true, redis: null });
    const cut = { ...context, cluster: () => ({ redis: { ok: false, problem: 'no route' }, nodes: [] }) };
    expect(await runCommand(find('cluster status'), cut, {})).toMatchObject({ ok: false });
    expect(await run(cut, 'cluster status')).toContain('FAILS: no route');
  });

  it('nodes are drained and replaced', async () => {
    const { context } = fakeServer();
    expect(await run(context, 'drain')).toBe('alpha-1 drains; 2 sessions are left on it');
    expect(await run(context, 'drain', { state: 'off', node: 'beta' })).toBe('beta serves again');
    expect(await code(run(context, 'drain', { state: 'maybe' }))).toBe('bad-arguments');
    expect(await run(context, 'restart')).toBe('alpha-1 was replaced by alpha-3');
  });

  it('every command has a name of its own, says what it does, and describes its arguments', () => {
    expect(new Set(adminCommands.map(({ name }) => name)).size).toBe(adminCommands.length);
    for (const { summary } of adminCommands) expect(summary).toMatch(/^[A-Z]/);
  });

  it('addresses are written as in URLs', () => {
    expect(formatEndpoint('::1', 1)).toBe('[::1]:1');
    expect(formatEndpoint('127.0.0.1', 1)).toBe('127.0.0.1:1');
  });
});

describe('token', () => {
  it('is made, told once, listed and taken back', async () => {
    const { context } = fakeServer();
    const run = (name: string, args: object): Promise<object> => runCommand(find(name), context, args);
    const text = async (name: string, args: object): Promise<string> => find(name).render(await run(name, args));
    const made = (await run('token create', {
      scope: ['users:read', 'users:read', '*:write'],
      ttl: '1d',
      name: 'mine',
    })) as {
      id: string;
      token: string;
    };
    expect(made).toMatchObject({ scopes: ['*:write', 'users:read'], name: 'mine', ttl: '1d' });
    expect(await text('token ls', {})).toContain('mine');
    expect(await text('token ls', {})).not.toContain(made.token);
    expect(await run('token revoke', { id: made.id })).toEqual({ id: made.id });
    expect(await text('token ls', {})).toBe('there are no tokens');
    await expect(run('token revoke', { id: made.id })).rejects.toMatchObject({ code: 'not-found' });
    await expect(run('token create', { scope: [] })).rejects.toMatchObject({ code: 'bad-arguments' });
    await expect(run('token create', { scope: ['*:read'], host: 'elsewhere' })).rejects.toMatchObject({
      code: 'not-found',
    });
    const forever = (await run('token create', { scope: ['*:read'], ttl: 'forever', host: 'localhost' })) as {
      ttl: string;
    };
    expect(forever).toMatchObject({ ttl: 'forever', host: 'localhost' });
    expect(await text('token ls', {})).toContain('never');
  });
});
