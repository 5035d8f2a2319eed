// XEP-0502: MUC Activity Indicator. How many messages an hour there are in a room, counted by the hour, for a day; told of persistent rooms
// that everybody finds and may enter.
//
// - 5: counted is what has a body, is for everybody and corrects nothing. An hour counts when it is over, so the number is up to an hour old.
// - 4.1: until one hour is known there is no number.
import { defineModule, on } from '../core/module.ts';
import { kv } from '../storage/specs.ts';
import type { Element } from '../xml/element.ts';
import { textField } from '../xmpp/dataform.ts';
import { NS } from '../xmpp/ns.ts';
import type { RoomConfig } from './muc/config.ts';
import { roomCreated, roomDestroyed, roomInfo, roomMessageSent, roomOpening } from './muc/hooks.ts';
import type { Room } from './muc/room.ts';
import { defineRoomSlot } from './muc/slots.ts';

/** In milliseconds. */
const HOUR = 3_600_000;
/** Hours that are averaged. */
const HOURS = 24;

/** JSON, as it is stored. */
interface Counts {
  /** The hour since which is counted, from 1970. */
  readonly since: number;
  /** The hour that is counted now, or was last. */
  hour: number;
  /** Messages in that hour and those before it, the latest first. */
  counts: readonly number[];
}
const activity = defineRoomSlot<Counts>('activity', {
  kept: { save: (counts) => counts, restore: (saved) => saved as Counts },
});

export default defineModule({
  xeps: ['XEP-0502 0.1.0'],
  summary: 'Tells how busy rooms are',
  hosts: ['rooms'],
  /** The owner is the room's localpart; written once in an hour. */
  stores: { activity: kv<Counts>() },

  setup({ stores, clock }) {
    const thisHour = (): number => Math.floor(clock.now() / HOUR);
    const begin = (room: Room): void => room.set(activity, { since: thisHour(), hour: thisHour(), counts: [0] });

    function save(room: Room, counts: Counts | undefined): void {
      const stored = room.ports.rows.write(() => stores.activity.set(room.jid.local, counts && { ...counts }));
      room.ports.background(stored, 'storing how busy a room is');
    }

    return {
      handlers: [
        on(roomCreated, ({ room }) => begin(room)),
        on(roomOpening, async ({ room }) => {
          if (room.get(activity) !== undefined) return;
          const stored = await stores.activity.get(room.jid.local);
          if (stored === undefined) begin(room);
          else room.set(activity, { ...stored });
        }),
        on(roomMessageSent, ({ room, occupant, element }) => {
          const counts = room.get(activity);
          if (counts === undefined || occupant === undefined || !isActivity(element)) return;
          const isOther = counts.hour !== thisHour();
          turn(counts, thisHour());
          counts.counts = [counts.counts[0]! + 1, ...counts.counts.slice(1)];
          if (isOther && room.config.isPersistent) save(room, counts);
        }),
        on(roomInfo, ({ context: { room }, fields, values }) => {
          const counts = room.get(activity);
          if (counts === undefined || !isForAll(room.config)) return;
          turn(counts, thisHour());
          const known = Math.min(HOURS, counts.hour - counts.since);
          if (known < 1) return;
          const sum = counts.counts.slice(1).reduce((all, count) => all + count, 0);
          fields[field] = textField('Messages per hour');
          values[field] = String(Math.round((sum / known) * 100) / 100);
        }),
        on(roomDestroyed, ({ room }) => {
          room.set(activity, undefined);
          if (room.config.isPersistent) save(room, undefined);
        }),
      ],
    };
  },
});

/** 5. */
export function isActivity(message: Element): boolean {
  return message.getChild('body') !== undefined && message.getChild('replace', NS.correction) === undefined;
}

const field = '{urn:xmpp:muc-activity}message-activity';

/** 4.1, 9: what everybody finds, and may enter without having been let in. */
function isForAll({ isPersistent, isPublic, isMembersOnly, password }: RoomConfig): boolean {
  return isPersistent && isPublic && !isMembersOnly && password === '';
}

/** Begins the hour that it is now. */
function turn(counts: Counts, hour: number): void {
  const passed = Math.min(hour - counts.hour, HOURS + 1);
  if (passed <= 0) return;
  counts.counts = [...new Array<number>(passed).fill(0), ...counts.counts].slice(0, HOURS + 1);
  counts.hour = hour;
}
