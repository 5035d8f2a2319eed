// A clock that only moves when told to. Implements the port of src/base/clock.ts.
import type { Clock } from '../../src/base/clock.ts';

interface Timer {
  readonly at: number;
  /** Timers that are due at the same time run in the order they were set. */
  readonly order: number;
  readonly fn: () => void;
}

/** Where every fake clock starts: noon of a winter day, in milliseconds since 1970. */
export const START = Date.UTC(2026, 0, 15, 12, 0, 0);

export class FakeClock implements Clock {
  private time: number;
  private set = 0;
  private timers: Timer[] = [];

  constructor(start: number = START) {
    this.time = start;
  }

  now(): number {
    return this.time;
  }

  after(ms: number, fn: () => void): () => void {
    const timer: Timer = { at: this.time + Math.max(0, ms), order: this.set++, fn };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((one) => one !== timer);
    };
  }

  /** How many timers wait. */
  get pending(): number {
    return this.timers.length;
  }

  /**
   * Moves on by `ms` milliseconds. What falls due runs in order, at its own time, including what is set meanwhile; between two
   * moments promises get their turn, so that a job which sets its next timer when it is done keeps its rhythm. What is due at the
   * same moment shares that turn: days are full of jobs that find nothing to do.
   */
  async advance(ms: number): Promise<void> {
    const end = this.time + ms;
    for (;;) {
      let moment = Number.POSITIVE_INFINITY;
      for (const { at } of this.timers) if (at < moment) moment = at;
      if (moment > end) break;
      this.time = Math.max(this.time, moment);
      this.runDue(moment);
      await turn();
    }
    this.time = end;
    await turn();
  }

  /** Runs what is due until then, in order; but for what one of them cancels. */
  private runDue(moment: number): void {
    const due = this.timers.filter(({ at }) => at <= moment).sort((a, b) => a.at - b.at || a.order - b.order);
    for (const timer of due) {
      const place = this.timers.indexOf(timer);
      if (place < 0) continue;
      this.timers.splice(place, 1);
      timer.fn();
    }
  }
}

/** Lets everything run that is ready: promises, and one round of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
