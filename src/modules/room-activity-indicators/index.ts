// XEP-0437: Room Activity Indicators. A client that does not enter all rooms of its account asks, by presence to the host of the rooms, to be told
// in which of them something was said: at once of what was said since the account was last in a room, and then of each room once, until it
// has been inside again. What counts is what counts as activity (XEP-0502, room-activity.ts), by others.
//
// - 4.3, 5.1: the rooms are those that an account belongs to or reads, without those that it wants to hear nothing of. Rooms that ask for a
//   password are left out but for their admins: whether somebody knows it is known when they enter.
// - 6, MAY: only people of the host's own domain are served; others are refused with `not-allowed`.
// - 4.3, SHOULD "only a single notification": after a restart of the whole server one may come again.
import { randomBytes } from 'node:crypto';
import { accountRemoving, serviceIn } from '../../core/events.ts';
import { counter } from '../../core/metrics.ts';
import { defineModule, on } from '../../core/module.ts';
import { map } from '../../storage/specs.ts';
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { type BareJid, Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { isAtLeast } from '../muc/associations.ts';
import {
  type RoomMessage,
  roomAffiliation,
  roomDestroyed,
  roomJoined,
  roomLeft,
  roomMessageSent,
  roomOpening,
} from '../muc/hooks.ts';
import { memberships } from '../muc/memberships.ts';
import type { Room } from '../muc/room.ts';
import { isActivity } from '../room-activity.ts';
import { roomArchive } from '../room-archive/retractions.ts';
import { Subscription, Subscriptions } from './subscriptions.ts';

/** What nodes tell one another. */
type Word =
  | { readonly kind: 'asked'; readonly jid: string; readonly row: Row }
  | { readonly kind: 'left'; readonly jid: string }
  | { readonly kind: 'told'; readonly jids: readonly string[]; readonly room: string }
  | { readonly kind: 'inside'; readonly jid: string; readonly room: string }
  | { readonly kind: 'member'; readonly person: string; readonly room: string };

interface Row {
  readonly at: number;
  readonly rooms: readonly string[];
}

/** Rooms of one account. */
const MOST_ROOMS = 1000;
/** After a start, in milliseconds: by then whoever resumes has done so. */
const SWEEP_AFTER = 60_000;

export default defineModule({
  xeps: ['XEP-0437 0.2.0'],
  summary: 'Tells clients in which of the rooms that they are not in something was said',
  hosts: ['rooms'],
  stores: {
    /** The owner is `''`, the key a full JID. */
    subscriptions: map<Row>(),
    /** When a person was last in a room, in milliseconds since 1970: the owner is their bare JID, the key the room's localpart. */
    left: map<number>(),
  },
  metrics: { told: counter('Indications that something was said in a room') },

  async setup({ host, stores, metrics, router, cluster, clock, find, background }) {
    const people = host.parent?.domain ?? host.domain;
    const topic = `room-activity:${host.domain}`;
    const subscriptions = new Subscriptions();

    const remember = (full: string, { at, rooms }: Row): Subscription | undefined => {
      const jid = Jid.parse(full);
      if (jid === undefined) return undefined;
      const subscription = new Subscription(jid, at, rooms);
      subscriptions.add(subscription);
      return subscription;
    };

    function hear(word: Word): void {
      if (word.kind === 'asked') remember(word.jid, word.row);
      else if (word.kind === 'left') subscriptions.remove(word.jid);
      else if (word.kind === 'told') subscriptions.tell(word.jids, word.room);
      else if (word.kind === 'inside') subscriptions.enter(word.jid, word.room);
      else subscriptions.join(word.person as BareJid, word.room);
    }
    const say = (word: Word): void => cluster.publish(topic, word);

    for (const [full, row] of await stores.subscriptions.all('')) remember(full, row);

    const tell = (rooms: readonly string[], to: readonly Jid[]): void => {
      const children = rooms.map((room) => el('activity', NS.roomActivity, undefined, Jid.of(room, host.domain).bare));
      const rai = el('rai', NS.roomActivity, undefined, ...children);
      const id = randomBytes(9).toString('base64url');
      // never to another device, nor kept for later
      void router.multicast(el('message', null, { from: host.domain, id }, rai), host.jid, to, host);
      metrics.told.inc(to.length);
      for (const room of rooms) {
        const jids = to.map(({ full }) => full);
        subscriptions.tell(jids, room);
        say({ kind: 'told', jids, room });
      }
    };

    async function subscribe(jid: Jid): Promise<void> {
      const all = (await find(memberships)?.of(jid.bare)) ?? [];
      const wishes = await find(memberships)?.wishesOf(jid.bare);
      const own = all.filter(({ room, isProtected, affiliation }) => {
        return wishes?.get(room.bare) !== 'never' && (!isProtected || isAtLeast(affiliation, 'admin'));
      });
      const row: Row = { at: clock.now(), rooms: own.slice(0, MOST_ROOMS).map(({ room }) => room.local) };
      const subscription = remember(jid.full, row);
      if (subscription === undefined) return;
      say({ kind: 'asked', jid: jid.full, row });
      background(stores.subscriptions.set('', jid.full, row), 'keeping who wants to hear of rooms');
      const left = await stores.left.all(jid.bare);
      const asked = own.map(({ room, lastRead, since }) => ({
        owner: room.local,
        afterId: lastRead,
        start: Math.max(since, (left.get(room.local) ?? -1) + 1),
        except: jid.bare,
      }));
      const unread = (await find(roomArchive)?.unread(asked, 1)) ?? [];
      const rooms = asked.flatMap(({ owner }, index) => ((unread[index] ?? 0) > 0 ? owner : []));
      // it may have been told of some already, and be gone
      const news = rooms.filter((room) => !subscription.told.has(room));
      if (news.length > 0 && subscriptions.of(jid.full) === subscription) tell(news, [jid]);
    }

    function unsubscribe(full: string): void {
      if (subscriptions.of(full) === undefined) return;
      subscriptions.remove(full);
      say({ kind: 'left', jid: full });
      background(stores.subscriptions.set('', full, undefined), 'forgetting who wanted to hear of rooms');
    }

    function said({ room, occupant, element }: RoomMessage): void {
      if (occupant === undefined || !isActivity(element)) return;
      const to = subscriptions.untold(
        room.jid.local,
        ({ jid }) => room.occupantOf(jid) !== undefined,
        ({ jid }) => jid.bare !== occupant.bare && mayEnter(room, jid),
      );
      if (to.length > 0) tell([room.jid.local], to);
    }

    /** People of ours who belong to a room come back to what was said after they have left. */
    function keepLeaving(room: Room, person: BareJid): void {
      if (!person.endsWith(`@${people}`) || !isAtLeast(room.affiliations.get(person)?.affiliation ?? 'none', 'member'))
        return;
      const stored = room.ports.rows.write(() => stores.left.set(person, room.jid.local, room.ports.now()));
      room.ports.background(stored, 'storing when somebody was last in a room');
    }

    async function forget(room: Room, gone: Iterable<BareJid>): Promise<void> {
      await Promise.all([...gone].map((person) => stores.left.set(person, room.jid.local, undefined)));
    }

    /** Who was here when the server was killed has not left. */
    async function sweep(): Promise<void> {
      if (cluster.owner(topic) !== cluster.self) return;
      for (const { jid } of [...subscriptions.all()]) {
        const sessions = await cluster.directory.sessions(jid.bare, true);
        if (!sessions.some((session) => session.jid.full === jid.full)) unsubscribe(jid.full);
      }
    }

    const stopListening = cluster.subscribe(topic, (word) => hear(word as Word));
    const cancelSweep = clock.after(SWEEP_AFTER, () => background(sweep(), 'looking who wants to hear of rooms'));

    return {
      features: { server: [NS.roomActivity] },
      handlers: [
        on(serviceIn, { phase: 'handle', before: ['muc'] }, ({ stanza }) => {
          if (stanza.kind !== 'presence' || stanza.to.local !== '') return;
          if (stanza.type === 'unavailable' || stanza.type === 'error') unsubscribe(stanza.from.full);
          if (stanza.type !== 'available' || rai(stanza.el) === undefined) return;
          if (stanza.from.domain !== people || stanza.from.isBare) {
            return new StanzaError('not-allowed', `this is for people of ${people}`);
          }
          background(subscribe(stanza.from), 'telling in which rooms something was said');
          return 'handled';
        }),
        on(roomOpening, ({ room }) => subscriptions.look(room.jid.local)),
        on(roomMessageSent, said),
        on(roomJoined, ({ room, device: { jid } }) => {
          if (subscriptions.enter(jid.full, room.jid.local))
            say({ kind: 'inside', jid: jid.full, room: room.jid.local });
        }),
        on(roomLeft, ({ room, occupant, device, isLast }) => {
          subscriptions.leave(device.jid.full, room.jid.local);
          if (isLast && !room.isOver && room.occupantsOf(occupant.bare).next().done) keepLeaving(room, occupant.bare);
        }),
        on(roomAffiliation, ({ room, jid, now }) => {
          if (isAtLeast(now?.affiliation ?? 'none', 'member')) {
            if (subscriptions.join(jid, room.jid.local)) say({ kind: 'member', person: jid, room: room.jid.local });
          } else background(forget(room, [jid]), 'forgetting when somebody was last in a room');
        }),
        on(roomDestroyed, ({ room }) =>
          background(forget(room, room.affiliations.keys()), 'forgetting who was in a room'),
        ),
        on(accountRemoving, async ({ user }) => {
          const { bare } = Jid.of(user, people);
          for (const room of (await stores.left.all(bare)).keys()) await stores.left.set(bare, room, undefined);
        }),
      ],
      stop() {
        stopListening();
        cancelSweep();
      },
    };
  },
});

function rai(presence: Element): Element | undefined {
  return presence.getChild('rai', NS.roomActivity);
}

/** 4.3: "A server MUST NOT send activity notifications to a user from a room that the user would not be allowed to join." */
function mayEnter(room: Room, jid: Jid): boolean {
  const { isMembersOnly, password } = room.config;
  const affiliation = room.affiliationOf(jid);
  if (room.isLocked || affiliation === 'outcast') return false;
  if (isMembersOnly && !isAtLeast(affiliation, 'member')) return false;
  return password === '' || isAtLeast(affiliation, 'admin');
}
