// Who may read the archive of a room: whoever may enter it now (XEP-0313 6.1.2), and what they may ask for.
import { StanzaError } from '../../xmpp/errors.ts';
import type { Filter } from '../mam/filters.ts';
import { isAtLeast } from '../muc/associations.ts';
import type { RoomContext } from '../muc/request.ts';
import type { Sight } from './said.ts';

/**
 * Checks that somebody may enter the room at this time.
 * @throws StanzaError `item-not-found` where the room is not there for others yet, `forbidden`
 */
export function checkReader({ room, occupant, affiliation }: RoomContext): void {
  const { isMembersOnly, password } = room.config;
  if (room.isLocked && affiliation !== 'owner') throw new StanzaError('item-not-found', 'there is no such room yet');
  if (affiliation === 'outcast') throw new StanzaError('forbidden', 'you are banned from this room');
  if (occupant !== undefined) return;
  if (isMembersOnly && !isAtLeast(affiliation, 'member')) {
    throw new StanzaError('forbidden', 'this room is for its members');
  }
  // who is not inside has not said it; admins can read it in the settings, or change it
  if (password !== '' && !isAtLeast(affiliation, 'admin')) {
    throw new StanzaError('forbidden', 'this room asks for a password on entry');
  }
}

/**
 * `with` in a room (XEP-0313 4.1.1): an occupant JID, or a real one where it is no secret who that is.
 * @throws StanzaError `forbidden` for real JIDs of others, but from moderators; `item-not-found` for a nick that nobody has
 */
export function narrowed({ room, asker }: RoomContext, sight: Sight, filter: Filter): Filter {
  const { with: party, resource } = filter;
  if (party === undefined) return filter;
  if (party !== room.jid.bare) {
    if (party !== asker.bare && sight !== 'all') {
      throw new StanzaError('forbidden', 'ask for what an occupant said by the occupant’s JID');
    }
    return { ...filter, resource: undefined };
  }
  if (resource === undefined) return { ...filter, with: undefined };
  const person = room.occupants.get(resource)?.bare ?? room.ownerOf(resource);
  if (person === undefined) throw new StanzaError('item-not-found', 'nobody in the room has that nick');
  return { ...filter, with: person };
}
