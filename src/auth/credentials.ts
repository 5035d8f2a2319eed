// Stored SCRAM keys (RFC 5802 3) and the one place where passwords are hashed. No password is ever stored.
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { availableParallelism } from 'node:os';
import saslprep from '@mongodb-js/saslprep';
import { SaslError } from '../xmpp/errors.ts';

export type ScramHash = 'sha-1' | 'sha-256' | 'sha-512';

/** Weakest first: the hash functions that SCRAM is offered with (RFC 5802, RFC 7677). */
export const scramHashes: readonly ScramHash[] = ['sha-1', 'sha-256', 'sha-512'];

const digests = {
  'sha-1': { algorithm: 'sha1', size: 20 },
  'sha-256': { algorithm: 'sha256', size: 32 },
  'sha-512': { algorithm: 'sha512', size: 64 },
} as const satisfies Record<ScramHash, unknown>;

/** RFC 7677 4 asks for 4096 at least. */
export const DEFAULT_ITERATIONS = 10_000;
const SALT_BYTES = 16;

/** All in base64 but the iterations. */
export interface ScramCredentials {
  readonly salt: string;
  readonly iterations: number;
  readonly storedKey: string;
  readonly serverKey: string;
}
export type CredentialSet = Readonly<Partial<Record<ScramHash, ScramCredentials>>>;

/** RFC 5802 3: H(). */
export function digest(hash: ScramHash, data: Buffer): Buffer {
  return createHash(digests[hash].algorithm).update(data).digest();
}

/** RFC 5802 3: HMAC(). */
export function hmac(hash: ScramHash, key: Buffer, data: string | Buffer): Buffer {
  return createHmac(digests[hash].algorithm, key).update(data).digest();
}

/** Octets of a hash's output. */
export function digestSize(hash: ScramHash): number {
  return digests[hash].size;
}

/** A password in the form that is hashed (RFC 5802 2.2: SASLprep); undefined for one that clients could not all send. */
export function preparePassword(password: string): string | undefined {
  try {
    // unassigned code points are refused (RFC 4013 2.5): what they turn into would differ between clients
    const prepared = saslprep(password);
    return prepared === '' ? undefined : prepared;
  } catch {
    return undefined;
  }
}

/** Hashes passwords, a few at a time: the thread pool also serves files and name look-ups. One per process. */
export interface PasswordHasher {
  /**
   * RFC 5802 3: Hi(), the salted password.
   * @throws SaslError `temporary-auth-failure` when too many are waiting
   */
  salted(password: string, salt: Buffer, hash: ScramHash, iterations: number): Promise<Buffer>;
}

/**
 * @param parallel how many passwords are hashed at the same time
 * @param maxWaiting how many more may wait for their turn
 */
export function createPasswordHasher(
  parallel = Math.max(1, availableParallelism() - 1),
  maxWaiting = 1000,
): PasswordHasher {
  let running = 0;
  const waiting: (() => void)[] = [];
  const release = (): void => {
    const next = waiting.shift();
    if (next === undefined) running--;
    else next();
  };
  return {
    async salted(password, salt, hash, iterations) {
      if (running < parallel) running++;
      else {
        if (waiting.length >= maxWaiting) throw new SaslError('temporary-auth-failure', 'Too many logins at once');
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
      try {
        return await new Promise<Buffer>((resolve, reject) => {
          const { algorithm, size } = digests[hash];
          pbkdf2(password, salt, iterations, size, algorithm, (error, key) => (error ? reject(error) : resolve(key)));
        });
      } finally {
        release();
      }
    },
  };
}

/** The keys of RFC 5802 3 for a password that was prepared with {@link preparePassword}. */
export async function deriveCredentials(
  hasher: PasswordHasher,
  password: string,
  hash: ScramHash,
  iterations: number = DEFAULT_ITERATIONS,
  salt: string = newSalt(),
): Promise<ScramCredentials> {
  const salted = await hasher.salted(password, Buffer.from(salt, 'base64'), hash, iterations);
  return { salt, iterations, ...keysOf(hash, salted) };
}

/** RFC 5802 3: what is stored, from a salted password. */
export function keysOf(hash: ScramHash, salted: Buffer): Pick<ScramCredentials, 'storedKey' | 'serverKey'> {
  return {
    storedKey: digest(hash, hmac(hash, salted, 'Client Key')).toString('base64'),
    serverKey: hmac(hash, salted, 'Server Key').toString('base64'),
  };
}

/** What a client keeps instead of a password (RFC 5802 9): it proves the password, here and nowhere else. In base64 but the iterations. */
export interface ClientKeys extends Pick<ScramCredentials, 'salt' | 'iterations' | 'serverKey'> {
  readonly hash: ScramHash;
  readonly clientKey: string;
}

/** A client's keys for a password, prepared; undefined where it is not the one that the stored keys were made from. */
export async function clientKeysOf(
  hasher: PasswordHasher,
  password: string,
  hash: ScramHash,
  { salt, iterations, storedKey, serverKey }: ScramCredentials,
): Promise<ClientKeys | undefined> {
  const salted = await hasher.salted(password, Buffer.from(salt, 'base64'), hash, iterations);
  const clientKey = hmac(hash, salted, 'Client Key');
  if (!equal(digest(hash, clientKey), Buffer.from(storedKey, 'base64'))) return undefined;
  return { hash, salt, iterations, serverKey, clientKey: clientKey.toString('base64') };
}

/** In base64. */
export function newSalt(): string {
  return randomBytes(SALT_BYTES).toString('base64');
}

/** Whether a password, prepared, is the one that the keys were made from. */
export async function matchesPassword(
  hasher: PasswordHasher,
  password: string,
  hash: ScramHash,
  stored: ScramCredentials,
): Promise<boolean> {
  const derived = await deriveCredentials(hasher, password, hash, stored.iterations, stored.salt);
  return equal(Buffer.from(derived.storedKey, 'base64'), Buffer.from(stored.storedKey, 'base64'));
}

/**
 * Keys for a name that has none, from a secret of the host: the same on every node and after every restart, so that asking
 * twice does not tell whether there is an account. No password leads to them.
 */
export function inventCredentials(secret: Buffer, name: string, hash: ScramHash, iterations: number): ScramCredentials {
  const invent = (what: string, size: number): string =>
    createHmac('sha512', secret).update(`${what}\0${hash}\0${name}`).digest().subarray(0, size).toString('base64');
  return {
    salt: invent('salt', SALT_BYTES),
    iterations,
    storedKey: invent('stored key', digests[hash].size),
    serverKey: invent('server key', digests[hash].size),
  };
}

/** Compares in a time that depends on the lengths only. */
export function equal(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
