// The administrative commands that tell of accounts: how many there are and which, what is in their rosters, when they were last there.
import { z } from 'zod';
import { MEMBER } from '../config/roles.ts';
import { Jid } from '../xmpp/jid.ts';
import { account, accountsOf, hostOf, roleNow, split, table, time, withAccount } from './admin-common.ts';
import type { AdminPeople } from './admin-services.ts';
import {
  type AdminContext,
  type AnyCommand,
  CommandError,
  defineCommand,
  defineOfflineCommand,
  type OfflineContext,
  type SessionInfo,
} from './commands.ts';

/** Accounts that are read at a time. */
const PAGE = 1000;

/** `idle`: connected, and waiting to be resumed, or away, on all devices. */
export const states = ['registered', 'disabled', 'online', 'active', 'idle'] as const;
type State = (typeof states)[number];

export const isIdle = ({ hibernating, show }: SessionInfo): boolean => hibernating || show === 'away' || show === 'xa';

/** Localparts of a host's accounts that are in a state, in order, page by page. */
async function* inState(
  context: AdminContext | OfflineContext,
  host: string,
  state: State,
  after?: string,
): AsyncGenerator<{ readonly user: string; readonly role: string }> {
  const accounts = accountsOf(context, host);
  if (state !== 'registered' && state !== 'disabled') {
    for (const user of await connected(context, host, state)) {
      if (after === undefined || user > after) yield { user, role: (await accounts.facts(user))?.role ?? MEMBER };
    }
    return;
  }
  for (let page = await accounts.list(after, PAGE); page.length > 0; page = await accounts.list(page.at(-1), PAGE)) {
    const facts = await Promise.all(page.map((user) => accounts.facts(user)));
    for (const [i, user] of page.entries()) {
      const found = facts[i];
      if (found !== undefined && (state === 'registered' || found.isDisabled)) yield { user, role: found.role };
    }
  }
}

async function connected(
  context: AdminContext | OfflineContext,
  host: string,
  state: 'online' | 'active' | 'idle',
): Promise<readonly string[]> {
  if (!('sessions' in context)) throw new CommandError('not-running', 'nobody is connected: the server is not running');
  const active = new Map<string, boolean>();
  for (const session of await context.sessions()) {
    const jid = Jid.parse(session.jid);
    if (jid?.domain !== host) continue;
    active.set(jid.local, active.get(jid.local) === true || !isIdle(session));
  }
  const meant = [...active].filter(([, isActive]) => state === 'online' || isActive === (state === 'active'));
  return meant.map(([user]) => user).sort();
}

const userLs = defineOfflineCommand({
  name: 'user ls',
  readOnly: true,
  summary: 'List accounts',
  args: z.strictObject({
    host: z.string().optional().describe('Only of this domain'),
    state: z.enum(states).prefault('registered').describe('Which of them'),
    limit: z.int().min(1).optional().describe('So many at most'),
    after: account.optional().describe('Those that come after this one'),
  }),
  async run(context, args) {
    const start = args.after === undefined ? undefined : split(args.after);
    const all = args.host === undefined ? context.hosts : [hostOf(context, args.host)];
    const from = start === undefined ? 0 : all.indexOf(start.host);
    if (from < 0) throw new CommandError('not-found', `${args.after} is not among them`);
    const accounts: string[] = [];
    const roles: Record<string, string> = {};
    let hasMore = false;
    search: for (const host of all.slice(from)) {
      for await (const { user, role } of inState(
        context,
        host,
        args.state,
        host === start?.host ? start.user : undefined,
      )) {
        if (accounts.length === args.limit) {
          hasMore = true;
          break search;
        }
        const jid = `${user}@${host}`;
        accounts.push(jid);
        const now = roleNow(context, jid, role);
        if (now !== MEMBER) roles[jid] = now;
      }
    }
    return { accounts, roles, ...(hasMore ? { more: true } : {}) };
  },
  render: ({ accounts, roles, more }) =>
    accounts.length === 0
      ? 'there are no accounts'
      : [
          ...accounts.map((jid) => (roles[jid] === undefined ? jid : `${jid} (${roles[jid]})`)),
          ...(more ? [`(more: --after ${accounts.at(-1)})`] : []),
        ].join('\n'),
});

const userCount = defineCommand({
  name: 'user count',
  readOnly: true,
  summary: 'Count accounts, and those of them who are there',
  args: z.strictObject({ host: z.string().optional().describe('Only of this domain') }),
  async run(context, args) {
    const hosts = args.host === undefined ? context.hosts : [hostOf(context, args.host)];
    const counts = { registered: 0, disabled: 0, online: 0, active: 0, idle: 0 };
    for (const host of hosts) {
      counts.registered += await countRegistered(context, host);
      for await (const _ of inState(context, host, 'disabled')) counts.disabled++;
      for (const state of ['online', 'active', 'idle'] as const) {
        counts[state] += (await connected(context, host, state)).length;
      }
    }
    return counts;
  },
  render: (counts) =>
    table(
      ['state', 'accounts'],
      Object.entries(counts).map(([state, n]) => [state, String(n)]),
    ),
});

async function countRegistered(context: AdminContext, host: string): Promise<number> {
  const accounts = accountsOf(context, host);
  let count = 0;
  for (
    let page = await accounts.list(undefined, PAGE);
    page.length > 0;
    page = await accounts.list(page.at(-1), PAGE)
  ) {
    count += page.length;
  }
  return count;
}

/** @throws CommandError `not-found` where there is no such account */
async function knownPeople(context: AdminContext, address: string): Promise<AdminPeople> {
  const { host } = split(address);
  const isThere = await withAccount(context, address, (accounts, user) => accounts.exists(user));
  if (!isThere) throw new CommandError('not-found', `there is no account ${address}`);
  const people = await context.peopleOf(host);
  if (people === undefined) throw new CommandError('not-found', `${host} keeps no rosters`);
  return people;
}

const userRoster = defineCommand({
  name: 'user roster',
  readOnly: true,
  summary: 'Show the contacts of an account',
  args: z.strictObject({ jid: account }),
  async run(context, args) {
    const people = await knownPeople(context, args.jid);
    return { jid: args.jid, contacts: await people.roster(split(args.jid).user) };
  },
  render: ({ contacts }) =>
    contacts.length === 0
      ? 'it has no contacts'
      : table(
          ['CONTACT', 'NAME', 'SUBSCRIPTION', 'GROUPS'],
          contacts.map(({ jid, name, subscription, ask, groups }) => [
            jid,
            name ?? '',
            ask ? `${subscription}, asked` : subscription,
            groups.join(', '),
          ]),
        ),
});

const userLast = defineCommand({
  name: 'user last',
  readOnly: true,
  summary: 'Tell when an account was last there',
  args: z.strictObject({ jid: account }),
  async run(context, args) {
    const people = await knownPeople(context, args.jid);
    const { user } = split(args.jid);
    const sessions = await sessionsOf(context, args.jid);
    const clients = await withAccount(context, args.jid, (accounts) => accounts.clientsOf(user));
    const seen = sessions.length > 0 ? undefined : await people.lastSeen(user);
    const times = [...sessions.map(({ since }) => since), ...clients.map(({ lastSeen }) => lastSeen), seen ?? 0];
    const at = Math.max(0, ...times);
    return { jid: args.jid, online: sessions.length > 0, ...(at > 0 ? { at: time(at) } : {}) };
  },
  render: ({ jid, online, at }) =>
    online
      ? `${jid} is there, and came ${at}`
      : at === undefined
        ? `${jid} was never there`
        : `${jid} was last there ${at}`,
});

const userStats = defineCommand({
  name: 'user stats',
  readOnly: true,
  summary: 'Show the size of the roster of an account, its devices and their addresses',
  args: z.strictObject({ jid: account }),
  async run(context, args) {
    const people = await knownPeople(context, args.jid);
    const sessions = await sessionsOf(context, args.jid);
    const { length } = await people.roster(split(args.jid).user);
    return {
      jid: args.jid,
      contacts: length,
      resources: sessions.map(({ jid }) => Jid.parse(jid)!.resource),
      addresses: [...new Set(sessions.flatMap(({ address }) => address ?? []))],
    };
  },
  render: ({ contacts, resources, addresses }) =>
    table(
      ['contacts', String(contacts)],
      [
        ['devices', resources.join(', ') || 'none'],
        ['addresses', addresses.join(', ') || 'none'],
      ],
    ),
});

async function sessionsOf(context: AdminContext, address: string): Promise<readonly SessionInfo[]> {
  return (await context.sessions()).filter(({ jid }) => jid.startsWith(`${address}/`));
}

export const peopleCommands: readonly AnyCommand[] = [userLs, userCount, userRoster, userLast, userStats];
