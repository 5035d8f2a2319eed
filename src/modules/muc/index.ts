// XEP-0045: Multi-User Chat. Rooms, each on the node that owns it: room.ts is what a room is, arrivals.ts what comes to it; the hooks that
// other modules attach to are in hooks.ts, and what a handler of a request finds in request.ts.
//
// - 5.1 SHOULD: roles are of one visit, in moderated rooms too: who is to have voice for good is made a member.
// - 7.2.3 lets a service change nicks (210): this one never does.
// - 7.2.18: who enters without `<x/>` is told not to be in the room.
// - 8.2, of kicking oneself: it is allowed, as on IRC.
// - 7.2.13, 10.2.1: nothing is logged for the public here; 170 and 171 tell what owners say of their rooms.
// - 18.1.1: who is put on a list while away is not told so by 101; but who may enter a members-only room by that is invited (9.5), and who
//   invites somebody to one makes them a member (invitations.ts).
// - XEP-0463: in following.ts.
// - 10.10.2: rooms are handed over, or go on when the server comes back, with all who are in them: nobody is told 332.
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { pause } from '../../base/clock.ts';
import { andThen, isPromise } from '../../base/maybe.ts';
import type { Lease } from '../../cluster/cluster.ts';
import { duration } from '../../config/schema.ts';
import { accountRemoving, serviceIn } from '../../core/events.ts';
import { confirm, hooksUnder } from '../../core/leased.ts';
import { counter, gauge } from '../../core/metrics.ts';
import { defineModule, type Item, iqGet, on, provide } from '../../core/module.ts';
import type { Life, Transit } from '../../core/transit.ts';
import { whereabouts } from '../../core/whereabouts.ts';
import { el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { type BareJid, Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { type Stanza, stanzaOf } from '../../xmpp/stanza.ts';
import { type NotificationSettings, notificationSettings } from '../notification-settings.ts';
import { Departures } from './departures.ts';
import { roomDirectory } from './directory.ts';
import { Home, type HomeParts } from './home.ts';
import { roomMessageSent } from './hooks.ts';
import { memberships, membershipsOf } from './memberships.ts';
import { isOperator } from './operator.ts';
import { Passed } from './passed.ts';
import type { RoomPorts } from './ports.ts';
import { requests } from './requests.ts';
import type { DirectoryRow } from './rows.ts';
import type { Handed } from './saved.ts';
import { SHARE_AGAIN, type StoredRows, stores } from './stores.ts';
import { sweep } from './sweep.ts';

/** Asks a room to forget an account of the host that it belongs to. */
interface Removal {
  readonly removed: string;
}

/** For the metrics, in milliseconds. */
const COUNT_EVERY = 10_000;
/** After so long a directory that was lost is whole again, in milliseconds. */
const LOOK_AGAIN = 15_000;
/** How often people of other servers are looked for who have been silent, in milliseconds; and how many of them are asked each time. */
const ASK_EVERY = 60_000;
const MOST_ASKED = 200;
/** After a start, in milliseconds: by then whoever resumes has found their rooms. */
const SWEEP_AFTER = 60_000;

export default defineModule({
  xeps: ['XEP-0045 1.35.5', 'XEP-0410 1.1.0', 'XEP-0463 0.2.0'],
  summary: 'Rooms for many people',
  hosts: ['rooms'],
  provides: [roomDirectory],
  stores,
  metrics: {
    rooms: gauge('Rooms in the memory of this node'),
    occupants: gauge('People in rooms of this node'),
    messages: counter('Messages to everybody in a room'),
  },
  config: z.strictObject({
    'most-occupants': z
      .int()
      .min(1)
      .prefault(10_000)
      .meta({ description: 'People that may be in one room at a time, whatever its owner says.' }),
    'unload-after': duration()
      .prefault('5m')
      .meta({ description: 'A room that nobody is in and nobody asks for is out of memory after so long.' }),
    'ask-guests-after': duration().prefault('15m').meta({
      description: 'People of other servers who have said nothing for so long are asked whether they are there.',
    }),
  }),

  setup({ host, config, stores, metrics, router, cluster, owners, clock, log, background, every, signal }) {
    const homes = new Set<Home>();
    const people = host.parent?.domain ?? host.domain;

    const ports = (rows: StoredRows, lease: Lease, isDropped: () => boolean): RoomPorts => {
      const deliver: RoomPorts['answer'] = (element, from, to) => {
        if (!isDropped()) return router.send(stanzaOf(element.with({ to: to.full }), from, to), host);
      };
      return {
        rows,
        mostOccupants: config['most-occupants'],
        hooks: { ...hooksUnder(host, lease), listens: (hook) => host.listens(hook) },
        handler: (type, ns, name) => host.iqs.find(['room'], type, ns, name),
        ours: () => (lease.isValid ? undefined : confirm(lease)),
        now: () => clock.now(),
        newId: () => randomBytes(9).toString('base64url'),
        multicast(element, from, to) {
          if (!isDropped()) return router.multicast(element, from, to, host, lease.token);
        },
        send: (element, from, to) => void deliver(element, from, to),
        answer: deliver,
        background,
      };
    };

    const isForeign = ({ domain }: Jid): boolean => domain !== people;
    const parts: HomeParts = {
      stores,
      ports,
      isForeign,
      isShared: () => cluster.nodes.size > 1,
      mostOwned: host.settings.rooms['per-account'],
      async sessionAt(device) {
        if (isForeign(device)) return undefined;
        const entry = await whereabouts(cluster, device.withResource('').bare, ({ jid }) => jid.full === device.full);
        return { sid: entry?.sid };
      },
      fault: (err) => log.error({ err }, 'a stanza to a room failed'),
    };

    /** Of a cluster's directory nobody is gone who is in it later: Redis may have forgotten all for a moment. */
    const lookForAll = (home: Home): void =>
      home.lookForAll(() => cluster.nodes.size === 1 || pause(clock, LOOK_AGAIN, signal));

    const shareAgain = (home: Home): void => background(home.shareAgain(), 'telling who is in a room');

    const departures = new Departures({
      cluster,
      clock,
      rooms: host.domain,
      people,
      look(devices) {
        for (const home of homes) home.look(devices);
      },
      lookAgain() {
        for (const home of homes) {
          shareAgain(home);
          lookForAll(home);
        }
      },
    });

    const rooms = owners.declare<Home, Passed | Removal, void>('room', {
      async thaw(key, lease, handed) {
        const home = await Home.open(parts, Jid.of(key, host.domain), lease, handed as Handed | undefined);
        homes.add(home);
        home.look(departures.lately);
        if (handed === undefined || (handed as Handed).isUncertain) lookForAll(home);
        return home;
      },
      handle: (home, asked) => ('removed' in asked ? home.forget(Jid.of(asked.removed, people)) : home.handle(asked)),
      freeze(home) {
        homes.delete(home);
        return home.freeze();
      },
      drop(home) {
        homes.delete(home);
        home.drop();
      },
      idleAfter: config['unload-after'],
      isIdle: (home) => home.isIdle,
      rebuild: 'eager',
    });

    every(COUNT_EVERY, 'counting rooms', () => {
      const here = [...homes].flatMap(({ room }) => (room === undefined || room.isOver ? [] : [room]));
      metrics.rooms.set(here.length);
      metrics.occupants.set(here.reduce((sum, { occupants }) => sum + occupants.size, 0));
    });
    every(ASK_EVERY, 'asking who is there of other servers', () => {
      const since = clock.now() - config['ask-guests-after'];
      let left = MOST_ASKED;
      for (const home of homes) {
        left -= home.askSilent(since, left);
        if (left === 0) break;
      }
    });
    every(SHARE_AGAIN, 'who is in rooms', () => {
      for (const home of homes) shareAgain(home);
    });

    /** Nothing is left of an account in any room, nor here of what it wanted to be told. */
    const forget = async (user: string): Promise<void> => {
      const { bare } = Jid.of(user, people);
      for (const key of (await stores.memberships.all(bare)).keys()) {
        await rooms.call(key, { removed: user });
        await stores.memberships.set(bare, key, undefined);
      }
    };

    /** What people of this domain want to be told of is known here; those of others see to it themselves. */
    function settingsOf(
      person: BareJid,
    ): { readonly user: string; readonly settings: NotificationSettings } | undefined {
      const jid = Jid.parse(person);
      const settings = host.parent?.find(notificationSettings);
      if (settings === undefined || jid?.domain !== people) return undefined;
      return { user: jid.local, settings };
    }

    /** What the server itself says is answered here: it does not wait for what becomes of it. */
    const told = ({ el: element, from, to }: Stanza, done: Promise<void>): Promise<void> =>
      done.catch((error: unknown) => router.refuse(element, to, from, error));

    const stopListening = departures.listen();
    const cancelSweep = clock.after(SWEEP_AFTER, () =>
      background(
        sweep(
          stores,
          host.jid,
          (key) => rooms.isHere(key),
          (key, passed) => rooms.send(key, passed),
        ),
        'looking for rooms that everybody has left',
      ),
    );

    return {
      features: { server: [NS.muc, NS.mucStableId] },
      // XEP-0045 6.3
      items: (of) => andThen(stores.directory.all(''), (all) => listed(of, all)),
      handlers: [
        provide(memberships, {
          of: (person) => membershipsOf(stores, host.domain, person),
          isPrivate: (room) => andThen(stores.directory.get('', room), (row) => row?.isMembersOnly === true),
          wishOf: (person, room) => {
            const wishes = settingsOf(person);
            return wishes?.settings.of(wishes.user, Jid.of(room, host.domain).bare);
          },
          wishesOf: (person) => {
            const wishes = settingsOf(person);
            return wishes?.settings.all(wishes.user) ?? new Map();
          },
        }),
        ...requests,
        on(accountRemoving, ({ user }) => forget(user)),
        provide(roomDirectory, {
          all: () => stores.directory.all(''),
          createdAt: (room) => andThen(stores.rooms.get(room), (row) => row?.createdAt),
        }),
        on(roomMessageSent, () => metrics.messages.inc()),
        // what the host asks itself for its operators
        iqGet('host', NS.mucOwner, 'query', ({ iq }) => {
          if (!isOperator(iq.from, host.domain)) throw new StanzaError('service-unavailable');
          return andThen(stores.directory.all(''), (all) =>
            el('query', NS.mucOwner, undefined, JSON.stringify([...all])),
          );
        }),
        on(serviceIn, { phase: 'handle' }, (transit) => {
          const { stanza } = transit;
          if (stanza.to.local === '') return;
          // (what a client says of itself is believed)
          const isInstead = transit.origin.kind === 'host' && stanza.from.domain === people;
          const done = rooms.call(stanza.to.local, new Passed(stanza, isInstead, lifeBehind(transit)));
          // where the room is elsewhere, or writes something, the sender's acknowledgement waits, and nothing else
          if (isPromise(done)) transit.settle(transit.origin.kind === 'host' ? told(stanza, done) : done);
          return 'handled';
        }),
      ],
      stop() {
        stopListening();
        cancelSweep();
      },
    };
  },
});

/** The session that says something, or that it is said of. */
function lifeBehind({ origin }: Transit): Life | undefined {
  if (origin.kind === 'client') return origin.session;
  return origin.kind === 'host' ? origin.life : undefined;
}

/** The public rooms, in an order that does not change while somebody turns the pages. */
function listed(host: Jid, all: ReadonlyMap<string, DirectoryRow>): Item[] {
  const items: Item[] = [];
  for (const [local, { isPublic, name }] of all) {
    if (isPublic) items.push({ jid: Jid.of(local, host.domain), name: name ?? local });
  }
  return items.sort((one, other) => (one.jid.local < other.jid.local ? -1 : 1));
}
