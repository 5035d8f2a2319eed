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

/** Resolves when `begin` has called what it is given, or after `ms` milliseconds. */
export async function within(clock: Clock, ms: number, begin: (done: () => void) => void): Promise<void> {
  let cancel = (): void => {};
  await new Promise<void>((resolve) => {
    begin(resolve);
    cancel = clock.after(ms, resolve);
  });
  cancel();
}

/** Waits `ms` milliseconds, or until `signal` is aborted; then false. */
export async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<boolean> {
  let end = (): void => {};
  if (!signal.aborted) {
    await within(clock, ms, (done) => {
      end = done;
      signal.addEventListener('abort', end);
    });
  }
  signal.removeEventListener('abort', end);
  return !signal.aborted;
}
