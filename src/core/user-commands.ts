// The administrative commands for accounts.
import { randomInt } from 'node:crypto';
import { z } from 'zod';
import { ADMIN } from '../config/roles.ts';
import { quote, secret } from '../config/schema.ts';
import { account, checkRole, roleNow, split, time, withAccount } from './admin-common.ts';
import { describeArchive, renderArchive } from './archive-commands.ts';
import { type AnyCommand, CommandError, defineCommand, defineOfflineCommand } from './commands.ts';
import { clientNameOf, isOf, WAITING, withClient } from './session-commands.ts';

const alphabet = 'abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789';

/** 20 characters that are not mistaken for one another: 115 bits. */
export function generatePassword(): string {
  return Array.from({ length: 20 }, () => alphabet[randomInt(alphabet.length)]).join('');
}

const password = secret().describe('The password');

const role = z.string().min(1).describe('The role: what the account may do');

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
  args: passwordOrGenerate.extend({ role: role.optional() }),
  async run(context, args) {
    const chosen = choose(args);
    if (args.role !== undefined) checkRole(context, split(args.jid).host, args.role);
    await withAccount(context, args.jid, (accounts, user) => accounts.create(user, chosen, args.role));
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
      role: roleNow(context, args.jid, facts.role),
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
      `role      ${user.role}`,
      `created   ${user.created}`,
      `password  set ${user.passwordSet}`,
      ...user.clients.map(
        ({ id, software, device, lastSeen, token }) =>
          `client    ${id} ${clientNameOf({ software, device }) ?? '(no name)'}, last here ${lastSeen}${token ? ', with a token' : ''}`,
      ),
      ...(user.archive === undefined ? [] : [`archive   ${renderArchive(user.archive)}`]),
      ...(user.sessions ?? []).map(
        (session) =>
          `session   ${session.jid} since ${time(session.since)}${session.hibernating ? `, ${WAITING}` : ''}`,
      ),
    ].join('\n'),
});

const userRole = defineOfflineCommand({
  name: 'user role',
  summary: 'Tell the role of an account, or give it another one; it holds at once',
  args: z.strictObject({ jid: account, role: role.optional() }),
  async run(context, args) {
    if (args.role !== undefined) {
      const wanted = args.role;
      checkRole(context, split(args.jid).host, wanted);
      if (wanted !== ADMIN && context.adminsOf(split(args.jid).host).includes(args.jid)) {
        throw new CommandError('refused', `${args.jid} is an admin by the settings ("admins"); change those`);
      }
      await withAccount(context, args.jid, (accounts, user) => accounts.setRole(user, wanted));
    }
    const facts = await withAccount(context, args.jid, (accounts, user) => accounts.facts(user));
    if (!facts) throw new CommandError('not-found', `there is no account ${args.jid}`);
    const now = roleNow(context, args.jid, facts.role);
    return { jid: args.jid, role: now, permissions: context.rolesOf(split(args.jid).host)?.[now] ?? [] };
  },
  render: (result) =>
    `${result.jid} is ${result.role}, and may ${result.permissions.join(', ') || 'do nothing special'}`,
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

export const userCommands: readonly AnyCommand[] = [
  userAdd,
  userBatch,
  userPasswd,
  userRm,
  userShow,
  userRole,
  userDisable,
  userEnable,
  clientRevoke,
];
