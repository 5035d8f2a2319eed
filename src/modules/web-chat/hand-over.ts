// Hand-over of somebody who has just chosen a password on a page of ours to the web client: it opens signed in, without the
// password being typed again.
//
// What is handed over is what a client keeps of a password after a login (RFC 5802 9: the SCRAM client key and server key for the
// account's salt). So there is nothing new that would have to be revoked, both sides still prove themselves, the client can come
// back after a lost connection or a reload, and a new password ends it. The way there is a ticket: random, for a minute, for one
// use in the whole cluster. It travels in the fragment of an address, which browsers send to nobody, and then in the body of a
// request. The row in the store has a hash of it, and the keys encrypted under it: whoever sees the table has nothing.
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import type { Accounts } from '../../auth/accounts.ts';
import type { ClientKeys } from '../../auth/credentials.ts';
import type { Clock } from '../../base/clock.ts';
import { defineService } from '../../core/module.ts';
import type { MapStore } from '../../storage/ports.ts';

/** The client in the browser, where it is installed. */
export interface WebSignIn {
  /**
   * Where to send a browser, below the public address of the host, so that it is signed in as that account. For somebody who has just
   * given the password; once, and within a minute.
   * @throws Error where that is not the account's password
   */
  ticket(user: string, password: string): Promise<string>;
}
/** Missing where there is no client to be signed in to. */
export const webSignIn = defineService<WebSignIn>('webSignIn');

/** As stored. */
export interface HandOver {
  readonly local: string;
  /** Milliseconds since 1970. */
  readonly expires: number;
  /** The account's: another password makes it worthless. */
  readonly epoch: number;
  /** The keys, encrypted; base64. */
  readonly sealed: string;
}

/** Who is to be signed in, and with which keys. */
export interface SignIn {
  readonly local: string;
  readonly keys: ClientKeys;
}

/** How long a ticket is good, in milliseconds. */
export const TICKET_LIFETIME = 60_000;
const TOKEN_BYTES = 32;
/** Tickets in base64url. */
const TOKEN = /^[A-Za-z0-9_-]{43}$/;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** All tickets of a host: whoever comes with one says nothing else. */
const OWNER = '';

export class HandOvers {
  private readonly rows: MapStore<HandOver>;
  private readonly accounts: Accounts;
  private readonly clock: Clock;

  constructor(rows: MapStore<HandOver>, accounts: Accounts, clock: Clock) {
    this.rows = rows;
    this.accounts = accounts;
    this.clock = clock;
  }

  /** Makes a ticket. @throws Error where that is not the account's password */
  async give(local: string, password: string): Promise<string> {
    // the epoch first: it must not be a later one than the keys'
    const { epoch } = await this.accounts.standing(local);
    const keys = await this.accounts.clientKeys(local, password);
    if (keys === undefined) throw new Error('a ticket is for who has the password');
    const now = this.clock.now();
    for (const [id, { expires }] of await this.rows.all(OWNER)) {
      if (expires <= now) await this.rows.set(OWNER, id, undefined);
    }
    const token = randomBytes(TOKEN_BYTES).toString('base64url');
    const row = { local, expires: now + TICKET_LIFETIME, epoch, sealed: seal(JSON.stringify(keys), token) };
    await this.rows.set(OWNER, idOf(token), row);
    return token;
  }

  /** Takes a ticket, which is worth nothing from then on; undefined for one that is not, or not any more. */
  async take(token: string): Promise<SignIn | undefined> {
    if (!TOKEN.test(token)) return undefined;
    let row: HandOver | undefined;
    // of two that come at the same time, on whichever nodes, one finds it
    await this.rows.update(OWNER, idOf(token), (old) => {
      row = old;
      return undefined;
    });
    if (row === undefined || row.expires <= this.clock.now()) return undefined;
    if (!(await this.accounts.isCurrent(row.local, row.epoch))) return undefined;
    return { local: row.local, keys: JSON.parse(open(row.sealed, token)) as ClientKeys };
  }
}

const idOf = (token: string): string => createHash('sha256').update(token).digest('base64url');

const keyOf = (token: string): Buffer => Buffer.from(hkdfSync('sha256', token, '', 'parley web sign-in', 32));

function seal(text: string, token: string): string {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', keyOf(token), nonce);
  const sealed = [nonce, cipher.update(text), cipher.final()];
  return Buffer.concat([...sealed, cipher.getAuthTag()]).toString('base64');
}

function open(sealed: string, token: string): string {
  const bytes = Buffer.from(sealed, 'base64');
  const decipher = createDecipheriv('aes-256-gcm', keyOf(token), bytes.subarray(0, NONCE_BYTES));
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]).toString();
}
