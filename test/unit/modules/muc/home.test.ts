// The place of a room: who is taken for gone from it, and the list of who is in it that outlives a crash of its node.
import { beforeEach, expect, test } from 'vitest';
import type { MaybePromise } from '../../../../src/base/maybe.ts';
import type { Lease, NodeId } from '../../../../src/cluster/cluster.ts';
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
/** What the directory answers, when it does. */
let sessionAt: (device: Jid) => MaybePromise<{ readonly sid: string | undefined }>;

/** The devices that the next owner would find after a crash. */
const listed = async () => [...(await stores.occupants.all(coven.local)).keys()];

async function enter(): Promise<void> {
  const entering = parseElement("<presence><x xmlns='http://jabber.org/protocol/muc'/></presence>");
  await home.handle(new Passed(stanzaOf(entering, romeo, coven.withResource('Romeo'))));
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
  const parts: HomeParts = {
    stores,
    isShared: () => true,
    ports: (rows) => ({ ...ports, rows }),
    mostOwned: 0,
    sessionAt: (device) => sessionAt(device),
    fault: (error) => {
      throw error;
    },
  };
  home = await Home.open(parts, coven, lease, undefined);
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
