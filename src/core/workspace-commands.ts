// The administrative commands for the identity of a domain, which clients show as that of a workspace.
import { z } from 'zod';
import { domain, hostOf, table } from './admin-common.ts';
import { type AdminContext, type AdminWorkspace, CommandError, defineCommand } from './commands.ts';

/** @throws CommandError `not-found` for a domain that is not served, `bad-arguments` where it has to be said which, `refused` for what is refused */
async function withWorkspace<T>(
  context: AdminContext,
  given: string | undefined,
  work: (workspace: AdminWorkspace, domain: string) => Promise<T>,
): Promise<T> {
  const name = hostOf(context, given);
  const workspace = await context.workspaceOf(name);
  if (workspace === undefined) throw new CommandError('not-found', `${name} has no workspace`);
  try {
    return await work(workspace, name);
  } catch (error) {
    if (error instanceof Error && error.name === 'StanzaError') throw new CommandError('refused', error.message);
    throw error;
  }
}

const rendered = (found: {
  readonly domain: string;
  readonly name: string;
  readonly color?: string;
  readonly icon?: string;
}) =>
  table(
    ['domain', found.domain],
    [
      ['name', found.name],
      ['colour', found.color ?? 'none'],
      ['icon', found.icon ?? 'none'],
    ],
  );

async function described(workspace: AdminWorkspace, name: string) {
  const found = await workspace.identity();
  if (found === undefined)
    throw new CommandError('not-found', `${name} has no identity yet; "workspace set" gives it one`);
  const { color, icon } = found;
  return {
    domain: name,
    name: found.name,
    ...(color !== undefined && { color }),
    ...(icon !== undefined && { icon: `${icon.type ?? 'of an unknown type'}, ${icon.size} bytes` }),
  };
}

const show = defineCommand({
  name: 'workspace show',
  readOnly: true,
  summary: 'Show what clients call a domain, its colour and its icon',
  args: z.strictObject({ domain }),
  run: (context, args) => withWorkspace(context, args.domain, described),
  render: rendered,
});

const set = defineCommand({
  name: 'workspace set',
  summary: 'Give a domain a name, a colour and an icon, for clients that show a workspace',
  args: z.strictObject({
    domain,
    name: z.string().trim().min(1).max(200).optional().describe('What it is called'),
    color: z
      .string()
      .regex(/^#[0-9a-f]{6}$/i, 'A colour is like #1972f5')
      .optional()
      .describe('Its colour, such as #1972f5'),
    icon: z.string().optional().describe('Its icon in base64; the empty text for none'),
  }),
  run: (context, { domain: given, ...change }) =>
    withWorkspace(context, given, async (workspace, name) => {
      if (Object.values(change).every((value) => value === undefined)) {
        throw new CommandError('bad-arguments', 'a name, a colour or an icon is missing');
      }
      await workspace.set(change);
      return described(workspace, name);
    }),
  render: rendered,
});

export const workspaceCommands = [show, set];
