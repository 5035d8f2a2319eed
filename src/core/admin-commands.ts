// The administrative commands there are. A new one is added to the list at the end, and every interface offers it.
import { randomInt } from 'node:crypto';
import { z } from 'zod';
import type { Client } from '../auth/clients.ts';
import { duration, quote, secret } from '../config/schema.ts';
import { Jid, prepareDomain } from '../xmpp/jid.ts';
import { account, accountsOf, since, split, table, time, unknownLine, withAccount } from './admin-common.ts';
import { archiveCommands, describeArchive, renderArchive } from './archive-commands.ts';
import { clusterCommands } from './cluster-commands.ts';
import {
  type AdminContext,
  type AnyCommand,
  CommandError,
  defineCommand,
  defineOfflineCommand,
  type SessionInfo,
} from './commands.ts';
import { invitationCommands } from './invitation-commands.ts';
import { logLevels } from './log.ts';
import { pubsubCommands } from './pubsub-commands.ts';
import { roomCommands } from './room-commands.ts';
import { s2sCommands } from './s2s-commands.ts';
import { workspaceCommands } from './workspace-commands.ts';

const alphabet = 'abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789';

/** 20 characters that are not mistaken for one another: 115 bits. */
export function generatePassword(): string {
  return Array.from({ length: 20 }, () => alphabet[randomInt(alphabet.length)]).join('');
}

const password = secret().describe('The password');

const passwordOrGenerate = z.strictObject({
  jid: account,
  password: password.optional(),
  generate: z.boolean().prefault(false).describe('Make up a password, and tell it'),
});

function choose(args: { readonly password?: string | undefined; readonly generate: boolean }): string {
  if (args.generate) return generatePassword();
  if (args.password === undefined) throw new CommandError('bad-arguments', 'a password is missing');
  return args.password;
}
const told = (args: { readonly generate: boolean }, chosen: string): { password?: string } =>
  args.generate ? { password: chosen } : {};

const userAdd = defineOfflineCommand({
  name: 'user add',
  summary: 'Make an account',
  args: passwordOrGenerate,
  async run(context, args) {
    const chosen = choose(args);
    await withAccount(context, args.jid, (accounts, user) => accounts.create(user, chosen));
    return { jid: args.jid, ...told(args, chosen) };
  },
  render: (result) => `${result.jid} is there now${result.password ? `; the password is ${result.password}` : ''}`,
});

/** How many passwords are hashed at a time: as many as there are threads for it, and some in wait. */
const BATCH_WIDTH = 8;

const userBatch = defineOfflineCommand({
  name: 'user batch',
  summary: 'Make many accounts; those that cannot be made are told, with the numbers of their lines',
  args: z.strictObject({
    accounts: z.array(z.strictObject({ line: z.int(), jid: z.string(), password: z.string() })).max(1000),
  }),
  async run(context, args) {
    const failed: { line: number; jid: string; message: string }[] = [];
    const waiting = args.accounts[Symbol.iterator]();
    const worker = async (): Promise<void> => {
      for (const entry of waiting) {
        try {
          const parsed = account.safeParse(entry.jid);
          if (!parsed.success) throw new CommandError('bad-arguments', parsed.error.issues[0]!.message);
          await withAccount(context, parsed.data, (accounts, user) => accounts.create(user, entry.password));
        } catch (error) {
          if (!(error instanceof CommandError)) throw error;
          failed.push({ line: entry.line, jid: entry.jid, message: error.message });
        }
      }
    };
    await Promise.all(Array.from({ length: BATCH_WIDTH }, worker));
    failed.sort((a, b) => a.line - b.line);
    return { created: args.accounts.length - failed.length, failed };
  },
  render: ({ created, failed }) =>
    [...failed.map(({ line, message }) => `line ${line}: ${message}`), `${created} accounts made`].join('\n'),
});

const userPasswd = defineOfflineCommand({
  name: 'user passwd',
  summary: 'Set the password of an account',
  args: passwordOrGenerate,
  async run(context, args) {
    const chosen = choose(args);
    await withAccount(context, args.jid, (accounts, user) => accounts.setPassword(user, chosen));
    return { jid: args.jid, ...told(args, chosen) };
  },
  render: (result) => `${result.jid} has a new password${result.password ? `: ${result.password}` : ''}`,
});

const userRm = defineOfflineCommand({
  name: 'user rm',
  summary: 'Remove an account and everything it has',
  args: z.strictObject({ jid: account }),
  async run(context, args) {
    await withAccount(context, args.jid, (accounts, user) => accounts.remove(user));
    return { jid: args.jid };
  },
  render: (result) => `${result.jid} is gone`,
});

const PAGE = 1000;

const userLs = defineOfflineCommand({
  name: 'user ls',
  readOnly: true,
  summary: 'List accounts',
  args: z.strictObject({ host: z.string().optional().describe('Only of this domain') }),
  async run(context, args) {
    const hosts = args.host === undefined ? context.hosts : [prepareDomain(args.host) ?? args.host];
    const accounts: string[] = [];
    for (const host of hosts) {
      const store = accountsOf(context, host);
      for (let page = await store.list(undefined, PAGE); page.length > 0; page = await store.list(page.at(-1), PAGE)) {
        for (const user of page) accounts.push(`${user}@${host}`);
      }
    }
    return { accounts };
  },
  render: ({ accounts }) => (accounts.length === 0 ? 'there are no accounts' : accounts.join('\n')),
});

const userShow = defineOfflineCommand({
  name: 'user show',
  readOnly: true,
  summary: 'Show an account',
  args: z.strictObject({ jid: account }),
  async run(context, args) {
    const facts = await withAccount(context, args.jid, (accounts, user) => accounts.facts(user));
    if (!facts) throw new CommandError('not-found', `there is no account ${args.jid}`);
    const clients = await withAccount(context, args.jid, (accounts, user) => accounts.clientsOf(user));
    const sessions =
      'sessions' in context ? (await context.sessions()).filter(({ jid }) => isOf(jid, args.jid)) : undefined;
    const { user, host } = split(args.jid);
    const archive = await (await context.archives(host))?.state(user);
    return {
      jid: args.jid,
      disabled: facts.isDisabled,
      roles: facts.roles,
      created: time(facts.created),
      passwordSet: time(facts.passwordSet),
      clients: clients.map(({ id, software, device, lastSeen, hasToken }) => ({
        id,
        ...(software === undefined ? {} : { software }),
        ...(device === undefined ? {} : { device }),
        lastSeen: time(lastSeen),
        token: hasToken,
      })),
      ...(archive === undefined ? {} : { archive: describeArchive(archive) }),
      ...(sessions === undefined ? {} : { sessions: sessions.map((session) => withClient(session, clients)) }),
    };
  },
  render: (user) =>
    [
      `account   ${user.jid}${user.disabled ? ' (disabled)' : ''}`,
      `roles     ${user.roles.join(', ') || 'none'}`,
      `created   ${user.created}`,
      `password  set ${user.passwordSet}`,
      ...user.clients.map(
        ({ id, software, device, lastSeen, token }) =>
          `client    ${id} ${nameOf({ software, device }) ?? '(no name)'}, last here ${lastSeen}${token ? ', with a token' : ''}`,
      ),
      ...(user.archive === undefined ? [] : [`archive   ${renderArchive(user.archive)}`]),
      ...(user.sessions ?? []).map(
        (session) =>
          `session   ${session.jid} since ${time(session.since)}${session.hibernating ? `, ${WAITING}` : ''}`,
      ),
    ].join('\n'),
});

const clientRevoke = defineCommand({
  name: 'client revoke',
  summary: 'End the sessions and tokens of a client of an account; "user show" lists them',
  args: z.strictObject({ jid: account, client: z.string().min(1).describe('Its id') }),
  async run(context, args) {
    const client = await withAccount(context, args.jid, async (accounts, user) => {
      const found = (await accounts.clientsOf(user)).find(({ id }) => id === args.client);
      if (found !== undefined) await accounts.revokeClient(user, args.client);
      return found;
    });
    if (client === undefined) throw new CommandError('not-found', `${args.jid} has no client ${quote(args.client)}`);
    return { jid: args.jid, client: client.id, knowsPassword: client.knowsPassword };
  },
  render: (result) =>
    `${result.client} of ${result.jid} is logged out${result.knowsPassword ? '; it may come back by the password' : ''}`,
});

const userDisable = defineOfflineCommand({
  name: 'user disable',
  summary: 'Let nobody in with an account, and end its sessions; its data stays',
  args: z.strictObject({ jid: account }),
  async run(context, args) {
    await withAccount(context, args.jid, (accounts, user) => accounts.disable(user));
    return { jid: args.jid, disabled: true };
  },
  render: (result) => `${result.jid} is disabled`,
});

const userEnable = defineOfflineCommand({
  name: 'user enable',
  summary: 'Undo "user disable"',
  args: z.strictObject({ jid: account }),
  async run(context, args) {
    await withAccount(context, args.jid, (accounts, user) => accounts.enable(user));
    return { jid: args.jid, disabled: false };
  },
  render: (result) => `${result.jid} is enabled`,
});

/** Whether a full JID is of this account, this domain, or itself the one asked for. */
function isOf(full: string, asked: string): boolean {
  const jid = Jid.parse(full);
  return full === asked || jid?.bare === asked || jid?.domain === asked;
}

const WAITING = 'waiting to be resumed';

const nameOf = ({
  software,
  device,
}: {
  readonly software?: string | undefined;
  readonly device?: string | undefined;
}) => [software, device].filter(Boolean).join(' on ') || undefined;

/** A session with what its client calls itself. */
function withClient(
  session: SessionInfo,
  clients: readonly Client[],
): SessionInfo & { software?: string; device?: string } {
  const { software, device } = clients.find(({ id }) => id === session.client) ?? {};
  return { ...session, ...(software === undefined ? {} : { software }), ...(device === undefined ? {} : { device }) };
}

/** How many accounts are asked for their clients at a time. */
const LOOKUPS = 8;

/** The clients of those accounts that have one which said which one it is, by account. */
async function clientsOf(
  context: AdminContext,
  sessions: readonly SessionInfo[],
): Promise<ReadonlyMap<string, readonly Client[]>> {
  const found = new Map<string, readonly Client[]>();
  const bareOf = ({ jid }: SessionInfo): string => Jid.parse(jid)!.bare;
  const waiting = new Set(sessions.filter(({ client }) => client !== undefined).map(bareOf)).values();
  const worker = async (): Promise<void> => {
    for (const bare of waiting) {
      const { user, host } = split(bare);
      // an account that has gone meanwhile has none
      found.set(
        bare,
        (await context
          .accounts(host)
          ?.clientsOf(user)
          .catch(() => [])) ?? [],
      );
    }
  };
  await Promise.all(Array.from({ length: LOOKUPS }, worker));
  return found;
}

const sessionLs = defineCommand({
  name: 'session ls',
  readOnly: true,
  summary: 'List who is connected',
  args: z.strictObject({ of: z.string().optional().describe('Only of this account or domain') }),
  async run(context, args) {
    const asked = args.of === undefined ? undefined : Jid.parse(args.of)?.full;
    if (args.of !== undefined && asked === undefined) {
      throw new CommandError('bad-arguments', `${quote(args.of)} is neither an account nor a domain`);
    }
    const sessions = (await context.sessions()).filter(({ jid }) => asked === undefined || isOf(jid, asked));
    const clients = await clientsOf(context, sessions);
    const unknown = await context.unknown();
    return {
      sessions: sessions.map((session) => withClient(session, clients.get(Jid.parse(session.jid)!.bare) ?? [])),
      ...(unknown.length > 0 ? { unknown } : {}),
    };
  },
  render({ sessions, unknown }) {
    if (sessions.length === 0) return ['nobody is connected', ...unknownLine(unknown)].join('\n');
    const isSpread = new Set(sessions.map(({ node }) => node)).size > 1;
    const list = table(
      ['SESSION', 'CLIENT', 'FROM', 'SINCE', 'PRESENCE', ...(isSpread ? ['NODE'] : [])],
      sessions.map(({ jid: full, address, since: bound, available, priority, hibernating, node, ...client }) => [
        full,
        nameOf(client) ?? '',
        hibernating ? WAITING : (address ?? ''),
        time(bound),
        available ? `available (${priority})` : 'unavailable',
        ...(isSpread ? [node ?? ''] : []),
      ]),
    );
    return [list, ...unknownLine(unknown)].join('\n');
  },
});

const sessionKick = defineCommand({
  name: 'session kick',
  summary: 'End the sessions of an account, or one of them',
  args: z.strictObject({
    jid: z.string().describe('name@domain for all sessions, name@domain/resource for one'),
    reason: z.string().optional().describe('Told to the client'),
  }),
  async run(context, args) {
    const address = Jid.parse(args.jid);
    if (!address?.local)
      throw new CommandError('bad-arguments', `${quote(args.jid)} is not the address of an account or a session`);
    const ended = await context.kick(address.full, args.reason);
    if (ended === 0) throw new CommandError('not-found', `${address.full} is not connected`);
    return { jid: address.full, ended };
  },
  render: ({ jid: address, ended }) => `${ended} ${ended === 1 ? 'session' : 'sessions'} of ${address} ended`,
});

const reload = defineCommand({
  name: 'reload',
  summary: 'Read the configuration again, without disconnecting anybody',
  args: z.strictObject({}),
  run: (context) => context.reload(),
  render: ({ applied, restart, differs = [] }) =>
    [
      ...(applied.length + restart.length === 0 ? ['nothing has changed'] : []),
      ...applied.map((path) => `applied          ${path}`),
      ...restart.map((path) => `needs a restart  ${path}`),
      ...differs.map((node) => `differs          ${node} has other hosts or components: reload there, too`),
    ].join('\n'),
});

const stop = defineCommand({
  name: 'stop',
  summary: 'Stop the server in an orderly way',
  args: z.strictObject({}),
  async run(context) {
    const { pid } = await context.status();
    context.stop();
    return { stopping: true, pid };
  },
  render: () => 'stopping',
});

const DAY = 86_400_000;

const status = defineCommand({
  name: 'status',
  readOnly: true,
  summary: 'How the server is',
  args: z.strictObject({}),
  async run(context) {
    const now = Date.now();
    const { started, certificates, errors, ...others } = await context.status();
    return {
      ...others,
      started: time(started),
      uptime: Math.round((now - started) / 1000),
      certificates: certificates.map(({ expires, ...certificate }) => ({
        ...certificate,
        expires: time(expires),
        days: Math.floor((expires - now) / DAY),
      })),
      errors: errors.map(({ at, message }) => ({ at: time(at), message })),
    };
  },
  render: (server) =>
    [
      `parley ${server.version}, process ${server.pid}, up ${since(server.uptime * 1000)}`,
      `config        ${server.config ?? 'none: defaults and environment'}`,
      `data          ${server.data}`,
      `database      ${server.database.kind}, ${server.database.ok ? 'answers' : `FAILS: ${server.database.problem ?? 'no answer'}`}`,
      `hosts         ${server.hosts.join(', ')}`,
      ...(server.rooms.length === 0 ? [] : [`rooms         ${server.rooms.join(', ')}`]),
      ...(server.pubsub.length === 0 ? [] : [`pubsub        ${server.pubsub.join(', ')}`]),
      `sessions      ${server.sessions}`,
      ...(server.nodes === undefined ? [] : [`nodes         ${server.nodes.join(', ')}`]),
      ...(server.unknown === undefined ? [] : [`not known     ${server.unknown.join(', ')}, since Redis fails`]),
      ...(server.draining === true ? ['draining      nobody new is let in ("parley drain off" ends that)'] : []),
      ...server.listeners.map(({ name, address, port }) => `${name.padEnd(14)}${formatEndpoint(address, port)}`),
      ...server.components.map(
        ({ domain, connected, address }) =>
          `component     ${domain}: ${connected ? `connected from ${address}` : 'not connected'}`,
      ),
      ...server.certificates.map(
        ({ host, issuer, days }) => `certificate   ${host}: ${issuer}, ${days < 0 ? 'EXPIRED' : `${days} days left`}`,
      ),
      ...server.errors.slice(0, 5).map(({ at, message }) => `error         ${at} ${message}`),
    ].join('\n'),
});

/** `127.0.0.1:5222`, `[::1]:5222` */
export function formatEndpoint(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

const logLevel = defineCommand({
  name: 'log level',
  summary: 'Change what is logged, for a while or until the next start',
  args: z.strictObject({
    module: z.string().min(1).describe('The part of the server, such as c2s or mam; "*" for all'),
    level: z.enum(logLevels as readonly ['debug', 'info', 'warn', 'error']).describe('debug, info, warn or error'),
    for: duration().optional().describe('How long, such as 10m'),
  }),
  async run(context, args) {
    await context.logLevel(args.module, args.level, args.for);
    return { module: args.module, level: args.level, ...(args.for === undefined ? {} : { seconds: args.for / 1000 }) };
  },
  render: (result) =>
    `${result.module} logs from ${result.level} on${result.seconds === undefined ? '' : `, for ${since(result.seconds * 1000)}`}`,
});

/** All of them. */
export const adminCommands: readonly AnyCommand[] = [
  status,
  reload,
  stop,
  userAdd,
  userBatch,
  userPasswd,
  userRm,
  userLs,
  userShow,
  userDisable,
  userEnable,
  clientRevoke,
  ...invitationCommands,
  ...archiveCommands,
  ...roomCommands,
  ...pubsubCommands,
  ...workspaceCommands,
  sessionLs,
  sessionKick,
  ...s2sCommands,
  ...clusterCommands,
  logLevel,
];
