// The clients of the accounts of one host, and their tokens (XEP-0388 2.3, XEP-0484, XEP-0494): a row for each that says which
// one it is.
//
// No row holds a token. A token is an HMAC under the host's own secret, of an id that the row has: the mechanisms need the token
// itself to verify a proof, and so could not do with a hash; but whoever sees the table alone cannot log in with it.
import { createHmac, randomBytes } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import type { MapStore } from '../storage/ports.ts';
import { SaslError } from '../xmpp/errors.ts';
import type { KnownToken } from './mechanism.ts';

/** What a client says of itself. */
export interface UserAgent {
  /** A UUID, in lower case; nobody but the client is ever shown it. */
  readonly id: string | undefined;
  readonly software: string | undefined;
  readonly device: string | undefined;
}

/** Times in milliseconds since 1970. */
interface TokenRow {
  readonly id: string;
  /** Tokens are good for one mechanism (XEP-0484 3.4). */
  readonly mechanism: string;
  readonly issued: number;
  readonly expires: number;
  /** The account's, when it was issued: a token of an earlier one is none. */
  readonly epoch: number;
  /** The highest count that came with it. */
  readonly count?: number;
}

export interface ClientRow {
  readonly software?: string;
  readonly device?: string;
  readonly firstSeen: number;
  readonly lastSeen: number;
  /** The mechanism of the last login. */
  readonly mechanism: string;
  /** When it last proved that it knows the password. */
  readonly passwordAt?: number;
  /** It has had a session. */
  readonly bound?: true;
  /** The token in use. */
  readonly current?: TokenRow;
  /** The one that was given out last, until it is used (XEP-0484 5.1). */
  readonly next?: TokenRow;
}

/** A client as others see it. */
export interface Client extends ClientRow {
  readonly id: string;
  /** It has a token that would let it in. */
  readonly hasToken: boolean;
  /** It knew the password that is the account's now. */
  readonly knowsPassword: boolean;
}

/** What is kept, and for how long, as the settings of a host say; times in milliseconds. */
export interface ClientPolicy {
  /** How long a token is good; 0: there are no tokens. */
  readonly 'token-lifetime': number;
  /** From which age on a token that is used is replaced. */
  readonly 'token-rotation': number;
  /** After how long a client that did not come back is forgotten. */
  readonly forget: number;
  /** Whether names of software and devices are kept. */
  readonly names: boolean;
  readonly 'per-account': number;
}

/** One authenticated login of a client. */
export interface ClientLogin {
  readonly agent: UserAgent;
  readonly mechanism: string;
  readonly isPassword: boolean;
  /** A session is to follow at once. */
  readonly isBinding: boolean;
  /** The account's, as it was when the password or the token was verified. */
  readonly epoch: number;
  /** The id of the token that was proved. */
  readonly token: string | undefined;
  /** The client's count of its attempts with the token. */
  readonly count: number | undefined;
  /** The client wants its token to be good no more. */
  readonly isLast: boolean;
  /** The mechanism that a token is wanted for. */
  readonly wanted: string | undefined;
}

export interface IssuedToken {
  readonly secret: string;
  /** Milliseconds since 1970. */
  readonly expires: number;
}

/** What is known of the account itself. */
export interface AccountMarks {
  /** Another one for every password: tokens hold for one of them. */
  readonly epoch: number;
  /** When the password was set last, in milliseconds since 1970. */
  readonly passwordSet: number;
}

/** A login within this time of the last one leaves the row as it is, where nothing else changes. In milliseconds. */
const RECENT = 10 * 60_000;
const ID_BYTES = 16;

export class Clients {
  private readonly rows: MapStore<ClientRow>;
  private readonly secret: Buffer;
  private readonly clock: Clock;
  private readonly policy: () => ClientPolicy;

  constructor(rows: MapStore<ClientRow>, secret: Buffer, clock: Clock, policy: () => ClientPolicy) {
    this.rows = rows;
    this.secret = secret;
    this.clock = clock;
    this.policy = policy;
  }

  /** Whether tokens are given out. */
  get hasTokens(): boolean {
    return this.policy()['token-lifetime'] > 0;
  }

  /** Our name for a client of an account, which does not tell the client's own. */
  idOf(local: string, agentId: string): string {
    return this.derive('client', local, agentId).subarray(0, 12).toString('base64url');
  }

  /** What makes a client's resource its own: always the same for the same tag (XEP-0386 3.2.1), and told from no other. */
  resourceOf(local: string, agentId: string, tag: string): string {
    return this.derive('resource', local, agentId, tag).subarray(0, 9).toString('base64url');
  }

  /** The tokens that a client may prove with a mechanism, the newest first. */
  async tokens(local: string, id: string, mechanism: string, epoch: number): Promise<readonly KnownToken[]> {
    const row = await this.rows.get(local, id);
    const now = this.clock.now();
    return [row?.next, row?.current]
      .filter((token) => token?.mechanism === mechanism)
      .map((token) => ({
        id: token!.id,
        secret: this.secretOf(local, id, token!),
        isExpired: token!.expires <= now || token!.epoch !== epoch,
      }));
  }

  /**
   * Writes a login down; gives the client a token where it wants one or its own is due for renewal.
   * @throws SaslError when the token was used up, or revoked, in the meantime
   */
  async login(local: string, id: string, login: ClientLogin): Promise<IssuedToken | undefined> {
    const now = this.clock.now();
    let refusal: SaslError | undefined;
    let issued: TokenRow | undefined;
    let isNew = false;
    // nobody comes in between: of two attempts with the same count one fails, on whichever nodes they were made
    await this.rows.update(local, id, (row) => {
      refusal = undefined;
      issued = undefined;
      isNew = row === undefined;
      const tokens = login.token === undefined ? row : useToken(row, login, now);
      if (tokens instanceof SaslError) {
        refusal = tokens;
        return row;
      }
      issued = this.due(tokens, login, now);
      return this.written(row, { current: tokens?.current, next: issued ?? tokens?.next }, login, now);
    });
    if (refusal !== undefined) throw refusal;
    if (isNew) await this.prune(local);
    return issued && { secret: this.secretOf(local, id, issued), expires: issued.expires };
  }

  /** Whether a client that came in by a token still has it. */
  async holds(local: string, id: string, token: string): Promise<boolean> {
    const row = await this.rows.get(local, id);
    return row?.current?.id === token || row?.next?.id === token;
  }

  /** A session is to be bound after a login that did not ask for one. */
  async bound(local: string, id: string): Promise<void> {
    await this.rows.update(local, id, (row) => (row === undefined || row.bound ? row : { ...row, bound: true }));
  }

  /** The clients of an account, the one seen last first. */
  async list(local: string, marks: AccountMarks): Promise<readonly Client[]> {
    const clients = [...(await this.rows.all(local))].map(([id, row]) => this.clientOf(id, row, marks));
    return clients.filter((client) => !this.isForgotten(client)).sort((a, b) => b.lastSeen - a.lastSeen);
  }

  async get(local: string, id: string, marks: AccountMarks): Promise<Client | undefined> {
    const row = await this.rows.get(local, id);
    return row && this.clientOf(id, row, marks);
  }

  /** Takes a client's tokens away; the client is forgotten unless it could come back with the password. */
  async revoke(local: string, id: string, marks: AccountMarks): Promise<void> {
    await this.rows.update(local, id, (row) => {
      if (row === undefined || !knowsPassword(row, marks)) return undefined;
      const { current: _, next: __, ...rest } = row;
      return row.current === undefined && row.next === undefined ? row : rest;
    });
  }

  /** Forgets clients that did not come back, and the oldest where there are too many. */
  async prune(local: string): Promise<void> {
    const rows = [...(await this.rows.all(local))].sort(([, a], [, b]) => b.lastSeen - a.lastSeen);
    const most = this.policy()['per-account'];
    for (const [i, [id, row]] of rows.entries()) {
      if (i < most && !this.isForgotten(row)) continue;
      // one that comes back just now stays
      await this.rows.update(local, id, (now) => (now?.lastSeen === row.lastSeen ? undefined : now));
    }
  }

  private isForgotten(row: ClientRow): boolean {
    return row.lastSeen + this.policy().forget <= this.clock.now();
  }

  private clientOf(id: string, row: ClientRow, marks: AccountMarks): Client {
    const now = this.clock.now();
    const hasToken = [row.current, row.next].some(
      (token) => token !== undefined && token.epoch === marks.epoch && token.expires > now,
    );
    return { ...row, id, hasToken, knowsPassword: knowsPassword(row, marks) };
  }

  /** XEP-0484 3.3, 3.5: a token is given to who asks for it, and to who used one that is to be replaced. */
  private due(tokens: Tokens | undefined, login: ClientLogin, now: number): TokenRow | undefined {
    const { 'token-lifetime': lifetime, 'token-rotation': rotation } = this.policy();
    if (lifetime === 0) return undefined;
    const used = tokens?.current;
    const isOld = login.token !== undefined && !login.isLast && used !== undefined && now - used.issued >= rotation;
    const mechanism = login.wanted ?? (isOld ? used.mechanism : undefined);
    if (mechanism === undefined) return undefined;
    const id = randomBytes(ID_BYTES).toString('base64url');
    return { id, mechanism, issued: now, expires: now + lifetime, epoch: login.epoch };
  }

  private written(row: ClientRow | undefined, tokens: Tokens, login: ClientLogin, now: number): ClientRow {
    const { names } = this.policy();
    const { software, device } = login.agent;
    const isBound = row?.bound === true || login.isBinding;
    const passwordAt = login.isPassword ? now : row?.passwordAt;
    const written: ClientRow = {
      ...(names && software !== undefined ? { software } : {}),
      ...(names && device !== undefined ? { device } : {}),
      firstSeen: row?.firstSeen ?? now,
      lastSeen: now,
      mechanism: login.mechanism,
      ...(passwordAt === undefined ? {} : { passwordAt }),
      ...(isBound ? { bound: true } : {}),
      ...(tokens.current === undefined ? {} : { current: tokens.current }),
      ...(tokens.next === undefined ? {} : { next: tokens.next }),
    };
    return row !== undefined && isSame(row, written) ? row : written;
  }

  private secretOf(local: string, id: string, token: TokenRow): string {
    return this.derive('token', local, id, token.id, token.mechanism).toString('base64url');
  }

  private derive(...parts: readonly string[]): Buffer {
    return createHmac('sha256', this.secret).update(parts.join('\0')).digest();
  }
}

interface Tokens {
  readonly current?: TokenRow | undefined;
  readonly next?: TokenRow | undefined;
}

/** XEP-0484 3.4 to 3.6, 5.1: what becomes of a client's tokens when one of them is used. */
function useToken(
  row: ClientRow | undefined,
  { token, count, isLast, epoch }: ClientLogin,
  now: number,
): Tokens | SaslError {
  const used = [row?.next, row?.current].find((one) => one?.id === token);
  if (used === undefined || used.expires <= now || used.epoch !== epoch) return new SaslError('credentials-expired');
  // whoever counts has to go on counting; a message that was seen before is somebody else's
  if (count !== undefined && count <= (used.count ?? -1)) return new SaslError('not-authorized');
  if (isLast) return {};
  const current = count === undefined ? used : { ...used, count };
  const later = used === row?.current ? row.next : undefined;
  return { current, next: later !== undefined && later.expires >= used.expires ? later : undefined };
}

function knowsPassword(row: ClientRow, { passwordSet }: AccountMarks): boolean {
  return row.passwordAt !== undefined && row.passwordAt >= passwordSet;
}

/** Whether there is nothing to write but the time, and that is known well enough. */
function isSame(row: ClientRow, written: ClientRow): boolean {
  if (written.lastSeen - row.lastSeen >= RECENT) return false;
  if (written.current?.count !== row.current?.count) return false;
  return (
    written.software === row.software &&
    written.device === row.device &&
    written.mechanism === row.mechanism &&
    written.bound === row.bound &&
    written.passwordAt === row.passwordAt &&
    written.current?.id === row.current?.id &&
    written.next?.id === row.next?.id
  );
}
