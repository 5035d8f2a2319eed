import { expect, test } from 'vitest';
import { sweepArchives } from '../../../../src/modules/room-archive/leftovers.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import { archive, type Opened } from '../../../../src/storage/specs.ts';
import { FakeClock } from '../../../kit/clock.ts';

const HOUR = 3_600_000;

test('what was said in rooms that are no more, or before a room was made, is removed; the rest stays', async () => {
  const clock = new FakeClock();
  const specs = { messages: archive() };
  const stores = (await createMemoryDriver(clock).open('rooms.test', 'room-archive', specs)) as Opened<typeof specs>;
  const { messages } = stores;
  const say = async (room: string, text: string): Promise<void> => {
    const xml = `<message><body>${text}</body></message>`;
    await messages.append(room, { with: 'romeo@verona.test', resource: 'Romeo', xml }).durable;
  };
  for (const room of ['gone', 'again', 'there']) for (let i = 0; i < 600; i++) await say(room, 'before');
  await clock.advance(HOUR);
  const madeAgain = clock.now();
  await say('again', 'after');
  await clock.advance(HOUR + 1);
  // by somebody who is just making it: its row is not there yet, or was not when it was looked for
  await say('new', 'first');
  const made = new Map([
    ['again', madeAgain],
    ['there', 0],
  ]);
  const left = async (): Promise<Record<string, number>> => {
    const counts: Record<string, number> = {};
    for (const room of ['gone', 'again', 'there', 'new']) counts[room] = (await messages.count(room, {}, 1000)) ?? -1;
    return counts;
  };
  expect(await sweepArchives(messages, { createdAt: (room) => made.get(room) }, clock, () => false)).toBe(0);
  expect(await sweepArchives(messages, { createdAt: (room) => made.get(room) }, clock, () => true)).toBe(1200);
  expect(await left()).toEqual({ gone: 0, again: 1, there: 600, new: 1 });
});
