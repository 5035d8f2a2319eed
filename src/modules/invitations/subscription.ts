// XEP-0379: Pre-Authenticated Roster Subscription. The server knows the tokens, so it approves in the name of whoever invited, and asks back,
// whether one of their devices is there or not.
import type { Verdict } from '../../core/hooks.ts';
import type { Transit } from '../../core/transit.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Presence } from '../../xmpp/stanza.ts';
import type { Subscribing } from '../presence/subscriptions.ts';
import { isFrom, type Roster } from '../roster/index.ts';
import type { InvitationBook } from './book.ts';
import { InvitationRefusal } from './service.ts';

export interface PreauthParts {
  readonly book: InvitationBook;
  readonly roster: Roster;
  readonly subscribing: Subscribing;
  /** Whether somebody has an account at this host. */
  readonly isOurs: (jid: Jid) => boolean;
  /** Whether what a localpart has made is still good for something. */
  readonly mayInvite: (user: string) => Promise<boolean>;
}

/**
 * Takes a request that comes with a token of the account's. All others go on as they are (4.1 MUST): a client that makes tokens of its own has
 * to see them.
 */
export async function takePreauth(parts: PreauthParts, transit: Transit<Presence>): Promise<Verdict | undefined> {
  const { stanza } = transit;
  const token = stanza.el.getChild('preauth', NS.pars)?.attrs.token;
  if (stanza.type !== 'subscribe' || token === undefined) return undefined;
  const [account, contact] = [stanza.to.withResource(''), stanza.from.withResource('')];
  // whoever sees the account already needs no use of the token for it
  const item = await parts.roster.get(account.local, contact.bare);
  if (item !== undefined && isFrom(item)) return undefined;
  return (await befriend(parts, transit, token, account, contact)) ? 'handled' : undefined;
}

async function befriend(
  { book, subscribing, isOurs, mayInvite }: PreauthParts,
  { stanza }: Transit<Presence>,
  token: string,
  account: Jid,
  contact: Jid,
): Promise<boolean> {
  if (contact.local === '' || contact.bare === account.bare) return false;
  const row = await book.row(token);
  if (row?.kind !== 'contact' || row.inviter !== account.local || !(await mayInvite(account.local))) return false;
  const claim = await book.claim(token, contact.bare).catch((error: unknown) => {
    if (error instanceof InvitationRefusal) return undefined;
    throw error;
  });
  if (claim === undefined) return false;
  await subscribing.approve(account, contact);
  // whoever asks with a token has asked for both; a client elsewhere says so itself (3.3)
  if (isOurs(contact)) await subscribing.approve(contact, account);
  await subscribing.take({ ...stanza, el: stanza.el.without((child) => child.is('preauth', NS.pars)) });
  await subscribing.request(account, contact);
  await book.settle(token, contact.bare, claim.id);
  return true;
}
