// The administrative commands for files that people have sent (XEP-0363).
import { z } from 'zod';
import { account, split, table, time } from './admin-common.ts';
import { type AdminContext, type AdminUploads, CommandError, defineCommand } from './commands.ts';

/** @throws CommandError `not-found` */
async function uploadsOf(context: AdminContext, domain: string): Promise<AdminUploads> {
  const found = await context.uploadsOf(domain);
  if (found === undefined) throw new CommandError('not-found', `people of ${domain} send no files here`);
  return found;
}

const ls = defineCommand({
  name: 'upload ls',
  readOnly: true,
  summary: 'List the files that an account has sent',
  args: z.strictObject({ jid: account }),
  async run(context, args) {
    const { user, host } = split(args.jid);
    const files = await (await uploadsOf(context, host)).list(user);
    return {
      files: files.map(({ id, name, type, size, purpose, at, expires, url }) => ({
        id,
        name,
        type,
        bytes: size,
        purpose,
        sent: time(at),
        expires: expires === undefined ? null : time(expires),
        url: url ?? null,
      })),
    };
  },
  render: ({ files }) =>
    files.length === 0
      ? 'there are no files'
      : table(
          ['sent', 'expires', 'for', 'bytes', 'type', 'address'],
          files.map((one) => [
            one.sent,
            one.expires ?? 'never',
            one.purpose,
            String(one.bytes),
            one.type,
            one.url ?? one.id,
          ]),
        ),
});

const usage = defineCommand({
  name: 'upload usage',
  readOnly: true,
  summary: 'Show how much room the files of accounts take',
  args: z.strictObject({ domain: z.string().optional().describe('The domain of the accounts; all, unless said') }),
  async run(context, { domain }) {
    const accounts: { jid: string; files: number; bytes: number }[] = [];
    for (const host of domain === undefined ? context.hosts : [domain]) {
      const uploads = domain === undefined ? await context.uploadsOf(host) : await uploadsOf(context, host);
      for await (const user of uploads?.people() ?? []) {
        const files = await uploads!.list(user);
        const bytes = files.reduce((sum, { size }) => sum + size, 0);
        if (files.length > 0) accounts.push({ jid: `${user}@${host}`, files: files.length, bytes });
      }
    }
    accounts.sort((one, other) => other.bytes - one.bytes);
    return { accounts, bytes: accounts.reduce((sum, { bytes }) => sum + bytes, 0) };
  },
  render: ({ accounts, bytes }) =>
    accounts.length === 0
      ? 'there are no files'
      : `${table(
          ['account', 'files', 'bytes'],
          accounts.map((one) => [one.jid, String(one.files), String(one.bytes)]),
        )}\n\n${bytes} bytes together`,
});

const rm = defineCommand({
  name: 'upload rm',
  summary: 'Delete a file, whoever has sent it',
  args: z.strictObject({ file: z.string().min(1).describe('Its address, or its id') }),
  async run(context, { file }) {
    for (const host of context.hosts) {
      const uploads = await context.uploadsOf(host);
      const found = await uploads?.ownerOf(file);
      if (found === undefined) continue;
      await uploads!.remove(found.user, found.id);
      return { id: found.id, owner: `${found.user}@${host}` };
    }
    throw new CommandError('not-found', 'there is no such file, or no more');
  },
  render: ({ owner }) => `the file of ${owner} is gone`,
});

const purge = defineCommand({
  name: 'upload purge',
  summary: 'Delete all files of an account',
  args: z.strictObject({ jid: account }),
  async run(context, { jid }) {
    const { user, host } = split(jid);
    const uploads = await uploadsOf(context, host);
    let removed = 0;
    for (const { id } of await uploads.list(user)) if (await uploads.remove(user, id)) removed++;
    return { jid, removed };
  },
  render: ({ jid, removed }) => `${removed} ${removed === 1 ? 'file' : 'files'} of ${jid} deleted`,
});

export const uploadCommands = [ls, usage, rm, purge];
