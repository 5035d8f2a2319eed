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
  let came = 0;
  let refuse = (_: Error): void => {};
  const late = new Promise<never>((_, reject) => {
    refuse = reject;
  });
  // nobody may be listening when it comes
  late.catch(() => {});
  const watch = (): (() => void) =>
    clock.after(WINDOW, () => {
      if (came < LEAST) refuse(new TooSlow('nothing, or too little, has come for a minute'));
      came = 0;
      cancel = watch();
    });
  let cancel = watch();
  const chunks = body.iterator({ destroyOnReturn: false });
  try {
    for (;;) {
      const next = await Promise.race([chunks.next(), late]);
      if (next.done === true) break;
      const chunk = next.value as Uint8Array;
      came += chunk.length;
      yield chunk;
    }
  } catch (error) {
    throw error instanceof TooSlow ? error : new BrokenOff('the upload broke off', { cause: error });
  } finally {
    cancel();
  }
}
