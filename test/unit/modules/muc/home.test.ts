// The place of a room, and the list of who is in it that outlives a crash of its node.
import { beforeEach, expect, test } from 'vitest';
import type { Lease, NodeId } from '../../../../src/cluster/cluster.ts';
import { Home, type HomeParts } from '../../../../src/modules/muc/home.ts';
import { Passed } from '../../../../src/modules/muc/passed.ts';
import { type RoomStores, stores as specs } from '../../../../src/modules/muc/stores.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import { parseElement } from '../../../../src/xml/document.ts';
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

/** The devices that the next owner would find after a crash. */
const listed = async () => [...(await stores.occupants.all(coven.local)).keys()];

beforeEach(async () => {
  leases = new SharedLeases();
  lease = (await leases.of(node, () => true).claim(coven.local)) as Lease;
  stores = (await createMemoryDriver(new FakeClock()).open('rooms.test', 'muc', specs)) as RoomStores;
  const { ports } = new TestRoom().room;
  const parts: HomeParts = {
    stores,
    isShared: () => true,
    ports: (rows) => ({ ...ports, rows }),
    mostOwned: 0,
    isConnected: () => true,
    fault: (error) => {
      throw error;
    },
  };
  home = await Home.open(parts, coven, lease, undefined);
  const entering = parseElement("<presence><x xmlns='http://jabber.org/protocol/muc'/></presence>");
  await home.handle(new Passed(stanzaOf(entering, romeo, coven.withResource('Romeo'))));
  expect(await listed()).toEqual([romeo.full]);
  // Redis comes back empty
  await stores.occupants.set(coven.local, romeo.full, undefined);
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
