// What a person has to do with the rooms of a host, by person: read from the stores, without waking a room, on any node.
import type { MaybePromise } from '../../base/maybe.ts';
import { defineService } from '../../core/module.ts';
import { type BareJid, Jid } from '../../xmpp/jid.ts';
import type { Wish } from '../notification-settings.ts';
import type { Affiliation } from './config.ts';
import type { RoomStores } from './stores.ts';

export interface Membership {
  /** Its bare JID. */
  readonly room: Jid;
  /** What it is called for people. */
  readonly name: string;
  readonly affiliation: Affiliation;
  /** The room asks for a password. */
  readonly isProtected: boolean;
  /** The nick that is registered for the person. */
  readonly nick: string | undefined;
  /** Id, in the room's archive, of the last message that the person has read. */
  readonly lastRead: string | undefined;
  /** When the person first had to do with this room, in milliseconds since 1970. */
  readonly since: number;
}

export interface Memberships {
  /** The rooms that a person belongs to, or reads; not those that the person may not enter. */
  of(person: BareJid): Promise<readonly Membership[]>;
  /** Whether a room, by its localpart, is for its members alone. */
  isPrivate(room: string): MaybePromise<boolean>;
  /** What a person wants to be told of a room, by its localpart; undefined where they have not said. */
  wishOf(person: BareJid, room: string): MaybePromise<Wish | undefined>;
  /** Of all rooms of which they have, by their bare addresses. */
  wishesOf(person: BareJid): MaybePromise<ReadonlyMap<BareJid, Wish>>;
}
export const memberships = defineService<Memberships>('room-memberships');

export async function membershipsOf(
  stores: Pick<RoomStores, 'memberships' | 'directory'>,
  domain: string,
  person: BareJid,
): Promise<Membership[]> {
  const [rows, rooms] = await Promise.all([stores.memberships.all(person), stores.directory.all('')]);
  const found: Membership[] = [];
  for (const [local, { affiliation, nick, lastRead, since = 0, readAt = since }] of rows) {
    const room = rooms.get(local);
    if (room === undefined || affiliation === 'outcast') continue;
    const { createdAt = 0 } = room;
    // who is nobody in it does not come in, or has read what was there before it
    if (affiliation === 'none' && (room.isMembersOnly || readAt < createdAt)) continue;
    const name = room.name ?? local;
    found.push({
      room: Jid.of(local, domain),
      name,
      affiliation,
      isProtected: room.isProtected,
      nick,
      lastRead,
      since: Math.max(since, createdAt),
    });
  }
  return found.sort((one, other) => (one.room.local < other.room.local ? -1 : 1));
}
