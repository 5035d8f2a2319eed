// What a handler of a request to a room or an occupant finds: `iqGet('room', ns, name, (request) => { const { room } = roomOf(request); ... })`.
import type { IqRequest } from '../../core/module.ts';
import { defineNote } from '../../core/transit.ts';
import type { Jid } from '../../xmpp/jid.ts';
import type { Affiliation } from './config.ts';
import type { Occupant } from './occupant.ts';
import type { Room } from './room.ts';

/** Who asks a room something. */
export interface RoomContext {
  readonly room: Room;
  /** The real full JID of who asks. */
  readonly asker: Jid;
  /** The occupant that asks; undefined where whoever asks is not in the room. */
  readonly occupant: Occupant | undefined;
  readonly affiliation: Affiliation;
}

export const roomNote = defineNote<RoomContext>('room');

/**
 * The room that a request is for. Its handler runs in the room's turn: nothing else happens until it is done, or it calls `request.release`, which is
 * for what reads much and changes nothing. To be called before anything is waited for; from then on the room may change between any two steps.
 * @throws Error where it was not for a room
 */
export function roomOf(request: IqRequest): RoomContext {
  const context = request.transit.note(roomNote);
  if (context === undefined) throw new Error('a request that is for no room');
  return context;
}
