// Removes what is older than an archive is to be (XEP-0313 3.2: always the oldest), in steps so small that nobody notices.
import type { ArchiveStore } from '../../storage/ports.ts';

/** Messages removed by one statement, at most. */
const STEP = 500;
/** Owners asked for at once. */
const PAGE = 500;

/**
 * Removes what came before `until` (milliseconds since 1970, exclusive) from every archive.
 * @param goesOn is asked between the steps; when it says no, the rest is left for the next time
 * @returns how many messages are gone
 */
export async function prune(store: ArchiveStore, until: number, goesOn: () => boolean): Promise<number> {
  let gone = 0;
  let after: string | undefined;
  for (;;) {
    const owners = await store.owners(after, PAGE);
    for (const owner of owners) {
      for (let removed = STEP; removed === STEP; gone += removed) {
        if (!goesOn()) return gone;
        removed = await store.remove(owner, { end: until - 1 }, STEP);
      }
    }
    if (owners.length < PAGE) return gone;
    after = owners.at(-1);
  }
}
