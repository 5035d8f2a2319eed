// The client's half of SASL PLAIN (RFC 4616) and SCRAM-SHA-1 (RFC 5802), kept cheap: salted passwords are derived once.

import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';

const salted = new Map<string, Buffer>();

/** The initial response of PLAIN, in base64. */
export function plainResponse(user: string, password: string): string {
  return Buffer.from(`\0${user}\0${password}`).toString('base64');
}

/** The message of HT-SHA-256-NONE (draft-schmaus-kitten-sasl-ht), in base64. */
export function tokenProof(user: string, token: string): string {
  const proof = createHmac('sha256', token).update('Initiator').digest();
  return Buffer.concat([Buffer.from(`${user}\0`), proof]).toString('base64');
}

export interface ScramExchange {
  /** The client-first message, in base64. */
  readonly first: string;
  /** The client-final message for the server's challenge; both in base64. */
  answer(challenge: string): string;
  /** Whether the server proved that it knows the password too (`v=`); the argument is in base64. */
  isGenuine(success: string): boolean;
}

/** Starts one SCRAM-SHA-1 exchange without channel binding. */
export function scramSha1(user: string, password: string, nonce = randomBytes(12).toString('base64')): ScramExchange {
  const bare = `n=${user.replace(/=/g, '=3D').replace(/,/g, '=2C')},r=${nonce}`;
  let expected = '';
  return {
    first: Buffer.from(`n,,${bare}`).toString('base64'),
    answer(challenge) {
      const serverFirst = Buffer.from(challenge, 'base64').toString();
      const fields = /^r=([^,]+),s=([^,]+),i=(\d+)/.exec(serverFirst);
      if (!fields) throw new Error(`SCRAM challenge not understood: ${serverFirst}`);
      const [, bothNonces, salt, iterations] = fields as unknown as [string, string, string, string];
      const secret = saltedPassword(password, salt, Number(iterations));
      const clientKey = hmac(secret, 'Client Key');
      const withoutProof = `c=biws,r=${bothNonces}`;
      const signed = `${bare},${serverFirst},${withoutProof}`;
      const signature = hmac(createHash('sha1').update(clientKey).digest(), signed);
      const proof = Buffer.alloc(clientKey.length);
      for (let i = 0; i < proof.length; i++) proof[i] = clientKey[i]! ^ signature[i]!;
      expected = hmac(hmac(secret, 'Server Key'), signed).toString('base64');
      return Buffer.from(`${withoutProof},p=${proof.toString('base64')}`).toString('base64');
    },
    isGenuine(success) {
      return Buffer.from(success, 'base64').toString() === `v=${expected}`;
    },
  };
}

/** PBKDF2 as in RFC 5802's Hi(), remembered: a real client stores the result as well, and the generator has no time for it. */
export function saltedPassword(password: string, salt: string, iterations: number): Buffer {
  const key = `${iterations} ${salt} ${password}`;
  let secret = salted.get(key);
  if (!secret) {
    secret = pbkdf2Sync(password, Buffer.from(salt, 'base64'), iterations, 20, 'sha1');
    salted.set(key, secret);
  }
  return secret;
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha1', key).update(text).digest();
}
