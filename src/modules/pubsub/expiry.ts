// Items whose time is over (XEP-0060 16.4.4, `pubsub#item_expire`) are not found any more; what is left of them is removed here, a little at a time.
// Nobody is told: section 7.2 is for those that somebody takes back.
import type { ItemsStore } from '../../storage/ports.ts';

/** How often it is looked for, in milliseconds. */
export const SWEEP_EVERY = 60_000;
/** Items of one step. */
const STEP = 500;
/** Steps of one time: what is left then waits for the next. */
const STEPS = 100;

/** @returns how many items were removed */
export async function sweepExpired(items: Pick<ItemsStore, 'sweep'>, mayGoOn: () => boolean): Promise<number> {
  let removed = 0;
  for (let step = 0; step < STEPS && mayGoOn(); step++) {
    const gone = await items.sweep(STEP);
    removed += gone;
    if (gone < STEP) break;
  }
  return removed;
}
