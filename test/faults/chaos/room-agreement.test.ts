// That all agree on who is in which room must be seen where they do not.
import { expect, test } from 'vitest';
import { RoomAgreement, type RoomOnlooker } from './room-agreement.ts';

const PATIENCE = 20;

/** Three people, two of them in room 1, and what each is told and answered. */
function open() {
  const person = (number: number, rooms: readonly number[]) => {
    const told = new Set(['p1', 'p2']);
    const answered = new Set(told);
    return {
      number,
      address: `user${number}@h`,
      hasLeft: false,
      told,
      answered,
      guest: rooms.length === 0 ? undefined : { rooms, told: () => told },
      askWhoIsIn: async () => answered,
    };
  };
  const people = [person(1, [1]), person(2, [1]), person(3, [])] as const;
  const reach = async () => {
    const agreement = new RoomAgreement(people satisfies readonly RoomOnlooker[]);
    await agreement.reach(PATIENCE);
    return agreement;
  };
  return { people, reach };
}

test('where all is as it is, nothing is found', async () => {
  const { wrong, examples } = await open().reach();
  expect([wrong, examples]).toEqual([0, []]);
});

test('who is listed and not there is a ghost, who is there and not listed is missing, whoever says so', async () => {
  const { people, reach } = open();
  people[0].told.add('p3');
  people[1].answered.delete('p1');
  expect((await reach()).examples).toEqual([
    'user1@h was told by room 1: p3 is a ghost',
    'room 1 answers user2@h: p1 is missing',
  ]);
});

test('who has left, and is listed all the same, is a ghost', async () => {
  const { people, reach } = open();
  people[0].hasLeft = true;
  expect((await reach()).wrong).toBe(2);
  people[1].told.delete('p1');
  people[1].answered.delete('p1');
  expect((await reach()).wrong).toBe(0);
});
