import { expect, test } from 'vitest';
import type { Lease } from '../../../../src/cluster/cluster.ts';
import { plainConfig } from '../../../../src/modules/muc/config.ts';
import { Home } from '../../../../src/modules/muc/home.ts';
import { stores as specs } from '../../../../src/modules/muc/stores.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import type { Opened } from '../../../../src/storage/specs.ts';
import type { BareJid } from '../../../../src/xmpp/jid.ts';
import { FakeClock } from '../../../kit/clock.ts';
import { jid, TestRoom } from '../../../kit/muc-room.ts';

test('of a room whose end was not finished nobody is anything in the next one of that name', async () => {
  const stores = (await createMemoryDriver(new FakeClock()).open('rooms.test', 'muc', specs)) as Opened<typeof specs>;
  const tybalt = 'tybalt@verona.test' as BareJid;
  for (const room of ['coven', 'cell']) {
    await stores.affiliations.set(room, tybalt, { affiliation: 'owner', at: 0 });
    await stores.memberships.set(tybalt, room, { affiliation: 'owner' });
  }
  await stores.rooms.set('cell', { config: { ...plainConfig, isPersistent: true }, createdAt: 0 });
  const lease = { isValid: true, isAfterDeath: false } as Lease;
  const parts = {
    stores,
    isShared: () => false,
    mostOwned: 0,
    isConnected: () => true,
    fault: (error: unknown) => expect.unreachable(String(error)),
    ports: (rows: object) => ({ ...new TestRoom().room.ports, rows }) as never,
  };
  const [coven, cell] = await Promise.all(
    ['coven', 'cell'].map((room) => Home.open(parts, jid(`${room}@rooms.test`), lease, undefined)),
  );
  expect(coven!.room).toBeUndefined();
  expect(cell!.room?.affiliations.get(tybalt)?.affiliation).toBe('owner');
  expect([...(await stores.affiliations.all('coven')).keys()]).toEqual([]);
  expect([...(await stores.memberships.all(tybalt)).keys()]).toEqual(['cell']);
});
