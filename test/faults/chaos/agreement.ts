// Whether all agree when everything is whole again: what nodes list, what Redis has, what clients know of one another.
import { Redis } from 'ioredis';
import { until } from '../../kit/child-server.ts';
import type { Person } from './person.ts';
import { domain, RESUME, type Service } from './service.ts';

/** How long ghosts may last, in milliseconds: sessions whose client went elsewhere wait for it, and some time is for slow machines. */
export const GHOSTS = RESUME * 1000 + 15_000;
/** How long it may take until contacts know that somebody has left in good order. */
export const GOODBYE = 10_000;
const EXAMPLES = 5;

export interface Disagreements {
  /** Sessions that are in a list and in no client, by any node or in Redis; and the other way round. */
  ghosts: number;
  missing: number;
  /** What clients think of their contacts' presence, and is not so. */
  presence: number;
  /** Entries of rosters that are not as they were confirmed, or not as the client was told. */
  rosters: number;
  readonly examples: string[];
}

/** How long it took until lists and presence agreed, in milliseconds. */
export interface Delays {
  directory: number;
  presence: number;
  goodbye: number;
}

export class Agreement {
  readonly found: Disagreements = { ghosts: 0, missing: 0, presence: 0, rosters: 0, examples: [] };
  readonly delays: Delays = { directory: 0, presence: 0, goodbye: 0 };
  private readonly service: Service;
  private readonly people: readonly Person[];

  constructor(service: Service, people: readonly Person[]) {
    this.service = service;
    this.people = people;
  }

  /** All people are connected. Afterwards some of them have left. */
  async reach(): Promise<void> {
    const began = performance.now();
    await until(GHOSTS, async () => (await this.directories()).length === 0, 100);
    this.delays.directory = performance.now() - began;
    for (const { what, where, jid } of await this.directories()) {
      this.found[what]++;
      this.note(`${where}: ${jid} is ${what === 'ghosts' ? 'a ghost' : 'missing'}`);
    }
    await until(GHOSTS, () => this.wrongPresence().length === 0);
    this.delays.presence = performance.now() - began;
    this.countPresence();
    await this.compareRosters();
    const leaving = this.people.filter((_, i) => i % 3 === 0);
    await Promise.all(leaving.map((person) => person.leave()));
    const left = performance.now();
    await until(GOODBYE, () => this.wrongPresence().length === 0);
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
    for (const node of this.service.nodes) {
      const lines = await this.service.sessions(node);
      compare(node.name, new Set(lines.map(({ jid }) => jid)));
    }
    compare('Redis', await sessionsInRedis(this.service.redis.url));
    return wrong;
  }

  private wrongPresence(): string[] {
    const wrong: string[] = [];
    const byNumber = new Map(this.people.map((person) => [person.number, person]));
    for (const person of this.people) {
      if (person.hasLeft) continue;
      const expected = new Set<string>();
      for (const number of person.contacts) {
        const contact = byNumber.get(number)!;
        if (!contact.hasLeft) expected.add(contact.jid);
      }
      for (const jid of expected) if (!person.seen.has(jid)) wrong.push(`${person.jid} does not see ${jid}`);
      for (const jid of person.seen) if (!expected.has(jid)) wrong.push(`${person.jid} sees ${jid}, who is not there`);
    }
    return wrong;
  }

  private async compareRosters(): Promise<void> {
    for (const person of this.people) {
      const roster = await person.fetchRoster();
      for (const number of person.contacts) {
        const contact = `user${number}@${domain}`;
        const item = roster.get(contact);
        const names = person.names.get(contact) ?? [''];
        const told = person.roster.get(contact);
        const isAsConfirmed = item !== undefined && item.subscription === 'both' && names.includes(item.name);
        if (isAsConfirmed && told?.name === item.name && told.subscription === 'both') continue;
        this.found.rosters++;
        this.note(
          `${person.address} has ${contact} as ${JSON.stringify(item)}, was told ${JSON.stringify(told)}, and had confirmed ${names.join(' ')}`,
        );
      }
    }
  }

  private note(what: string): void {
    if (this.found.examples.length < EXAMPLES * 3) this.found.examples.push(what);
  }
}

/** The full JIDs in the directory, as they stand in Redis. */
async function sessionsInRedis(url: string): Promise<Set<string>> {
  const redis = new Redis(url);
  const found = new Set<string>();
  try {
    for (let cursor = '0'; ; ) {
      const [next, keys] = await redis.scan(cursor, 'MATCH', 'parley:*:u:*', 'COUNT', 1000);
      for (const key of keys) {
        const user = key.slice(key.indexOf(':u:') + 3);
        for (const resource of await redis.hkeys(key)) found.add(`${user}/${resource}`);
      }
      cursor = next;
      if (cursor === '0') return found;
    }
  } finally {
    redis.disconnect();
  }
}
