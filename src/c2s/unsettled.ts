// Holds up a client that sends more than the storage can take: delivery does not wait for the disk, so that without this a fast
// sender would fill the memory with what is still to be written, until messages are refused.
import type { Clock } from '../base/clock.ts';

/** A client that waits for nothing never has so many on their way to the disk; bulk does. */
const MOST = 256;
const FEW = 128;
/** A storage that takes nothing for so long, in milliseconds, is away, and to wait for it would hold up deliveries for nothing. */
const PATIENCE = 1_000;

export class Unsettled {
  private readonly clock: Clock;
  private count = 0;
  private isGivenUp = false;
  private release: (() => void) | undefined = undefined;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /**
   * One more stanza waits for the disk; `settled` must not reject. Returns what to wait for before the next one is taken.
   */
  add(settled: Promise<void>): Promise<void> | undefined {
    this.count++;
    void settled.then(() => this.less());
    if (this.count < MOST || this.isGivenUp) return undefined;
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
    if (--this.count > FEW) return;
    this.isGivenUp = false;
    this.release?.();
  }
}
