// Redis tells all nodes of changes in one order. So when a node hears of a change of its own, it has heard of all that came before it:
// of two nodes that change something at the same time, and then look at what they remember, one sees what the other did.
import type { Clock } from '../../base/clock.ts';

/** Word of a change that does not come within this time, in milliseconds, is not waited for: the connection is broken. */
const PATIENCE = 300;

interface Waiter {
  readonly version: number;
  done(): void;
}

export class Tide {
  private readonly clock: Clock;
  /** The version of the last change that was heard of, by part of the directory; and of the last one that was made here. */
  private readonly heard = new Map<number, number>();
  private readonly made = new Map<number, number>();
  private readonly waiters = new Map<number, Set<Waiter>>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** A change was made here. */
  make(shard: number, version: number): void {
    if (version > (this.made.get(shard) ?? 0)) this.made.set(shard, version);
  }

  /** Word of a change has come. */
  hear(shard: number, version: number): void {
    if (version <= (this.heard.get(shard) ?? 0)) return;
    this.heard.set(shard, version);
    for (const waiter of this.waiters.get(shard) ?? []) if (waiter.version <= version) waiter.done();
  }

  /** Resolves when word has come of what was made here up to now. */
  async rise(shard: number): Promise<undefined> {
    const version = this.made.get(shard) ?? 0;
    if (version <= (this.heard.get(shard) ?? 0)) return;
    const waiters = this.waiters.get(shard) ?? new Set();
    this.waiters.set(shard, waiters);
    await new Promise<void>((resolve) => {
      const waiter: Waiter = {
        version,
        done() {
          cancel();
          waiters.delete(waiter);
          resolve();
        },
      };
      const cancel = this.clock.after(PATIENCE, () => {
        // what did not come then is not waited for again
        this.hear(shard, version);
      });
      waiters.add(waiter);
    });
  }

  /** Nothing is waited for any more. */
  close(): void {
    for (const waiters of this.waiters.values()) for (const waiter of waiters) waiter.done();
  }
}
