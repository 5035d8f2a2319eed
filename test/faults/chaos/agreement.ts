// Whether all agree when everything is whole again: what nodes list, what Redis has, what clients know of one another.
import { until } from '../../kit/child-server.ts';
import type { Person } from './person.ts';
import type { Roster } from './roster.ts';
import { domain, RESUME } from './service.ts';

/** How long ghosts may last, in milliseconds: sessions whose client went elsewhere wait for it, and some time is for slow machines. */
export const GHOSTS = RESUME * 1000 + 15_000;
/** How long it may take until contacts know that somebody has left in good order. */
export const GOODBYE = 10_000;
const EXAMPLES = 15;
/** So many people look at their rosters at a time. */
const AT_ONCE = 8;

/** What is looked into: a service, and those who use it. */
export interface Lists<N> {
  readonly nodes: readonly N[];
  /** The full JIDs that a node lists. */
  listedBy(node: N): Promise<ReadonlySet<string>>;
  /** Those that Redis has. */
  listedInRedis(): Promise<ReadonlySet<string>>;
  /** An account's roster as another node has it. */
  rosterAt(node: N, number: number): Promise<Roster>;
}
export type Onlooker = Pick<Person, 'number' | 'address' | 'jid' | 'hasLeft' | 'readRoster' | 'leave'> & {
  readonly friends: Pick<Person['friends'], 'contacts' | 'seen' | 'roster' | 'names'>;
};

export interface Disagreements {
  /** Sessions that are in a list and in no client, by any node or in Redis; and the other way round. */
  ghosts: number;
  missing: number;
  /** What clients think of their contacts' presence, and is not so. */
  presence: number;
  /** Entries of rosters that are not as they were confirmed, or not as the client was told, on any node. */
  rosters: number;
  readonly examples: string[];
}

/** How long it took until lists and presence agreed, in milliseconds. */
export interface Delays {
  directory: number;
  presence: number;
  goodbye: number;
}

export class Agreement<N extends { readonly name: string }> {
  readonly found: Disagreements = { ghosts: 0, missing: 0, presence: 0, rosters: 0, examples: [] };
  readonly delays: Delays = { directory: 0, presence: 0, goodbye: 0 };
  private readonly service: Lists<N>;
  private readonly people: readonly Onlooker[];
  private readonly patience: { readonly ghosts: number; readonly goodbye: number };

  /** @param patience how long it may take, in milliseconds */
  constructor(service: Lists<N>, people: readonly Onlooker[], patience = { ghosts: GHOSTS, goodbye: GOODBYE }) {
    this.service = service;
    this.people = people;
    this.patience = patience;
  }

  /** All people are connected. Afterwards some of them have left. */
  async reach(): Promise<void> {
    const began = performance.now();
    await until(this.patience.ghosts, async () => (await this.directories()).length === 0, 100);
    this.delays.directory = performance.now() - began;
    for (const { what, where, jid } of await this.directories()) {
      this.found[what]++;
      this.note(`${where}: ${jid} is ${what === 'ghosts' ? 'a ghost' : 'missing'}`);
    }
    await until(this.patience.ghosts, () => this.wrongPresence().length === 0);
    this.delays.presence = performance.now() - began;
    this.countPresence();
    await this.compareRosters();
    const leaving = this.people.filter((_, i) => i % 3 === 0);
    await Promise.all(leaving.map((person) => person.leave()));
    const left = performance.now();
    await until(this.patience.goodbye, () => this.wrongPresence().length === 0);
    this.delays.goodbye = performance.now() - left;
    this.countPresence();
  }

  private countPresence(): void {
    const wrong = this.wrongPresence();
    this.found.presence += wrong.length;
    for (const text of wrong) this.note(text);
  }

  private async directories(): Promise<{ what: 'ghosts' | 'missing'; where: string; jid: string }[]> {
    const expected = new Set(this.people.filter(({ hasLeft }) => !hasLeft).map(({ jid }) => jid));
    const wrong: { what: 'ghosts' | 'missing'; where: string; jid: string }[] = [];
    const compare = (where: string, listed: ReadonlySet<string>): void => {
      for (const jid of listed) if (!expected.has(jid)) wrong.push({ what: 'ghosts', where, jid });
      for (const jid of expected) if (!listed.has(jid)) wrong.push({ what: 'missing', where, jid });
    };
    for (const node of this.service.nodes) compare(node.name, await this.service.listedBy(node));
    compare('Redis', await this.service.listedInRedis());
    return wrong;
  }

  private wrongPresence(): string[] {
    const wrong: string[] = [];
    const byNumber = new Map(this.people.map((person) => [person.number, person]));
    for (const person of this.people) {
      if (person.hasLeft) continue;
      const expected = new Set<string>();
      const { contacts, seen } = person.friends;
      for (const number of contacts) {
        const contact = byNumber.get(number)!;
        if (!contact.hasLeft) expected.add(contact.jid);
      }
      for (const jid of expected) if (!seen.has(jid)) wrong.push(`${person.jid} does not see ${jid}`);
      for (const jid of seen) if (!expected.has(jid)) wrong.push(`${person.jid} sees ${jid}, who is not there`);
    }
    return wrong;
  }

  private async compareRosters(): Promise<void> {
    const waiting = [...this.people];
    const look = async (): Promise<void> => {
      for (let person = waiting.pop(); person !== undefined; person = waiting.pop()) {
        this.compareRoster(person, 'its node', await person.readRoster());
        for (const node of this.service.nodes) {
          this.compareRoster(person, node.name, await this.service.rosterAt(node, person.number));
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, look));
  }

  private compareRoster({ address, friends }: Onlooker, where: string, roster: Roster): void {
    const { contacts, names, roster: told } = friends;
    for (const number of contacts) {
      const contact = `user${number}@${domain}`;
      const [item, known] = [roster.get(contact), told.get(contact)];
      const confirmed = names.get(contact) ?? [''];
      const isAsConfirmed = item !== undefined && item.subscription === 'both' && confirmed.includes(item.name);
      if (isAsConfirmed && known?.name === item.name && known.subscription === 'both') continue;
      this.found.rosters++;
      this.note(
        `${address} has ${contact} on ${where} as ${JSON.stringify(item)}, was told ${JSON.stringify(known)}, and had confirmed ${confirmed.join(' ')}`,
      );
    }
    if (roster.size === contacts.length) return;
    this.found.rosters++;
    this.note(`${address} has ${roster.size} contacts on ${where}, and ${contacts.length} friends`);
  }

  private note(what: string): void {
    if (this.found.examples.length < EXAMPLES) this.found.examples.push(what);
  }
}
