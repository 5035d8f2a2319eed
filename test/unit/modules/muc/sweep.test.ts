import { expect, test } from 'vitest';
import { plainConfig } from '../../../../src/modules/muc/config.ts';
import type { RoomRow } from '../../../../src/modules/muc/rows.ts';
import { sweep } from '../../../../src/modules/muc/sweep.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import { kv, type Opened } from '../../../../src/storage/specs.ts';
import { FakeClock } from '../../../kit/clock.ts';
import { jid } from '../../../kit/muc-room.ts';

test('only rooms that are not persistent, and not at home, are looked at', async () => {
  const specs = { rooms: kv<RoomRow>() };
  const stores = (await createMemoryDriver(new FakeClock()).open('rooms.test', 'muc', specs)) as Opened<typeof specs>;
  const row = (isPersistent: boolean): RoomRow => ({ config: { ...plainConfig, isPersistent }, createdAt: 0 });
  for (let i = 0; i < 250; i++) await stores.rooms.set(`room${i}`, row(i % 2 === 0));
  await stores.rooms.set('locked', { ...row(true), isLocked: true });
  const seen: string[] = [];
  await sweep(
    stores,
    jid('rooms.test'),
    (key) => key === 'room1',
    (key, { stanza }) => {
      seen.push(key);
      expect(stanza.to.full).toBe(`${key}@rooms.test`);
      expect(stanza.type).toBe('unavailable');
    },
  );
  expect(seen).toHaveLength(125);
  expect(seen).toContain('locked');
  expect(seen).not.toContain('room1');
  expect(seen).not.toContain('room2');
});
