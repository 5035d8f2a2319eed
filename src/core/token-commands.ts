// The administrative commands for tokens of the REST interface.
import { z } from 'zod';
import { durationOrForever, formatDuration } from '../config/schema.ts';
import { prepareDomain } from '../xmpp/jid.ts';
import { accountsOf, table, time } from './admin-common.ts';
import { scope } from './api-scopes.ts';
import {
  type AdminContext,
  type AdminToken,
  CommandError,
  defineOfflineCommand,
  type OfflineContext,
} from './commands.ts';

const described = ({ id, created, expires, used, grant }: AdminToken) => ({
  id,
  ...(grant.name === undefined ? {} : { name: grant.name }),
  scopes: grant.scopes,
  ...(grant.host === undefined ? {} : { host: grant.host }),
  created: time(created),
  // null: it does not end by itself
  expires: expires === undefined ? null : time(expires),
  ...(used === undefined ? {} : { used: time(used) }),
});

/** @throws CommandError `not-found` for a domain that is not served */
function hostOf(context: AdminContext | OfflineContext, given: string): string {
  const host = prepareDomain(given) ?? given;
  accountsOf(context, host);
  return host;
}

const create = defineOfflineCommand({
  name: 'token create',
  summary: 'Make a token for the REST interface; it is told this once',
  args: z.strictObject({
    scope: z.array(scope).min(1, 'a token without a scope would be good for nothing').describe('What it may do'),
    ttl: durationOrForever().prefault('90d').describe('How long it is good: 90d, 1y, forever'),
    name: z.string().min(1).max(100).optional().describe('What it is for'),
    host: z.string().optional().describe('Only for this domain and its services; all, unless said'),
  }),
  async run(context, args) {
    const grant = {
      scopes: [...new Set(args.scope)].sort(),
      ...(args.name === undefined ? {} : { name: args.name }),
      ...(args.host === undefined ? {} : { host: hostOf(context, args.host) }),
    };
    const tokens = await context.tokens();
    await tokens.prune('');
    const { id, text } = await tokens.issue('', grant, Number.isFinite(args.ttl) ? args.ttl : undefined);
    return { id, token: text, ...grant, ttl: formatDuration(args.ttl) };
  },
  render: ({ token, scopes, ttl, host }) =>
    [
      token,
      '',
      `It may do ${scopes.join(', ')}${host === undefined ? '' : ` at ${host}`}, ${ttl === 'forever' ? 'for good' : `for ${ttl}`}. It cannot be shown again.`,
    ].join('\n'),
});

const list = defineOfflineCommand({
  name: 'token ls',
  readOnly: true,
  summary: 'List the tokens for the REST interface',
  args: z.strictObject({}),
  run: async (context) => ({ tokens: (await (await context.tokens()).list('')).map(described) }),
  render: ({ tokens }) =>
    tokens.length === 0
      ? 'there are no tokens'
      : table(
          ['TOKEN', 'NAME', 'SCOPES', 'HOST', 'MADE', 'ENDS', 'USED'],
          tokens.map(({ id, name, scopes, host, created, expires, used }) => [
            id,
            name ?? '',
            scopes.join(' '),
            host ?? 'all',
            created,
            expires ?? 'never',
            used ?? 'never',
          ]),
        ),
});

const revoke = defineOfflineCommand({
  name: 'token revoke',
  summary: 'Take a token back; "token ls" lists them',
  args: z.strictObject({ id: z.string().min(1).describe('Its id') }),
  async run(context, { id }) {
    const isDone = await (await context.tokens()).revoke('', id);
    if (!isDone) throw new CommandError('not-found', `there is no token ${id}`);
    return { id };
  },
  render: ({ id }) => `${id} is no token any more`,
});

export const tokenCommands = [create, list, revoke];
