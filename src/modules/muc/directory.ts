// The rooms of a host, for modules that look for some of them: without waking any.
import type { MaybePromise } from '../../base/maybe.ts';
import { defineService } from '../../core/module.ts';
import type { DirectoryRow } from './rows.ts';

export interface RoomDirectory {
  /** By their localparts, also those that are not public. */
  all(): MaybePromise<ReadonlyMap<string, DirectoryRow>>;
}
export const roomDirectory = defineService<RoomDirectory>('room-directory');
