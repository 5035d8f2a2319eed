// Whose presence may be heard too late: what a node says while the others hold it for dead, without its knowing, reaches contacts after they
// were told that its sessions are gone. So it is noted who said anything lately.
import type { Jid } from '../../xmpp/jid.ts';

/** What was said within the last one to two of these came perhaps not in time, in milliseconds: more than a sign of life is late. */
export const LATELY = 5_000;

export class Late {
  private readonly isSure: () => boolean | undefined;
  /** Full JIDs. */
  private now = new Set<string>();
  private before = new Set<string>();

  /** @param isSure whether all that was said came in time; undefined where that is always so */
  constructor(isSure: () => boolean | undefined) {
    this.isSure = isSure;
  }

  /** A session has said something of itself. */
  note({ full }: Jid): void {
    if (this.isSure() !== undefined) this.now.add(full);
  }

  has({ full }: Jid): boolean {
    return this.now.has(full) || this.before.has(full);
  }

  /** Called every {@link LATELY}. */
  settle(): void {
    if (this.isSure() !== true) return;
    this.before = this.now;
    this.now = new Set();
  }

  /** Who said something that may have come too late; a new account of it begins. */
  take(): ReadonlySet<string> {
    const all = new Set([...this.before, ...this.now]);
    this.before = new Set();
    this.now = new Set();
    return all;
  }
}
