// Ids of log entries: minted in the process, text that sorts by time, unguessable at the end.
// 10 digits of milliseconds, 3 of a counter, 7 of randomness, in base 32 (0-9 a-v), so that bytes sort as numbers do.
import { randomFillSync } from 'node:crypto';
import type { Clock } from '../base/clock.ts';

const digits = '0123456789abcdefghijklmnopqrstuv';
const timeLength = 10;
const counterLimit = 32 ** 3;
const randomLength = 7;
const greatest = 32 ** timeLength - 1;

/** Sorts after every id. */
export const beyondIds = '~';

/** Sorts before every id of that millisecond and after every id of those before. */
export function idFloor(at: number): string {
  if (Number.isNaN(at) || at <= 0) return '';
  if (at > greatest) return beyondIds;
  return Math.ceil(at).toString(32).padStart(timeLength, '0');
}

/** The time of an id, in milliseconds since 1970. */
export function idTime(id: string): number {
  return Number.parseInt(id.slice(0, timeLength), 32);
}

/** What an id range of a query comes to: everything strictly between two texts. */
export function idBounds(range: { start?: number; end?: number; after?: string; before?: string }): [string, string] {
  let above = range.start === undefined ? '' : idFloor(range.start);
  let below = range.end === undefined ? beyondIds : idFloor(Math.floor(range.end) + 1);
  if (range.after !== undefined && range.after > above) above = range.after;
  if (range.before !== undefined && range.before < below) below = range.before;
  return [above, below];
}

/** Mints ids that rise within this process, also when the clock steps back; other processes' ids fall in by time. */
export function createIds(clock: Pick<Clock, 'now'>): () => string {
  const pool = new Uint8Array(randomLength * 512);
  let used = pool.length;
  let last = 0;
  let prefix = '';
  let count = 0;
  return () => {
    const now = clock.now();
    if (now > last) {
      last = now;
      count = 0;
      prefix = idFloor(now);
    } else if (++count === counterLimit) {
      // more than a counter holds: run ahead of the clock rather than repeat
      last++;
      count = 0;
      prefix = idFloor(last);
    }
    if (used === pool.length) {
      randomFillSync(pool);
      used = 0;
    }
    let id = prefix + digits[count >> 10] + digits[(count >> 5) & 31] + digits[count & 31];
    for (let i = 0; i < randomLength; i++) id += digits[pool[used++]! & 31];
    return id;
  };
}
