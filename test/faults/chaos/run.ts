// A chaos run: people use the service while it breaks; then it is whole again, and the books must balance and all must agree.
import { until } from '../../kit/child-server.ts';
import { seeded } from '../durability/verdict.ts';
import { pause } from '../kit.ts';
import { Agreement, type Delays, type Disagreements, GHOSTS, GOODBYE } from './agreement.ts';
import { type Account, Books } from './books.ts';
import { Calamities, type Plan } from './calamities.ts';
import { type Fortunes, noFortunes } from './fortunes.ts';
import { Person } from './person.ts';
import { RoomAgreement } from './room-agreement.ts';
import { type RoomAccount, RoomBooks } from './room-books.ts';
import { Service } from './service.ts';
import { noteStandstills } from './standstills.ts';
import { type Kind, Troubles } from './troubles.ts';

export interface RunOptions {
  readonly nodes: number;
  readonly clients: number;
  readonly minutes: number;
  readonly seed: number;
  /** Milliseconds between what one person says and says next, on average. */
  readonly pace: number;
  readonly plan: Plan;
  /** Where to leave what nodes said, should anything be wrong. */
  readonly logs: string;
  /** Called now and then with how it goes. */
  readonly tell?: (line: string) => void;
}

export interface Outcome {
  readonly account: Account;
  readonly rooms: RoomAccount;
  /** Who is in a list of a room, and not there, or the other way round. */
  readonly roomGhosts: number;
  readonly fortunes: Fortunes;
  readonly counts: ReadonlyMap<Kind, number>;
  readonly disagreements: Disagreements;
  readonly delays: Delays;
  /** In milliseconds: until nodes saw one another again, and until every client was connected and everything was answered. */
  readonly healed: number;
  readonly settled: number;
  /** What is wrong, in words; empty when all is well. */
  readonly problems: readonly string[];
}

/** How long it may take until the cluster is whole and everybody is served after the last calamity, in milliseconds. */
const HEALING = 90_000;
const LOGINS = 16;
/** So many of its people read a room's archive. */
const READERS = 2;
/** How often people who are not contacts yet ask again. */
const PROPOSALS = 4;
const CIRCLE = [1, 2, 7] as const;
/** One room for so many people, half of whom are in two each. */
const PEOPLE = 10;

export async function run(options: RunOptions): Promise<Outcome> {
  const { nodes, clients, minutes, seed, pace, plan, tell = () => {} } = options;
  const rooms = Math.max(2, Math.round(clients / PEOPLE));
  const service = await Service.start(nodes, clients, { rooms });
  try {
    const troubles = new Troubles();
    const books = new Books(troubles);
    const roomBooks = new RoomBooks(troubles);
    const fortunes = noFortunes();
    const people = Array.from(
      { length: clients },
      (_, i) => new Person(i + 1, service, books, fortunes, seeded(seed * 1_000 + i)),
    );
    await gather(people, pace);
    await fillRooms(people, rooms, roomBooks);
    tell(`${clients} clients on ${nodes} nodes, in ${rooms} rooms; it begins`);
    for (const person of people) person.isTalking = true;
    const calamities = new Calamities(service, people, troubles, seeded(seed), plan);
    const watch = new Watch(service, () => {
      const what = [...calamities.counts.values()].reduce((a, b) => a + b, 0);
      tell(
        `${books.sent} said, ${roomBooks.sent} in rooms, ${books.open} open, ${what} calamities, ${people.filter((p) => p.isConnected).length} connected`,
      );
    });
    await calamities.run(minutes * 60_000);
    await watch.end();
    const began = performance.now();
    const isWhole = await until(HEALING, async () => (await service.ailment()) === undefined, 100);
    const healed = performance.now() - began;
    // some more, now that all is whole
    await pause(2 * pace);
    for (const person of people) person.isTalking = false;
    const isSettled = await until(HEALING, () => people.every((person) => person.isSettled));
    const settled = performance.now() - began;
    await quiet(books, roomBooks);
    tell('it is over; the books are looked through');
    const problems = [...service.failures, ...calamities.failures];
    books.isLastLook = true;
    const { waiting } = books;
    await Promise.all(people.filter(({ number }) => waiting.has(number)).map((person) => person.comeAgain()));
    await quiet(books, roomBooks);
    const agreement = new Agreement(service, people);
    const roomAgreement = new RoomAgreement(people);
    if (!isWhole) problems.push(`the cluster is not whole after ${HEALING / 1000} s: ${await service.ailment()}`);
    for (const person of people.filter((one) => !one.isSettled)) {
      if (!isSettled) problems.push(`${person.address} is not served after ${HEALING / 1000} s: ${person.state}`);
    }
    if (isSettled) {
      for (const person of people) await person.readAll();
      for (let room = 1; room <= rooms; room++) {
        const readers = people.filter(({ guest }) => guest?.rooms.includes(room) === true).slice(0, READERS);
        for (const person of readers) roomBooks.readArchive(room, await person.readRoom(room));
      }
      await roomAgreement.reach(GHOSTS);
      await agreement.reach();
      // a third has left
      await roomAgreement.reach(GOODBYE);
    }
    const standstills = noteStandstills(
      service.nodes.map(({ server }) => server.output),
      troubles,
    );
    for (const line of standstills) tell(line);
    const { account, examples } = books.close();
    const inRooms = roomBooks.close();
    // without the archives the books say nothing
    if (isSettled) {
      problems.push(...examples, ...inRooms.examples, ...agreement.found.examples, ...roomAgreement.examples);
    }
    if (problems.length > 0) service.keepLogs(options.logs, [...calamities.diary, ...standstills, ...problems]);
    await Promise.all(people.map((person) => person.leave()));
    return {
      account,
      rooms: inRooms.account,
      roomGhosts: roomAgreement.wrong,
      fortunes,
      counts: calamities.counts,
      disagreements: agreement.found,
      delays: agreement.delays,
      healed,
      settled,
      problems,
    };
  } catch (error) {
    service.keepLogs(options.logs, [String(error)]);
    throw error;
  } finally {
    await service.dispose();
  }
}

/** Everybody comes in and makes friends: a circle, in which each knows some before and some behind. */
export async function gather(people: readonly Person[], pace: number): Promise<void> {
  const n = people.length;
  const around = CIRCLE.flatMap((step) => [step, n - step]);
  for (const [i, person] of people.entries()) {
    person.friends.contacts = [...new Set(around.map((step) => ((i + step) % n) + 1))].filter(
      (number) => number !== i + 1,
    );
  }
  for (let i = 0; i < n; i += LOGINS) {
    const some = people.slice(i, i + LOGINS);
    for (const person of some) person.live(pace);
    if (!(await until(HEALING, () => some.every((person) => person.isConnected))))
      throw new Error('people cannot log in');
  }
  for (const person of people) person.friends.befriend();
  const isAlone = ({ friends: { contacts, seen, roster } }: Person): boolean => {
    const both = [...roster.values()].filter(({ subscription }) => subscription === 'both');
    return seen.size !== contacts.length || both.length !== contacts.length;
  };
  for (let attempt = 0; attempt < PROPOSALS; attempt++) {
    if (await until(HEALING / PROPOSALS, () => !people.some(isAlone))) return;
    for (const person of people.filter(isAlone)) person.friends.befriendAgain();
  }
  const { address, friends } = people.find(isAlone)!;
  throw new Error(
    `people do not become contacts: ${address} sees ${[...friends.seen]}, and has ${JSON.stringify([...friends.roster])}`,
  );
}

/** Half of them go into two rooms each: such as keep their resource, and such as do not. */
async function fillRooms(people: readonly Person[], rooms: number, books: RoomBooks): Promise<void> {
  const guests = people.filter(({ number }) => number % 4 === 0 || number % 4 === 3);
  for (const [i, person] of guests.entries()) person.visit([(i % rooms) + 1, ((i + 1) % rooms) + 1], books);
  if (!(await until(HEALING, () => guests.every(({ guest }) => guest!.isSettled)))) {
    throw new Error(`people cannot enter rooms: ${guests.find(({ guest }) => !guest!.isSettled)!.state}`);
  }
}

/** Until nothing more is heard. */
async function quiet(books: Books, rooms: RoomBooks): Promise<void> {
  const heard = (): number => books.heard + rooms.heard;
  for (let before = -1; before !== heard(); await pause(1_000)) before = heard();
}

/** Looks after nodes, and tells how it goes twice a minute. */
class Watch {
  private readonly work: Promise<void>;
  private isOver = false;

  constructor(service: Service, tell: () => void) {
    this.work = (async () => {
      for (let tick = 1; !this.isOver; tick++) {
        await pause(1_000);
        await service.lookAfter();
        if (tick % 30 === 0) tell();
      }
    })();
  }

  end(): Promise<void> {
    this.isOver = true;
    return this.work;
  }
}
