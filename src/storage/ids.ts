// Ids of log entries: minted in the process, text that sorts by time, unguessable at the end.
// 10 digits of milliseconds, 3 of a counter, 7 of randomness, in base 32 (0-9 a-v), so that bytes sort as numbers do.
import { randomFillSync } from 'node:crypto';
import type { Clock } from '../base/clock.ts';

const digits = '0123456789abcdefghijklmnopqrstuv';
const timeLength = 10;
const counterLimit = 32 ** 3;
const randomLength = 7;
const greatest = 32 ** timeLength - 1;

const shape = /^[0-9a-v]{20}$/;

/** Whether a text may be an id. */
export const isId = (text: string): boolean => shape.test(text);

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

/**
 * An id of that time, in milliseconds since 1970, the `count`th of it, for something that was named elsewhere.
 * @param name of seven bytes or more, which are the end of the id: who can guess them can guess the id
 */
export function idAt(at: number, count: number, name: Uint8Array): string {
  const place = Math.min(count, counterLimit - 1);
  let id = `${idFloor(Math.floor(at))}${digits[place >> 10]}${digits[(place >> 5) & 31]}${digits[place & 31]}`;
  for (let i = 0; i < randomLength; i++) id += digits[name[i]! & 31];
  return id;
}

/** What an id range of a query comes to: everything strictly between two texts. */
export function idBounds(range: { start?: number; end?: number; after?: string; before?: string }): [string, string] {
  let above = range.start === undefined ? '' : idFloor(range.start);
  let below = range.end === undefined ? beyondIds : idFloor(Math.floor(range.end) + 1);
  if (range.after !== undefined && range.after > above) above = range.after;
  if (range.before !== undefined && range.before < below) below = range.before;
  return [above, below];
}

/** Makes an id: of now, or of a time in the past, in milliseconds since 1970. */
export type MintId = (at?: number) => string;

/**
 * Mints ids that rise within this process, also when the clock steps back; other processes' ids fall in by time. Ids of a time that
 * is given rise as long as the times do not fall.
 */
export function createIds(clock: Pick<Clock, 'now'>): MintId {
  const pool = new Uint8Array(randomLength * 512);
  let used = pool.length;
  const present: Run = { asked: 0, time: 0, count: 0, prefix: '' };
  const past: Run = { asked: 0, time: 0, count: 0, prefix: '' };
  return (at) => {
    const run = at === undefined ? present : past;
    const asked = at === undefined ? clock.now() : Math.max(1, Math.floor(at));
    if (at === undefined ? asked > run.time : asked !== run.asked) {
      start(run, asked);
      run.asked = asked;
    } else if (++run.count === counterLimit) {
      // more than a counter holds: run ahead of the clock rather than repeat
      start(run, run.time + 1);
    }
    if (used === pool.length) {
      randomFillSync(pool);
      used = 0;
    }
    const { count } = run;
    let id = run.prefix + digits[count >> 10] + digits[(count >> 5) & 31] + digits[count & 31];
    for (let i = 0; i < randomLength; i++) id += digits[pool[used++]! & 31];
    return id;
  };
}

interface Run {
  /** The time that was last asked for, and that of the ids. */
  asked: number;
  time: number;
  count: number;
  prefix: string;
}

function start(run: Run, time: number): void {
  run.time = time;
  run.count = 0;
  run.prefix = idFloor(time);
}
