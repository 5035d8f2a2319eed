// Asks clients for acknowledgements where stanzas were written and nothing was said since, and gives up those that do not answer
// (XEP-0198 4).
import type { Clock } from '../base/clock.ts';
import type { Counter } from '../core/metrics.ts';
import type { ManagedSession } from './sm-session.ts';

/** Sessions are looked after so often, in milliseconds. */
const PACE = 2_000;

export class Watch {
  private readonly clock: Clock;
  private readonly ackTimeout: () => number;
  private readonly unanswered: Counter;
  private watched: ManagedSession[] = [];
  private cancel: (() => void) | undefined;

  /** @param ackTimeout in milliseconds */
  constructor(clock: Clock, ackTimeout: () => number, unanswered: Counter) {
    this.clock = clock;
    this.ackTimeout = ackTimeout;
    this.unanswered = unanswered;
    this.cancel = undefined;
  }

  add(managed: ManagedSession): void {
    managed.isWatched = true;
    this.watched.push(managed);
    this.cancel ??= this.clock.after(PACE, () => this.lookAfter());
  }

  stop(): void {
    this.cancel?.();
  }

  private lookAfter(): void {
    this.cancel = undefined;
    const before = this.watched;
    this.watched = [];
    const now = this.clock.now();
    const ackTimeout = this.ackTimeout();
    for (const managed of before) {
      managed.isWatched = false;
      if (managed.carrier === undefined) continue;
      managed.settleDown();
      if (managed.asked === 0) {
        if (managed.queue.length > 0) managed.ask();
      } else if (managed.carrier.isMute) {
        // it was not asked yet, or cannot answer: how long that may go on is for BOSH to say (XEP-0124 10)
        managed.asked = now;
        this.add(managed);
      } else if (now - managed.asked >= ackTimeout) {
        this.unanswered.inc();
        managed.carrier.cut('the client does not acknowledge what it is sent');
      } else this.add(managed);
    }
  }
}
