// The administrative command for people who move to another address (XEP-0283).
import { z } from 'zod';
import { jid } from '../config/schema.ts';
import { Jid } from '../xmpp/jid.ts';
import { account, split, withAccount } from './admin-common.ts';
import { type AnyCommand, CommandError, defineCommand } from './commands.ts';

/** Somebody that an account has to do with. */
export interface OldContact {
  /** Bare. */
  readonly jid: Jid;
  readonly name: string | undefined;
  readonly groups: readonly string[];
  /** May see the account's presence. */
  readonly sees: boolean;
}

/** The accounts of one host that move, by localpart. */
export interface AdminMoves {
  /** The account says that it is at another address now. */
  declare(user: string, to: Jid): Promise<void>;
  /** What it says. */
  declared(user: string): Promise<Jid | undefined>;
  contacts(user: string): Promise<readonly OldContact[]>;
  /** Asks the contacts of an old account for the new one, which is this; returns how many. */
  announce(user: string, old: Jid, contacts: readonly OldContact[]): Promise<number>;
}

const userMove = defineCommand({
  name: 'user move',
  summary: 'Say that somebody has another address now; contacts follow by themselves (XEP-0283)',
  args: z.strictObject({
    jid: account,
    to: jid().describe('The new account, here or elsewhere'),
  }),
  async run(context, { jid: from, to }) {
    const [old, next] = [Jid.parse(from)!, Jid.parse(to)!];
    if (old.bare === next.bare) throw new CommandError('bad-arguments', 'the new address is the old one');
    const movesOf = async (address: string) => {
      const moves = await context.movesOf(split(address).host);
      if (moves === undefined)
        throw new CommandError('refused', `the module "moved" is switched off for ${split(address).host}`);
      return moves;
    };
    await withAccount(context, from, async (accounts, user) => {
      if (!(await accounts.exists(user))) throw new CommandError('not-found', `there is no account ${from}`);
    });
    const before = await movesOf(from);
    const isHere = context.hosts.includes(next.domain);
    if (isHere) {
      await withAccount(context, to, async (accounts, user) => {
        if (!(await accounts.exists(user)))
          throw new CommandError('not-found', `there is no account ${to}: make it first, or import the old one's file`);
      });
    }
    await before.declare(old.local, next);
    if (!isHere) return { jid: from, to };
    const contacts = await before.contacts(old.local);
    return { jid: from, to, asked: await (await movesOf(to)).announce(next.local, old, contacts) };
  },
  render: ({ jid: from, to, asked }) =>
    asked === undefined
      ? `${from} says that it is ${to} now; the new account has to ask its contacts, which clients do`
      : `${from} says that it is ${to} now; contacts asked: ${asked}`,
});

export const moveCommands: readonly AnyCommand[] = [userMove];
