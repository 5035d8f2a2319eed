// Holds up a client that sends more than the storage can take: delivery does not wait for the disk, so that without this a fast
// sender would fill the memory with what is still to be written, until messages are refused.
import type { Clock } from '../base/clock.ts';

/** A client that waits for nothing never has so many on their way to the disk; bulk does. */
const MOST = 256;
const FEW = 128;
/** So many of all clients together keep any database busy, and are far below what may wait for it. */
const MOST_OF_ALL = 8_000;
/** A storage that takes nothing for so long, in milliseconds, is away, and to wait for it would hold up deliveries for nothing. */
const PATIENCE = 1_000;

/** How many stanzas of all clients wait for the disk. */
export interface UnsettledTotal {
  count: number;
}

export class Unsettled {
  private readonly clock: Clock;
  private readonly total: UnsettledTotal;
  private count = 0;
  private isGivenUp = false;
  private release: (() => void) | undefined = undefined;

  constructor(clock: Clock, total: UnsettledTotal) {
    this.clock = clock;
    this.total = total;
  }

  /**
   * One more stanza waits for the disk; `settled` must not reject. Returns what to wait for before the next one is taken.
   */
  add(settled: Promise<unknown>): Promise<void> | undefined {
    this.count++;
    this.total.count++;
    void settled.then(() => this.less());
    if ((this.count < MOST && this.total.count < MOST_OF_ALL) || this.isGivenUp) return undefined;
    return new Promise((resolve) => {
      const cancel = this.clock.after(PATIENCE, () => {
        this.isGivenUp = true;
        this.release?.();
      });
      this.release = () => {
        this.release = undefined;
        cancel();
        resolve();
      };
    });
  }

  private less(): void {
    this.total.count--;
    this.count--;
    if (this.count > 0 && (this.count > FEW || this.total.count >= MOST_OF_ALL)) return;
    this.isGivenUp = false;
    this.release?.();
  }
}
