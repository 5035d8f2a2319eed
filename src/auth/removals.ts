// Names of accounts that are being removed: whoever wants one waits, though not for long, until all is gone that its account had.
import { type Clock, within } from '../base/clock.ts';
import type { MaybePromise } from '../base/maybe.ts';

/** So long at most a name is waited for, in milliseconds. */
const PATIENCE = 5000;
/** So often it is looked, where no word comes: the node that removes it may be a tool, or have died. In milliseconds. */
const LOOK = 250;

export class Removals {
  private readonly clock: Clock;
  private readonly waiting = new Map<string, Set<() => void>>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** A removal has come to its end, here or on another node. */
  over(name: string): void {
    for (const wake of this.waiting.get(name) ?? []) wake();
  }

  /** Waits for the end of a removal, if there is one under way. */
  async wait(name: string, isUnderWay: () => MaybePromise<boolean>): Promise<void> {
    const end = this.clock.now() + PATIENCE;
    for (;;) {
      // listening first: it may be over while it is looked
      const waiting = this.waiting.get(name) ?? new Set();
      this.waiting.set(name, waiting);
      let wake = (): void => {};
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      waiting.add(wake);
      try {
        if (this.clock.now() >= end || !(await isUnderWay())) return;
        await within(this.clock, LOOK, (done) => void woken.then(done));
      } finally {
        waiting.delete(wake);
        if (waiting.size === 0) this.waiting.delete(name);
      }
    }
  }
}
