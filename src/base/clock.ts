// Time as a port, so that tests can turn the clock.

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Runs once, `ms` milliseconds from now; returns how to cancel. The process does not stay alive for it. */
  after(ms: number, fn: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, fn) {
    const timer = setTimeout(fn, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
