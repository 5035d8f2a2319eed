// Invitations that become accounts and passwords. The order of steps is what keeps one use from making two accounts: claimed (one row, one
// writer), done, settled. Where a node dies in between, whoever meets the claim later looks at what became of it.
import { AccountError, type Accounts } from '../../auth/accounts.ts';
import { accountInvited, accountRegistering } from '../../core/events.ts';
import type { Host } from '../../core/host.ts';
import type { KvStore } from '../../storage/ports.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid, prepareLocal } from '../../xmpp/jid.ts';
import type { Subscribing } from '../presence/subscriptions.ts';
import { type InvitationBook, refusalOf, type StaleClaim, unknown } from './book.ts';
import { type InvitationRow, makesAccount } from './invitation.ts';
import { type InvitationProblem, InvitationRefusal, type Redemption } from './service.ts';
import type { Arrival } from './stores.ts';

export interface RedeemParts {
  readonly host: Host;
  readonly book: InvitationBook;
  readonly arrivals: KvStore<Arrival>;
  readonly subscribing: Subscribing;
  /** Characters of a password, at least. */
  readonly passwordLength: number;
  readonly now: () => number;
}

export class Redeemer {
  private readonly parts: RedeemParts;

  constructor(parts: RedeemParts) {
    this.parts = parts;
  }

  /**
   * An invitation that can be used now.
   * @throws InvitationRefusal
   */
  async open(token: string, lateness = 0): Promise<InvitationRow> {
    const row = await this.row(token);
    const refusal = refusalOf(row, this.parts.now() - lateness);
    if (refusal !== undefined) throw refusal;
    if (row.kind !== 'reset' && this.isClosed) throw closed();
    if (row.inviter !== undefined && !(await this.mayInvite(row.inviter))) throw takenBack();
    return row;
  }

  /** What somebody has made who is locked out is good for nothing. */
  async mayInvite(inviter: string): Promise<boolean> {
    return (await this.accounts.standing(inviter)).state === 'active';
  }

  /** As {@link Invitations.redeem}. */
  async redeem({ token, user: given, password, lateness = 0 }: Redemption): Promise<{
    readonly user: string;
    readonly isNew: boolean;
  }> {
    const { book } = this.parts;
    const row = await this.open(token, lateness);
    const user = await this.nameFor(token, row, given);
    if ([...password].length < this.parts.passwordLength) throw weak(this.parts.passwordLength);
    const { id } = await book.claim(token, user, lateness);
    const isNew = row.kind !== 'reset';
    try {
      await this.make(row, user, password);
    } catch (error) {
      // whether anything else was done nobody knows yet: that is looked for later
      if (!(error instanceof AccountError)) throw error;
      await book.release(token, user, id);
      throw refusalFor(error);
    }
    if (!(await this.finish(token, row, user, id)) && isNew) {
      await this.accounts.remove(user);
      throw new InvitationRefusal('used', 'This took too long, and somebody else has used the invitation meanwhile');
    }
    return { user, isNew };
  }

  /** Finds out what became of what nobody settled, and makes it so. */
  async recover(token: string, stale: readonly StaleClaim[]): Promise<void> {
    const { book, arrivals } = this.parts;
    const row = await book.row(token);
    if (row === undefined) return;
    for (const { user, id, at } of stale) {
      const facts = user.includes('@') ? undefined : await this.accounts.facts(user);
      // (whoever became a contact may have become one in part)
      if (user.includes('@')) await book.settle(token, user, id);
      else if (row.kind === 'reset' && (facts?.passwordSet ?? 0) >= at) await book.settle(token, user, id);
      else if (
        row.kind !== 'reset' &&
        (facts?.created ?? 0) >= at &&
        ((await arrivals.get(user))?.token ?? token) === token
      ) {
        await this.finish(token, row, user, id);
      } else await book.release(token, user, id);
    }
  }

  private get accounts(): Accounts {
    return this.parts.host.accounts;
  }

  private get isClosed(): boolean {
    const { registration, authentication } = this.parts.host.settings;
    return registration === 'closed' || authentication !== 'accounts';
  }

  private async row(token: string): Promise<InvitationRow> {
    const { book } = this.parts;
    const row = await book.row(token);
    if (row === undefined) throw unknown();
    const stale = book.stale(row);
    if (stale.length === 0) return row;
    await this.recover(token, stale);
    return (await book.row(token)) ?? row;
  }

  private async nameFor(token: string, row: InvitationRow, given: string | undefined): Promise<string> {
    const { host } = this.parts;
    if (row.kind !== 'reset' && !makesAccount(row)) {
      throw new InvitationRefusal('not-allowed', 'This invitation is for people who have an account');
    }
    const user = prepareLocal(given ?? row.user ?? '');
    if (user === undefined)
      throw new InvitationRefusal('invalid-name', `"${given ?? ''}" cannot be the name of an account`);
    if (row.user !== undefined && row.user !== user) {
      throw new InvitationRefusal('not-allowed', `This invitation is for "${row.user}" alone`);
    }
    if (row.kind === 'reset') {
      // who has the name by now may be somebody else
      if (((await this.accounts.facts(user))?.created ?? 0) > row.created) throw accountGone();
      return user;
    }
    // an administrator's name must not go to whoever comes first, nor to whom somebody invites who is none
    const isByOperator = row.user !== undefined && row.inviter === undefined;
    const isReserved = !isByOperator && host.settings.admins.includes(Jid.of(user, host.domain).bare);
    const refused = isReserved || (await host.gate(accountRegistering, { user, invitation: token }));
    if (refused === true || refused instanceof StanzaError) {
      throw new InvitationRefusal(
        'taken',
        refused === true ? `"${user}" is kept for somebody` : (refused.text ?? 'This name is kept for somebody'),
      );
    }
    if (await this.accounts.exists(user)) throw new InvitationRefusal('taken', `There is an account "${user}" already`);
    return user;
  }

  private async make(row: InvitationRow, user: string, password: string): Promise<void> {
    if (row.kind === 'reset') await this.accounts.setPassword(user, password);
    else await this.accounts.create(user, password, row.role);
  }

  /** All that goes with an account that was made; may be done again. Returns false where the claim is lost. */
  private async finish(token: string, row: InvitationRow, user: string, id: string): Promise<boolean> {
    const { book, arrivals, now } = this.parts;
    if (row.kind !== 'reset') {
      const { inviter } = row;
      await arrivals.set(user, { token, ...(inviter !== undefined && { inviter }), at: now() });
      if (inviter !== undefined && row.befriends === true) await this.befriend(inviter, user);
      const { groups: circles = [] } = row;
      if (circles.length > 0) await this.parts.host.collect(accountInvited, { user, circles });
    }
    return book.settle(token, user, id);
  }

  /** XEP-0401 4.5: both are told by pushes. */
  private async befriend(one: string, other: string): Promise<void> {
    const { host, subscribing } = this.parts;
    const isThere = await this.accounts.exists(one);
    if (!isThere) return;
    const [a, b] = [Jid.of(one, host.domain), Jid.of(other, host.domain)];
    await subscribing.approve(a, b);
    await subscribing.approve(b, a);
    await subscribing.request(b, a);
    await subscribing.request(a, b);
  }
}

const closed = (): InvitationRefusal => new InvitationRefusal('not-allowed', 'Nobody can make an account here');
const takenBack = (): InvitationRefusal => new InvitationRefusal('revoked', 'Whoever invited is not here any more');
const accountGone = (): InvitationRefusal => new InvitationRefusal('revoked', 'The account that this was for is gone');
const weak = (least: number): InvitationRefusal =>
  new InvitationRefusal('weak-password', `The password has fewer than ${least} characters`);

const problems: Readonly<Record<AccountError['problem'], InvitationProblem>> = {
  conflict: 'taken',
  'invalid-name': 'invalid-name',
  'invalid-password': 'invalid-password',
  'not-found': 'no-account',
  'weak-password': 'weak-password',
};

const refusalFor = (error: AccountError): InvitationRefusal =>
  new InvitationRefusal(problems[error.problem], error.message);
