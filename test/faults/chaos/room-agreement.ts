// Whether all agree on who is in which room when everything is whole again: what rooms answer, whoever asks, and what clients were told.
import { until } from '../../kit/child-server.ts';
import { nickOf } from './guest.ts';
import type { Person } from './person.ts';

const EXAMPLES = 12;
/** So many people of a room ask it. */
const ASKING = 3;

export interface RoomOnlooker {
  readonly number: number;
  readonly address: string;
  readonly hasLeft: boolean;
  readonly guest: Pick<NonNullable<Person['guest']>, 'rooms' | 'told'> | undefined;
  askWhoIsIn(room: number): Promise<ReadonlySet<string>>;
}

export class RoomAgreement {
  /** How many are in a list who are not there, or the other way round. */
  wrong = 0;
  readonly examples: string[] = [];
  private readonly people: readonly RoomOnlooker[];

  constructor(people: readonly RoomOnlooker[]) {
    this.people = people;
  }

  /** All who have not left are in their rooms: waits so many milliseconds for all lists to say so, and counts what they say else. */
  async reach(patience: number): Promise<void> {
    // asking costs more than looking at what clients were told
    await until(patience, async () => this.told().length === 0 && (await this.answered()).length === 0, 500);
    const wrong = [...this.told(), ...(await this.answered())];
    this.wrong += wrong.length;
    this.examples.push(...wrong.slice(0, EXAMPLES - this.examples.length));
  }

  private told(): string[] {
    const wrong: string[] = [];
    for (const [room, inside] of this.rooms()) {
      for (const person of inside) {
        compare(`${person.address} was told by room ${room}`, inside, person.guest!.told(room), wrong);
      }
    }
    return wrong;
  }

  private async answered(): Promise<string[]> {
    const wrong: string[] = [];
    for (const [room, inside] of this.rooms()) {
      for (const person of inside.slice(0, ASKING)) {
        compare(`room ${room} answers ${person.address}`, inside, await person.askWhoIsIn(room), wrong);
      }
    }
    return wrong;
  }

  /** Who should be in each room. */
  private rooms(): ReadonlyMap<number, readonly RoomOnlooker[]> {
    const rooms = new Map<number, RoomOnlooker[]>();
    for (const person of this.people) {
      if (person.hasLeft) continue;
      for (const room of person.guest?.rooms ?? []) rooms.set(room, [...(rooms.get(room) ?? []), person]);
    }
    return rooms;
  }
}

function compare(where: string, inside: readonly RoomOnlooker[], listed: ReadonlySet<string>, wrong: string[]): void {
  const expected = new Set(inside.map(({ number }) => nickOf(number)));
  for (const nick of listed) if (!expected.has(nick)) wrong.push(`${where}: ${nick} is a ghost`);
  for (const nick of expected) if (!listed.has(nick)) wrong.push(`${where}: ${nick} is missing`);
}
