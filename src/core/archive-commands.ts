// The administrative commands for message archives.
import { z } from 'zod';
import { durationOrForever, formatDuration, jid } from '../config/schema.ts';
import { accountsOf, split, time, withAccount } from './admin-common.ts';
import {
  type AdminArchives,
  type AdminContext,
  type ArchiveState,
  CommandError,
  defineOfflineCommand,
  type OfflineContext,
} from './commands.ts';

type Context = AdminContext | OfflineContext;

const whose = jid().describe('The account, as name@domain, or the room, as name@groups.domain');

/** @throws CommandError `not-found` for no such account or room, `refused` where its domain keeps no archives */
async function withArchive<T>(
  context: Context,
  address: string,
  work: (archives: AdminArchives, user: string) => Promise<T>,
): Promise<T> {
  const { user, host } = split(address);
  const archives = await context.archives(host);
  if (archives?.isRoom !== undefined) {
    if (!(await archives.isRoom(user))) throw new CommandError('not-found', `there is no room ${address}`);
    return work(archives, user);
  }
  accountsOf(context, host);
  const isThere = await withAccount(context, address, async (accounts) => accounts.exists(user));
  if (!isThere) throw new CommandError('not-found', `there is no account ${address}`);
  if (archives === undefined) throw new CommandError('refused', `${host} keeps no archives: its module mam is off`);
  return work(archives, user);
}

/** The state of an archive as commands tell it. */
export function describeArchive({ ends, count, retention }: ArchiveState) {
  return {
    ...(ends === undefined ? {} : { first: time(ends.first), last: time(ends.last) }),
    // null: more than can be counted in a moment
    messages: count ?? null,
    retention: formatDuration(retention.ms),
    own: retention.isOwn,
  };
}

/** For people, in one line. */
export function renderArchive({ first, last, messages, retention, own }: ReturnType<typeof describeArchive>): string {
  const kept = `${retention === 'forever' ? 'kept forever' : `kept for ${retention}`}, ${own ? 'as set for it alone' : 'as for everybody'}`;
  if (first === undefined) return `empty; ${kept}`;
  return `${messages ?? 'more than 10000'} messages from ${first} to ${last}; ${kept}`;
}

const show = defineOfflineCommand({
  name: 'archive show',
  readOnly: true,
  summary: 'Show what is in the archive of an account or a room, and how long it is kept',
  args: z.strictObject({ jid: whose }),
  run: (context, args) =>
    withArchive(context, args.jid, async (archives, user) => ({
      jid: args.jid,
      ...describeArchive(await archives.state(user)),
    })),
  render: ({ jid, ...archive }) => `${jid}: ${renderArchive(archive)}`,
});

/** A length of time, `forever`, or `default`: that of the domain. */
const keep = z
  .string()
  .transform((text, context) => {
    if (text === 'default') return text;
    const given = durationOrForever().safeParse(text);
    if (given.success) return given.data;
    const message = given.error.issues[0]!.message.replace(', or "forever".', ', "forever" or "default".');
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  })
  .describe('How long its messages are kept: 90d, 1y, forever, or default (that of its domain)');

const retention = defineOfflineCommand({
  name: 'archive retention',
  summary: 'Set how long the messages of an account or a room are kept: 90d, 1y, forever, or default',
  args: z.strictObject({ jid: whose, keep }),
  run: (context, args) =>
    withArchive(context, args.jid, async (archives, user) => {
      const now = await archives.setRetention(user, args.keep === 'default' ? undefined : args.keep);
      return { jid: args.jid, retention: formatDuration(now.ms), own: now.isOwn };
    }),
  render: ({ jid, retention: text, own }) =>
    `messages of ${jid} are kept ${text === 'forever' ? text : `for ${text}`}${own ? '' : ', as for everybody'}`,
});

/** A day (from its beginning, in UTC) or a point in time, in milliseconds since 1970. */
const date = z.string().transform((text, context) => {
  const at = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/.test(text)
    ? Date.parse(text)
    : Number.NaN;
  // 2026-02-30 would be March
  if (!Number.isNaN(at) && new Date(`${text.slice(0, 10)}T00:00:00Z`).toISOString().startsWith(text.slice(0, 10)))
    return at;
  context.addIssue({
    code: 'custom',
    message: `${JSON.stringify(text)} is no date. Try "2026-01-31" or "2026-01-31T12:00:00Z".`,
  });
  return z.NEVER;
});

const purge = defineOfflineCommand({
  name: 'archive purge',
  summary: 'Remove the messages of an account or a room from its archive: all, or those before a date',
  args: z.strictObject({ jid: whose, before: date.optional().describe('Only what is older: 2026-01-31') }),
  run: (context, args) =>
    withArchive(context, args.jid, async (archives, user) => ({
      jid: args.jid,
      ...(args.before === undefined ? {} : { before: time(args.before) }),
      removed: await archives.purge(user, args.before),
    })),
  render: ({ jid, removed, before }) =>
    `${removed} ${removed === 1 ? 'message' : 'messages'} of ${jid}${before === undefined ? '' : ` from before ${before}`} removed`,
});

export const archiveCommands = [show, retention, purge];
