// Token buckets: how much may come in how short a time. They say how long to wait; they never refuse.

/** A sustained rate with room for bursts. */
export interface Rate {
  /** Units a second. */
  readonly rate: number;
  /** Units that may come at once. */
  readonly burst: number;
}

/** Debt is allowed: what came was read already. The wait that follows pays for it. */
export class TokenBucket {
  private readonly rate: Rate;
  private tokens: number;
  private at: number;

  /** @param now milliseconds */
  constructor(rate: Rate, now: number) {
    this.rate = rate;
    this.tokens = rate.burst;
    this.at = now;
  }

  /** Takes units if they are there; else nothing, and nothing is owed. */
  tryTake(units: number, now: number): boolean {
    if (this.take(units, now) === 0) return true;
    this.tokens += units;
    return false;
  }

  /** Takes units; returns how many milliseconds to wait before taking more, 0 for none. */
  take(units: number, now: number): number {
    const earned = ((now - this.at) * this.rate.rate) / 1000;
    // a clock that steps back earns nothing, and costs nothing
    if (earned > 0) this.tokens = Math.min(this.rate.burst, this.tokens + earned);
    this.at = now;
    this.tokens -= units;
    return this.tokens >= 0 ? 0 : Math.ceil((-this.tokens * 1000) / this.rate.rate);
  }
}
