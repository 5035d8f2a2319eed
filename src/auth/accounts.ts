// The accounts of one host: who exists, with which keys, and in which roles.
import { createHmac, randomBytes } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { LruCache } from '../base/lru.ts';
import { andThen, type MaybePromise } from '../base/maybe.ts';
import { MEMBER } from '../config/roles.ts';
import type { KvStore } from '../storage/ports.ts';
import { kv, map, type Opened } from '../storage/specs.ts';
import { prepareLocal } from '../xmpp/jid.ts';
import { type AccountMarks, type Client, type ClientPolicy, type ClientRow, Clients } from './clients.ts';
import {
  type ClientKeys,
  type CredentialSet,
  clientKeysOf,
  DEFAULT_ITERATIONS,
  deriveCredentials,
  inventCredentials,
  keysOf,
  matchesPassword,
  newSalt,
  type PasswordHasher,
  preparePassword,
  type ScramCredentials,
  type ScramHash,
  scramHashes,
} from './credentials.ts';
import type { AccountAuthority, ScramLookup, Standing, TokenAuthority } from './mechanism.ts';
import { Removals } from './removals.ts';

/** What everybody in the server may know of an account. */
export interface AccountFacts extends AccountMarks {
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly isDisabled: boolean;
  readonly role: string;
}

/** As stored: one row, so that an account is there with all its keys or not at all. */
interface AccountRow {
  readonly created: number;
  readonly passwordSet: number;
  /**
   * Another one for every password, and whenever the account is disabled: logins and tokens hold for one of them. The first is a
   * time, so that who takes a name after somebody else takes over none of theirs. 0 where it lacks.
   */
  readonly epoch?: number;
  readonly disabled?: true;
  /** Being removed: nobody can log in, and the name is not free until all its data is gone. */
  readonly removing?: true;
  /** Absent: that of a member. */
  readonly role?: string;
  readonly credentials: CredentialSet;
}

export const accountStores = {
  accounts: kv<AccountRow>({ cache: true }),
  clients: map<ClientRow>(),
  /** Under the owner `''`: the host's own secret, in base64. */
  secrets: kv<string>(),
};

export type AccountProblem = 'conflict' | 'invalid-name' | 'invalid-password' | 'not-found' | 'weak-password';

/** Why an account could not be made or changed; the message is for people. */
export class AccountError extends Error {
  readonly problem: AccountProblem;

  constructor(problem: AccountProblem, message: string) {
    super(message);
    this.name = 'AccountError';
    this.problem = problem;
  }
}

/** Told of changes on this node; those that return a promise are waited for. */
export interface AccountListener {
  created?(local: string): MaybePromise<void>;
  /** Nobody can log in any more; the account's data is still there, and is gone once everybody has returned. */
  removing?(local: string): MaybePromise<void>;
  /** All that it had is gone, and its name is free. */
  removed?(local: string): MaybePromise<void>;
  disabled?(local: string): MaybePromise<void>;
  roleChanged?(local: string): MaybePromise<void>;
  /** `by`: the id of the session that changed it, if it was one. */
  passwordChanged?(local: string, by: string | undefined): MaybePromise<void>;
  /** A client, by our name for it, has no token any more, and is to have no session. */
  clientRevoked?(local: string, client: string): MaybePromise<void>;
}

export interface AccountsOptions {
  readonly domain: string;
  readonly stores: Opened<typeof accountStores>;
  readonly hasher: PasswordHasher;
  readonly clock: Clock;
  /** Removes everything an owner has on this host, in every store: `driver.purge`. */
  readonly purge: (owner: string) => Promise<void>;
  /** Of new keys. */
  readonly iterations?: number;
  /** Characters of a new password, at least. */
  readonly minPasswordLength?: number;
  /** What is remembered of clients; read afresh at every use. */
  readonly clients: () => ClientPolicy;
}

const SECRET_BYTES = 32;
const MAX_PASSWORD = 1024;
/** How long, and how many, passwords that were right need not be hashed again. */
const VERIFIED_FOR = 3 * 60_000;
const VERIFIED_CAPACITY = 2000;
/** The cheapest to verify comes first; accounts that were imported may not have them all. */
const plainOrder: readonly ScramHash[] = ['sha-256', 'sha-1', 'sha-512'];

/** Opens the accounts of a host; makes the host's secret on the first start. */
export async function openAccounts(options: AccountsOptions): Promise<Accounts> {
  const fresh = randomBytes(SECRET_BYTES).toString('base64');
  const secret = await options.stores.secrets.update('', (old) => old ?? fresh);
  return new Accounts(options, Buffer.from(secret ?? fresh, 'base64'));
}

/** See {@link openAccounts}. Localparts are prepared by every method that takes one. */
export class Accounts implements AccountAuthority {
  readonly domain: string;
  readonly clients: Clients;
  private readonly rows: KvStore<AccountRow>;
  private readonly options: AccountsOptions;
  private readonly secret: Buffer;
  private readonly iterations: number;
  private readonly listeners = new Set<AccountListener>();
  private readonly removals: Removals;
  /** Passwords that were right, as HMACs under a key that nobody else has; the values say until when. */
  private readonly verified = new LruCache<string, number>(VERIFIED_CAPACITY);
  private readonly verifiedKey = randomBytes(SECRET_BYTES);

  constructor(options: AccountsOptions, secret: Buffer) {
    this.domain = options.domain;
    this.rows = options.stores.accounts;
    this.options = options;
    this.secret = secret;
    this.clients = new Clients(options.stores.clients, secret, options.clock, options.clients);
    this.iterations = options.iterations ?? DEFAULT_ITERATIONS;
    this.removals = new Removals(options.clock);
  }

  /** Tells a listener of changes made on this node; returns how to stop. */
  listen(listener: AccountListener): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  exists(local: string): MaybePromise<boolean> {
    return andThen(this.row(local), (row) => row !== undefined);
  }

  facts(local: string): MaybePromise<AccountFacts | undefined> {
    return andThen(this.row(local), (row) =>
      row === undefined
        ? undefined
        : {
            created: row.created,
            passwordSet: row.passwordSet,
            epoch: row.epoch ?? 0,
            isDisabled: row.disabled === true,
            role: row.role ?? MEMBER,
          },
    );
  }

  /** The keys that logins are checked against; undefined where there is no such account. */
  credentialsOf(local: string): MaybePromise<CredentialSet | undefined> {
    return andThen(this.row(local), (row) => row?.credentials);
  }

  /** Localparts in order, one page at a time. */
  list(after?: string, limit?: number): Promise<readonly string[]> {
    return this.rows.owners(after, limit);
  }

  /**
   * Makes an account with keys for every hash; returns its localpart, prepared. Where one of that name is being removed, its end is waited
   * for, some seconds at most.
   * @param role that of a member unless said otherwise; whether there is such a one is checked before
   * @throws AccountError `conflict`, `invalid-name`, `invalid-password`, `weak-password`
   */
  async create(local: string, password: string, role?: string): Promise<string> {
    const name = this.name(local);
    await this.removals.wait(name, () => this.isLeaving(name));
    if (await this.rows.get(name)) throw taken(name);
    return this.insert(name, await this.keys(password), role);
  }

  /**
   * As {@link create}, with keys from elsewhere: passwords stay where they were.
   * @throws AccountError `conflict`, `invalid-name`, `invalid-password` when there is no key
   */
  async createWithKeys(local: string, credentials: CredentialSet, role?: string): Promise<string> {
    const name = this.name(local);
    if (!scramHashes.some((hash) => credentials[hash] !== undefined)) {
      throw new AccountError('invalid-password', 'There is no key to log in with');
    }
    await this.removals.wait(name, () => this.isLeaving(name));
    return this.insert(name, credentials, role);
  }

  /**
   * @param by the id of the session that changes it, if it is one
   * @throws AccountError `not-found`, `invalid-password`, `weak-password`
   */
  async setPassword(local: string, password: string, by?: string): Promise<void> {
    const name = this.name(local);
    if (!(await this.exists(name))) throw missing(name);
    const credentials = await this.keys(password);
    const passwordSet = this.options.clock.now();
    await this.change(name, (row) => ({ ...nextEpoch(row), credentials, passwordSet }));
    await this.tell((listener) => listener.passwordChanged?.(name, by));
  }

  /** @throws AccountError `not-found` */
  async disable(local: string): Promise<void> {
    const name = this.name(local);
    await this.change(name, (row) => ({ ...nextEpoch(row), disabled: true }));
    await this.tell((listener) => listener.disabled?.(name));
  }

  /** @throws AccountError `not-found` */
  async enable(local: string): Promise<void> {
    await this.change(this.name(local), ({ disabled: _, ...row }) => row);
  }

  /** Undefined where there is no such account. At once where it was looked at lately. */
  roleOf(local: string): MaybePromise<string | undefined> {
    return andThen(this.row(local), (row) => row && (row.role ?? MEMBER));
  }

  /**
   * Whether there is such a role is checked before.
   * @throws AccountError `not-found`
   */
  async setRole(local: string, role: string): Promise<void> {
    const name = this.name(local);
    await this.change(name, (row) => withRole(row, role));
    await this.tell((listener) => listener.roleChanged?.(name));
  }

  /**
   * Begins the removal of an account: nobody can log in to it any more, and its name is nobody's until {@link remove} is done.
   * @throws AccountError `not-found`
   */
  async condemn(local: string): Promise<void> {
    const name = this.name(local);
    let isThere = false;
    await this.rows.update(name, (row) => {
      isThere = row !== undefined;
      return row && { ...row, removing: true, credentials: {} };
    });
    if (!isThere) throw missing(name);
  }

  /**
   * Removes an account and everything it has on this host. A removal that was cut short is finished by the next call.
   * @throws AccountError `not-found`
   */
  async remove(local: string): Promise<void> {
    const name = this.name(local);
    await this.condemn(name);
    await this.tell((listener) => listener.removing?.(name));
    await this.options.purge(name);
    // where the purge left the row to us; and only if nobody has taken the name since
    await this.rows.update(name, (row) => (row?.removing ? undefined : row));
    this.removals.over(name);
    await this.tell((listener) => listener.removed?.(name));
  }

  /** Another node has removed an account: whoever waits here for its name may have it. */
  removedElsewhere(local: string): void {
    this.removals.over(local);
  }

  /**
   * The clients that said which one they are, the one seen last first.
   * @throws AccountError `not-found`
   */
  async clientsOf(local: string): Promise<readonly Client[]> {
    const name = this.name(local);
    const facts = await this.facts(name);
    if (facts === undefined) throw missing(name);
    return this.clients.list(name, facts);
  }

  /**
   * Takes a client's tokens away and ends its sessions (XEP-0494 3.2); it may come back by the password, if it knows it.
   * @throws AccountError `not-found`
   */
  async revokeClient(local: string, id: string): Promise<void> {
    const name = this.name(local);
    const facts = await this.facts(name);
    if (facts === undefined) throw missing(name);
    await this.clients.revoke(name, id, facts);
    await this.tell((listener) => listener.clientRevoked?.(name, id));
  }

  /** Removes what somebody without an account, a guest, has left on this host. */
  async forget(local: string): Promise<void> {
    await this.tell((listener) => listener.removing?.(local));
    await this.options.purge(local);
  }

  // For mechanisms

  async scram(local: string | undefined, raw: string, hash: ScramHash): Promise<ScramLookup> {
    const row = local === undefined ? undefined : await this.row(local);
    const credentials = row?.credentials[hash];
    // made in any case: how long it takes shall not tell who has an account
    const invented = inventCredentials(this.secret, local ?? raw, hash, this.iterations);
    return credentials === undefined
      ? { credentials: invented, ...standingOf(undefined) }
      : { credentials, ...standingOf(row) };
  }

  async plain(local: string | undefined, password: string): Promise<Standing> {
    const row = local === undefined ? undefined : await this.row(local);
    const hash = plainOrder.find((candidate) => row?.credentials[candidate] !== undefined) ?? 'sha-256';
    const credentials = row?.credentials[hash] ?? inventCredentials(this.secret, local ?? '', hash, this.iterations);
    const prepared = preparePassword(password.slice(0, MAX_PASSWORD + 1));
    // the stored key is part of it: a new password is another key, on whichever node it was set
    const key = createHmac('sha256', this.verifiedKey)
      .update(`${local}\0${credentials.storedKey}\0${password}`)
      .digest('base64');
    const now = this.options.clock.now();
    const until = this.verified.get(key);
    if (until === undefined || until <= now) {
      // a password that cannot be is hashed all the same: nobody shall see the difference
      const matches = await matchesPassword(this.options.hasher, prepared ?? ' ', hash, credentials);
      if (!matches || prepared === undefined || row === undefined || password.length > MAX_PASSWORD)
        return standingOf(undefined);
      this.verified.set(key, now + VERIFIED_FOR);
    }
    return standingOf(row);
  }

  standing(local: string | undefined): MaybePromise<Standing> {
    return local === undefined ? standingOf(undefined) : andThen(this.row(local), standingOf);
  }

  /** Whether what was proved at an epoch holds still: the account is there, not disabled, and has the password it had. */
  isCurrent(local: string, epoch: number): MaybePromise<boolean> {
    return andThen(this.standing(local), (now) => now.state === 'active' && now.epoch === epoch);
  }

  /** The tokens of the client that says it is this one. */
  tokensOf(agentId: string): TokenAuthority {
    return {
      tokens: async (local, mechanism) => {
        // looked for in any case: how long it takes shall not tell who has an account
        const name = local ?? '';
        const { epoch } = await this.standing(name);
        return this.clients.tokens(name, this.clients.idOf(name, agentId), mechanism, epoch);
      },
      standing: (local) => this.standing(local),
    };
  }

  /** The hash functions that an account has no key for. */
  missingKeys(local: string): MaybePromise<readonly ScramHash[]> {
    return andThen(this.row(local), (row) => scramHashes.filter((hash) => row && row.credentials[hash] === undefined));
  }

  /** What a client is to make a key for a further hash function with (XEP-0480 3). */
  newKey(): Pick<ScramCredentials, 'salt' | 'iterations'> {
    return { salt: newSalt(), iterations: this.iterations };
  }

  /**
   * Adds the key that a client made from the password, unless there is one, the password was set anew since `epoch`, or the account
   * is gone.
   */
  async addKey(
    local: string,
    epoch: number,
    hash: ScramHash,
    salted: Buffer,
    key: Pick<ScramCredentials, 'salt' | 'iterations'>,
  ): Promise<void> {
    const added: ScramCredentials = { ...key, ...keysOf(hash, salted) };
    await this.rows.update(this.name(local), (row) =>
      row === undefined || row.removing || row.credentials[hash] !== undefined || (row.epoch ?? 0) !== epoch
        ? row
        : { ...row, credentials: { ...row.credentials, [hash]: added } },
    );
  }

  /** Whether this is the account's password; for changing it and for doors other than SASL. */
  async verifyPlain(local: string, password: string): Promise<boolean> {
    return (await this.plain(prepareLocal(local), password)).state === 'active';
  }

  /**
   * The keys that a client would keep of the account's password, for the strongest hash function that there are keys for: they log in
   * without it until it is changed. Undefined where this is not the password.
   */
  async clientKeys(local: string, password: string): Promise<ClientKeys | undefined> {
    const row = await this.row(local);
    const hash = scramHashes.findLast((candidate) => row?.credentials[candidate] !== undefined);
    const prepared = password.length > MAX_PASSWORD ? undefined : preparePassword(password);
    if (row === undefined || hash === undefined || prepared === undefined) return undefined;
    return clientKeysOf(this.options.hasher, prepared, hash, row.credentials[hash]!);
  }

  private row(local: string): MaybePromise<AccountRow | undefined> {
    const name = prepareLocal(local);
    if (name === undefined) return undefined;
    return andThen(this.rows.get(name), (row) => (row?.removing ? undefined : row));
  }

  private isLeaving(name: string): MaybePromise<boolean> {
    return andThen(this.rows.get(name), (row) => row?.removing === true);
  }

  private name(local: string): string {
    const name = prepareLocal(local);
    if (name === undefined) throw new AccountError('invalid-name', `"${local}" cannot be the name of an account`);
    return name;
  }

  private async keys(password: string): Promise<CredentialSet> {
    const prepared = password.length > MAX_PASSWORD ? undefined : preparePassword(password);
    if (prepared === undefined) {
      throw new AccountError(
        'invalid-password',
        'The password is empty, too long, or has characters that not every client can send',
      );
    }
    if ([...prepared].length < (this.options.minPasswordLength ?? 1)) {
      throw new AccountError(
        'weak-password',
        `The password has fewer than ${this.options.minPasswordLength} characters`,
      );
    }
    const derived = await Promise.all(
      scramHashes.map((hash) => deriveCredentials(this.options.hasher, prepared, hash, this.iterations)),
    );
    return Object.fromEntries(scramHashes.map((hash, i) => [hash, derived[i]!]));
  }

  private async insert(name: string, credentials: CredentialSet, role: string = MEMBER): Promise<string> {
    const created = this.options.clock.now();
    let isOurs = false;
    await this.rows.update(name, (row) => {
      isOurs = row === undefined;
      return row ?? withRole({ created, passwordSet: created, epoch: created, credentials }, role);
    });
    if (!isOurs) throw taken(name);
    await this.tell((listener) => listener.created?.(name));
    return name;
  }

  private async change(name: string, change: (row: AccountRow) => AccountRow): Promise<void> {
    let isThere = false;
    await this.rows.update(name, (row) => {
      isThere = row !== undefined && row.removing !== true;
      return row === undefined || row.removing ? row : change(row);
    });
    if (!isThere) throw missing(name);
  }

  private async tell(what: (listener: AccountListener) => MaybePromise<void> | undefined): Promise<void> {
    for (const listener of [...this.listeners]) await what(listener);
  }
}

function withRole({ role: _, ...row }: AccountRow, role: string): AccountRow {
  return role === MEMBER ? row : { ...row, role };
}

function nextEpoch(row: AccountRow): AccountRow {
  return { ...row, epoch: (row.epoch ?? 0) + 1 };
}

function standingOf(row: AccountRow | undefined): Standing {
  if (row === undefined) return { state: 'none', epoch: 0 };
  return { state: row.disabled === true ? 'disabled' : 'active', epoch: row.epoch ?? 0 };
}

const taken = (name: string): AccountError => new AccountError('conflict', `There is an account "${name}" already`);
const missing = (name: string): AccountError => new AccountError('not-found', `There is no account "${name}"`);
