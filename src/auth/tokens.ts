// Tokens for HTTP (RFC 6750): random secrets of which only hashes are stored, each with an end and with what it may be used for.
//
// A token says whose it is and which one: it is looked up by that, and then compared by the hash of its secret. The secrets have 256
// random bits, so nobody can guess one from its hash, and a slow hash would protect nothing.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import type { MapStore } from '../storage/ports.ts';
import { map } from '../storage/specs.ts';

/** As stored; `T` is what the token stands for. */
export interface TokenRow<T> {
  /** SHA-256 of the secret, in base64url. */
  readonly hash: string;
  /** Milliseconds since 1970. */
  readonly created: number;
  /** From when on it is none, in milliseconds since 1970; for good, unless said. */
  readonly expires?: number;
  /** When it was last used, in milliseconds since 1970; known to within {@link USED_STEP}. */
  readonly used?: number;
  readonly grant: T;
}

/** A token that is good. */
export interface KnownToken<T> extends TokenRow<T> {
  readonly id: string;
  readonly owner: string;
}

/** How a store for tokens is declared. */
export const tokenStore = <T>() => map<TokenRow<T>>();

const PREFIX = 'parley';
const ID = /^[A-Za-z0-9_-]{16}$/;
const SECRET = /^[A-Za-z0-9_-]{43}$/;
/** The longest text that is looked at. */
const LONGEST = 2048;
/** How well it is known when a token was used last, in milliseconds. */
const USED_STEP = 3_600_000;

/** The tokens in one store. Owners are localparts, or the empty text for those of nobody. All methods reject with StorageUnavailable. */
export class Tokens<T> {
  private readonly rows: MapStore<TokenRow<T>>;
  private readonly clock: Clock;
  private readonly domain: string | undefined;

  /** @param domain whose accounts the owners are: the texts of tokens say so */
  constructor(rows: MapStore<TokenRow<T>>, clock: Clock, domain?: string) {
    this.rows = rows;
    this.clock = clock;
    this.domain = domain;
  }

  /** @param lifetime in milliseconds; for good, unless said. The text is told this once. */
  async issue(owner: string, grant: T, lifetime?: number): Promise<{ readonly id: string; readonly text: string }> {
    const id = randomBytes(12).toString('base64url');
    const secret = randomBytes(32).toString('base64url');
    const created = this.clock.now();
    const expires = lifetime === undefined ? {} : { expires: created + lifetime };
    await this.rows.set(owner, id, { hash: hashOf(secret).toString('base64url'), created, ...expires, grant });
    return { id, text: `${PREFIX}.${Buffer.from(this.nameOf(owner)).toString('base64url')}.${id}.${secret}` };
  }

  /** The token of a text; undefined where it is none, or none any more. */
  async find(text: string): Promise<KnownToken<T> | undefined> {
    const named = parseToken(text);
    if (named === undefined) return undefined;
    const { id, secret } = named;
    const owner = this.domain === undefined ? named.owner : named.owner.slice(0, -this.domain.length - 1);
    if (this.nameOf(owner) !== named.owner) return undefined;
    const row = await this.rows.get(owner, id);
    if (row === undefined || !timingSafeEqual(hashOf(secret), Buffer.from(row.hash, 'base64url'))) return undefined;
    return this.isOver(row) ? undefined : { ...row, id, owner };
  }

  /** Writes down that a token is used, where that was not known. */
  async touch({ owner, id, used = 0 }: KnownToken<T>): Promise<void> {
    const now = this.clock.now();
    if (now - used < USED_STEP) return;
    await this.rows.update(owner, id, (row) => row && { ...row, used: now });
  }

  /** Those of an owner that are good, the oldest first. */
  async list(owner: string): Promise<readonly KnownToken<T>[]> {
    const rows = [...(await this.rows.all(owner))].map(([id, row]) => ({ ...row, id, owner }));
    return rows.filter((row) => !this.isOver(row)).sort((a, b) => a.created - b.created);
  }

  /** Changes what a token stands for. */
  async change(owner: string, id: string, change: (grant: T) => T): Promise<void> {
    await this.rows.update(owner, id, (row) => row && { ...row, grant: change(row.grant) });
  }

  /** Takes a token back; false where it was none. Of several that do so at a time, one hears true. */
  async revoke(owner: string, id: string): Promise<boolean> {
    let wasThere = false;
    await this.rows.update(owner, id, (row) => {
      wasThere = row !== undefined && !this.isOver(row);
      return undefined;
    });
    return wasThere;
  }

  /** Forgets those of an owner that are over. */
  async prune(owner: string): Promise<void> {
    for (const [id, row] of await this.rows.all(owner)) if (this.isOver(row)) await this.rows.set(owner, id, undefined);
  }

  private nameOf(owner: string): string {
    return this.domain === undefined ? owner : `${owner}@${this.domain}`;
  }

  private isOver({ expires }: TokenRow<T>): boolean {
    return expires !== undefined && expires <= this.clock.now();
  }
}

/** Whose a token says it is, and which one; undefined for what is none of ours. Nothing is proved by it. */
export function parseToken(
  text: string,
): { readonly owner: string; readonly id: string; readonly secret: string } | undefined {
  if (text.length > LONGEST) return undefined;
  const [prefix, owner = '', id = '', secret = '', ...more] = text.split('.');
  if (prefix !== PREFIX || more.length > 0 || !/^[A-Za-z0-9_-]*$/.test(owner) || !ID.test(id) || !SECRET.test(secret))
    return undefined;
  const name = Buffer.from(owner, 'base64url').toString('utf8');
  // no text of another encoding, and nothing that no store can hold
  return Buffer.from(name).toString('base64url') === owner && !name.includes('\0')
    ? { owner: name, id, secret }
    : undefined;
}

/** The domain that a token says it is of, where it is of one. */
export function domainOfToken(text: string): string | undefined {
  return parseToken(text)?.owner.split('@')[1];
}

/** Whether two texts are the same, told in a time that says nothing of where they differ. */
export function isSameText(a: string, b: string): boolean {
  return timingSafeEqual(hashOf(a), hashOf(b));
}

/** The token of an `Authorization` header (RFC 6750 2.1). */
export function bearerOf(header: string | undefined): string | undefined {
  return /^Bearer +([A-Za-z0-9._~+/-]+=*) *$/i.exec(header ?? '')?.[1];
}

function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
