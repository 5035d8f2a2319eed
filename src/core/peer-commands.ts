// The administrative commands for the lists of those of other servers whom a host keeps away, or lets in.
import { z } from 'zod';
import { quote } from '../config/schema.ts';
import { Jid } from '../xmpp/jid.ts';
import { domain, hostOf } from './admin-common.ts';
import type { AdminPeers } from './admin-services.ts';
import { type AdminContext, type AnyCommand, CommandError, defineCommand } from './commands.ts';

/** Addresses of one list. */
const MOST = 10_000;

const addresses = z
  .array(z.string())
  .max(MOST, { error: `a list has at most ${MOST} addresses` })
  .optional();
const change = z.strictObject({
  host: domain,
  add: addresses.describe('Domains, accounts or resources to put on the list'),
  remove: addresses.describe('Those to take off'),
  set: addresses.describe('All that is to be on the list'),
});

async function find(
  context: AdminContext,
  given: string | undefined,
): Promise<{ readonly host: string; readonly peers: AdminPeers }> {
  const host = hostOf(context, given);
  const peers = await context.peersOf(host);
  if (peers === undefined) throw new CommandError('not-found', `${host} has no such list: the module is off`);
  return { host, peers };
}

/** Prepared, each once. @throws CommandError */
function prepared(context: AdminContext, given: readonly string[] = []): readonly string[] {
  const ours = new Set([...context.hosts, ...context.rooms, ...context.pubsub]);
  const found = given.map((address) => {
    const jid = Jid.parse(address);
    if (jid === undefined) throw new CommandError('bad-arguments', `${quote(address)} is not an address`);
    if (ours.has(jid.domain)) {
      throw new CommandError(
        'refused',
        `${jid.full} is ours: these lists are about other servers; disable the account`,
      );
    }
    return jid.full;
  });
  return [...new Set(found)].sort();
}

/** What a list is after a change; undefined where there is none. */
function changed(
  context: AdminContext,
  was: readonly string[],
  { add, remove, set }: z.output<typeof change>,
): readonly string[] | undefined {
  if (add === undefined && remove === undefined && set === undefined) return undefined;
  const gone = new Set(prepared(context, remove));
  const kept = (set === undefined ? was : prepared(context, set)).filter((jid) => !gone.has(jid));
  const now = [...new Set([...kept, ...prepared(context, add)])].sort();
  if (now.length > MOST) throw new CommandError('refused', `a list has at most ${MOST} addresses`);
  return now;
}

const listed = (jids: readonly string[]): string => (jids.length === 0 ? 'the list is empty' : jids.join('\n'));

const blocked = defineCommand({
  name: 's2s blocked',
  summary: 'Show, or change, whom of other servers nobody here talks with',
  args: change,
  async run(context, args) {
    const { host, peers } = await find(context, args.host);
    const was = await peers.blocked();
    const now = changed(context, was, args);
    if (now !== undefined) await peers.setBlocked(now);
    return { host, jids: now ?? was };
  },
  render: ({ jids }) => listed(jids),
});

const allowed = defineCommand({
  name: 's2s allowed',
  summary: 'Show, or change, whom of other servers alone people here talk with; an empty list is for everybody',
  args: change,
  async run(context, args) {
    const { host, peers } = await find(context, args.host);
    const was = await peers.allowed();
    const now = changed(context, was, args);
    if (now !== undefined) await peers.setAllowed(now);
    return { host, jids: now ?? was };
  },
  render: ({ jids }) => listed(jids),
});

export const peerCommands: readonly AnyCommand[] = [blocked, allowed];
