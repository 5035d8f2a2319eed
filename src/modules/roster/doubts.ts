// Changes of rosters of which nobody knows whether they were stored (the database went away over them, or the node that made them died), or
// whether all devices have heard of them (Redis was away): what holds is found out when it can be, and pushed (RFC 6121 2.1.6).
import { StorageUnavailable } from '../../storage/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';

export interface DoubtsParts {
  /** @throws StorageUnavailable where that is not possible yet */
  readonly settle: (account: Jid, contact: Jid) => Promise<void>;
  readonly background: (work: Promise<unknown>, what: string) => void;
  /** Waits a moment; false when there is no time for it any more. */
  readonly pause: () => Promise<boolean>;
}

interface Doubt {
  readonly account: Jid;
  readonly contact: Jid;
}

/** So many are remembered; then the oldest go. */
const REMEMBERED = 16_384;

export class Doubts {
  private readonly parts: DoubtsParts;
  private readonly open = new Map<string, Doubt>();
  private isAtIt = false;

  constructor(parts: DoubtsParts) {
    this.parts = parts;
  }

  /** What holds of that contact is to be told to the account's devices. */
  note(account: Jid, contact: Jid): void {
    this.open.set(`${account.bare} ${contact.bare}`, { account, contact });
    if (this.open.size > REMEMBERED) this.open.delete(this.open.keys().next().value!);
    if (this.isAtIt) return;
    this.isAtIt = true;
    this.parts.background(this.settleAll(), 'finding out what holds of rosters');
  }

  private async settleAll(): Promise<void> {
    try {
      for (let goesOn = true; goesOn && this.open.size > 0; ) {
        goesOn = await this.parts.pause();
        for (const [key, doubt] of [...this.open]) {
          this.open.delete(key);
          if (await this.trySettling(doubt)) continue;
          // (the server stops: it has been tried once more)
          if (!goesOn) return;
          this.open.set(key, doubt);
        }
      }
    } finally {
      // in the same turn as the last look: what is noted from now on begins it anew
      this.isAtIt = false;
    }
  }

  private async trySettling({ account, contact }: Doubt): Promise<boolean> {
    try {
      await this.parts.settle(account, contact);
      return true;
    } catch (error) {
      if (error instanceof StorageUnavailable) return false;
      throw error;
    }
  }
}
