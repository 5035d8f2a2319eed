// That all agree at the end of a chaos run must be seen where they do not: each rule is shown to fire.
import { expect, test } from 'vitest';
import { Agreement, type Lists, type Onlooker } from './agreement.ts';
import type { Roster } from './roster.ts';

const none = { ghosts: 0, missing: 0, presence: 0, rosters: 0 };
const patience = { ghosts: 50, goodbye: 50 };

class Friend implements Onlooker {
  readonly number: number;
  readonly contacts: readonly number[];
  readonly seen = new Set<string>();
  readonly roster = new Map<string, { name: string; subscription: string }>();
  readonly names = new Map<string, string[]>();
  readonly friends = this;
  hasLeft = false;
  /** Tells nobody that it has left. */
  isSilent = false;
  others: readonly Friend[] = [];

  constructor(number: number, contacts: readonly number[]) {
    this.number = number;
    this.contacts = contacts;
    for (const contact of contacts) {
      this.seen.add(`user${contact}@localhost/phone`);
      this.roster.set(`user${contact}@localhost`, { name: 'n1', subscription: 'both' });
      this.names.set(`user${contact}@localhost`, ['n1']);
    }
  }

  get address(): string {
    return `user${this.number}@localhost`;
  }

  get jid(): string {
    return `${this.address}/phone`;
  }

  async readRoster(): Promise<Roster> {
    return new Map(this.roster);
  }

  async leave(): Promise<void> {
    this.hasLeft = true;
    if (!this.isSilent) for (const { seen } of this.others) seen.delete(this.jid);
  }
}

/** Three people who know one another, on two nodes; what is listed, and where, and what rosters there are. */
function open() {
  const people = [1, 2, 3].map(
    (number) =>
      new Friend(
        number,
        [1, 2, 3].filter((other) => other !== number),
      ),
  ) as [Friend, Friend, Friend];
  for (const person of people) person.others = people;
  const north = { name: 'north', listed: new Set(people.map(({ jid }) => jid)) };
  const south = { name: 'south', listed: new Set(north.listed) };
  const inRedis = new Set(north.listed);
  const rosters = new Map<string, Roster>();
  const lists: Lists<typeof north> = {
    nodes: [north, south],
    listedBy: async ({ listed }) => listed,
    listedInRedis: async () => inRedis,
    rosterAt: async ({ name }, number) => rosters.get(`${name} ${number}`) ?? people[number - 1]!.readRoster(),
  };
  const reach = async () => {
    const agreement = new Agreement(lists, people, patience);
    await agreement.reach();
    return agreement.found;
  };
  return { people, north, south, inRedis, rosters, reach };
}

test('where all is as it is, nothing is found', async () => {
  expect(await open().reach()).toEqual({ ...none, examples: [] });
});

test('what a node or Redis lists and no client has is a ghost; what a client has and they do not list is missing', async () => {
  const { north, south, inRedis, reach } = open();
  north.listed.add('user9@localhost/phone');
  inRedis.add('user2@localhost/tablet');
  south.listed.delete('user1@localhost/phone');
  const found = await reach();
  expect(found).toMatchObject({ ...none, ghosts: 2, missing: 1 });
  expect(found.examples).toEqual([
    'north: user9@localhost/phone is a ghost',
    'south: user1@localhost/phone is missing',
    'Redis: user2@localhost/tablet is a ghost',
  ]);
});

test('who sees somebody who is not there, or does not see somebody who is, is found', async () => {
  const { people, reach } = open();
  people[1].seen.add('user3@localhost/tablet');
  people[2].seen.delete(people[1].jid);
  // before the first has left, and after it
  expect(await reach()).toMatchObject({ ...none, presence: 4 });
});

test('who leaves, and is seen all the same, is found', async () => {
  const { people, reach } = open();
  people[0].isSilent = true;
  expect(await reach()).toMatchObject({ ...none, presence: 2 });
});

test('a roster that is not as it was confirmed, or as its client was told, is found on whichever node', async () => {
  const { people, rosters, reach } = open();
  const other = await people[0].readRoster();
  // an old name on one node; no subscription; somebody is not in it
  rosters.set('south 1', new Map([...other, ['user2@localhost', { name: 'n0', subscription: 'both' }]]));
  rosters.set('north 1', new Map([...other, ['user3@localhost', { name: 'n1', subscription: 'to' }]]));
  rosters.set('north 2', new Map([['user1@localhost', { name: 'n1', subscription: 'both' }]]));
  expect(await reach()).toMatchObject({ ...none, rosters: 4 });
});

test('a name that was asked for and never confirmed may be there or not, and the client has to know which', async () => {
  const { people, reach } = open();
  people[0].names.set('user2@localhost', ['n1', 'n2']);
  expect(await reach()).toMatchObject(none);
  people[0].roster.set('user2@localhost', { name: 'n2', subscription: 'both' });
  people[0].hasLeft = false;
  const again = open();
  again.people[0].names.set('user2@localhost', ['n1', 'n2']);
  again.rosters.set(
    'north 1',
    new Map([...again.people[0].roster, ['user2@localhost', { name: 'n2', subscription: 'both' }]]),
  );
  expect(await again.reach()).toMatchObject({ ...none, rosters: 1 });
});
