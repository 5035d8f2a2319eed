// What administrative commands have in common: how accounts are named and found, and how results are written for people.
import { z } from 'zod';
import { AccountError } from '../auth/accounts.ts';
import { ADMIN } from '../config/roles.ts';
import { jid, quote } from '../config/schema.ts';
import { prepareDomain } from '../xmpp/jid.ts';
import { type AdminAccounts, type AdminContext, CommandError, type OfflineContext } from './commands.ts';

type Context = AdminContext | OfflineContext;

export function split(address: string): { readonly user: string; readonly host: string } {
  const at = address.indexOf('@');
  return { user: address.slice(0, at), host: address.slice(at + 1) };
}

/** @throws CommandError `not-found` */
export function accountsOf(context: Context, host: string): AdminAccounts {
  const accounts = context.accounts(host);
  if (!accounts) {
    throw new CommandError('not-found', `${host} is not served here; the domains are: ${context.hosts.join(', ')}`);
  }
  return accounts;
}

/** Does something with an account; what its store refuses becomes a refusal of the command. */
export async function withAccount<T>(
  context: Context,
  address: string,
  work: (accounts: AdminAccounts, user: string) => T | Promise<T>,
): Promise<T> {
  const { user, host } = split(address);
  const accounts = accountsOf(context, host);
  try {
    return await work(accounts, user);
  } catch (error) {
    if (!(error instanceof AccountError)) throw error;
    if (error.problem === 'conflict') throw new CommandError('exists', `there is an account ${address} already`);
    if (error.problem === 'not-found') throw new CommandError('not-found', `there is no account ${address}`);
    throw new CommandError('refused', `${address}: ${error.message}`);
  }
}

/** What holds for an account: admins by the settings are admins whatever is stored. */
export function roleNow(context: Context, address: string, stored: string): string {
  return context.adminsOf(split(address).host).includes(address) ? ADMIN : stored;
}

/** An argument that names a host, where there are several. */
export const domain = z.string().optional().describe('The domain; it may be left out where there is one');

/** @throws CommandError `bad-arguments` where it has to be said which; `not-found` for a domain that is not served */
export function hostOf(context: Context, given: string | undefined): string {
  const [only, ...others] = context.hosts;
  const known = `the domains are: ${context.hosts.join(', ')}`;
  if (given === undefined) {
    if (only === undefined || others.length > 0) throw new CommandError('bad-arguments', `which domain? ${known}`);
    return only;
  }
  const host = prepareDomain(given);
  if (host === undefined || !context.hosts.includes(host)) {
    throw new CommandError('not-found', `${given} is not served here; ${known}`);
  }
  return host;
}

/** An argument that names an account. */
export const account = jid().describe('The account, as name@domain');

/** `2026-01-31T12:00:00Z` */
export const time = (at: number): string => new Date(at).toISOString().replace(/\.\d+Z$/, 'Z');

/** `3 d 4 h`, `5 min` */
export function since(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  const [days, hours] = [Math.floor(minutes / 1440), Math.floor(minutes / 60) % 24];
  if (days > 0) return `${days} d ${hours} h`;
  return hours > 0 ? `${hours} h ${minutes % 60} min` : minutes > 0 ? `${minutes} min` : `${Math.floor(ms / 1000)} s`;
}

/** Columns that line up; nothing for no rows. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd();
  return [head, ...rows].map(line).join('\n');
}

/** A line for people where some nodes could not be asked. */
export function unknownLine(nodes: readonly string[] = []): readonly string[] {
  return nodes.length === 0 ? [] : ['', `not known: what is on ${nodes.join(', ')}, since Redis fails`];
}

/** @throws CommandError `not-found` where the host is not served; `refused` for a role that it does not have */
export function checkRole(context: Context, host: string, wanted: string): void {
  const table = context.rolesOf(host);
  if (table === undefined) {
    throw new CommandError('not-found', `${host} is not served here; the domains are: ${context.hosts.join(', ')}`);
  }
  if (Object.hasOwn(table, wanted)) return;
  throw new CommandError(
    'refused',
    `there is no role ${quote(wanted)}; the roles are: ${Object.keys(table).join(', ')}`,
  );
}
