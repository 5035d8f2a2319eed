// What time it is for all nodes: that of Redis, kept with this process' own steady clock between one beat and the next. Wall clocks
// of machines may be a minute apart, and archives of several nodes must be in one order all the same.
import { performance } from 'node:perf_hooks';

/** How much faster or slower than Redis' a steady clock may run. */
const DRIFT = 0.0002;

export class RedisTime {
  /** Redis' time is between these and the steady clock's. */
  private low = 0;
  private high = Number.POSITIVE_INFINITY;
  private seen = 0;

  /**
   * Redis said what time it was, in whole milliseconds since 1970, at some moment between two of the steady clock. Each answer
   * narrows down what is known; one that contradicts it means that Redis' clock was set, or that this machine slept.
   */
  observe(time: number, sent: number, received: number): void {
    const drift = Math.max(0, received - this.seen) * DRIFT;
    const least = time - received;
    const most = time + 1 - sent;
    const low = Math.max(this.low - drift, least);
    const high = Math.min(this.high + drift, most);
    const fits = low <= high;
    this.low = fits ? low : least;
    this.high = fits ? high : most;
    this.seen = received;
  }

  /** In milliseconds since 1970; as this machine believes until Redis has answered. */
  now(): number {
    if (this.high === Number.POSITIVE_INFINITY) return Date.now();
    return Math.floor(performance.now() + (this.low + this.high) / 2);
  }
}
