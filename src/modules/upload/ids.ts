// What files are called in addresses: long, random, and signed. So nobody can guess one, what was made up is told from what was given
// out without asking the database, and each host knows its own among those of others.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { KvStore } from '../../storage/ports.ts';

/** Bytes of what is random in an id, and of its signature. */
const RANDOM = 16;
const TAG = 8;
const idForm = /^[\w-]{32}$/;
/** Where in text files of any host may be meant; the id is in the first group. */
export const ADDRESS = /\/upload\/([\w-]{32})\//g;

/** A host's secret, the same on all nodes; made when it is first wanted. */
export async function readSecret(secrets: KvStore<string>): Promise<string> {
  const known = await secrets.get('');
  return known ?? (await secrets.update('', (old) => old ?? randomBytes(32).toString('base64url')))!;
}

export class Ids {
  private readonly secret: string;

  constructor(secret: string) {
    this.secret = secret;
  }

  mint(): string {
    const random = randomBytes(RANDOM);
    return Buffer.concat([random, this.tag(random)]).toString('base64url');
  }

  /** Whether this host has made it. */
  isOurs(id: string): boolean {
    if (!idForm.test(id)) return false;
    const bytes = Buffer.from(id, 'base64url');
    return timingSafeEqual(bytes.subarray(RANDOM), this.tag(bytes.subarray(0, RANDOM)));
  }

  /** Leave to put something there, until a time in milliseconds since 1970. */
  leave(id: string, until: number): string {
    const at = until.toString(36);
    return `${at}.${this.sign(`put ${id} ${at}`).toString('base64url')}`;
  }

  /** Until when somebody has leave to put something there; undefined for what was not given out here. */
  leaveUntil(id: string, leave: string): number | undefined {
    const [at = '', signature = ''] = leave.split('.');
    const [given, right] = [Buffer.from(signature, 'base64url'), this.sign(`put ${id} ${at}`)];
    return given.length === right.length && timingSafeEqual(given, right) ? Number.parseInt(at, 36) : undefined;
  }

  private tag(random: Buffer): Buffer {
    return this.sign(`id ${random.toString('base64url')}`).subarray(0, TAG);
  }

  private sign(text: string): Buffer {
    return createHmac('sha256', this.secret).update(text).digest();
  }
}
