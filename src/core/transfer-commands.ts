// The administrative commands that take accounts out into files, and in from them (XEP-0227). Files are those of the server's machine: only its
// command line has them.
import { z } from 'zod';
import { jid } from '../config/schema.ts';
import { accountsOf, split } from './admin-common.ts';
import { type AnyCommand, CommandError, defineCommand } from './commands.ts';
import type { AccountReport } from './transfer.ts';

const exporting = defineCommand({
  name: 'export',
  readOnly: true,
  summary: 'Write accounts with all they have into a file (XEP-0227)',
  args: z.strictObject({
    file: z.string().min(1).describe('The file, with its whole path'),
    host: z.string().optional().describe('Only the accounts of this domain'),
    user: jid().optional().describe('Only this account'),
  }),
  async run(context, { file, host, user }) {
    if (host !== undefined) accountsOf(context, host);
    if (user === undefined) return context.transfer().exportTo(file, { host });
    const { user: local, host: domain } = split(user);
    if (host !== undefined && host !== domain) throw new CommandError('bad-arguments', `${user} is not of ${host}`);
    if (!(await accountsOf(context, domain).exists(local)))
      throw new CommandError('not-found', `there is no account ${user}`);
    return context.transfer().exportTo(file, { host: domain, user: local });
  },
  render: ({ file, accounts, bytes }) =>
    `${file}: ${accounts} ${accounts === 1 ? 'account' : 'accounts'}, ${bytes} bytes`,
});

const importing = defineCommand({
  name: 'import',
  summary: 'Take accounts with all they have from a file or a folder of files (XEP-0227)',
  args: z.strictObject({
    path: z.string().min(1).describe('The file or folder, with its whole path'),
    dry: z.boolean().optional().describe('Only tell what would be done'),
  }),
  run: (context, { path, dry = false }) => context.transfer().importFrom(path, dry),
  render: ({ dry, accounts, lines }) =>
    [
      ...(dry ? ['nothing was changed; this is what an import would do:'] : []),
      ...lines,
      ...accounts.flatMap(renderAccount),
      `${accounts.length} ${accounts.length === 1 ? 'account' : 'accounts'}: ${[...numbers(accounts)].join(', ') || 'none'}`,
    ].join('\n'),
});

function renderAccount({ jid: address, state, counts, lines }: AccountReport): readonly string[] {
  const said = Object.entries(counts).map(([what, { added, same, kept, ignored }]) => {
    const parts = [
      ...(added > 0 ? [`${added} added`] : []),
      ...(same > 0 ? [`${same} there already`] : []),
      ...(kept > 0 ? [`${kept} kept as here`] : []),
      ...(ignored > 0 ? [`${ignored} not taken`] : []),
    ];
    return parts.length === 0 ? [] : [`${what} ${parts.join(', ')}`];
  });
  return [`${address} (${states[state]}): ${said.flat().join('; ') || 'nothing'}`, ...lines.map((line) => `  ${line}`)];
}

const states = { added: 'new', there: 'was there', refused: 'refused' } as const;

function* numbers(accounts: readonly AccountReport[]): Generator<string> {
  for (const [state, text] of Object.entries(states)) {
    const count = accounts.filter((one) => one.state === state).length;
    if (count > 0) yield `${count} ${text}`;
  }
}

export const transferCommands: readonly AnyCommand[] = [exporting, importing];
