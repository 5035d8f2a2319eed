// The administrative commands for sessions.
import { z } from 'zod';
import type { Client } from '../auth/clients.ts';
import { quote } from '../config/schema.ts';
import { Jid } from '../xmpp/jid.ts';
import { split, table, time, unknownLine } from './admin-common.ts';
import { type AdminContext, type AnyCommand, CommandError, defineCommand, type SessionInfo } from './commands.ts';

/** Whether a full JID is of this account, this domain, or itself the one asked for. */
export function isOf(full: string, asked: string): boolean {
  const jid = Jid.parse(full);
  return full === asked || jid?.bare === asked || jid?.domain === asked;
}

export const WAITING = 'waiting to be resumed';

export const clientNameOf = ({
  software,
  device,
}: {
  readonly software?: string | undefined;
  readonly device?: string | undefined;
}) => [software, device].filter(Boolean).join(' on ') || undefined;

/** A session with what its client calls itself. */
export function withClient(
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
        clientNameOf(client) ?? '',
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

export const sessionCommands: readonly AnyCommand[] = [sessionLs, sessionKick];
