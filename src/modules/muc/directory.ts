// The rooms of a host, for modules that look for some of them: without waking any.
import type { MaybePromise } from '../../base/maybe.ts';
import { defineService } from '../../core/module.ts';
import type { DirectoryRow } from './rows.ts';

export interface RoomDirectory {
  /** By their localparts, also those that are not public. */
  all(): MaybePromise<ReadonlyMap<string, DirectoryRow>>;
  /** When a room was made that is there, configured or not, in milliseconds since 1970; undefined where there is none. */
  createdAt(room: string): MaybePromise<number | undefined>;
}
export const roomDirectory = defineService<RoomDirectory>('room-directory');
