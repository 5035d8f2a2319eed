// `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): whoever asks again with the same key, because the answer was lost, gets the
// answer that there was, and nothing is done twice.
//
// An answer may tell a password that was made up. It is kept sealed by a key that comes from the token's text, which the server does not
// have: only who asked can have it again.
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import type { WebReply } from '../../core/web.ts';
import type { EphemeralStore } from '../../storage/ports.ts';
import { Problem } from './problems.ts';

/** What is known of a key. */
export interface Remembered {
  /** Of the request: another one must not have the same key. */
  readonly print: string;
  /** The answer; absent while the request is being dealt with. */
  readonly sealed?: string;
}

/** How long answers are kept, and how long it is believed that one is on its way; in milliseconds. */
const KEPT = 24 * 3_600_000;
const UNDER_WAY = 60_000;
const KEY = /^[\x21-\x7e]{1,200}$/;

export interface Keyed {
  /** The key as it was given. */
  readonly key: string;
  /** Whose it is: the same key of another one is another key. */
  readonly owner: string;
  /** What its answers are sealed with. */
  readonly secret: string;
  /** Method, path and body. */
  readonly request: readonly (string | Buffer)[];
}

export class Idempotency {
  private readonly store: EphemeralStore<Remembered>;
  /** Those of this node, known at once: of two requests at a time one is refused. */
  private readonly running = new Set<string>();

  constructor(store: EphemeralStore<Remembered>) {
    this.store = store;
  }

  /** Does the work, unless it was done. @throws Problem for a key that is in use, or was used for something else */
  async once({ key, owner, secret, request }: Keyed, work: () => Promise<WebReply>): Promise<WebReply> {
    if (!KEY.test(key))
      throw new Problem(400, 'bad-arguments', 'An Idempotency-Key has 1 to 200 characters, all visible.');
    const name = hash([owner, key]);
    const print = hash(request);
    if (this.running.has(name)) throw inUse();
    this.running.add(name);
    try {
      const known = await this.store.get(owner, name);
      if (known !== undefined) return again(known, print, name, secret);
      await this.store.set(owner, name, { print }, UNDER_WAY);
      let reply: WebReply;
      try {
        reply = await work();
      } catch (error) {
        // what went wrong may go well the next time
        await this.store.set(owner, name, undefined, 0);
        throw error;
      }
      await this.store.set(owner, name, { print, sealed: seal(reply, name, secret) }, KEPT);
      return reply;
    } finally {
      this.running.delete(name);
    }
  }
}

const inUse = (): Problem => new Problem(409, 'in-use', 'The request with this Idempotency-Key is being dealt with.');

function again(known: Remembered, print: string, name: string, secret: string): WebReply {
  if (known.print !== print) {
    throw new Problem(422, 'key-reused', 'This Idempotency-Key was used for another request.');
  }
  if (known.sealed === undefined) throw inUse();
  return unseal(known.sealed, name, secret);
}

function hash(parts: readonly (string | Buffer)[]): string {
  const digest = createHash('sha256');
  for (const part of parts) digest.update(`${Buffer.byteLength(part)}:`).update(part);
  return digest.digest('base64url');
}

const keyFor = (name: string, secret: string): Buffer =>
  Buffer.from(hkdfSync('sha256', secret, name, 'parley idempotency', 32));

function seal(reply: WebReply, name: string, secret: string): string {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', keyFor(name, secret), nonce);
  const sealed = Buffer.concat([cipher.update(JSON.stringify(reply)), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64');
}

/** @throws Problem for a token that is not the one which asked first: administrators have one after another */
function unseal(text: string, name: string, secret: string): WebReply {
  const bytes = Buffer.from(text, 'base64');
  const cipher = createDecipheriv('aes-256-gcm', keyFor(name, secret), bytes.subarray(0, 12));
  cipher.setAuthTag(bytes.subarray(12, 28));
  const opened = cipher.update(bytes.subarray(28));
  try {
    cipher.final();
  } catch {
    throw new Problem(422, 'key-reused', 'This Idempotency-Key was used with another token: what it was for is done.');
  }
  return JSON.parse(opened.toString('utf8')) as WebReply;
}
