// XEP-0480: a client makes the keys that its account lacks, while the password is at hand. Accounts made here have a key for every
// hash function; those that came from elsewhere may not.
//
// A task is only set for a key that is missing, so that clients which are ready for all of them, as they should be, lose no time.
import type { Accounts } from '../auth/accounts.ts';
import { decodeBase64 } from '../auth/base64.ts';
import { digestSize, type ScramHash, scramHashes } from '../auth/credentials.ts';
import { type Element, el } from '../xml/element.ts';
import { SaslError } from '../xmpp/errors.ts';
import { NS } from '../xmpp/ns.ts';
import { taskFor } from './sasl2-request.ts';

/** 2.1: what goes into <authentication/>. It is the same for everybody: it shall not tell who has which keys. */
export function upgradeFeatures(): readonly Element[] {
  return scramHashes.map((hash) => el('upgrade', NS.saslUpgrade, undefined, taskFor(hash)));
}

export class UpgradeTasks {
  private readonly accounts: Accounts;
  private readonly user: string;
  private readonly epoch: number;
  private readonly waiting: ScramHash[];
  private key: ReturnType<Accounts['newKey']> | undefined;

  /** @param epoch the account's, when the password was verified */
  constructor(accounts: Accounts, user: string, epoch: number, hashes: readonly ScramHash[]) {
    this.accounts = accounts;
    this.user = user;
    this.epoch = epoch;
    this.waiting = [...hashes];
  }

  /** The task to set next; undefined when all are done. */
  get task(): string | undefined {
    const [hash] = this.waiting;
    return hash && taskFor(hash);
  }

  /**
   * Takes what the client says to the task; the answer, or undefined when the task is done.
   * @throws SaslError `malformed-request`
   */
  async take(element: Element): Promise<Element | undefined> {
    const [hash] = this.waiting;
    if (hash === undefined) throw new SaslError('malformed-request', 'There is no task');
    if (this.key === undefined) {
      if (element.name !== 'next' || element.attrs.task !== this.task) {
        throw new SaslError('malformed-request', `The task is ${this.task}`);
      }
      this.key = this.accounts.newKey();
      const { salt, iterations } = this.key;
      const text = el('salt', NS.scramUpgrade, { iterations: String(iterations) }, salt);
      return el('task-data', NS.sasl2, undefined, text);
    }
    const text = element.name === 'task-data' ? element.getChildText('hash', NS.scramUpgrade) : undefined;
    const salted = decodeBase64(text?.trim() ?? '');
    if (salted === undefined || salted.length !== digestSize(hash)) {
      throw new SaslError('malformed-request', 'This is no salted password');
    }
    await this.accounts.addKey(this.user, this.epoch, hash, salted, this.key);
    this.key = undefined;
    this.waiting.shift();
    return undefined;
  }
}
