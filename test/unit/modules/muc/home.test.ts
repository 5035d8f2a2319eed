// The place of a room: who is taken for gone from it, and the list of who is in it that outlives a crash of its node.
import { beforeEach, describe, expect, test } from 'vitest';
import type { MaybePromise } from '../../../../src/base/maybe.ts';
import type { Lease, NodeId } from '../../../../src/cluster/cluster.ts';
import type { Life } from '../../../../src/core/transit.ts';
import { Home, type HomeParts } from '../../../../src/modules/muc/home.ts';
import { Passed } from '../../../../src/modules/muc/passed.ts';
import { type RoomStores, stores as specs } from '../../../../src/modules/muc/stores.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import type { Jid } from '../../../../src/xmpp/jid.ts';
import { stanzaOf } from '../../../../src/xmpp/stanza.ts';
import { FakeClock } from '../../../kit/clock.ts';
import { jid, TestRoom } from '../../../kit/muc-room.ts';
import { SharedLeases } from '../../../kit/shared-leases.ts';

const node = 'one' as NodeId;
const romeo = jid('romeo@verona.test/orchard');
const coven = jid('coven@rooms.test');

let leases: SharedLeases;
let lease: Lease;
let stores: RoomStores;
let home: Home;
let engine: TestRoom;
let homeParts: HomeParts;
/** What the directory answers, when it does. */
let sessionAt: (device: Jid) => MaybePromise<{ readonly sid: string | undefined }>;

/** The devices that the next owner would find after a crash. */
const listed = async () => [...(await stores.occupants.all(coven.local)).keys()];

async function enter(life?: Life, who = romeo, nick = 'Romeo'): Promise<void> {
  const entering = parseElement("<presence><x xmlns='http://jabber.org/protocol/muc'/></presence>");
  await home.handle(new Passed(stanzaOf(entering, who, coven.withResource(nick)), false, life));
}

/** Of two sessions of one address, one after the other. */
const first: Life = { sid: 'first', since: 1 };
const second: Life = { sid: 'second', since: 2 };
const juliet = jid('juliet@verona.test/balcony');

/** Somebody, or this server instead, says something to the room by that session. */
async function say(xml: string, life: Life, to = coven.withResource('Romeo')): Promise<void> {
  await home.handle(new Passed(stanzaOf(parseElement(xml), romeo, to), true, life));
  await Promise.all(engine.work);
}

/** What Juliet sees of Romeo's presence: the types, in order. */
const seen = (): (string | undefined)[] =>
  engine.heard(juliet.full).flatMap(({ name, attrs }) => (name === 'presence' ? [attrs.type] : []));

/** Romeo is inside by that session, and Juliet sees him. */
async function begin(life: Life): Promise<void> {
  await enter(life);
  home.room!.isLocked = false;
  await enter(undefined, juliet, 'Juliet');
  seen();
  engine.heard(romeo.full);
}

/** What Romeo was sent comes back: he says so, or this server instead of him. */
async function bounce(isInstead: boolean): Promise<void> {
  const error = parseElement(
    "<message type='error'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
  );
  await home.handle(new Passed(stanzaOf(error, romeo, coven), isInstead));
  await Promise.all(engine.work);
}

const isInside = (): boolean => home.room!.occupantOf(romeo) !== undefined;

beforeEach(async () => {
  leases = new SharedLeases();
  lease = (await leases.of(node, () => true).claim(coven.local)) as Lease;
  stores = (await createMemoryDriver(new FakeClock()).open('rooms.test', 'muc', specs)) as RoomStores;
  engine = new TestRoom();
  sessionAt = () => ({ sid: 'first' });
  const { ports } = engine.room;
  homeParts = {
    stores,
    isShared: () => true,
    ports: (rows) => ({ ...ports, rows }),
    mostOwned: 0,
    sessionAt: (device) => sessionAt(device),
    isForeign: ({ domain }) => domain === 'mantua.test',
    fault: (error) => {
      throw error;
    },
  };
  home = await Home.open(homeParts, coven, lease, undefined);
  await enter();
  expect(await listed()).toEqual([romeo.full]);
  // Redis comes back empty
  await stores.occupants.set(coven.local, romeo.full, undefined, 0);
});

test('who is in a room is told again while that is certainly this node’s', async () => {
  await home.shareAgain();
  expect(await listed()).toEqual([romeo.full]);
});

test('a list that is to be told again while the lease is in doubt is told as soon as it is sure', async () => {
  leases.doubt(node, true);
  const told = home.shareAgain();
  expect(await listed()).toEqual([]);
  leases.doubt(node, false);
  await told;
  expect(await listed()).toEqual([romeo.full]);
});

test('nothing is told of a room that turns out to be another node’s', async () => {
  leases.doubt(node, true);
  const told = home.shareAgain();
  await leases.of('two' as NodeId, () => true).take(coven.local, node, lease.token);
  leases.doubt(node, false);
  await told;
  expect(await listed()).toEqual([]);
});

test('whoever answers that nobody is there has left', async () => {
  await bounce(false);
  expect(isInside()).toBe(false);
});

test('where the server says that nobody is there, who is connected stays: it was said to a session before', async () => {
  await bounce(true);
  expect(isInside()).toBe(true);
  sessionAt = () => ({ sid: undefined });
  await bounce(true);
  expect(isInside()).toBe(false);
});

test('who enters anew while somebody looks whether they are gone is not taken for gone', async () => {
  let answer = (_: { readonly sid: undefined }): void => {};
  sessionAt = () =>
    new Promise((resolve) => {
      answer = resolve;
    });
  const looked = bounce(true);
  await enter();
  answer({ sid: undefined });
  await looked;
  expect(isInside()).toBe(true);
});

test('a message that is refused is answered by whoever brought it, and everything else from here', async () => {
  const stranger = jid('tybalt@verona.test/street');
  // (nobody has configured it yet)
  const said = parseElement("<message type='groupchat' id='m'><body>out</body></message>");
  const refused = { condition: 'item-not-found', type: 'cancel', by: coven.full };
  const bring = async (): Promise<void> => home.handle(new Passed(stanzaOf(said, stranger, coven)));
  await expect(bring()).rejects.toMatchObject(refused);
  const asked = parseElement("<iq type='get' id='i'><query xmlns='nothing'/></iq>");
  await home.handle(new Passed(stanzaOf(asked, stranger, coven)));
  expect(engine.heard(stranger.full).map(({ attrs }) => [attrs.type, attrs.id])).toEqual([['error', 'i']]);
});

describe('of two sessions that follow one another under one address', () => {
  beforeEach(() => begin(first));

  test('the later one takes the place of the one before, and nobody sees it', async () => {
    await enter(second);
    expect(seen()).toEqual([]);
    expect(home.room!.occupantOf(romeo)!.devices).toMatchObject([{ life: second }]);
    expect(await stores.occupants.get(coven.local, romeo.full)).toMatchObject({ life: second });
  });

  test('the end of the one before does not put out the later one, whoever tells of it and however late', async () => {
    await enter(second);
    await say("<presence type='unavailable'/>", first);
    // (a node that has died says nothing of when it began)
    await say("<presence type='unavailable'/>", { sid: 'first' });
    expect([isInside(), seen()]).toEqual([true, []]);
    await say("<presence type='unavailable'/>", second);
    expect([isInside(), seen()]).toEqual([false, ['unavailable']]);
  });

  test('the one before does not come in again after the later one, unless only a clock was set', async () => {
    await enter(second);
    sessionAt = () => ({ sid: 'second' });
    await enter(first);
    expect(home.room!.occupantOf(romeo)!.devices).toMatchObject([{ life: second }]);
    sessionAt = () => ({ sid: 'first' });
    await enter(first);
    expect(home.room!.occupantOf(romeo)!.devices).toMatchObject([{ life: first }]);
  });

  test('the later one is not in the room because the one before was', async () => {
    engine.heard(romeo.full);
    const said = say("<message type='groupchat' id='m'><body>still here?</body></message>", second, coven);
    await expect(said).rejects.toMatchObject({ condition: 'not-acceptable' });
    expect([isInside(), seen()]).toEqual([false, ['unavailable']]);
    expect(engine.heard(romeo.full)).toEqual([]);
  });

  test('whoever has gone with a node is gone, though another session has the address', async () => {
    sessionAt = () => ({ sid: 'second' });
    home.look([romeo]);
    await Promise.all(engine.work);
    expect([isInside(), seen()]).toEqual([false, ['unavailable']]);
    expect(engine.heard(romeo.full)).toEqual([]);
  });

  test('who it is goes with the room, and outlives its node', async () => {
    const { occupants } = (await home.freeze())!;
    expect(occupants[0]!.devices).toMatchObject([{ life: first }]);
  });
});

test('what is found out of a room that has left is for its next owner to say', async () => {
  await begin(first);
  let answer = (_: { readonly sid: undefined }): void => {};
  sessionAt = () =>
    new Promise((resolve) => {
      answer = resolve;
    });
  home.look([romeo]);
  expect(await home.freeze()).toMatchObject({ isUncertain: true, occupants: [{ nick: 'Romeo' }, { nick: 'Juliet' }] });
  answer({ sid: undefined });
  await Promise.all(engine.work);
  expect(seen()).toEqual([]);
});

test('who enters with another device a room whose node has died is shown, whatever that has said last', async () => {
  await begin(first);
  const next = await leases.of('two' as NodeId, () => true).take(coven.local, node, lease.token);
  home.drop();
  home = await Home.open(homeParts, coven, { ...next!, isAfterDeath: true, isValid: true }, undefined);
  home.room!.isLocked = false;
  const tablet = jid('romeo@verona.test/tablet');
  await enter(undefined, tablet, 'Romeo');
  expect(seen()).toEqual([undefined]);
  await enter(undefined, jid('romeo@verona.test/desk'), 'Romeo');
  expect(seen()).toEqual([]);
});

describe('people of other servers who have been silent', () => {
  const guests = ['mercutio', 'benvolio', 'tybalt'].map((name) => jid(`${name}@mantua.test/here`));
  const mercutio = guests[0]!;
  const minute = 60_000;

  beforeEach(async () => {
    await begin(first);
    for (const [i, guest] of guests.entries()) await enter(undefined, guest, `guest${i}`);
    for (const guest of guests) engine.heard(guest.full);
  });

  /** Those who are asked after another quarter of an hour. */
  const asked = (most = 200): readonly string[] => {
    engine.time += 15 * minute;
    home.askSilent(engine.time - 15 * minute, most);
    return guests.flatMap(({ full }) => engine.heard(full).flatMap(({ name }) => (name === 'iq' ? full : [])));
  };
  const answers = async (xml: string): Promise<void> => {
    await home.handle(new Passed(stanzaOf(parseElement(xml), mercutio, coven)));
  };
  const error = (name: string, condition: string): string =>
    `<${name} type='error' id='i'><error type='cancel'><${condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></${name}>`;
  const isThere = (): boolean => home.room!.occupantOf(mercutio) !== undefined;

  test('are asked whether they are there, not more at a time than is said, and none of our own', () => {
    expect(asked()).toEqual([]);
    expect(asked(2)).toEqual([guests[0]!.full, guests[1]!.full]);
    engine.time -= 15 * minute;
    expect(asked()).toEqual([guests[2]!.full]);
    expect(engine.heard(romeo.full).filter(({ name }) => name === 'iq')).toEqual([]);
  });

  test('are not asked where something was heard of them', async () => {
    asked();
    engine.time += minute;
    await answers("<iq type='result' id='i'/>");
    engine.time -= minute;
    expect(asked()).toEqual([guests[1]!.full, guests[2]!.full]);
  });

  test('are out where their server is not there', async () => {
    await answers(error('iq', 'remote-server-not-found'));
    expect([isThere(), seen().at(-1)]).toEqual([false, 'unavailable']);
  });

  test('are out where it says that nobody is there, but not where a client says that it knows no pings', async () => {
    await answers(error('iq', 'service-unavailable'));
    expect(isThere()).toBe(true);
    const [message] = engine.heard(mercutio.full);
    expect(message!.attrs).toMatchObject({ type: 'groupchat', from: coven.full });
    // (its client passes over it)
    await answers(error('iq', 'feature-not-implemented'));
    expect([isThere(), engine.heard(mercutio.full)]).toEqual([true, []]);
    await answers(error('message', 'service-unavailable'));
    expect(isThere()).toBe(false);
  });
});
