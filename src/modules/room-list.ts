// The rooms of an account, with what is unread in each, for inboxes and notifications; and how far people have read in rooms, as they say by
// displayed markers (XEP-0333) in them. Mentions among what is unread are not counted.
//
// - 0333: a marker names a message by the id that the room has given it. It is believed as far as there can be such a message: not to come after it.
import { defineModule, defineService, on, provide } from '../core/module.ts';
import type { BareJid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import { roomMessageSent } from './muc/hooks.ts';
import { type Membership, memberships } from './muc/memberships.ts';
import type { Room } from './muc/room.ts';
import { defineRoomSlot } from './muc/slots.ts';
import { roomArchive } from './room-archive/retractions.ts';

/** Unread messages of a room are counted up to here, unless asked otherwise. */
const COUNTED = 100;

export interface RoomOfAccount extends Membership {
  /** Messages of others that are for people to read, up to as many as are counted. */
  readonly unread: number;
}

export interface RoomList {
  /** The rooms that a person belongs to, or reads: from the stores, on any node, without waking a room. In the order of their addresses. */
  roomsOf(account: BareJid, counted?: number): Promise<readonly RoomOfAccount[]>;
}
export const roomList = defineService<RoomList>('room-list');

/** How far people have read whose rows are being written, by person: what comes meanwhile is written after it, the last of it alone. */
const written = defineRoomSlot<Map<BareJid, string>>('read-up-to');

export default defineModule({
  xeps: [],
  summary: 'Knows the rooms of an account, and how much of each its owner has not read',
  hosts: ['rooms'],
  provides: [roomList],

  setup({ host, find, background }) {
    async function roomsOf(account: BareJid, counted = COUNTED): Promise<RoomOfAccount[]> {
      const all = (await find(memberships)?.of(account)) ?? [];
      const asked = all.map(({ room, lastRead, since }) => ({
        owner: room.local,
        afterId: lastRead,
        start: since,
        except: account,
      }));
      const unread = (await find(roomArchive)?.unread(asked, counted)) ?? [];
      return all.map((membership, index) => ({ ...membership, unread: unread[index] ?? 0 }));
    }

    function readUpTo(room: Room, person: BareJid, id: string): void {
      let under = room.get(written);
      if (under === undefined) {
        under = new Map();
        room.set(written, under);
      }
      const isUnderWay = under.has(person);
      if (isUnderWay && under.get(person)! >= id) return;
      under.set(person, id);
      if (!isUnderWay) background(write(room, person, under), 'keeping how far somebody has read');
    }

    async function write(room: Room, person: BareJid, under: Map<BareJid, string>): Promise<void> {
      try {
        for (let id = under.get(person); id !== undefined; ) {
          await room.ports.rows.saveRead(person, id, room.ports.now());
          const next = under.get(person);
          id = next === id ? undefined : next;
        }
      } finally {
        under.delete(person);
      }
    }

    return {
      handlers: [
        provide(roomList, { roomsOf }),
        on(roomMessageSent, ({ room, occupant, element, stanzaId }) => {
          if (occupant === undefined || stanzaId === undefined) return;
          const id = element.getChild('displayed', NS.chatMarkers)?.attrs.id;
          // other servers keep what their people have read
          if (id === undefined || !occupant.bare.endsWith(`@${host.parent?.domain}`)) return;
          if (id.length === stanzaId.length && id < stanzaId) readUpTo(room, occupant.bare, id);
        }),
      ],
    };
  },
});
