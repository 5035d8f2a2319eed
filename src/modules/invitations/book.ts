// The invitations of a host, as they are stored: made, listed, revoked, and used up. Whoever uses one claims it first, in one step with
// all nodes; the claim becomes a use when the account is there, and is given back where it is not.
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import type { MaybePromise } from '../../base/maybe.ts';
import {
  type AdminInvitations,
  type Invitation,
  InvitationRefusal,
  type NewInvitation,
} from '../../core/invitations.ts';
import type { Opened } from '../../storage/specs.ts';
import { Jid, prepareLocal } from '../../xmpp/jid.ts';
import { type Claim, type InvitationRow, invitationOf, isToken, newToken, stateOf } from './invitation.ts';

import { HOST, type stores } from './stores.ts';

export interface BookParts {
  readonly domain: string;
  readonly stores: Opened<typeof stores>;
  readonly clock: Clock;
  readonly exists: (user: string) => MaybePromise<boolean>;
  /** The address of the page for a token; undefined where nobody serves one. */
  readonly page: (token: string) => string | undefined;
  /** How long invitations hold, in milliseconds, unless said otherwise. */
  readonly ttl: number;
  /** Invitations of one account that can be used at a time. */
  readonly perAccount: number;
}

/** Of one invitation. */
export const MOST_USES = 1000;
/** XEP-0379 6.2: each MUST have an end. Milliseconds. */
export const LONGEST = 366 * 86_400_000;
/** Of notes and names of groups. */
const LONGEST_TEXT = 1000;
const MOST_GROUPS = 100;
/** Whoever claimed so long ago is not just making an account any more: the node has died over it. Milliseconds. */
const CLAIM = 2 * 60_000;
/** What cannot be used any more is shown for so long. Milliseconds. */
const REMEMBERED = 30 * 86_400_000;

/** A claim that is nobody's any more. */
export interface StaleClaim extends Claim {
  readonly user: string;
}

export class InvitationBook implements AdminInvitations {
  private readonly parts: BookParts;

  constructor(parts: BookParts) {
    this.parts = parts;
  }

  /** @throws InvitationRefusal */
  async create(wanted: NewInvitation): Promise<Invitation> {
    const { stores, clock, perAccount } = this.parts;
    const now = clock.now();
    const row = await this.rowOf(wanted, now);
    const token = newToken();
    const { inviter, user } = row;
    if (inviter !== undefined) {
      const own = [...(await stores.own.all(inviter)).values()].filter((expires) => expires > now);
      if (own.length >= perAccount) {
        throw new InvitationRefusal(
          'too-many',
          `There are ${own.length} invitations of yours already that can be used`,
        );
      }
    }
    if (row.kind === 'account' && user !== undefined) await this.keepName(user, token);
    if (inviter !== undefined) await stores.own.set(inviter, token, row.expires);
    await stores.invitations.set(HOST, token, row);
    return this.told(token, row);
  }

  async list(): Promise<readonly Invitation[]> {
    const rows = [...(await this.parts.stores.invitations.all(HOST))];
    return rows.sort(([, a], [, b]) => b.created - a.created).map(([token, row]) => this.told(token, row));
  }

  async show(token: string): Promise<Invitation | undefined> {
    const row = await this.row(token);
    return row && this.told(token, row);
  }

  async row(token: string): Promise<InvitationRow | undefined> {
    return isToken(token) ? this.parts.stores.invitations.get(HOST, token) : undefined;
  }

  told(token: string, row: InvitationRow): Invitation {
    const { domain, clock, page } = this.parts;
    return invitationOf(token, row, domain, clock.now(), page);
  }

  async revoke(token: string): Promise<boolean> {
    if ((await this.row(token)) === undefined) return false;
    const row = await this.update(token, (old) => ({ ...old, revoked: true }));
    await this.over(token, row);
    return row !== undefined;
  }

  /** All that an account has made, as when it is removed. */
  async revokeAll(inviter: string): Promise<void> {
    for (const token of (await this.parts.stores.own.all(inviter)).keys()) await this.revoke(token);
  }

  /** Whether a name is kept for whoever has an invitation; `token` is the one that is asked for. */
  async isKept(user: string, token: string | undefined): Promise<boolean> {
    const holder = await this.parts.stores.names.get(HOST, user);
    return holder !== undefined && holder !== token && (await this.holds(holder));
  }

  /**
   * Somebody begins to use an invitation in the name of a localpart, or a contact's bare JID. What is claimed must be settled or released.
   * @param lateness milliseconds after its end that it may still be used
   * @returns the invitation, and what tells the claim from another one for the same name
   * @throws InvitationRefusal
   */
  async claim(
    token: string,
    user: string,
    lateness = 0,
  ): Promise<{ readonly row: InvitationRow; readonly id: string }> {
    const id = randomBytes(9).toString('base64url');
    const now = this.parts.clock.now();
    let refusal: InvitationRefusal | undefined;
    const row = await this.update(token, (old) => {
      refusal = refusalOf(old, now - lateness);
      const claims = old.claims ?? {};
      if (refusal === undefined && Object.hasOwn(claims, user)) refusal = busy();
      if (refusal === undefined && old.by.length + Object.keys(claims).length >= old.uses) refusal = busy();
      return refusal === undefined ? { ...old, claims: { ...claims, [user]: { id, at: now } } } : old;
    });
    if (row === undefined) throw unknown();
    if (refusal !== undefined) throw refusal;
    return { row, id };
  }

  /**
   * What was claimed is done: from now on it is a use.
   * @returns false where the claim was given to somebody else meanwhile, and so what was done must be undone
   */
  async settle(token: string, user: string, id: string): Promise<boolean> {
    let isOurs = false;
    const jid = Jid.prepare(user, this.parts.domain)?.bare ?? user;
    const row = await this.update(token, (old) => {
      isOurs = old.claims?.[user]?.id === id;
      return isOurs ? { ...withoutClaim(old, user), by: [...old.by, user.includes('@') ? user : jid] } : old;
    });
    if (row !== undefined && row.by.length >= row.uses) await this.over(token, row);
    return isOurs;
  }

  /** What was claimed is not going to be done. */
  async release(token: string, user: string, id: string): Promise<void> {
    await this.update(token, (old) => (old.claims?.[user]?.id === id ? withoutClaim(old, user) : old));
  }

  /** Claims that nobody is going to settle. */
  stale({ claims = {} }: InvitationRow): readonly StaleClaim[] {
    const since = this.parts.clock.now() - CLAIM;
    return Object.entries(claims).flatMap(([user, claim]) => (claim.at <= since ? [{ ...claim, user }] : []));
  }

  /** Forgets what could not be used any more for long; returns those that have stale claims, by token. */
  async sweep(): Promise<ReadonlyMap<string, readonly StaleClaim[]>> {
    const before = this.parts.clock.now() - REMEMBERED;
    const found = new Map<string, readonly StaleClaim[]>();
    for (const [token, row] of await this.parts.stores.invitations.all(HOST)) {
      const stale = this.stale(row);
      if (stale.length > 0) found.set(token, stale);
      else if (row.expires <= before) {
        await this.over(token, row);
        await this.parts.stores.invitations.set(HOST, token, undefined);
      }
    }
    return found;
  }

  private async update(
    token: string,
    change: (old: InvitationRow) => InvitationRow,
  ): Promise<InvitationRow | undefined> {
    if (!isToken(token)) return undefined;
    return this.parts.stores.invitations.update(HOST, token, (old) => old && change(old));
  }

  /** It cannot be used any more: its name is free, and its inviter may make another one. */
  private async over(token: string, row: InvitationRow | undefined): Promise<void> {
    const { own, names } = this.parts.stores;
    if (row?.inviter !== undefined) await own.set(row.inviter, token, undefined);
    if (row?.user !== undefined)
      await names.update(HOST, row.user, (holder) => (holder === token ? undefined : holder));
  }

  private async holds(token: string): Promise<boolean> {
    const row = await this.row(token);
    return row !== undefined && stateOf(row, this.parts.clock.now()) === 'open';
  }

  /** XEP-0401 5.2: until the token expires. */
  private async keepName(user: string, token: string): Promise<void> {
    const { names } = this.parts.stores;
    const holder = await names.get(HOST, user);
    if (holder !== undefined && (await this.holds(holder))) throw kept(user);
    const now = await names.update(HOST, user, (old) => (old === holder ? token : old));
    if (now !== token) throw kept(user);
  }

  private async rowOf(wanted: NewInvitation, now: number): Promise<InvitationRow> {
    const { kind, role, note, source, groups = [], uses = 1, ttl = this.parts.ttl } = wanted;
    if (!Number.isInteger(uses) || uses < 1 || uses > MOST_USES) throw wrong(`uses: 1 to ${MOST_USES}`);
    if (!(ttl > 0 && ttl <= LONGEST)) throw wrong('an invitation holds for some time, and a year at most');
    if ([role, note, source, ...groups].some((text) => (text?.length ?? 0) > LONGEST_TEXT))
      throw wrong('a text is too long');
    if (groups.length > MOST_GROUPS) throw wrong('there are too many groups');
    const user = await this.nameOf(wanted);
    const inviter = wanted.inviter === undefined ? undefined : prepareLocal(wanted.inviter);
    if (wanted.inviter !== undefined && (inviter === undefined || !(await this.parts.exists(inviter)))) {
      throw new InvitationRefusal('no-account', `There is no account "${wanted.inviter}"`);
    }
    if (kind === 'contact' && inviter === undefined) throw wrong('somebody has to invite');
    if (kind !== 'account' && role !== undefined && kind === 'reset') throw wrong('a new password gives no role');
    if (user !== undefined && uses > 1) throw wrong('one name is for one person');
    return {
      kind,
      ...(user !== undefined && { user }),
      ...(inviter !== undefined && { inviter }),
      ...(kind === 'contact' && wanted.withoutAccount === true && { withoutAccount: true }),
      ...(kind !== 'reset' && inviter !== undefined && (wanted.befriends ?? true) && { befriends: true }),
      ...(role !== undefined && { role }),
      ...(groups.length > 0 && { groups }),
      ...(note !== undefined && { note }),
      ...(source !== undefined && { source }),
      uses,
      by: [],
      created: now,
      expires: now + ttl,
    };
  }

  private async nameOf({ kind, user: given }: NewInvitation): Promise<string | undefined> {
    if (given === undefined) {
      if (kind === 'reset') throw wrong('it has to be said whose password is to be set');
      return undefined;
    }
    if (kind === 'contact') throw wrong('a contact invitation keeps no name');
    const user = prepareLocal(given);
    if (user === undefined) throw new InvitationRefusal('invalid-name', `"${given}" cannot be the name of an account`);
    const isThere = await this.parts.exists(user);
    if (kind === 'reset' && !isThere) throw new InvitationRefusal('no-account', `There is no account "${user}"`);
    if (kind === 'account' && isThere) throw new InvitationRefusal('taken', `There is an account "${user}" already`);
    return user;
  }
}

function withoutClaim(row: InvitationRow, user: string): InvitationRow {
  const { claims = {}, ...rest } = row;
  const { [user]: _, ...others } = claims;
  return Object.keys(others).length === 0 ? rest : { ...rest, claims: others };
}

/** Why an invitation cannot be used at a time; undefined where it can. */
export function refusalOf(row: InvitationRow, at: number): InvitationRefusal | undefined {
  switch (stateOf(row, at)) {
    case 'open':
      return undefined;
    case 'used':
      return new InvitationRefusal('used', 'This invitation has been used already');
    case 'expired':
      return new InvitationRefusal('expired', 'This invitation has expired');
    case 'revoked':
      return new InvitationRefusal('revoked', 'This invitation was taken back');
  }
}

export const unknown = (): InvitationRefusal => new InvitationRefusal('unknown', 'There is no such invitation');
const busy = (): InvitationRefusal =>
  new InvitationRefusal('busy', 'Somebody is just using this invitation; try again in some minutes');
const kept = (user: string): InvitationRefusal => new InvitationRefusal('taken', `"${user}" is kept for somebody else`);
const wrong = (why: string): InvitationRefusal => new InvitationRefusal('bad-request', why);
