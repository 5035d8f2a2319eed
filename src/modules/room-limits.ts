// Floods in rooms: how fast one person may speak, come and go, invite others, and change nick or presence in a room, and how much there is of it
// in a room at all. Who is beyond is told to wait; of presence, the last one is shown when there is time for it. Admins and owners speak as fast
// as they like, but for what a room as a whole may hear; they invite no faster than others: whom they invite has not asked for it. What holds for a stream (`limits`) comes before all that.
import { z } from 'zod';
import { type Rate, TokenBucket } from '../base/token-bucket.ts';
import { defineModule, on } from '../core/module.ts';
import { parseElement } from '../xml/document.ts';
import { flatten } from '../xml/flatten.ts';
import { StanzaError } from '../xmpp/errors.ts';
import type { BareJid, Jid } from '../xmpp/jid.ts';
import { isAtLeast } from './muc/associations.ts';
import type { Affiliation } from './muc/config.ts';
import {
  type RoomInvitation,
  type RoomShow,
  roomInvitation,
  roomJoin,
  roomMessage,
  roomNick,
  roomPrivate,
  roomShow,
} from './muc/hooks.ts';
import { applyPresence } from './muc/nick-change.ts';
import type { Room } from './muc/room.ts';
import { defineRoomSlot } from './muc/slots.ts';

/** In milliseconds: when presence that had to wait is looked at. */
const SHOW_EVERY = 1000;
/** People that a room remembers before it forgets those who were quiet for so long, in milliseconds. */
const MANY = 1000;
const QUIET = 5 * 60_000;

/** What one person has left. */
interface Person {
  readonly messages: TokenBucket;
  readonly entries: TokenBucket;
  readonly shows: TokenBucket;
  readonly invitations: TokenBucket;
  /** Milliseconds since 1970. */
  seenAt: number;
}
interface Crowd {
  readonly people: Map<BareJid, Person>;
  readonly messages: TokenBucket;
  readonly entries: TokenBucket;
}
const crowd = defineRoomSlot<Crowd>('room-limits');

const rate = (value: number, description: string) => z.number().positive().prefault(value).meta({ description });
const burst = (value: number) =>
  z.int().positive().prefault(value).meta({ description: 'As many as that may come at once before the rate counts.' });

export default defineModule({
  xeps: [],
  summary: 'Keeps floods out of rooms',
  hosts: ['rooms'],
  config: z.strictObject({
    'messages-per-second': rate(
      20,
      'Messages of one person in a room, in the long run; admins of the room have no limit.',
    ),
    'messages-burst': burst(500),
    'room-messages-per-second': rate(200, 'Messages of all people in a room, in the long run.'),
    'room-messages-burst': burst(5000),
    'entries-per-second': rate(0.5, 'Entries and changes of nick of one person in a room, in the long run.'),
    'entries-burst': burst(20),
    'room-entries-per-second': rate(20, 'Entries to a room of those who have no affiliation, in the long run.'),
    'room-entries-burst': burst(1000),
    'presence-per-second': rate(0.5, 'Changes of presence of one person in a room that are shown, in the long run.'),
    'presence-burst': burst(20),
    'invitations-per-second': rate(0.2, 'People whom one person invites to a room, in the long run.'),
    'invitations-burst': burst(50),
  }),

  setup({ host, config, clock, every }) {
    const ofMessages: Rate = { rate: config['messages-per-second'], burst: config['messages-burst'] };
    const ofAllMessages: Rate = { rate: config['room-messages-per-second'], burst: config['room-messages-burst'] };
    const ofEntries: Rate = { rate: config['entries-per-second'], burst: config['entries-burst'] };
    const ofAllEntries: Rate = { rate: config['room-entries-per-second'], burst: config['room-entries-burst'] };
    const ofInvitations: Rate = { rate: config['invitations-per-second'], burst: config['invitations-burst'] };
    const ofShows: Rate = { rate: config['presence-per-second'], burst: config['presence-burst'] };
    /** Presence that waits, the last one of each device, by its real full JID. */
    const late = new Map<string, RoomShow>();

    function crowdOf(room: Room, now: number): Crowd {
      const found = room.get(crowd);
      if (found !== undefined) return found;
      const messages = new TokenBucket(ofAllMessages, now);
      const made: Crowd = { people: new Map(), messages, entries: new TokenBucket(ofAllEntries, now) };
      room.set(crowd, made);
      return made;
    }

    function personOf({ people }: Crowd, bare: BareJid, now: number): Person {
      let person = people.get(bare);
      if (person === undefined) {
        if (people.size >= MANY) forget(people, now);
        person = {
          messages: new TokenBucket(ofMessages, now),
          entries: new TokenBucket(ofEntries, now),
          shows: new TokenBucket(ofShows, now),
          invitations: new TokenBucket(ofInvitations, now),
          seenAt: now,
        };
        people.set(bare, person);
      }
      person.seenAt = now;
      return person;
    }

    function checkMessage(room: Room, sender: Jid, affiliation: Affiliation): StanzaError | undefined {
      const now = clock.now();
      const all = crowdOf(room, now);
      if (!isAtLeast(affiliation, 'admin') && !personOf(all, sender.bare, now).messages.tryTake(1, now)) {
        return tooFast('you speak too fast in this room');
      }
      return all.messages.tryTake(1, now) ? undefined : tooFast('there is too much going on in this room');
    }

    function checkEntry(room: Room, { bare }: Jid, affiliation: Affiliation, isNew: boolean): StanzaError | undefined {
      if (isAtLeast(affiliation, 'admin')) return undefined;
      const now = clock.now();
      const all = crowdOf(room, now);
      if (!personOf(all, bare, now).entries.tryTake(1, now)) return tooFast('you come and go too fast');
      if (!isNew || affiliation !== 'none' || all.entries.tryTake(1, now)) return undefined;
      return tooFast('too many people enter this room');
    }

    function checkInvitations({ room, inviter, people }: RoomInvitation): StanzaError | undefined {
      const now = clock.now();
      const { invitations } = personOf(crowdOf(room, now), inviter.withResource('').bare, now);
      return invitations.tryTake(people.length, now) ? undefined : tooFast('you invite too many people');
    }

    function checkShow(event: RoomShow): 'handled' | undefined {
      const { room, occupant } = event;
      const now = clock.now();
      const key = keyOf(event);
      if (!late.has(key) && personOf(crowdOf(room, now), occupant.bare, now).shows.tryTake(1, now)) return undefined;
      late.set(key, { ...event, presence: parseElement(flatten(event.presence.toXml())) });
      return 'handled';
    }

    function showLate(): void {
      const now = clock.now();
      for (const [key, event] of late) {
        const { room, device } = event;
        const occupant = room.occupantOf(device.jid);
        if (room.isOver || occupant === undefined) late.delete(key);
        else if (personOf(crowdOf(room, now), occupant.bare, now).shows.tryTake(1, now)) {
          late.delete(key);
          void room.run(() => {
            const shown = room.occupantOf(device.jid);
            if (shown?.device(device.jid) === device) applyPresence({ ...event, occupant: shown });
          });
        }
      }
    }

    if (!host.settings.limits.enabled) return {};
    every(SHOW_EVERY, 'presence that had to wait', showLate);
    return {
      handlers: [
        on(roomMessage, { phase: 'check' }, ({ room, sender, occupant }) =>
          occupant === undefined ? undefined : checkMessage(room, sender, occupant.affiliation),
        ),
        on(roomPrivate, { phase: 'check' }, ({ room, sender, occupant }) =>
          checkMessage(room, sender, occupant.affiliation),
        ),
        on(roomJoin, { phase: 'check' }, ({ room, jid, affiliation, occupant }) =>
          checkEntry(room, jid, affiliation, occupant === undefined),
        ),
        on(roomNick, { phase: 'check' }, ({ room, occupant }) =>
          checkEntry(room, occupant.shown.jid, occupant.affiliation, false),
        ),
        on(roomShow, { phase: 'check' }, checkShow),
        on(roomInvitation, { phase: 'check' }, checkInvitations),
      ],
    };
  },
});

/** A device in a room. */
function keyOf({ room, device }: RoomShow): string {
  return `${room.jid.local} ${device.jid.full}`;
}

function forget(people: Map<BareJid, Person>, now: number): void {
  for (const [bare, { seenAt }] of people) if (now - seenAt > QUIET) people.delete(bare);
}

function tooFast(text: string): StanzaError {
  return new StanzaError('policy-violation', `${text}; try again later`, { type: 'wait' });
}
