// What is left of rooms that are no more, or that others of the same name have followed: the server was killed before it was all removed.
import type { Clock } from '../../base/clock.ts';
import type { ArchiveStore } from '../../storage/ports.ts';
import { everybody, removeBefore } from '../mam/retention.ts';
import type { RoomDirectory } from '../muc/directory.ts';

/** A room may have been made since it was looked for, by a node whose clock is that much behind, in milliseconds. */
const MARGIN = 3_600_000;

/**
 * Removes what was said in rooms that are not there.
 * @param goesOn is asked between the steps
 * @returns how many messages are gone
 */
export async function sweepArchives(
  messages: ArchiveStore,
  rooms: Pick<RoomDirectory, 'createdAt'>,
  clock: Pick<Clock, 'now'>,
  goesOn: () => boolean,
): Promise<number> {
  let gone = 0;
  for await (const room of everybody(messages)) {
    if (!goesOn()) break;
    const looked = clock.now();
    const since = (await rooms.createdAt(room)) ?? looked - MARGIN;
    gone += await removeBefore(messages, room, since, goesOn);
  }
  return gone;
}
