// What people have let clients do: grants, and the tokens of each. A grant holds for one password; tokens end with it. A token for others
// (RFC 6749 1.5) is good once: who shows one that was used already has stolen it, or was stolen from, and the grant ends (RFC 9700 4.14.2).
import { randomBytes } from 'node:crypto';
import { type KnownToken, type TokenRow, Tokens } from '../../auth/tokens.ts';
import type { Clock } from '../../base/clock.ts';
import type { MapStore } from '../../storage/ports.ts';
import { OAuthError } from './errors.ts';

export interface GrantRow {
  /** The client's hash, and what it calls itself. */
  readonly client: string;
  readonly name: string;
  readonly scopes: readonly string[];
  /** The account's, when it let the client in. */
  readonly epoch: number;
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly expires: number;
  /** The id of the only token that others can be had with, where there is one. */
  readonly refresh?: string;
}
export interface TokenUse {
  readonly grant: string;
  readonly kind: 'access' | 'refresh';
}

/** A token that is good now. */
export interface FoundToken extends KnownToken<TokenUse> {
  readonly of: GrantRow;
}

export interface Issued {
  readonly access: string;
  readonly refresh: string | undefined;
  /** Of the access token, in milliseconds. */
  readonly lifetime: number;
  readonly scopes: readonly string[];
}

export interface GrantParts {
  readonly grants: MapStore<GrantRow>;
  readonly tokens: MapStore<TokenRow<TokenUse>>;
  readonly clock: Clock;
  readonly domain: string;
  /** Whether what was let in at an epoch holds still. */
  readonly isCurrent: (user: string, epoch: number) => boolean | Promise<boolean>;
  /** How long a client stays in without asking again, in milliseconds. */
  readonly lifetime: number;
}

/** Of an access token beside which there is one to have others with, in milliseconds. */
const SHORT = 3_600_000;
/** How long such a one is good when nobody uses it, in milliseconds. */
const REFRESH = 30 * 86_400_000;
/** Of one account. */
const MOST = 50;

export class Grants {
  private readonly parts: GrantParts;
  private readonly tokens: Tokens<TokenUse>;

  constructor(parts: GrantParts) {
    this.parts = parts;
    this.tokens = new Tokens(parts.tokens, parts.clock, parts.domain);
  }

  /** Lets a client in. @param isLasting it may have other tokens when the first one has ended */
  async give(
    user: string,
    grant: Pick<GrantRow, 'client' | 'name' | 'scopes' | 'epoch'>,
    isLasting: boolean,
  ): Promise<Issued> {
    await this.prune(user);
    const id = randomBytes(12).toString('base64url');
    const created = this.parts.clock.now();
    const expires = created + (isLasting ? REFRESH : this.parts.lifetime);
    const row: GrantRow = { ...grant, created, expires };
    await this.parts.grants.set(user, id, row);
    return this.issue(user, id, row, isLasting);
  }

  /** The token of a text, if it is good: its grant is there, and its account has the password it had. */
  async find(text: string): Promise<FoundToken | undefined> {
    const token = await this.tokens.find(text);
    if (token === undefined) return undefined;
    const of = await this.parts.grants.get(token.owner, token.grant.grant);
    if (of === undefined || of.expires <= this.parts.clock.now()) return undefined;
    // it was good once
    if (token.grant.kind === 'refresh' && of.refresh !== token.id) return undefined;
    return (await this.parts.isCurrent(token.owner, of.epoch)) ? { ...token, of } : undefined;
  }

  /** Other tokens for one that is good once. @throws OAuthError `invalid_grant` */
  async refresh(text: string, client: string): Promise<Issued> {
    const token = await this.tokens.find(text);
    const grant = token && (await this.parts.grants.get(token.owner, token.grant.grant));
    if (token === undefined || grant === undefined || token.grant.kind !== 'refresh' || grant.client !== client)
      throw noGrant();
    const { owner, id } = token;
    if (grant.expires <= this.parts.clock.now() || !(await this.parts.isCurrent(owner, grant.epoch))) throw noGrant();
    let isFirst = false;
    // whoever comes second, on whatever node, finds another one here
    const row = await this.parts.grants.update(owner, token.grant.grant, (old) => {
      isFirst = old?.refresh === id;
      const { refresh: _, ...rest } = old ?? grant;
      return old && (isFirst ? { ...rest, expires: this.parts.clock.now() + REFRESH } : old);
    });
    if (!isFirst || row === undefined) {
      await this.end(owner, token.grant.grant);
      throw noGrant();
    }
    // a client may stay for years without anybody being asked again
    await this.tokens.prune(owner);
    return this.issue(owner, token.grant.grant, row, true);
  }

  /** Ends the grant that a token is of; nothing for what is none. @param client only where it is this one's */
  async revoke(text: string, client: string | undefined): Promise<void> {
    const token = await this.tokens.find(text);
    if (token === undefined) return;
    const grant = await this.parts.grants.get(token.owner, token.grant.grant);
    if (client === undefined || grant === undefined || grant.client === client)
      await this.end(token.owner, token.grant.grant);
  }

  /** The account has another password by this very token: it holds on, and no other does. */
  async renew({ owner, grant: { grant } }: FoundToken, epoch: number): Promise<void> {
    await this.parts.grants.update(owner, grant, (row) => row && { ...row, epoch });
  }

  private async issue(user: string, grant: string, row: GrantRow, isLasting: boolean): Promise<Issued> {
    const lifetime = isLasting ? Math.min(SHORT, this.parts.lifetime) : this.parts.lifetime;
    const access = await this.tokens.issue(user, { grant, kind: 'access' }, lifetime);
    if (!isLasting) return { access: access.text, refresh: undefined, lifetime, scopes: row.scopes };
    const refresh = await this.tokens.issue(user, { grant, kind: 'refresh' }, REFRESH);
    await this.parts.grants.update(user, grant, (old) => old && { ...old, refresh: refresh.id });
    return { access: access.text, refresh: refresh.text, lifetime, scopes: row.scopes };
  }

  private async end(user: string, grant: string): Promise<void> {
    await this.parts.grants.set(user, grant, undefined);
    for (const token of await this.tokens.list(user)) {
      if (token.grant.grant === grant) await this.tokens.revoke(user, token.id);
    }
  }

  /** Forgets what is over, and the oldest where there are too many. */
  private async prune(user: string): Promise<void> {
    const rows = [...(await this.parts.grants.all(user))].sort(([, a], [, b]) => b.created - a.created);
    const now = this.parts.clock.now();
    for (const [at, [id, row]] of rows.entries()) {
      if (at >= MOST - 1 || row.expires <= now || !(await this.parts.isCurrent(user, row.epoch)))
        await this.end(user, id);
    }
    await this.tokens.prune(user);
  }
}

const noGrant = (): OAuthError => new OAuthError('invalid_grant', 'the token is none, or none any more');
