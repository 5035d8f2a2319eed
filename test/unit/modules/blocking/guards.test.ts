// What is decided right before a session is written to: by a list that is there with it, changes, and is read again in doubt.
import { beforeEach, expect, test } from 'vitest';
import type { Session } from '../../../../src/core/sessions.ts';
import { Guards } from '../../../../src/modules/blocking/guards.ts';
import { BlockList } from '../../../../src/modules/blocking/list.ts';
import { StorageUnavailable } from '../../../../src/storage/errors.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';
import { stanzaOf } from '../../../../src/xmpp/stanza.ts';
import { turn } from '../../../kit/clock.ts';

const romeo = Jid.parse('romeo@verona.test/orchard')!;
const domain = 'verona.test';

interface Reading {
  resolve(list: BlockList | undefined): void;
  reject(error: Error): void;
}

let guards: Guards;
let readings: Reading[];
/** What is answered at once. */
let known: { readonly list: BlockList | undefined } | undefined;
let sessions: Session[];
let pauses: (() => void)[];

function newGuards(): Guards {
  return new Guards({
    lists: {
      of: () =>
        known === undefined ? new Promise((resolve, reject) => readings.push({ resolve, reject })) : known.list,
    },
    sessionsOf: (account) => (account === romeo.bare ? sessions : []),
    background: (work) => void work,
    pause: () => new Promise<void>((resolve) => pauses.push(resolve)),
  });
}

beforeEach(() => {
  readings = [];
  pauses = [];
  sessions = [];
  known = { list: undefined };
  guards = newGuards();
});

function newSession(): Session {
  const slots = new Map<unknown, unknown>();
  return {
    jid: romeo,
    host: { domain },
    get: (slot: unknown) => slots.get(slot),
    set: (slot: unknown, value: unknown) => void slots.set(slot, value),
  } as unknown as Session;
}

async function come(): Promise<Session> {
  const session = newSession();
  await guards.begin(session);
  sessions.push(session);
  return session;
}

function lets(session: Session, from: string): boolean {
  const element = parseElement(`<message from='${from}'><body>x</body></message>`);
  return guards.lets(session, stanzaOf(element, Jid.parse(from)!, romeo));
}

const [nurse, tybalt, juliet] = ['coven@rooms.test/nurse', 'coven@rooms.test/tybalt', 'coven@rooms.test/juliet'];
const listOf = (...jids: string[]): BlockList => new BlockList(jids);

test('who has blocked nobody is written to, by all; who has, by all but those', async () => {
  expect(lets(await come(), nurse)).toBe(true);
  known = { list: listOf(tybalt) };
  const session = await come();
  expect(lets(session, nurse)).toBe(true);
  expect(lets(session, tybalt)).toBe(false);
  known = { list: listOf(domain) };
  expect(lets(await come(), 'anybody@verona.test/x')).toBe(false);
});

test('the own account and server are never kept away', async () => {
  known = { list: listOf(domain, 'romeo@verona.test') };
  const session = await come();
  expect(lets(session, 'romeo@verona.test/garden')).toBe(true);
  expect(lets(session, domain)).toBe(true);
});

test('a session is there when its list has been read, and not at all where that cannot be', async () => {
  known = undefined;
  const session = newSession();
  let isThere = false;
  const begun = Promise.resolve(guards.begin(session)).then(() => {
    isThere = true;
  });
  await turn();
  expect(isThere).toBe(false);
  readings[0]!.resolve(listOf(nurse));
  await begun;
  known = { list: listOf(nurse) };
  expect(lets(session, nurse)).toBe(false);
  known = undefined;
  const another = Promise.resolve(guards.begin(newSession()));
  readings[1]!.reject(new StorageUnavailable('away'));
  await expect(another).rejects.toThrow(StorageUnavailable);
});

test('what changes while a session begins is seen with its first stanza', async () => {
  known = { list: undefined };
  const session = await come();
  known = { list: listOf(nurse) };
  expect(lets(session, nurse)).toBe(false);
});

test('a session that comes with its list needs none, and believes what is stored', async () => {
  known = { list: listOf(nurse) };
  const session = await come();
  known = undefined;
  guards = newGuards();
  await guards.begin(session);
  expect(readings).toEqual([]);
  expect(lets(session, nurse)).toBe(false);
  readings[0]!.resolve(listOf(tybalt));
  await turn();
  expect(lets(session, nurse)).toBe(true);
  expect(lets(session, tybalt)).toBe(false);
  expect(readings).toHaveLength(1);
});

test('a change counts at once for all sessions, and what was begun to be read before it does not', async () => {
  const [one, other] = [await come(), await come()];
  known = undefined;
  guards.doubt();
  expect(lets(one, nurse)).toBe(true);
  guards.set(romeo, listOf(nurse));
  readings[0]!.resolve(undefined);
  await turn();
  expect(lets(one, nurse)).toBe(false);
  expect(lets(other, nurse)).toBe(false);
});

test('a change on another node counts at once, and then what is read', async () => {
  known = { list: listOf(tybalt) };
  const session = await come();
  expect(lets(session, tybalt)).toBe(false);
  known = undefined;
  guards.change(romeo, [nurse], [tybalt]);
  expect([lets(session, nurse), lets(session, tybalt)]).toEqual([false, true]);
  readings[0]!.resolve(undefined);
  await turn();
  expect(lets(session, nurse)).toBe(true);
  guards.change(romeo, [], ['a.test']);
  expect(lets(session, nurse)).toBe(true);
});

test('when word may have been lost the list is read again, and the old one counts meanwhile', async () => {
  known = { list: listOf(nurse) };
  const session = await come();
  lets(session, nurse);
  known = undefined;
  guards.doubt();
  expect([lets(session, nurse), lets(session, juliet)]).toEqual([false, true]);
  expect(readings).toHaveLength(1);
  readings[0]!.resolve(undefined);
  await turn();
  expect(lets(session, nurse)).toBe(true);
});

test('a list that cannot be read again is asked for again with a stanza, but not with each', async () => {
  known = { list: listOf(nurse) };
  const session = await come();
  lets(session, nurse);
  known = undefined;
  guards.doubt();
  lets(session, nurse);
  readings[0]!.reject(new StorageUnavailable('away'));
  await turn();
  expect(lets(session, nurse)).toBe(false);
  expect(readings).toHaveLength(1);
  pauses[0]!();
  await turn();
  expect(readings).toHaveLength(1);
  expect(lets(session, nurse)).toBe(false);
  expect(readings).toHaveLength(2);
});

test('of those who are here the list is known, of others it is read', async () => {
  known = { list: listOf(nurse) };
  expect(guards.of(romeo)).toBe(known.list);
  const session = await come();
  expect(lets(session, nurse)).toBe(false);
  const list = known.list;
  known = undefined;
  expect(guards.of(romeo)).toBe(list);
  expect(guards.of(Jid.parse('juliet@verona.test')!)).toBeInstanceOf(Promise);
});

test('a session that is older than the module is kept from those who are blocked when that has been read', async () => {
  known = undefined;
  const session = newSession();
  expect(lets(session, nurse)).toBe(true);
  readings[0]!.resolve(listOf(nurse));
  await turn();
  expect(lets(session, nurse)).toBe(false);
});
