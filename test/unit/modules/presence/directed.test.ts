// What nodes share of whom a session has sent presence to (RFC 6121 4.6): all of it, however much, and nothing that is over.
import { beforeEach, expect, test } from 'vitest';
import type { SessionEntry } from '../../../../src/cluster/cluster.ts';
import type { Session, Slot } from '../../../../src/core/sessions.ts';
import { Directed } from '../../../../src/modules/presence/directed.ts';
import { presenceOf } from '../../../../src/modules/presence/stanzas.ts';
import type { Roster } from '../../../../src/modules/roster/index.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import type { EphemeralStore } from '../../../../src/storage/ports.ts';
import { ephemeral } from '../../../../src/storage/specs.ts';
import { FakeClock } from '../../../kit/clock.ts';
import { jid } from '../../../kit/muc-room.ts';

const romeo = jid('romeo@verona.test/orchard');
const rooms = Array.from({ length: 450 }, (_, i) => jid(`room${i}@rooms.test/Romeo`));

let store: EphemeralStore<readonly string[]>;
let directed: Directed;

/** A session that is not available: all that it says of itself is directed. */
function session(sid: string): Session {
  const slots = new Map<unknown, unknown>();
  const made = {
    jid: romeo,
    sid,
    available: false,
    get: <T>(slot: Slot<T>) => slots.get(slot) as T | undefined,
    set: <T>(slot: Slot<T>, value: T | undefined) => void slots.set(slot, value),
  };
  return made as Partial<Session> as Session;
}

const tell = (from: Session, type: 'available' | 'unavailable', to: readonly (typeof romeo)[]): void => {
  for (const one of to) void directed.track(from, presenceOf(type, romeo, one));
};

/** Whom the dead session had told, and nobody else. */
const left = async (sid: string, successor?: Session): Promise<readonly string[]> =>
  (await directed.inherit(entryOf(sid), successor && entryOf(successor.sid))).map(({ full }) => full).toSorted();
const entryOf = (sid: string): SessionEntry => ({ jid: romeo, sid }) as Partial<SessionEntry> as SessionEntry;
const names = (some: readonly (typeof romeo)[]): readonly string[] => some.map(({ full }) => full).toSorted();

beforeEach(async () => {
  const opened = await createMemoryDriver(new FakeClock()).open('verona.test', 'presence', { directed: ephemeral() });
  store = opened.directed as EphemeralStore<readonly string[]>;
  directed = new Directed({ roster: {} as Roster, limit: 2000, store, isShared: () => true });
});

test('all are told that a session has gone with its node, once', async () => {
  tell(session('dead'), 'available', rooms);
  expect(await left('dead')).toEqual(names(rooms));
  expect(await left('dead')).toEqual([]);
  expect((await store.all(romeo.local)).size).toBe(0);
});

test('but for those whom it has left, and those whom its successor has told', async () => {
  const dead = session('dead');
  tell(dead, 'available', rooms);
  tell(dead, 'unavailable', rooms.slice(3, 100));
  tell(dead, 'available', rooms.slice(50, 60));
  const successor = session('next');
  tell(successor, 'available', rooms.slice(240, 445));
  const there = [...rooms.slice(0, 3), ...rooms.slice(50, 60), ...rooms.slice(100, 240), ...rooms.slice(445)];
  expect(await left('dead', successor)).toEqual(names(there));
});

test('nothing is shared of a session any more that has told all that it is gone', async () => {
  const dead = session('dead');
  tell(dead, 'available', rooms);
  tell(dead, 'unavailable', rooms.slice(0, 60));
  expect(directed.take(dead)).toHaveLength(390);
  expect((await store.all(romeo.local)).size).toBe(0);
});
