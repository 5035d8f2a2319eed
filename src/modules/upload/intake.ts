// What clients send, as it comes: whoever sends too slowly, or nothing at all, is not waited for.
import type { Readable } from 'node:stream';
import type { Clock } from '../../base/clock.ts';

/** So much has to come within each such time, in milliseconds and bytes. A phone changes networks, and stands in tunnels. */
const WINDOW = 60_000;
const LEAST = 16 * 1024;

/** It came too slowly. */
export class TooSlow extends Error {
  override readonly name = 'TooSlow';
}
/** It did not come to its end: the peer is gone. */
export class BrokenOff extends Error {
  override readonly name = 'BrokenOff';
}

/**
 * The chunks of a body, one when the one before was dealt with. The body is left as it is when nobody wants more of it.
 * @throws TooSlow, BrokenOff
 */
export async function* steadily(body: Readable, clock: Pick<Clock, 'after'>): AsyncGenerator<Uint8Array> {
  const chunks = body.iterator({ destroyOnReturn: false });
  let came = 0;
  // refuses what is waited for: nothing while somebody else deals with what came
  let refuse: ((error: Error) => void) | undefined;
  const next = (): Promise<IteratorResult<Uint8Array>> =>
    // (a race with a promise that lives longer would keep all chunks until that is settled)
    new Promise((resolve, reject) => {
      refuse = reject;
      chunks.next().then(resolve, reject);
    });
  const look = (): void => {
    if (came < LEAST) refuse?.(new TooSlow('nothing, or too little, has come for a minute'));
    came = 0;
    cancel = clock.after(WINDOW, look);
  };
  let cancel = clock.after(WINDOW, look);
  try {
    for (;;) {
      const { done, value } = await next();
      refuse = undefined;
      if (done === true) return;
      came += value.length;
      yield value;
    }
  } catch (error) {
    throw error instanceof TooSlow ? error : new BrokenOff('the upload broke off', { cause: error });
  } finally {
    cancel();
  }
}
