// When a worker sends, and how long it waits for what has to come of it.

import { nowMicros } from './client.ts';
import { sleep } from './profile.ts';

/**
 * Sends at a rate (per second), evenly, for `seconds`.
 * @param send the one with that number, from 0
 * @returns how many were not sent in time: the rate is beyond the generator, or beyond a server that has to be waited for
 */
export async function sendAtRate(rate: number, seconds: number, send: (number: number) => void): Promise<number> {
  const total = Math.max(1, Math.round(rate * seconds));
  const start = nowMicros();
  const end = start + seconds * 1e6;
  let sent = 0;
  while (sent < total) {
    const now = nowMicros();
    // what is still unsent a second after the end never will be
    if (now > end + 1e6) break;
    const due = Math.min(total, Math.floor(((now - start) * rate) / 1e6) + 1);
    while (sent < due) send(sent++);
    await sleep(0.001);
  }
  await sleep(Math.max(0, (end - nowMicros()) / 1e6));
  return total - sent;
}

/** Waits until nothing is missing, or nothing has come for `patience` seconds. */
export async function untilNone(missing: () => number, patience: number): Promise<void> {
  let quiet = 0;
  while (missing() > 0 && quiet < patience) {
    const before = missing();
    await sleep(0.01);
    quiet = missing() === before ? quiet + 0.01 : 0;
  }
}

/** Waits until nothing more has come for so many seconds: what other workers sent has come then, too. One alone has nobody to wait for. */
export async function untilQuiet(received: () => number, seconds: number, workers: number): Promise<void> {
  let before = -1;
  while (before !== received() && workers > 1) {
    before = received();
    await sleep(seconds);
  }
}

/** Throws when `work` takes longer than that, and says what did not happen. */
export async function within<T>(seconds: number, work: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} in ${seconds} s`)), seconds * 1000);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
