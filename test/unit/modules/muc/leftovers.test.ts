import { expect, test } from 'vitest';
import type { Lease } from '../../../../src/cluster/cluster.ts';
import { plainConfig } from '../../../../src/modules/muc/config.ts';
import { Home } from '../../../../src/modules/muc/home.ts';
import { Passed } from '../../../../src/modules/muc/passed.ts';
import { stores as specs } from '../../../../src/modules/muc/stores.ts';
import { StorageUnavailable } from '../../../../src/storage/errors.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import type { Opened } from '../../../../src/storage/specs.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import type { BareJid } from '../../../../src/xmpp/jid.ts';
import { stanzaOf } from '../../../../src/xmpp/stanza.ts';
import { FakeClock } from '../../../kit/clock.ts';
import { jid, TestRoom } from '../../../kit/muc-room.ts';

type Stores = Opened<typeof specs>;
const openStores = async (): Promise<Stores> =>
  (await createMemoryDriver(new FakeClock()).open('rooms.test', 'muc', specs)) as Stores;
const lease = { isValid: true, isAfterDeath: false } as Lease;

function open(stores: Stores, room: string, world = new TestRoom()): Promise<Home> {
  const parts = {
    stores,
    isShared: () => false,
    mostOwned: 0,
    sessionAt: () => ({ sid: 'here' }),
    isForeign: () => false,
    fault: (error: unknown) => expect.unreachable(String(error)),
    ports: (rows: object) => ({ ...world.room.ports, rows }) as never,
  };
  return Home.open(parts, jid(`${room}@rooms.test`), lease, undefined);
}

test('of a room whose end was not finished nobody is anything in the next one of that name', async () => {
  const stores = await openStores();
  const tybalt = 'tybalt@verona.test' as BareJid;
  for (const room of ['coven', 'cell']) {
    await stores.affiliations.set(room, tybalt, { affiliation: 'owner', at: 0 });
    await stores.memberships.set(tybalt, room, { affiliation: 'owner' });
  }
  await stores.rooms.set('cell', { config: { ...plainConfig, isPersistent: true }, createdAt: 0 });
  const [coven, cell] = [await open(stores, 'coven'), await open(stores, 'cell')];
  expect(coven.room).toBeUndefined();
  expect(cell.room?.affiliations.get(tybalt)?.affiliation).toBe('owner');
  expect([...(await stores.affiliations.all('coven')).keys()]).toEqual([]);
  expect([...(await stores.memberships.all(tybalt)).keys()]).toEqual(['cell']);
});

test('a room that cannot be stored is none: its maker is told, is out of it, and may try again', async () => {
  const stores = await openStores();
  let isAway = true;
  const set: Stores['rooms']['set'] = async (key, row) => {
    if (isAway) throw new StorageUnavailable('away');
    return stores.rooms.set(key, row);
  };
  const world = new TestRoom();
  const home = await open(
    { ...stores, rooms: { ...stores.rooms, get: (key) => stores.rooms.get(key), set } },
    'cell',
    world,
  );
  const romeo = 'romeo@verona.test/orchard';
  const el = parseElement("<presence id='j'><x xmlns='http://jabber.org/protocol/muc'/></presence>");
  const make = async (): Promise<string[]> => {
    await home.handle(new Passed(stanzaOf(el, jid(romeo), jid('cell@rooms.test/Romeo'))));
    await Promise.allSettled(world.work);
    return world.heard(romeo).map((one) => `${one.name} ${one.attrs.type ?? 'available'}`);
  };
  const heard = await make();
  expect(heard.slice(-2).sort()).toEqual(['presence error', 'presence unavailable']);
  expect(home.room?.isOver).toBe(true);
  isAway = false;
  expect(await make()).toEqual(['presence available', 'message groupchat']);
  expect(home.room?.isOver).toBe(false);
});
